//! Pages that use browser storage work in the opaque origin, where the browser refuses it.

use serde_json::{Value, json};

use super::hosting::Hosting;
use crate::support::browser::{Browser, Page};

const APP: &str = r#"<!doctype html><html lang="en"><head><title>Counter</title>
<script>
  // As generated pages do it: at once, without asking whether there is storage.
  const count = Number(localStorage.getItem('count') ?? 0) + 1;
  localStorage.setItem('count', count);
  sessionStorage.last = 'now';
  document.cookie = 'theme=dark';
  if ('serviceWorker' in navigator) navigator.serviceWorker.register('sw.js');
</script></head>
<body><output></output><script>
  document.querySelector('output').textContent = `count ${count}, cookies "${document.cookie}"`;
</script></body></html>"#;

/// The app, open in a browser.
async fn opened(browser: &Browser, hosting: &Hosting) -> Page {
    let app = hosting.publish("counter", APP).await;
    let page = browser.page().await;
    page.open(&hosting.urls.app(&app.token)).await;
    page
}

#[tokio::test]
async fn a_page_that_uses_storage_runs_to_its_end() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    let browser = Browser::launch().await;
    let page = opened(&browser, &hosting).await;
    assert_eq!(page.evaluate("self.origin").await, "null");
    let shown = page.evaluate("document.querySelector('output').textContent").await;
    assert_eq!(shown, "count 1, cookies \"\"");
    assert_eq!(page.complaints(), Vec::<String>::new());
    // The shim leaves no trace in what the page sees or saves of itself.
    assert_eq!(page.evaluate("document.scripts.length").await, 2);
    assert_eq!(
        page.evaluate("document.compatMode + document.documentElement.lang").await,
        "CSS1Compaten"
    );

    // Without the shim the same page fails: the storage of the browser is really refused.
    let without = page
        .evaluate(
            "(() => { const frame = document.createElement('iframe'); document.body.append(frame); \
             try { return String(frame.contentWindow.localStorage); } catch (error) { return error.name; } })()",
        )
        .await;
    assert_eq!(without, "SecurityError");
}

