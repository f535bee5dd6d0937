//! Pages that misbehave, and a Chrome that does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atelier::browser::{
    Chrome, InspectOptions, LoadOutcome, NoFiles, PdfOptions, RenderError, Renderer, Source,
    Viewport,
};
use atelier::config::browser::BrowserConfig;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::support::{PATIENCE, chrome, config, is_alive, look, look_with, print, tree, until};

/// Pages that never come to rest.
const RESTLESS: [(&str, &str); 5] = [
    ("a loop", "<p>x<script>while (true) {}</script>"),
    ("a loop later", "<p>x<script>setTimeout(() => { while (true) {} }, 30)</script>"),
    ("dialogs", "<p>x<script>while (true) alert('again')</script>"),
    ("a promise", "<p>x<script>window.__ready = new Promise(() => {})</script>"),
    ("a microtask loop", "<script>(function again() { Promise.resolve().then(again) })()</script>"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_never_rests_ends_and_the_next_one_works() {
    let chrome = Chrome::new(&BrowserConfig { load_s: 10.0, ..config() }, Vec::new());
    for (name, html) in RESTLESS {
        let begun = Instant::now();
        let refused = print(&chrome, html, json!({})).await.unwrap_err();
        assert!(matches!(refused, RenderError::NeverLoads { .. }), "{name}: {refused:?}");
        let load = look(&chrome, html).await.unwrap().viewports.remove(0).load;
        assert!(matches!(load.outcome, LoadOutcome::TimedOut { .. }), "{name}: {load:?}");
        assert!(begun.elapsed() < PATIENCE, "{name} took {:?}", begun.elapsed());
        if name == "dialogs" {
            assert!(load.dialogs.len() >= 10, "{load:?}");
        }
        let fine = print(&chrome, "<p>fine", json!({})).await;
        assert!(fine.is_ok(), "after {name}: {fine:?}");
    }
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_be_large_and_wild() {
    // Too much is given up at the deadline, and the next document is as good as any.
    let strict = Chrome::new(&BrowserConfig { deadline_s: 15.0, ..config() }, Vec::new());
    let nodes = format!("<p>{}", "<b>n</b>".repeat(100_000));
    let printed = print(&strict, &nodes, json!({})).await.map(drop);
    let given_up =
        matches!(printed, Err(RenderError::TimedOut(_) | RenderError::NeverLoads { .. }));
    assert!(printed.is_ok() || given_up, "{printed:?}");
    strict.shut_down().await;
    let chrome = chrome();
    let windows = "<p>x<script>for (let i = 0; i < 1000; i++) window.open('about:blank')</script>";
    print(&chrome, windows, json!({})).await.unwrap();
    let children = tree(chrome.process_id().await.unwrap()).len();
    assert!(children < 40, "{children} processes after a thousand windows");
    let frames = "<script>for (let i = 0; i < 300; i++) document.documentElement\
                  .append(document.createElement('iframe'))</script>";
    print(&chrome, frames, json!({})).await.unwrap();
    let logs = "<script>for (let i = 0; i < 20000; i++) console.error('x' + i)</script>";
    let load = look(&chrome, logs).await.unwrap().viewports.remove(0).load;
    assert_eq!(load.console.len(), 100);
    assert!(load.omitted >= 19_000, "{}", load.omitted);
    let quota = "<script>try { localStorage.x = 1 } catch (error) { throw error }</script>";
    let load = look(&chrome, quota).await.unwrap().viewports.remove(0).load;
    assert!(load.exceptions[0].message.starts_with("SecurityError"), "{load:?}");
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dialogs_are_answered_and_told() {
    let chrome = chrome();
    let html = "<script>alert('one'); window.said = [confirm('two'), prompt('three', 'four')];\
                window.print()</script>";
    let report = look_with(&chrome, html, Arc::new(NoFiles), &["window.said"]).await.unwrap();
    let report = &report.viewports[0];
    assert_eq!(report.load.outcome, LoadOutcome::Loaded);
    let told: Vec<_> = report
        .load
        .dialogs
        .iter()
        .map(|dialog| (dialog.kind.as_str(), dialog.message.as_str()))
        .collect();
    assert_eq!(told, [("alert", "one"), ("confirm", "two"), ("prompt", "three")]);
    assert_eq!(report.scripts, [Ok(json!([true, "four"]))]);
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_throw_or_hang_are_reported_as_such() {
    let chrome = Chrome::new(&BrowserConfig { load_s: 20.0, ..config() }, Vec::new());
    let scripts = ["1 + 1", "nothing.here", "({width: innerWidth})", "new Promise(() => {})", "2"];
    let report = look_with(&chrome, "<p>x", Arc::new(NoFiles), &scripts).await.unwrap();
    let results = &report.viewports[0].scripts;
    assert_eq!(results[0], Ok(json!(2)));
    assert!(results[1].as_ref().unwrap_err().contains("ReferenceError"), "{results:?}");
    assert_eq!(results[2], Ok(json!({"width": 1280})));
    assert!(results[3].as_ref().unwrap_err().contains("did not end"), "{results:?}");
    assert_eq!(results.len(), 4, "nothing is asked of a page behind a script without an end");
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_leaves_stays() {
    let chrome = chrome();
    for leave in [
        "location = 'https://elsewhere.example/gone'",
        "location.href = '/other'",
        "document.body.innerHTML = '<meta http-equiv=refresh content=\"0;url=https://elsewhere.example/gone\">'",
        "location.reload()",
    ] {
        let html = format!("<body><p id=here>x</p><script>{leave}</script>");
        let script = ["!!document.body"];
        let report = look_with(&chrome, &html, Arc::new(NoFiles), &script).await.unwrap();
        let report = &report.viewports[0];
        assert_eq!(report.load.outcome, LoadOutcome::Loaded, "{leave}");
        assert_eq!(report.load.departures.len(), 1, "{leave}: {:?}", report.load);
        assert_eq!(report.scripts, [Ok(json!(true))], "{leave}");
    }
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chrome_killed_while_printing_is_replaced() {
    let chrome = Arc::new(chrome());
    print(&chrome, "<p>warm", json!({})).await.unwrap();
    let first = chrome.process_id().await.unwrap();
    // Slow enough to be killed in the middle: it waits on its own for a second.
    let slow =
        "<p>slow<script>window.__ready = new Promise((done) => setTimeout(done, 3000))</script>";
    let printing = tokio::spawn({
        let chrome = Arc::clone(&chrome);
        async move { print(&chrome, slow, json!({})).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!printing.is_finished());
    kill(first);
    printing.await.unwrap().unwrap();
    let second = chrome.process_id().await.unwrap();
    assert_ne!(first, second);

    // A second death on the same document is the document's fault.
    let killer = tokio::spawn({
        let chrome = Arc::clone(&chrome);
        async move {
            loop {
                if let Some(pid) = chrome.process_id().await {
                    kill(pid);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    let refused = print(&chrome, slow, json!({})).await.unwrap_err();
    killer.abort();
    assert!(
        matches!(
            refused,
            RenderError::Crashed(_) | RenderError::ChromeBroken(_) | RenderError::Isolation(_)
        ),
        "{refused:?}"
    );
    print(&chrome, "<p>fine", json!({})).await.unwrap();
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_ends_at_once_and_leaves_nothing() {
    let chrome = Arc::new(chrome());
    print(&chrome, "<p>warm", json!({})).await.unwrap();
    let cancel = CancellationToken::new();
    let begun = Instant::now();
    let waiting = {
        let (chrome, cancel) = (Arc::clone(&chrome), cancel.clone());
        let html = "<script>while (true) {}</script>";
        tokio::spawn(async move {
            chrome.pdf(Source::alone(html), PdfOptions::default(), &cancel).await
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    cancel.cancel();
    assert_eq!(waiting.await.unwrap().unwrap_err(), RenderError::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    print(&chrome, "<p>fine", json!({})).await.unwrap();
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_queue_calls_are_refused() {
    let config = BrowserConfig { slots: 1, queue: 1, ..config() };
    let chrome = Arc::new(Chrome::new(&config, Vec::new()));
    print(&chrome, "<p>warm", json!({})).await.unwrap();
    let slow = "<script>window.__ready = new Promise((done) => setTimeout(done, 2000))</script>";
    let mut calls = Vec::new();
    for _ in 0..4 {
        let chrome = Arc::clone(&chrome);
        calls.push(tokio::spawn(async move { print(&chrome, slow, json!({})).await }));
    }
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let busy = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(RenderError::Busy { waiting: 1 })))
        .count();
    assert_eq!((done, busy), (2, 2), "{outcomes:?}");
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_past_its_deadline_is_given_up() {
    let chrome = Chrome::new(&BrowserConfig { deadline_s: 4.0, ..config() }, Vec::new());
    print(&chrome, "<p>warm", json!({})).await.unwrap();
    let html = "<script>while (true) {}</script>";
    let refused = print(&chrome, html, json!({})).await.unwrap_err();
    assert_eq!(refused, RenderError::TimedOut(Duration::from_secs(4)));
    chrome.shut_down().await;
    let refused = print(&chrome, "<p>x", json!({})).await.unwrap_err();
    assert_eq!(refused, RenderError::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chrome_that_is_none_is_named() {
    let with = |chrome: PathBuf| {
        Chrome::new(&BrowserConfig { chrome: Some(chrome), ..config() }, Vec::new())
    };
    let missing = print(&with("/nowhere/chrome".into()), "<p>x", json!({})).await.unwrap_err();
    assert!(missing.to_string().contains("/nowhere/chrome"), "{missing}");
    assert!(matches!(missing, RenderError::ChromeMissing { .. }), "{missing:?}");
    let broken = print(&with("/bin/false".into()), "<p>x", json!({})).await.unwrap_err();
    assert!(
        matches!(broken, RenderError::ChromeBroken(_)) && broken.hint().contains("doctor"),
        "{broken:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn phone_and_desktop_are_loaded_each_on_its_own() {
    let chrome = chrome();
    let html = "<meta name=viewport content=\"width=device-width\"><script>window.first = innerWidth</script>";
    let options = InspectOptions {
        viewports: vec![Viewport::phone(), Viewport::desktop()],
        before: vec!["window.before = 7".to_owned()],
        scripts: vec!["[window.first, window.before, origin]".to_owned()],
        ..InspectOptions::default()
    };
    let cancel = CancellationToken::new();
    let report = chrome.inspect(Source::alone(html), options, &cancel).await.unwrap();
    let seen: Vec<_> = report.viewports.iter().map(|report| report.scripts[0].clone()).collect();
    assert_eq!(seen, [Ok(json!([390, 7, "null"])), Ok(json!([1280, 7, "null"]))]);
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_during_a_loop_takes_all_processes_along() {
    let chrome = Arc::new(chrome());
    print(&chrome, "<p>warm", json!({})).await.unwrap();
    let looping = {
        let chrome = Arc::clone(&chrome);
        tokio::spawn(
            async move { print(&chrome, "<script>while (true) {}</script>", json!({})).await },
        )
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let processes = tree(chrome.process_id().await.unwrap());
    assert!(processes.len() > 3, "{processes:?}");
    chrome.shut_down().await;
    assert_eq!(looping.await.unwrap().unwrap_err(), RenderError::Closed);
    until("all processes have ended", || !processes.iter().copied().any(is_alive)).await;
}

fn kill(pid: u32) {
    let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}
