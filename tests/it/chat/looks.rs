//! The page without a conversation: with nobody who answers, and on a narrow screen.

use fake_llm::{Reply, Script};
use serde_json::json;

use super::support::{CHECKS, House, axe, press, type_and_send, until_answered};
use crate::support::browser::{Browser, Page, Scheme};

async fn open(house: &House, browser: &Browser) -> Page {
    let page = browser.page().await;
    page.open(&house.link("local").await).await;
    page.until("document.body.dataset.ready === 'yes'").await;
    page
}

#[tokio::test]
async fn with_nobody_who_answers_the_page_says_which_ways_exist() {
    let house = House::without_model().await;
    let browser = Browser::launch().await;
    let page = open(&house, &browser).await;
    let shown = page.evaluate("document.querySelector('#no-model').innerText").await;
    for word in ["ANTHROPIC_API_KEY", "Ollama", "client-config", "atelier doctor"] {
        assert!(shown.as_str().unwrap().contains(word), "{shown}");
    }
    for (name, width, scheme) in [("phone", 320, Scheme::Dark), ("desk", 1280, Scheme::Light)] {
        page.look(width, 800, scheme).await;
        page.screenshot(&format!("chat-no-model-{name}")).await;
        assert_eq!(page.evaluate(CHECKS).await, json!([0, [], [], 1]), "{name}");
        assert_eq!(axe(&page).await, json!([]), "{name}");
    }
    type_and_send(&page, "hello?").await;
    page.until("!document.getElementById('problem').hidden").await;
    assert_eq!(page.evaluate("document.getElementById('message').value").await, "hello?");
    assert_eq!(page.evaluate("document.querySelectorAll('.turn').length").await, 0);
}

#[tokio::test]
async fn everything_is_reached_by_keys_and_spoken_in_sentences() {
    let words = "First sentence. Second one! ".repeat(3);
    let house = House::with(Script::new().reply(Reply::text(words))).await;
    let browser = Browser::launch().await;
    let page = open(&house, &browser).await;
    page.look(320, 640, Scheme::Light).await;
    let focused = "document.activeElement.id || document.activeElement.textContent.trim()";
    assert_eq!(page.evaluate(focused).await, "message", "one can write at once");
    page.evaluate("window.heard = []; new MutationObserver((changes) => { for (const change of changes) for (const node of change.addedNodes) heard.push(node.textContent); }).observe(document.getElementById('live'), { childList: true })").await;
    type_and_send(&page, "hello").await;
    until_answered(&page, 1).await;
    page.until("heard.join(' ').split('Second one!').length === 4").await;
    let heard = page.evaluate("heard").await;
    for spoken in heard.as_array().unwrap() {
        let spoken = spoken.as_str().unwrap().trim();
        assert!(spoken.ends_with(['.', '!']), "only whole sentences are spoken: {heard}");
    }
    assert_eq!(
        page.evaluate("document.querySelectorAll('[aria-live], [role=status], [role=log]').length")
            .await,
        2
    );
    assert_eq!(page.evaluate(focused).await, "message", "the focus stays");

    // The arrow brings the last message back, and sending it again is a branch.
    press(&page, "ArrowUp").await;
    assert_eq!(page.evaluate("document.getElementById('message').value").await, "hello");
    assert_eq!(page.evaluate("!document.getElementById('editing').hidden").await, true);
    press(&page, "Escape").await;
    assert_eq!(page.evaluate("document.getElementById('message').value").await, "");

    // On a phone the list is away until it is asked for, and Escape closes it.
    let nav = "getComputedStyle(document.getElementById('side')).visibility";
    page.until(&format!("{nav} === 'hidden'")).await;
    page.click("#menu").await;
    page.until(&format!("{nav} === 'visible'")).await;
    assert_eq!(page.evaluate(focused).await, "new");
    page.screenshot("chat-list-phone").await;
    assert_eq!(
        page.evaluate("document.querySelector('#conversations a').textContent").await,
        "hello"
    );
    press(&page, "Escape").await;
    page.until(&format!("{nav} === 'hidden'")).await;
    assert_eq!(page.evaluate(focused).await, "menu");

    page.click("#tools").await;
    page.until("document.getElementById('tools-dialog').open").await;
    page.screenshot("chat-tools-phone").await;
    assert_eq!(page.evaluate(CHECKS).await, json!([0, [], [], 1]));
    assert_eq!(axe(&page).await, json!([]));
    page.click("#tools-none").await;
    press(&page, "Escape").await;
    page.until("document.getElementById('tools-count').textContent === 'No tools'").await;
    assert_eq!(page.complaints(), Vec::<String>::new());
}
