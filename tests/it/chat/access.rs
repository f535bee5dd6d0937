//! Who gets in. Each refusal stands beside the same request that is answered.

use fake_llm::{Reply, Script};
use serde_json::json;

use super::support::{Client, House};
use crate::support::browser::Browser;

/// The request's own headers, with one changed or left out.
fn changed(client: &Client, name: &str, value: Option<&str>) -> Vec<(&'static str, String)> {
    let names = ["cookie", "origin", "sec-fetch-site", "x-atelier-action", "host"];
    let name = *names.iter().find(|known| **known == name).unwrap();
    let mut headers = client.own();
    headers.retain(|(found, _)| *found != name);
    headers.extend(value.map(|value| (name, value.to_owned())));
    headers
}

#[tokio::test]
async fn a_link_opens_the_chat_once_and_only_our_page_may_act() {
    let house = House::with(Script::new().reply(Reply::text("Hello."))).await;
    let client = house.client("local").await;
    let message = json!({"text": "hi"}).to_string();
    let body = message.as_bytes();

    // The control: what our page sends is answered.
    let said = client.send("POST", "/chat/api/turns", &client.own(), body).await;
    assert_eq!(said.status, 200, "{said:?}");
    let conversation = said.json()["conversation"].as_str().unwrap().to_owned();
    assert_eq!(client.get("/chat/api/conversations").await.status, 200);

    let own = format!("http://{}", house.pages);
    let apps = format!("http://{}", house.content);
    let denied: [(&str, Option<&str>, u16, &str); 11] = [
        ("cookie", None, 401, "not_opened"),
        ("cookie", Some("atelier_chat_00000000=x"), 401, "not_opened"),
        ("host", Some("evil.example"), 403, "host_refused"),
        ("origin", None, 403, "foreign_request"),
        ("origin", Some("null"), 403, "foreign_request"),
        ("origin", Some("https://evil.example"), 403, "foreign_request"),
        ("origin", Some(&apps), 403, "foreign_request"),
        ("sec-fetch-site", Some("same-site"), 403, "foreign_request"),
        ("sec-fetch-site", Some("cross-site"), 403, "foreign_request"),
        ("x-atelier-action", None, 403, "foreign_request"),
        ("x-atelier-action", Some("AAAA"), 403, "foreign_request"),
    ];
    for (name, value, status, code) in denied {
        let headers = changed(&client, name, value);
        let answer = client.send("POST", "/chat/api/turns", &headers, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name} {value:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    let headers = changed(&client, "origin", Some(&own));
    let again = client.send("POST", "/chat/api/turns", &headers, body).await;
    assert_eq!(again.status, 200, "{again:?}");

    // Reading is closed the same way; other sites may open the page in a tab and nothing else.
    let reading = format!("/chat/api/conversations/{conversation}");
    assert_eq!(client.get(&reading).await.status, 200);
    let nobody = Client { cookie: String::new(), ..client.clone() };
    assert_eq!(nobody.get(&reading).await.code(), "not_opened");
    assert_eq!(nobody.get("/chat").await.status, 401);
    let foreign = [
        ("cookie", client.cookie.clone()),
        ("sec-fetch-site", "same-site".to_owned()),
        ("sec-fetch-mode", "cors".to_owned()),
    ];
    assert_eq!(client.send("GET", &reading, &foreign, b"").await.code(), "foreign_request");
    let framed = [
        ("cookie", client.cookie.clone()),
        ("sec-fetch-site", "cross-site".to_owned()),
        ("sec-fetch-mode", "navigate".to_owned()),
        ("sec-fetch-dest", "iframe".to_owned()),
    ];
    assert_eq!(client.send("GET", "/chat", &framed, b"").await.status, 403);

    // A link serves once.
    let link = house.link("local").await;
    let path = link.split_once(&house.pages.to_string()).unwrap().1;
    assert_eq!(nobody.get(path).await.status, 303);
    let second = nobody.get(path).await;
    assert_eq!((second.status, second.header("set-cookie")), (401, ""));
    assert_eq!(nobody.get("/chat?key=bG9jYWw.AAAA").await.status, 401);

    // The page forbids what it does not need.
    let page = client.get("/chat").await;
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        &format!("frame-src {apps};"),
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && page.header("x-frame-options") == "DENY");
}

#[tokio::test]
async fn the_gallery_leads_into_the_chat_of_the_same_person() {
    let house = House::with(Script::new().reply(Reply::text("Hello."))).await;
    let nobody = Client { address: house.pages, cookie: String::new(), word: String::new() };
    assert_eq!(nobody.get("/gallery/chat").await.status, 401);
    let gallery = house.app.urls.gallery("anna").unwrap();
    let path = gallery.split_once(&house.pages.to_string()).unwrap().1;
    let opened = nobody.get(path).await;
    let cookie = opened.header("set-cookie").split(';').next().unwrap().to_owned();
    let guest = Client { cookie, ..nobody.clone() };
    let link = guest.get("/gallery/chat").await;
    let location = link.header("location").strip_prefix("..").unwrap().to_owned();
    let opened = nobody.get(&location).await;
    assert_eq!((opened.status, opened.header("location")), (303, "chat"));
    let cookie = opened.header("set-cookie").split(';').next().unwrap().to_owned();
    let anna = Client { cookie, ..nobody };
    assert_eq!(anna.get("/chat/api/state").await.status, 200);
}

#[tokio::test]
async fn what_is_anothers_is_not_there() {
    let house = House::with(Script::new().reply(Reply::text("Hello."))).await;
    let local = house.client("local").await;
    let anna = house.client("anna").await;
    let file = local.send("POST", "/chat/api/files", &local.own(), b"secret words").await.json();
    let file = file["id"].as_str().unwrap();
    let (conversation, turn) = local.talk(json!({"text": "hi", "files": [file]})).await;
    let list = |client: Client| async move {
        let found = client.get("/chat/api/conversations").await.json();
        found["conversations"].as_array().unwrap().len()
    };
    assert_eq!((list(local.clone()).await, list(anna.clone()).await), (1, 0));
    let gets = [
        (format!("/chat/api/conversations/{conversation}"), "conversation_not_found"),
        (format!("/chat/api/conversations/{conversation}/export"), "conversation_not_found"),
        (format!("/chat/api/turns/{turn}/events"), "turn_not_found"),
        (format!("/chat/api/files/{file}"), "file_not_found"),
    ];
    for (path, code) in gets {
        assert_eq!(local.get(&path).await.status, 200, "{path}");
        let refused = anna.get(&path).await;
        assert_eq!((refused.status, refused.code().as_str()), (404, code), "{path}");
    }
    let posts = [
        (format!("/chat/api/conversations/{conversation}/rename"), json!({"title": "x"})),
        (format!("/chat/api/conversations/{conversation}/select"), json!({"turn": turn})),
        (format!("/chat/api/turns/{turn}/stop"), json!({})),
        ("/chat/api/turns".to_owned(), json!({"text": "x", "conversation": conversation})),
        ("/chat/api/turns".to_owned(), json!({"text": "x", "files": [file]})),
        (format!("/chat/api/conversations/{conversation}/delete"), json!({})),
    ];
    for (path, body) in posts {
        assert_eq!(anna.post(&path, &body).await.status, 404, "{path}");
        assert_eq!(local.post(&path, &body).await.status, 200, "{path}");
    }
}

/// Tries to speak in the chat with whatever the browser sends along.
const PROBE: &str = "(async (base, word) => {
  const results = [];
  for (const mode of ['cors', 'no-cors']) {
    const answer = await fetch(`${base}/chat/api/turns`, { method: 'POST', mode, credentials: 'include',
      headers: mode === 'cors' ? { 'content-type': 'application/json', 'x-atelier-action': word } : {},
      body: JSON.stringify({ text: 'from the outside' }) }).then((got) => got.type + got.status, (error) => error.name);
    results.push(answer);
  }
  results.push(await fetch(`${base}/chat/api/conversations`, { credentials: 'include' }).then((got) => got.text(), (error) => error.name));
  return results;
})";

