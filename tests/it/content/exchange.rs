//! What pages hand in and are told, over plain HTTP: good and bad requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::hosting::{Answer, Hosting};

const PAGE: &str = "<!doctype html><title>Notes</title><p>Notes</p>";

/// A visitor of an app, as its page is.
struct Visit {
    path: String,
    cookie: String,
    token: String,
}

impl Visit {
    async fn new(hosting: &Hosting, app: &str) -> Self {
        let path = format!("/a/{app}/");
        let answer = hosting.get(&path).await;
        let token = answer.bootstrap()["storage"]["token"].as_str().unwrap().to_owned();
        Self { cookie: answer.cookie().to_owned(), token, path }
    }

    /// Hands in changes.
    async fn hand_in(&self, hosting: &Hosting, more: Value) -> Answer {
        let mut body = json!({"token": self.token, "tab": "t1"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        hosting.post(&format!("{}storage", self.path), body.to_string()).await
    }

    /// Opens the page again and returns what it is told of storage.
    async fn reopened(&self, hosting: &Hosting) -> Value {
        let answer = hosting.ask(Method::GET, &self.path, &[("cookie", &self.cookie)]).await;
        assert_eq!(answer.cookie(), self.cookie, "the cookie is renewed");
        answer.bootstrap()["storage"].clone()
    }
}

fn assert_problem(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{answer:?}");
    assert!(!answer.json()["hint"].as_str().unwrap().is_empty());
    assert_eq!(answer.header("access-control-allow-origin"), "*", "the page must read it");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn what_a_visitor_stored_comes_with_the_next_page_and_to_nobody_else() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let (anna, berta) =
        (Visit::new(&hosting, &app.token).await, Visit::new(&hosting, &app.token).await);
    assert_ne!(anna.token, berta.token);
    let answer = anna
        .hand_in(
            &hosting,
            json!({
                "sequence": 1,
                "local": {"set": [["a", "1"], ["</script><!--", "</script>"]]},
                "session": {"set": [["s", "2"]]},
            }),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(
        answer.json(),
        // All there is, since the page knew of nothing.
        json!({"status": "success", "written": 1, "revision": 1, "whole": true,
               "local": [["</script><!--", "</script>", 1], ["a", "1", 1]]})
    );
    let stored = anna.reopened(&hosting).await;
    assert_eq!(stored["local"], json!([["</script><!--", "</script>"], ["a", "1"]]));
    assert_eq!(stored["tabs"], json!([{"tab": "t1", "sequence": 1, "session": [["s", "2"]]}]));
    assert_eq!((&stored["token"], &stored["revision"]), (&json!(anna.token), &json!(1)));
    let other = berta.reopened(&hosting).await;
    assert_eq!((&other["local"], &other["tabs"]), (&json!([]), &json!([])));

    // The same cookie at another app is another visitor.
    let second = hosting.publish("second", PAGE).await;
    let answer = hosting
        .ask(Method::GET, &format!("/a/{}/", second.token), &[("cookie", &anna.cookie)])
        .await;
    assert_eq!(answer.bootstrap()["storage"]["local"], json!([]));
}

#[tokio::test]
async fn a_stored_change_changes_the_tag_of_the_page() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let anna = Visit::new(&hosting, &app.token).await;
    let cookie = ("cookie", anna.cookie.as_str());
    let tag = hosting.ask(Method::GET, &anna.path, &[cookie]).await.header("etag").to_owned();
    let asked = [cookie, ("if-none-match", tag.as_str())];
    assert_eq!(hosting.ask(Method::GET, &anna.path, &asked).await.status, StatusCode::NOT_MODIFIED);
    anna.hand_in(&hosting, json!({"sequence": 1, "session": {"set": [["s", "1"]]}})).await;
    let answer = hosting.ask(Method::GET, &anna.path, &asked).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.bootstrap()["storage"]["tabs"][0]["session"], json!([["s", "1"]]));
    // Somebody else's page is not answered with what is in this one's cache.
    let other = [("if-none-match", tag.as_str())];
    assert_eq!(hosting.ask(Method::GET, &anna.path, &other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_tab_learns_what_another_one_wrote() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let anna = Visit::new(&hosting, &app.token).await;
    anna.hand_in(&hosting, json!({"sequence": 1, "local": {"set": [["a", "1"], ["b", "1"]]}}))
        .await;
    let other = json!({"tab": "t2", "since": 1, "sequence": 1, "local": {"set": [["b", null], ["c", "2"]]}});
    let answer = anna.hand_in(&hosting, other).await.json();
    assert_eq!(
        (&answer["whole"], &answer["local"]),
        (&json!(false), &json!([])),
        "its own are known"
    );
    let answer = anna.hand_in(&hosting, json!({"since": 1})).await.json();
    assert_eq!(answer["local"], json!([["b", null, 2], ["c", "2", 2]]));
    assert_eq!(answer.get("written"), None);
    // A number that is not new writes nothing.
    let late = json!({"sequence": 1, "since": 2, "local": {"clear": true}});
    let answer = anna.hand_in(&hosting, late).await.json();
    assert_eq!((answer.get("written"), &answer["revision"]), (None, &json!(2)));
    // A page that was reloaded asks for its last write.
    let answer = anna.hand_in(&hosting, json!({"awaited": 1})).await.json();
    assert_eq!((&answer["sequence"], &answer["session"]), (&json!(1), &json!([])));
}

#[tokio::test]
async fn a_page_waits_for_its_own_last_write_but_not_for_ever() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let anna = Visit::new(&hosting, &app.token).await;
    let waiting = anna.hand_in(&hosting, json!({"awaited": 5}));
    let writing = anna.hand_in(&hosting, json!({"sequence": 5, "session": {"set": [["s", "5"]]}}));
    let (waited, _) = tokio::join!(waiting, writing);
    assert_eq!(waited.json()["session"], json!([["s", "5"]]));
    let given_up = anna.hand_in(&hosting, json!({"awaited": 6})).await;
    assert_eq!((given_up.status, given_up.json()["sequence"].as_i64()), (StatusCode::OK, Some(5)));
}

#[tokio::test]
async fn only_a_token_of_this_app_writes() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let other = hosting.publish("other", PAGE).await;
    let anna = Visit::new(&hosting, &app.token).await;
    let foreign = Visit::new(&hosting, &other.token).await;
    let (name, signature) = anna.token.split_once('.').unwrap();
    let other_name = foreign.token.split_once('.').unwrap().0;
    let forged = [
        String::new(),
        foreign.token.clone(),
        format!("{other_name}.{signature}"),
        format!("{name}.{}", "A".repeat(43)),
        format!("{}.{signature}", "../shared"),
        "x".repeat(100_000),
    ];
    for token in forged {
        let write = json!({"token": token, "sequence": 1, "local": {"set": [["a", "1"]]}});
        let answer = anna.hand_in(&hosting, write).await;
        assert_problem(&answer, StatusCode::FORBIDDEN, "page_token_refused");
        let body = json!({"token": token, "do": "set", "key": "a", "value": "1"});
        let answer = hosting.post(&format!("{}kv", anna.path), body.to_string()).await;
        assert_problem(&answer, StatusCode::FORBIDDEN, "page_token_refused");
    }
    assert_eq!(anna.reopened(&hosting).await["local"], json!([]));
    // The same requests with the right one.
    let write = json!({"sequence": 1, "local": {"set": [["a", "1"]]}});
    assert_eq!(anna.hand_in(&hosting, write).await.status, StatusCode::OK);
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong_and_store_nothing() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let anna = Visit::new(&hosting, &app.token).await;
    let path = format!("{}storage", anna.path);
    for body in
        ["", "x", "[]", "{}", "{\"token\": 1}", "{\"token\":\"\\ud800\",\"tab\":\"t\"}", "\u{0}"]
    {
        let answer = hosting.post(&path, body).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "page_request_invalid");
    }
    let bad = [
        json!({"tab": ""}),
        json!({"tab": "a/b"}),
        json!({"tab": "x".repeat(33)}),
        json!({"sequence": 0}),
        json!({"sequence": -5, "local": {"set": [["a", "1"]]}}),
        json!({"sequence": 1, "local": {"set": [["a"]]}}),
        json!({"sequence": 1, "local": {"set": [["a", 1]]}}),
        json!({"sequence": 1e300}),
    ];
    for more in bad {
        let answer = anna.hand_in(&hosting, more.clone()).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "page_request_invalid");
    }
    let too_large = [
        json!({"sequence": 1, "local": {"set": [["a", "x".repeat(256 * 1024 + 1)]]}}),
        json!({"sequence": 1, "local": {"set": [["k".repeat(4097), "1"]]}}),
        json!({"sequence": 1, "local": {"set": (0..10_001).map(|n| json!([n.to_string(), ""])).collect::<Vec<_>>()}}),
    ];
    for more in too_large {
        let answer = anna.hand_in(&hosting, more).await;
        assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "page_storage_full");
    }
    let answer = hosting.post(&path, vec![b' '; 2 * 1024 * 1024 + 1]).await;
    assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "page_request_too_large");
    let gone = "/a/AAAAAAAAAAAAAAAAAAAAAA/storage";
    let answer = hosting.post(gone, "{}").await;
    assert_problem(&answer, StatusCode::NOT_FOUND, "page_not_found");
    assert_eq!(anna.reopened(&hosting).await["tabs"], json!([]));

    // What is just small enough is taken.
    let fits = json!({"sequence": 1, "local": {"set": [["a", "\u{1}".repeat(256 * 1024)], ["k".repeat(4096), ""]]}});
    assert_eq!(anna.hand_in(&hosting, fits).await.status, StatusCode::OK);
}