#[tokio::test]
async fn the_shim_is_storage_as_browsers_have_it() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    let browser = Browser::launch().await;
    let page = opened(&browser, &hosting).await;
    page.evaluate("localStorage.clear()").await;
    let checks: [(&str, Value); 39] = [
        ("localStorage instanceof Storage", json!(true)),
        ("String(localStorage)", json!("[object Storage]")),
        ("localStorage === window.localStorage", json!(true)),
        ("localStorage === sessionStorage", json!(false)),
        ("localStorage.getItem('a')", Value::Null),
        ("typeof localStorage.a", json!("undefined")),
        ("localStorage.setItem('a', 1); localStorage.getItem('a')", json!("1")),
        ("localStorage.a", json!("1")),
        ("localStorage['b b'] = {}; localStorage.getItem('b b')", json!("[object Object]")),
        ("localStorage.setItem('', ''); localStorage.getItem('')", json!("")),
        ("localStorage.length", json!(3)),
        ("localStorage.key(1)", json!("b b")),
        ("localStorage.key(3)", Value::Null),
        ("localStorage.key(-1)", Value::Null),
        ("Object.keys(localStorage)", json!(["a", "b b", ""])),
        (
            "JSON.stringify(localStorage)",
            json!("{\"a\":\"1\",\"b b\":\"[object Object]\",\"\":\"\"}"),
        ),
        (
            "{ const seen = []; for (const key in localStorage) if (Object.hasOwn(localStorage, key)) seen.push(key); seen }",
            json!(["a", "b b", ""]),
        ),
        ("Object.entries({ ...localStorage }).length", json!(3)),
        (
            "['a' in localStorage, 'z' in localStorage, 'getItem' in localStorage]",
            json!([true, false, true]),
        ),
        ("delete localStorage.a && localStorage.getItem('a')", Value::Null),
        ("localStorage.removeItem('none')", Value::Null),
        // A member wins when read, the item when written, as in the standard.
        (
            "localStorage.getItem = 'x'; [typeof localStorage.getItem, localStorage.getItem('getItem')]",
            json!(["function", "x"]),
        ),
        ("localStorage.length = 'y'; localStorage.getItem('length')", json!("y")),
        ("localStorage.clear(); [localStorage.length, Object.keys(localStorage)]", json!([0, []])),
        ("Storage.prototype.setItem.call(sessionStorage, 's', 't'); sessionStorage.s", json!("t")),
        ("localStorage.getItem('s')", Value::Null),
        (
            "try { Storage.prototype.getItem.call({}, 'a') } catch (error) { error.name }",
            json!("TypeError"),
        ),
        ("try { localStorage.setItem('a') } catch (error) { error.name }", json!("TypeError")),
        (
            "try { localStorage.setItem(Symbol(), 1) } catch (error) { error.name }",
            json!("TypeError"),
        ),
        (
            "Object.defineProperty(localStorage, 'd', { value: 5 }); localStorage.getItem('d')",
            json!("5"),
        ),
        ("try { Object.freeze(localStorage) } catch (error) { error.name }", json!("TypeError")),
        (
            "try { localStorage.setItem('big', 'x'.repeat(256 * 1024 + 1)) } catch (error) { [error.name, error instanceof DOMException] }",
            json!(["QuotaExceededError", true]),
        ),
        ("localStorage.getItem('big')", Value::Null),
        (
            "localStorage.setItem('big', 'x'.repeat(256 * 1024)); localStorage.big.length",
            json!(262_144),
        ),
        // Counted in bytes of UTF-8.
        (
            "try { localStorage.setItem('big', 'ü'.repeat(131_073)) } catch (error) { error.name }",
            json!("QuotaExceededError"),
        ),
        ("localStorage.big[0]", json!("x")),
        (
            "try { for (let n = 0; n < 30; n += 1) localStorage.setItem('big' + n, 'x'.repeat(256 * 1024)); } catch (error) { [error.name, localStorage.length] }",
            json!(["QuotaExceededError", 20]),
        ),
        // What is replaced or removed makes room.
        (
            "localStorage.big = 'y'.repeat(256 * 1024); localStorage.removeItem('big0'); localStorage.setItem('again', 'z'.repeat(256 * 1024)); localStorage.length",
            json!(20),
        ),
        (
            "{ let got; addEventListener('storage', (event) => { got = event; }); dispatchEvent(new StorageEvent('storage', { key: 'k', newValue: 'v', storageArea: localStorage })); [got.key, got.newValue, got.storageArea === localStorage] }",
            json!(["k", "v", true]),
        ),
    ];
    for (expression, expected) in checks {
        assert_eq!(page.evaluate(expression).await, expected, "{expression}");
    }
    let features = "['serviceWorker' in navigator, 'caches' in window]";
    assert_eq!(page.evaluate(features).await, json!([false, false]));
}

#[tokio::test]
async fn pages_with_storage_of_their_own_keep_it() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("counter", APP).await;
    let served = hosting.get(&format!("/a/{}/", app.token)).await.text().to_owned();
    // The same bytes in an ordinary origin: there the browser's storage must stay in place.
    let plain = axum::Router::new()
        .route("/", axum::routing::get(move || async move { axum::response::Html(served) }));
    let cancel = tokio_util::sync::CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let address = super::hosting::open(plain, &cancel).await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    for expected in ["count 1", "count 2"] {
        page.open(&format!("http://{address}/")).await;
        let shown = page.evaluate("document.querySelector('output').textContent").await;
        assert_eq!(shown, format!("{expected}, cookies \"theme=dark\""));
    }
    let features = "['serviceWorker' in navigator, 'caches' in window]";
    assert_eq!(page.evaluate(features).await, json!([true, true]));
}
