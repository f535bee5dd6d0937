//! Storage that lasts, and pages that follow their app, in a real browser.

use serde_json::{Value, json};

use super::hosting::Hosting;
use crate::support::browser::{Browser, Page};

const PAGE: &str = "<!doctype html><html><head><title>Notes</title><link rel='icon' href='data:,'></head><body><h1>Notes</h1>\
    <script>\
      window.atStart = { ...localStorage };\
      window.sessionAtStart = { ...sessionStorage };\
      window.heard = [];\
      addEventListener('storage', (event) => heard.push([event.key, event.oldValue, event.newValue,\
        event.storageArea === localStorage]));\
    </script></body></html>";

/// Everything that the page stored has reached the server.
const SAVED: &str = "atelier.storage.state === 'saved' && atelier.storage.pending === 0";

/// What a test of one app works with.
struct Stage {
    hosting: Hosting,
    listening: super::hosting::Listening,
    browser: Browser,
    url: String,
}

impl Stage {
    async fn new(html: &str) -> Self {
        let hosting = Hosting::new().await;
        let listening = hosting.listen().await;
        let app = hosting.publish("notes", html).await;
        let url = hosting.urls.app(&app.token);
        Self { hosting, listening, browser: Browser::launch().await, url }
    }

    async fn opened(&self) -> Page {
        let page = self.browser.page().await;
        page.open(&self.url).await;
        page
    }
}

async fn reload(page: &Page) {
    page.evaluate("window.before = true").await;
    page.evaluate("void location.reload()").await;
    page.until("window.before === undefined && document.readyState === 'complete'").await;
}