#[tokio::test]
async fn an_app_cannot_speak_in_the_chat_of_who_looks_at_it() {
    let house = House::with(Script::new().reply(Reply::text("Hello."))).await;
    let client = house.client("local").await;
    let html = "<!doctype html><html lang=\"en\"><title>App</title><p>app</p></html>";
    let context =
        atelier::registry::CallContext::new("local".into(), atelier::registry::Origin::Client);
    let made = house.app.registry.call("create_web_app", json!({"html": html}), context).await;
    let app = made.structured["url"].as_str().unwrap().to_owned();
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&house.link("local").await).await;
    let base = format!("http://{}", house.pages);
    let probe = format!("{PROBE}('{base}', '{}')", client.word);

    // The control: our own page is heard, with the cookie that the browser keeps.
    let heard = page.evaluate(&probe).await;
    assert_eq!(heard[0], "basic200", "{heard}");
    assert!(heard[2].as_str().unwrap().contains("from the outside"), "{heard}");
    let list = "/chat/api/conversations";
    let before = client.get(list).await.json();

    page.open(&app).await;
    let heard = page.evaluate(&probe).await;
    assert_eq!(heard, json!(["TypeError", "TypeError", "TypeError"]));
    assert_eq!(client.get(list).await.json(), before, "nothing was said");
}
