//! What a client sees of servers that come, go, and cannot come back.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{Api, installation};
use crate::support::product::{Installation, StdioClient};

async fn listed(client: &mut StdioClient) -> Value {
    client.call("list_mcp_servers", json!({})).await["servers"][0].clone()
}

async fn make_database(file: &Path) {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// A process of the same installation that allows a folder.
async fn allowing(installation: &Installation, folder: &Path) -> StdioClient {
    let mut command = installation.command(&["stdio"]);
    command.env("ATELIER_FACTORY__ALLOWED_ROOTS", folder);
    let mut client = StdioClient::start(command);
    client.initialize(json!({})).await;
    client
}

#[tokio::test]
async fn a_server_that_cannot_come_back_says_why() {
    let installation = installation();
    let folder = installation.folder().canonicalize().unwrap();
    let (shops, others) = (folder.join("shops"), folder.join("others"));
    for folder in [&shops, &others] {
        std::fs::create_dir(folder).unwrap();
    }
    let file = shops.join("shop.db");
    make_database(&file).await;
    let mut client = allowing(&installation, &shops).await;
    let made = client.call("create_mcp_server", json!({"database_url": file})).await;
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    let started = client.call("start_mcp_server", json!({"server_name": "shop"})).await;
    assert_eq!(started["status"], "success", "{started:#}");
    assert_eq!(listed(&mut client).await["state"], "running");
    client.close().await;

    // The operator has thought better of the folder.
    let mut client = allowing(&installation, &others).await;
    for _ in 0..2 {
        let line = listed(&mut client).await;
        assert_eq!((&line["state"], &line["running"]), (&json!("failed"), &json!(false)), "{line}");
        assert_eq!(line["started_version"], 1, "{line}");
        let reason = line["last_error"].as_str().unwrap();
        assert!(reason.contains("allowed folder"), "{reason}");
    }
    let call = client.exchange("tools/call", json!({"name": "shop__list_thing"})).await;
    assert!(call["error"]["message"].as_str().unwrap().contains("Unknown tool"), "{call}");
    client.close().await;

    // And again, but the file is gone; then it is back.
    let kept = folder.join("kept.db");
    std::fs::rename(&file, &kept).unwrap();
    let mut client = allowing(&installation, &shops).await;
    let line = listed(&mut client).await;
    assert_eq!(line["state"], "failed", "{line}");
    assert!(line["last_error"].as_str().unwrap().contains("shop.db"), "{line}");
    std::fs::rename(&kept, &file).unwrap();
    let line = listed(&mut client).await;
    assert_eq!((&line["state"], line.get("last_error")), (&json!("idle"), None), "{line}");
    let rows = client.call("shop__list_thing", json!({})).await;
    assert_eq!(rows["status"], "success", "{rows}");

    // Stopped it has no reason left.
    std::fs::rename(&file, &kept).unwrap();
    client.call("stop_mcp_server", json!({"server_name": "shop"})).await;
    let line = listed(&mut client).await;
    assert_eq!((&line["state"], line.get("last_error")), (&json!("stopped"), None), "{line}");
    client.close().await;
}

/// Counts how often a client was told that its list is another one.
fn counted(client: &mut StdioClient) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    client.on_notification = Some(Box::new(move |message| {
        if message["method"] == "notifications/tools/list_changed" {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }));
    count
}

async fn names(client: &mut StdioClient) -> Vec<String> {
    let tools = client.request("tools/list", json!({})).await;
    let tools = tools["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the client was told so often.
async fn told(client: &mut StdioClient, count: &AtomicUsize, wanted: usize) {
    let begun = Instant::now();
    while count.load(Ordering::Relaxed) < wanted {
        assert!(begun.elapsed() < Duration::from_secs(30), "it was not told");
        names(client).await;
    }
}

#[tokio::test]
async fn clients_are_told_when_their_list_of_tools_changes() {
    let api = Api::start().await;
    let installation = installation();
    let exposing = || {
        let mut command = installation.command(&["stdio"]);
        command.env("ATELIER_CATALOG__EXPOSE_AT_MOST", "20");
        StdioClient::start(command)
    };
    let mut client = exposing();
    let hello = client.initialize(json!({})).await;
    assert_eq!(hello["capabilities"]["tools"]["listChanged"], true, "{hello}");
    let count = counted(&mut client);
    client.call("create_mcp_server", json!({"openapi": api.document()})).await;
    let before = names(&mut client).await;
    assert_eq!(count.load(Ordering::Relaxed), 0);
    client.call("start_mcp_server", json!({"server_name": "trips"})).await;
    told(&mut client, &count, 1).await;
    let during = names(&mut client).await;
    assert!(during.contains(&"trips__listTrips".to_owned()), "{during:?}");
    let trips = client.call("trips__listTrips", json!({})).await;
    assert_eq!(trips["status"], "success", "{trips}");
    assert_eq!(count.load(Ordering::Relaxed), 1, "a call changes nothing");
    client.call("stop_mcp_server", json!({"server_name": "trips"})).await;
    told(&mut client, &count, 2).await;
    assert_eq!(names(&mut client).await, before);
    client.close().await;

    // Newer clients subscribe, and hear it as an answer to that.
    let mut client = exposing();
    client.modern(&json!({}));
    let heard = Arc::new(RwLock::new(Vec::<Value>::new()));
    let kept = Arc::clone(&heard);
    client.on_notification =
        Some(Box::new(move |message| kept.write().unwrap().push(message.clone())));
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let wish = json!({"notifications": {"toolsListChanged": true}, "_meta": meta});
    let subscribe =
        json!({"jsonrpc": "2.0", "id": 900, "method": "subscriptions/listen", "params": wish});
    client.send(&subscribe).await;
    client.call("start_mcp_server", json!({"server_name": "trips"})).await;
    let begun = Instant::now();
    let has = |method: &str| {
        let heard = heard.read().unwrap_or_else(PoisonError::into_inner);
        heard.iter().any(|message| message["method"] == method)
    };
    while !has("notifications/tools/list_changed") {
        assert!(begun.elapsed() < Duration::from_secs(30), "{heard:?}");
        names(&mut client).await;
    }
    // An open subscription keeps nobody from leaving.
    let (code, log) = client.close().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn a_list_that_stays_as_it_is_is_no_news() {
    let api = Api::start().await;
    let installation = installation();
    let mut client = installation.stdio().await;
    let count = counted(&mut client);
    client.call("create_mcp_server", json!({"openapi": api.document()})).await;
    let before = names(&mut client).await;
    client.call("start_mcp_server", json!({"server_name": "trips"})).await;
    let trips = client.call("trips__listTrips", json!({})).await;
    assert_eq!(trips["status"], "success", "{trips}");
    assert_eq!(names(&mut client).await, before);
    client.call("stop_mcp_server", json!({"server_name": "trips"})).await;
    assert_eq!(names(&mut client).await, before);
    assert_eq!(count.load(Ordering::Relaxed), 0);
    client.close().await;
}