#[tokio::test]
async fn what_a_page_stores_is_there_after_a_reload() {
    let stage = Stage::new(PAGE).await;
    let page = stage.opened().await;
    assert_eq!(page.evaluate("self.origin").await, "null");
    page.evaluate(
        "localStorage.setItem('a', '1'); localStorage.b = 'ü🦀'; localStorage['</script>'] = '<!--'; \
         localStorage.setItem('', ''); localStorage.setItem('gone', 'x'); localStorage.removeItem('gone'); \
         sessionStorage.setItem('s', 'of this tab')",
    )
    .await;
    page.until(SAVED).await;
    reload(&page).await;
    let expected = json!({"a": "1", "b": "ü🦀", "</script>": "<!--", "": ""});
    assert_eq!(page.evaluate("atStart").await, expected);
    assert_eq!(page.evaluate("sessionAtStart").await, json!({"s": "of this tab"}));
    page.evaluate(
        "localStorage.clear(); localStorage.setItem('only', '1'); sessionStorage.clear()",
    )
    .await;
    page.until(SAVED).await;
    reload(&page).await;
    assert_eq!(page.evaluate("[atStart, sessionAtStart]").await, json!([{"only": "1"}, {}]));
    assert_eq!(page.evaluate("window.name").await, "", "the mark of the tab is hidden");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_that_stores_and_reloads_at_once_finds_what_it_stored() {
    let stage = Stage::new(PAGE).await;
    let page = stage.opened().await;
    for n in 1..=12 {
        // The very last moment: nothing has been sent yet when the page asks to be loaded again.
        page.evaluate("window.before = true").await;
        page.evaluate(&format!(
            "localStorage.setItem('n', '{n}'); sessionStorage.setItem('s', '{n}'); void location.reload()"
        ))
        .await;
        page.until("window.before === undefined && document.readyState === 'complete'").await;
        let found = page.evaluate("[atStart.n, sessionAtStart.s]").await;
        assert_eq!(found, json!([n.to_string(), n.to_string()]));
    }
}

#[tokio::test]
async fn visitors_do_not_see_each_other() {
    let stage = Stage::new(PAGE).await;
    let (anna, berta) = (stage.opened().await, stage.opened().await);
    anna.evaluate("localStorage.setItem('who', 'anna')").await;
    berta.evaluate("localStorage.setItem('who', 'berta')").await;
    anna.until(SAVED).await;
    berta.until(SAVED).await;
    for (page, who) in [(&anna, "anna"), (&berta, "berta")] {
        reload(page).await;
        assert_eq!(page.evaluate("atStart").await, json!({"who": who}));
        assert_eq!(page.evaluate("heard").await, json!([]));
    }
    // A pinned version is the same app.
    anna.open(&format!("{}v/1/", stage.url)).await;
    assert_eq!(anna.evaluate("atStart").await, json!({"who": "anna"}));
    let another = stage.hosting.publish("another", PAGE).await;
    anna.open(&stage.hosting.urls.app(&another.token)).await;
    assert_eq!(anna.evaluate("[atStart, sessionAtStart]").await, json!([{}, {}]));
}

#[tokio::test]
async fn two_tabs_of_a_visitor_hear_of_each_other() {
    let stage = Stage::new(PAGE).await;
    let first = stage.opened().await;
    let second = stage.browser.page_beside(&first).await;
    second.open(&stage.url).await;
    first.evaluate("localStorage.setItem('n', '1'); sessionStorage.setItem('s', 'first')").await;
    second.until("localStorage.getItem('n') === '1'").await;
    second.evaluate("localStorage.setItem('n', '2')").await;
    first.until("localStorage.getItem('n') === '2'").await;
    assert_eq!(first.evaluate("heard").await, json!([["n", "1", "2", true]]));
    first.evaluate("localStorage.removeItem('n'); localStorage.setItem('m', 'x')").await;
    second.until("localStorage.getItem('n') === null && localStorage.m === 'x'").await;
    let expected = json!([["m", null, "x", true], ["n", null, "1", true], ["n", "2", null, true]]);
    assert_eq!(second.evaluate("heard.sort()").await, expected, "their order is not promised");
    assert_eq!(second.evaluate("sessionStorage.length").await, 0);

    // Both write the same key at once: both end with the value that was written last.
    for page in [&first, &second] {
        page.evaluate("localStorage.setItem('both', crypto.randomUUID())").await;
    }
    first.until(SAVED).await;
    second.until(SAVED).await;
    let kept = stage.browser.page_beside(&first).await;
    kept.open(&stage.url).await;
    let value = kept.evaluate("atStart.both").await;
    for page in [&first, &second] {
        page.until(&format!("localStorage.both === {value}")).await;
    }
    reload(&second).await;
    assert_eq!(second.evaluate("sessionStorage.length").await, 0);
    reload(&first).await;
    assert_eq!(first.evaluate("sessionAtStart").await, json!({"s": "first"}));
}

#[tokio::test]
async fn any_text_is_kept_as_it_is() {
    let stage = Stage::new(PAGE).await;
    let page = stage.opened().await;
    let make = "const odd = ['\\ud800', '\\udc00\\ud800', 'a\\udfffb', '\\0', '\\ufdd0', '\\ufdd0d800', '\\ufffe\\uffff', \
                '\\u2028', '🦀', '\\u0001'.repeat(500), '{\"a\":1}', '\\\\u003c']; ";
    page.evaluate(&format!(
        "{{ {make} odd.forEach((text) => {{ localStorage.setItem(text, text); sessionStorage.setItem(text, text); }}); }}"
    ))
    .await;
    page.until(SAVED).await;
    reload(&page).await;
    let same = page
        .evaluate(&format!(
            "(() => {{ {make} return [localStorage, sessionStorage].map((storage) => \
             storage.length === odd.length && odd.every((text) => storage.getItem(text) === text)); }})()"
        ))
        .await;
    assert_eq!(same, json!([true, true]));
}

#[tokio::test]
async fn large_storage_is_kept_up_to_the_quota() {
    let stage = Stage::new(PAGE).await;
    let page = stage.opened().await;
    let filled = page
        .evaluate(
            "(() => { let n = 0; try { for (; n < 50; n += 1) \
             localStorage.setItem(`key ${n}`, String(n % 10).repeat(256 * 1024 - 10)); } \
             catch (error) { return [n, error.name, error instanceof DOMException]; } })()",
        )
        .await;
    assert_eq!(filled, json!([20, "QuotaExceededError", true]));
    page.until(SAVED).await;
    reload(&page).await;
    let kept = "Object.entries(atStart).every(([key, value]) => value === \
                String(key.split(' ')[1] % 10).repeat(256 * 1024 - 10)) && Object.keys(atStart).length";
    assert_eq!(page.evaluate(kept).await, 20);
    assert_eq!(page.evaluate("atelier.storage.used <= atelier.storage.limit").await, true);
    let many = "for (let n = 0; n < 3000; n += 1) localStorage.setItem(`small ${n}`, n); localStorage.length";
    page.evaluate("localStorage.clear()").await;
    assert_eq!(page.evaluate(many).await, 3000);
    page.until(SAVED).await;
    reload(&page).await;
    assert_eq!(page.evaluate("Object.keys(atStart).length").await, 3000);
}

#[tokio::test]
async fn a_page_goes_on_without_its_server_and_saves_when_it_is_back() {
    let mut stage = Stage::new(PAGE).await;
    let page = stage.opened().await;
    page.evaluate("localStorage.setItem('a', 'before')").await;
    page.until(SAVED).await;
    let address = stage.hosting.urls.bases().content.replace("http://", "");
    stage.listening.stop().await;
    page.evaluate("localStorage.setItem('a', 'meanwhile'); localStorage.setItem('b', 'new')").await;
    page.until("atelier.storage.state === 'offline'").await;
    assert_eq!(
        page.evaluate("[localStorage.a, localStorage.b]").await,
        json!(["meanwhile", "new"])
    );
    let failed =
        page.evaluate("atelier.kv.get('x').then(() => 'got', (error) => error.name)").await;
    assert_eq!(failed, "TypeError");
    stage.listening = stage.hosting.listen_again(&address).await;
    page.until(SAVED).await;
    reload(&page).await;
    assert_eq!(page.evaluate("atStart").await, json!({"a": "meanwhile", "b": "new"}));
}

#[tokio::test]
async fn shared_values_hold_any_json_and_reach_everybody() {
    let stage = Stage::new(PAGE).await;
    let (anna, berta) = (stage.opened().await, stage.opened().await);
    let set = "atelier.kv.set('scores', { anna: 3, odd: '\\ud800<' }).then(() => atelier.kv.set('zero', 0))\
               .then(() => atelier.kv.set('none', null)).then(() => 'done')";
    assert_eq!(anna.evaluate(set).await, "done");
    let got = "Promise.all(['scores', 'zero', 'none', 'absent'].map((key) => atelier.kv.get(key)))\
               .then(([scores, ...rest]) => [scores.anna, scores.odd === '\\ud800<', ...rest.map(String)])";
    assert_eq!(berta.evaluate(got).await, json!([3, true, "0", "null", "undefined"]));
    assert_eq!(berta.evaluate("atelier.kv.list()").await, json!(["none", "scores", "zero"]));
    let deleted = "atelier.kv.delete('zero').then(() => atelier.kv.list('z'))";
    assert_eq!(anna.evaluate(deleted).await, json!([]));
    for (wrong, error) in [
        ("atelier.kv.set('big', 'x'.repeat(300_000))", "QuotaExceededError"),
        ("atelier.kv.set('x', undefined)", "TypeError"),
        ("atelier.kv.get(5)", "TypeError"),
    ] {
        let told = anna.evaluate(&format!("{wrong}.then(() => 'ok', (error) => error.name)")).await;
        assert_eq!(told, error, "{wrong}");
    }
}

#[tokio::test]
async fn a_page_may_use_the_names_that_we_use() {
    let html = "<!doctype html><link rel='icon' href='data:,'><base href=\"https://elsewhere.example/\"><script>const atelier = 5; let runtime = 6, boot = 7; \
                window.fetch = () => { throw new Error('ours'); }; window.name = 'mine'; \
                history.replaceState({ page: 1 }, ''); localStorage.setItem('a', atelier + runtime + boot);</script>";
    let stage = Stage::new(html).await;
    let page = stage.opened().await;
    page.until("window.atelier.storage.state === 'saved'").await;
    assert_eq!(
        page.evaluate("[name, history.state.page, localStorage.a]").await,
        json!(["mine", 1, "18"])
    );
    page.evaluate("localStorage.setItem('b', '1')").await;
    page.until("window.atelier.storage.state === 'saved' && window.atelier.storage.pending === 0")
        .await;
    reload(&page).await;
    assert_eq!(page.evaluate("[name, localStorage.b]").await, json!(["mine", "1"]));
    assert_eq!(page.complaints(), Vec::<String>::new());
}

/// A page that is longer than the window.
fn long(text: &str) -> String {
    PAGE.replace("<h1>", &format!("<style>body {{ height: 6000px }}</style><h1>{text} "))
}

#[tokio::test]
async fn an_open_page_shows_a_new_version_and_stays_where_it_was() {
    let stage = Stage::new(&long("first")).await;
    let page = stage.opened().await;
    let pinned = stage.browser.page_beside(&page).await;
    pinned.open(&format!("{}v/1/", stage.url)).await;
    page.evaluate("scrollTo(0, 2345); sessionStorage.setItem('draft', 'kept')").await;
    stage.hosting.publish("notes", &long("second")).await;
    let begun = std::time::Instant::now();
    page.until("document.querySelector('h1').textContent.startsWith('second')").await;
    println!("shown after {:?}", begun.elapsed());
    page.until("Math.abs(scrollY - 2345) < 2").await;
    assert_eq!(page.evaluate("sessionAtStart").await, json!({"draft": "kept"}));
    assert_eq!(page.evaluate("window.name").await, "");
    // The second time too, and once for each version.
    stage.hosting.publish("notes", &long("third")).await;
    page.until("document.querySelector('h1').textContent.startsWith('third')").await;
    page.until("Math.abs(scrollY - 2345) < 2").await;

    // The pinned one has heard of it (its storage follows), and stays.
    page.evaluate("localStorage.setItem('told', '1')").await;
    pinned.until("localStorage.getItem('told') === '1'").await;
    let heading = pinned.evaluate("document.querySelector('h1').textContent").await;
    assert!(heading.as_str().unwrap().starts_with("first"), "{heading}");
}

#[tokio::test]
async fn a_hidden_page_holds_no_stream_and_catches_up_when_it_is_seen() {
    let stage = Stage::new(&long("first")).await;
    let page = stage.opened().await;
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.isAway }); \
         window.isAway = true; document.dispatchEvent(new Event('visibilitychange'))",
    )
    .await;
    let token = stage.url.trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    stage.hosting.until_streams_are_free(&token).await;
    stage.hosting.publish("notes", &long("second")).await;
    page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
        .await;
    page.until("document.querySelector('h1').textContent.startsWith('second')").await;
}