#[tokio::test]
async fn other_methods_are_refused_and_preflights_answered() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    for route in ["storage", "kv"] {
        let path = format!("/a/{}/{route}", app.token);
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = hosting.ask(method.clone(), &path, &[]).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {route}");
        }
        let answer = hosting.ask(Method::OPTIONS, &path, &[("origin", "null")]).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert!(answer.header("access-control-allow-methods").contains("POST"));
        let evil = [("host", "evil.example")];
        assert_eq!(hosting.ask(Method::POST, &path, &evil).await.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_full_storage_takes_what_makes_room() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let anna = Visit::new(&hosting, &app.token).await;
    let value = "x".repeat(256 * 1024);
    for n in 1..=19 {
        let write =
            json!({"sequence": n, "since": 100, "local": {"set": [[format!("key{n:02}"), value]]}});
        assert_eq!(anna.hand_in(&hosting, write).await.status, StatusCode::OK);
    }
    let more = json!({"sequence": 20, "since": 100, "local": {"set": [["key20", value]]}});
    let answer = anna.hand_in(&hosting, more).await;
    assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "page_storage_full");
    let instead = json!({"sequence": 20, "since": 100, "local": {"set": [["key01", null], ["key20", value]]}});
    assert_eq!(anna.hand_in(&hosting, instead).await.status, StatusCode::OK);
    // The page of a visitor with much storage is whole, compressed or not.
    let cookie = ("cookie", anna.cookie.as_str());
    let plain = hosting.ask(Method::GET, &anna.path, &[cookie]).await;
    assert_eq!(plain.bootstrap()["storage"]["local"].as_array().unwrap().len(), 19);
    let small = hosting.ask(Method::GET, &anna.path, &[cookie, ("accept-encoding", "gzip")]).await;
    if small.header("content-encoding") == "gzip" {
        assert!(small.body.len() < plain.body.len() / 20);
    }
}

