//! What open pages are told while they are open.

use std::time::Duration;

use atelier::storage::{Area, AreaLimits, AreaWrite, Others, PageStore as _, PageWrite};
use axum::body::Body;
use futures::StreamExt as _;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::ServiceExt as _;

use super::hosting::Hosting;

const PAGE: &str = "<!doctype html><title>Live</title><p>Live</p>";
const PATIENCE: Duration = Duration::from_mins(1);

/// An open stream of events.
struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    async fn open(hosting: &Hosting, path: &str) -> Self {
        let request = Request::builder().uri(path).header("host", "127.0.0.1:7411");
        let request = request.body(Body::empty()).unwrap();
        let response = hosting.content.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["access-control-allow-origin"], "*");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event: its kind, data and id. None when the stream has ended.
    async fn next(&mut self) -> Option<(String, Value, Option<String>)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|v| v.trim().to_owned())
                };
                let Some(data) = field("data:") else { continue };
                let kind = field("event:").unwrap();
                return Some((kind, serde_json::from_str(&data).unwrap(), field("id:")));
            }
            let more = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("no event");
            self.text.push_str(std::str::from_utf8(&more?.unwrap()).unwrap());
        }
    }
}

fn version(n: i64) -> (String, Value, Option<String>) {
    ("version".to_owned(), json!({"version": n}), Some(n.to_string()))
}

#[tokio::test]
async fn every_listener_is_told_the_version_now_and_each_new_one() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("live", PAGE).await;
    let path = format!("/a/{}/events", app.token);
    let mut first = Events::open(&hosting, &path).await;
    assert_eq!(first.next().await.unwrap(), version(1));
    // Published behind the back of this listener, as another process would.
    hosting.publish("live", PAGE).await;
    assert_eq!(first.next().await.unwrap(), version(2));
    let mut second = Events::open(&hosting, &path).await;
    assert_eq!(second.next().await.unwrap(), version(2));
    hosting.publish("live", PAGE).await;
    assert_eq!(first.next().await.unwrap(), version(3));
    assert_eq!(second.next().await.unwrap(), version(3));
}

#[tokio::test]
async fn a_visitor_hears_of_its_own_storage_only() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("live", PAGE).await;
    let visitors = ["AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBB"];
    let path = |visitor: &str| format!("/a/{}/events?visitor={visitor}", app.token);
    let mut anna = Events::open(&hosting, &path(visitors[0])).await;
    let mut berta = Events::open(&hosting, &path(visitors[1])).await;
    let mut nobody = Events::open(&hosting, &path("../shared")).await;
    for events in [&mut anna, &mut berta] {
        assert_eq!(events.next().await.unwrap(), version(1));
        assert_eq!(events.next().await.unwrap().1, json!({"revision": 0}));
    }
    assert_eq!(nobody.next().await.unwrap(), version(1));
    for visitor in visitors {
        let area = AreaWrite {
            area: Area::Visitor(visitor.to_owned()),
            changes: vec![("a".to_owned(), Some("1".to_owned()))],
            others: Others::Kept,
            limits: AreaLimits { bytes: 10, entries: 10 },
        };
        let write =
            PageWrite { areas: vec![area], number: None, kept_tabs: 1, document_bytes: 100 };
        hosting.catalog.write_page_entries(&app.id, write).await.unwrap();
    }
    assert_eq!(anna.next().await.unwrap(), ("storage".to_owned(), json!({"revision": 1}), None));
    assert_eq!(berta.next().await.unwrap(), ("storage".to_owned(), json!({"revision": 2}), None));
    // What comes next is the version: there was nothing else to tell.
    hosting.publish("live", PAGE).await;
    for events in [&mut anna, &mut berta, &mut nobody] {
        assert_eq!(events.next().await.unwrap(), version(2));
    }
}

#[tokio::test]
async fn streams_are_bounded_and_the_next_ones_are_told() {
    let hosting = Hosting::new().await;
    let (app, other) = (hosting.publish("live", PAGE).await, hosting.publish("other", PAGE).await);
    let path = format!("/a/{}/events", app.token);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Events::open(&hosting, &path).await);
    }
    let answer = hosting.get(&path).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "too_many_streams");
    assert_eq!(answer.header("retry-after"), "5");
    let other = format!("/a/{}/events", other.token);
    for _ in 0..2 {
        held.push(Events::open(&hosting, &other).await);
    }
    assert_eq!(hosting.get(&other).await.status, StatusCode::SERVICE_UNAVAILABLE);
    // Pages themselves are served all the same, and places come back.
    assert_eq!(hosting.get(&format!("/a/{}/", app.token)).await.status, StatusCode::OK);
    held.clear();
    let mut again = Events::open(&hosting, &path).await;
    assert_eq!(again.next().await.unwrap(), version(1));
}

#[tokio::test]
async fn a_deleted_app_says_so_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let hosting = Hosting::on_disk(folder.path()).await;
    let app = hosting.publish("live", PAGE).await;
    let mut events = Events::open(&hosting, &format!("/a/{}/events", app.token)).await;
    assert_eq!(events.next().await.unwrap(), version(1));
    hosting.delete(folder.path(), &app).await;
    assert_eq!(events.next().await.unwrap().0, "deleted");
    assert_eq!(events.next().await, None);
    let answer = hosting.get(&format!("/a/{}/events", app.token)).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_listener_that_closes_ends_its_streams() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("live", PAGE).await;
    let cancel = tokio_util::sync::CancellationToken::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(atelier::server::ports::serve_until(
        listener,
        hosting.content.clone(),
        cancel.clone(),
    ));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /a/{}/events HTTP/1.1\r\nHost: {address}\r\n\r\n", app.token);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    while !told.contains("event: version") {
        let mut part = [0; 1024];
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "{told}");
        told.push_str(std::str::from_utf8(&part[..length]).unwrap());
    }
    let begun = std::time::Instant::now();
    cancel.cancel();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    serving.await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1900), "it waited for the stream");
}