#[tokio::test]
async fn a_page_without_a_server_keeps_everything_in_memory() {
    let offline = atelier::page_runtime::inject(
        PAGE.as_bytes(),
        &atelier::page_runtime::Bootstrap::offline(),
    );
    let header = "sandbox allow-scripts";
    let router = axum::Router::new().route(
        "/",
        axum::routing::get(move || async move {
            ([("content-security-policy", header), ("content-type", "text/html")], offline)
        }),
    );
    let cancel = tokio_util::sync::CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let address = super::hosting::open(router, &cancel).await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&format!("http://{address}/")).await;
    page.evaluate("localStorage.setItem('a', '1'); sessionStorage.b = '2'").await;
    let kv = "atelier.kv.set('x', [1]).then(() => atelier.kv.get('x'))";
    assert_eq!(page.evaluate(kv).await, json!([1]));
    let state = "[localStorage.a, sessionStorage.b, atelier.storage.state, window.name]";
    assert_eq!(page.evaluate(state).await, json!(["1", "2", "memory", ""]));
    reload(&page).await;
    assert_eq!(page.evaluate("[atStart, sessionAtStart]").await, json!([{}, {}]));
    assert_eq!(page.complaints(), Vec::<String>::new());
    let asked: Vec<Value> = page
        .events("Network.requestWillBeSent")
        .into_iter()
        .map(|event| event["request"]["url"].clone())
        .filter(|url| *url != json!(format!("http://{address}/")))
        .collect();
    assert_eq!(asked, Vec::<Value>::new());
}