#[tokio::test]
async fn shared_values_are_the_same_for_everybody() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let (anna, berta) =
        (Visit::new(&hosting, &app.token).await, Visit::new(&hosting, &app.token).await);
    let ask = async |visit: &Visit, mut what: Value| {
        what["token"] = json!(visit.token);
        hosting.post(&format!("{}kv", visit.path), what.to_string()).await
    };
    for key in ["b", "a/2", "a/1"] {
        let set = ask(&anna, json!({"do": "set", "key": key, "value": "1"})).await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
    }
    let got = ask(&berta, json!({"do": "get", "key": "b"})).await.json();
    assert_eq!(got, json!({"status": "success", "value": "1"}));
    ask(&berta, json!({"do": "delete", "key": "b"})).await;
    let got = ask(&anna, json!({"do": "get", "key": "b"})).await.json();
    assert_eq!(got["value"], Value::Null);
    let listed = ask(&anna, json!({"do": "list", "prefix": "a/"})).await.json();
    assert_eq!(listed, json!({"status": "success", "keys": ["a/1", "a/2"], "more": false}));
    assert_eq!(anna.reopened(&hosting).await["local"], json!([]), "it is nobody's own");
    for bad in
        [json!({"do": "drop"}), json!({"do": "get"}), json!({"do": "set", "key": "a", "value": 1})]
    {
        let answer = ask(&anna, bad).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "page_request_invalid");
    }
    let large = json!({"do": "set", "key": "a", "value": "x".repeat(256 * 1024 + 1)});
    assert_problem(&ask(&anna, large).await, StatusCode::PAYLOAD_TOO_LARGE, "page_storage_full");
}

