//! An answer as it is made: resumed where a reader left, stopped, seen by a second reader.

use fake_llm::{Fault, Reply, Rule, Script};
use serde_json::{Value, json};

use super::support::{House, press, type_and_send, until_answered};
use crate::support::browser::Browser;

fn words(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("word{number} ")).collect()
}

fn text_of(events: &[Value]) -> String {
    let pieces = events.iter().filter(|event| event["event"] == "text");
    pieces.map(|event| event["delta"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_reader_goes_on_behind_the_last_event_that_it_had() {
    let slow = Rule::reply(Reply::chunks(words(40))).fault(Fault::Drip { millis: 10 });
    let house = House::with(Script::new().rule(slow)).await;
    let client = house.client("local").await;
    let (conversation, turn) = client.say(json!({"text": "many words"})).await;
    let mut seen = client.events(&turn, 0, 4).await;
    assert_eq!(seen.len(), 4);
    let after = seen.last().unwrap()["seq"].as_u64().unwrap();
    seen.extend(client.events(&turn, after, usize::MAX).await);
    assert_eq!(seen.pop().unwrap()["event"], "end");
    let numbers: Vec<u64> = seen.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "nothing is missing and nothing comes twice");
    assert_eq!(text_of(&seen), words(40).concat());
    let mut whole = client.events(&turn, 0, usize::MAX).await;
    whole.pop();
    assert_eq!(whole, seen, "a second reader sees the same");
    let last = seen.last().unwrap()["seq"].as_u64().unwrap();
    let rest = client.events(&turn, last, usize::MAX).await;
    assert_eq!(rest, [json!({"event": "end"})], "behind the end is nothing");

    // What the page gets when it is loaded later is the same in short.
    let kept = client.last_turn(&conversation).await;
    assert_eq!(kept["state"], "answered");
    let events = kept["events"].as_array().unwrap();
    assert!(events.len() < 8 && events.iter().all(|event| event["event"] != "text"), "{events:?}");
    let finished = events.iter().find(|event| event["event"] == "turn_finished").unwrap();
    assert_eq!(finished["text"].as_str().unwrap().trim(), words(40).concat().trim());
}

#[tokio::test]
async fn a_stopped_answer_keeps_its_words_and_the_model_learns_of_the_stop() {
    let stalls = Rule::reply(Reply::chunks(["Half an ", "answer ", "and more"]))
        .fault(Fault::StallBody { after_events: 3, millis: None })
        .times(1);
    let script = Script::new().rule(stalls).rule(Rule::reply(Reply::text("Gladly.")));
    let house = House::with(script).await;
    let client = house.client("local").await;
    let (conversation, turn) = client.say(json!({"text": "tell me"})).await;
    let mut count = 1;
    while text_of(&client.events(&turn, 0, count).await).is_empty() {
        count += 1;
    }
    let busy = json!({"text": "and?", "conversation": conversation, "parent": turn});
    assert_eq!(client.post("/chat/api/turns", &busy).await.code(), "turn_running");

    let stopped = client.post(&format!("/chat/api/turns/{turn}/stop"), &json!({})).await;
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let events = client.events(&turn, 0, usize::MAX).await;
    assert_eq!(events[events.len() - 2]["event"], "stopped", "{events:?}");
    let kept = client.last_turn(&conversation).await;
    assert_eq!(kept["state"], "stopped");
    let said = text_of(kept["events"].as_array().unwrap());
    assert!(said.starts_with("Half an"), "{kept}");

    client.talk(busy).await;
    let asked = house.asked().pop().unwrap();
    assert!(asked.contains("tell me") && asked.contains("Half an") && asked.contains("and?"));
    assert!(asked.contains("The user stopped this answer here."), "{asked}");
    assert_eq!(client.last_turn(&conversation).await["state"], "answered");
}

#[tokio::test]
async fn a_reload_in_mid_answer_and_a_second_tab_show_the_same() {
    let slow = Rule::reply(Reply::chunks(words(6)))
        .fault(Fault::StallBody { after_events: 5, millis: None })
        .times(1);
    let house = House::with(Script::new().rule(slow).rule(Rule::reply(Reply::text("Done.")))).await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&house.link("local").await).await;
    page.until("document.body.dataset.ready === 'yes'").await;
    type_and_send(&page, "many words").await;
    let shows = "document.querySelector('.reply .prose')?.textContent.includes('word1')";
    page.until(shows).await;
    let seen = "document.querySelector('.reply .prose').textContent";
    let before = page.evaluate(seen).await;
    let address = page.evaluate("location.href").await;
    let second = browser.page_beside(&page).await;
    second.open(address.as_str().unwrap()).await;
    second.until(shows).await;
    page.open("about:blank").await;
    page.open(address.as_str().unwrap()).await;
    page.until(shows).await;
    for tab in [&page, &second] {
        assert_eq!(tab.evaluate(seen).await, before);
        assert_eq!(tab.evaluate("!document.getElementById('stop').hidden").await, true);
    }
    // Escape stops it in the one, and the other sees that.
    page.evaluate("document.getElementById('message').focus()").await;
    press(&page, "Escape").await;
    for tab in [&page, &second] {
        tab.until("document.querySelector('.note.stopped') !== null").await;
        until_answered(tab, 1).await;
    }
    page.click(".meta button:last-child").await;
    page.until("document.querySelector('.reply .prose')?.textContent === 'Done.'").await;
    until_answered(&page, 1).await;
    assert_eq!(page.evaluate("document.querySelector('.count').textContent").await, "2 of 2");
    assert_eq!(page.complaints(), Vec::<String>::new());
}