#[tokio::test]
async fn without_its_store_a_known_page_opens_and_says_that_nothing_is_saved() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let anna = Visit::new(&hosting, &app.token).await;
    anna.hand_in(&hosting, json!({"sequence": 1, "local": {"set": [["a", "1"]]}})).await;
    hosting.catalog.close().await;
    // It was told nothing of what is stored, so it must not be able to overwrite it.
    assert_eq!(anna.reopened(&hosting).await, Value::Null);
    let write = json!({"sequence": 2, "local": {"set": [["a", "2"]]}});
    let answer = anna.hand_in(&hosting, write).await;
    assert_problem(&answer, StatusCode::SERVICE_UNAVAILABLE, "page_storage_unavailable");
    assert_eq!(answer.header("retry-after"), "5");
}

#[tokio::test]
async fn too_many_requests_at_once_are_told_to_come_back() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("notes", PAGE).await;
    let anna = Visit::new(&hosting, &app.token).await;
    let path = format!("{}storage", anna.path);
    // Bodies that never end hold their places. A body is asked for when its request has one.
    let asked = Arc::new(AtomicUsize::new(0));
    let requests = (0..24).map(|_| {
        let (asked, mut first) = (Arc::clone(&asked), true);
        let endless = futures::stream::poll_fn(move |_| {
            asked.fetch_add(usize::from(std::mem::take(&mut first)), Ordering::SeqCst);
            Poll::<Option<Result<bytes::Bytes, std::io::Error>>>::Pending
        });
        hosting.post(&path, Body::from_stream(endless))
    });
    let mut held = Box::pin(futures::future::join_all(requests));
    while asked.load(Ordering::SeqCst) < 24 {
        assert!(futures::poll!(&mut held).is_pending());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answer = anna.hand_in(&hosting, json!({})).await;
    assert_problem(&answer, StatusCode::SERVICE_UNAVAILABLE, "page_storage_busy");
    // Other apps have places of their own.
    let other = hosting.publish("other", PAGE).await;
    let berta = Visit::new(&hosting, &other.token).await;
    assert_eq!(berta.hand_in(&hosting, json!({})).await.status, StatusCode::OK);
    drop(held);
    assert_eq!(anna.hand_in(&hosting, json!({})).await.status, StatusCode::OK);
}
