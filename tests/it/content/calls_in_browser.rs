//! Pages that call tools, in a real browser: `window.atelier` as a page finds it.

use std::sync::Arc;

use axum::response::Html;
use axum::routing::get;
use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::calls::{Begun, app, tools};
use super::hosting::{Hosting, Parts, open};
use crate::llm::{config, models};
use crate::support::browser::{Browser, Page};
use crate::support::studio::StudioBuilder;

/// A page that calls a tool as a generated one does, and shows what comes of it.
const PAGE: &str = r#"<!doctype html><html lang="en"><head><title>Shows</title></head><body>
<button id="go">Go</button><output id="out"></output>
<script>
  document.getElementById('go').addEventListener('click', async () => {
    const out = document.getElementById('out');
    out.textContent = 'working';
    try {
      const result = await window.atelier.callTool('show', { text: 'from the page' });
      out.textContent = result.text;
    } catch (error) {
      out.textContent = `${error.code}: ${error.message}`;
    }
  });
</script></body></html>"#;

struct Scene {
    hosting: Hosting,
    browser: Browser,
    _listening: super::hosting::Listening,
    _llm: FakeLlm,
}

impl Scene {
    async fn new() -> Self {
        let rules = Script::new()
            .rule(Rule::reply(Reply::text("{\"n\": 7}")).on_user_text("number"))
            .rule(Rule::reply(Reply::text("Ada Lovelace.")));
        let llm = FakeLlm::start(rules).await.unwrap();
        let studio = StudioBuilder::new()
            .tools(tools(&Begun::default()))
            .models(Arc::new(models(&config(&llm))));
        let hosting = Hosting::made_of(Parts { studio, ..Parts::default() }).await;
        let listening = hosting.listen().await;
        Self { hosting, browser: Browser::launch().await, _listening: listening, _llm: llm }
    }

    async fn open(&self, path: &str) -> Page {
        let page = self.browser.page().await;
        page.open(&format!("{}{path}", self.hosting.urls.bases().content)).await;
        page
    }
}

/// What a call in the page comes to: its value, or its error as an object.
async fn outcome(page: &Page, expression: &str) -> Value {
    page.evaluate(&format!(
        "(async () => {{ try {{ return {{ value: await {expression} }}; }} catch (error) {{ \
         return {{ name: error.name, code: error.code, message: error.message, hint: error.hint, \
         isError: error instanceof Error }}; }} }})()"
    ))
    .await
}

#[tokio::test]
async fn a_page_calls_a_tool_and_shows_its_result() {
    let scene = Scene::new().await;
    let doc = app(&scene.hosting, "app", PAGE, &["show", "endless", "ask_ai"]).await;
    let page = scene.open(&format!("/a/{}/", doc.token)).await;
    page.click("#go").await;
    page.until("document.getElementById('out').textContent === 'from the page'").await;
    assert_eq!(page.complaints(), Vec::<String>::new());

    assert_eq!(page.evaluate("atelier.tools").await, json!(["show", "endless", "ask_ai"]));
    let frozen = "Object.isFrozen(atelier) && Object.isFrozen(atelier.tools)";
    assert_eq!(page.evaluate(frozen).await, true);
    let bare = outcome(&page, "atelier.callTool('show')").await;
    assert_eq!(bare["value"]["status"], "success", "{bare}");

    // Errors say what, why and what to do.
    let wrong = outcome(&page, "atelier.callTool('show', { text: [] })").await;
    assert_eq!((&wrong["code"], &wrong["isError"]), (&json!("invalid_arguments"), &json!(true)));
    assert!(wrong["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{wrong}");
    for (expression, code) in [
        ("atelier.callTool('destroy', {})", json!("tool_not_allowed")),
        ("atelier.callTool('nothing', {})", json!("tool_not_allowed")),
        ("atelier.callTool('show', 'text')", Value::Null),
        ("atelier.callTool('show', [])", Value::Null),
        ("atelier.callTool(1, {})", Value::Null),
    ] {
        let refused = outcome(&page, expression).await;
        assert_eq!(refused["code"], code, "{expression}: {refused}");
        assert_eq!(refused["isError"], true, "{expression}: {refused}");
    }
    // The list in the page is no protection: the server decides by its own.
    let beside = "fetch('call', { method: 'POST', body: JSON.stringify({ token: TOKEN, \
                  tool_name: 'destroy', arguments: {} }) }).then((answer) => answer.json())";
    let token = page
        .evaluate("fetch('').then((page) => page.text()).then((text) => /\"token\":\"(\\d+[.][^\"]+)\"/.exec(text)[1])")
        .await;
    let refused = outcome(&page, &beside.replace("TOKEN", &token.to_string())).await;
    assert_eq!(refused["value"]["code"], "tool_not_allowed", "{refused}");
    let passed = beside.replace("TOKEN", &token.to_string()).replace("destroy", "show");
    let passed = outcome(&page, &passed).await;
    assert_eq!(passed["value"]["result"]["status"], "success", "{passed}");

    // A call can be given up.
    let given_up = outcome(
        &page,
        "(() => { const stop = new AbortController(); setTimeout(() => stop.abort(), 50); \
         return atelier.callTool('endless', {}, { signal: stop.signal }); })()",
    )
    .await;
    assert_eq!(given_up["name"], "AbortError", "{given_up}");
}

#[tokio::test]
async fn a_page_asks_a_model_in_words_and_by_schema() {
    let scene = Scene::new().await;
    let doc = app(&scene.hosting, "app", PAGE, &["ask_ai"]).await;
    let page = scene.open(&format!("/a/{}/", doc.token)).await;
    let words = outcome(&page, "atelier.askAi('Who wrote the first program?')").await;
    assert_eq!(words["value"], "Ada Lovelace.", "{words}");
    let schema = "{ type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }";
    let value = outcome(&page, &format!("atelier.askAi('A number', {schema})")).await;
    assert_eq!(value["value"], json!({"n": 7}), "{value}");
    let empty = outcome(&page, "atelier.askAi('')").await;
    assert_eq!(empty["isError"], true, "{empty}");

    let without = app(&scene.hosting, "without", PAGE, &["show"]).await;
    let page = scene.open(&format!("/a/{}/", without.token)).await;
    let refused = outcome(&page, "atelier.askAi('Who?')").await;
    assert_eq!(refused["code"], "tool_not_allowed");
    let silent = scene.hosting.publish("silent", PAGE).await;
    let page = scene.open(&format!("/a/{}/", silent.token)).await;
    assert_eq!(page.evaluate("atelier.tools").await, json!([]));
    let refused = outcome(&page, "atelier.callTool('show', {})").await;
    assert_eq!(refused["code"], "tool_not_allowed");
}

#[tokio::test]
async fn one_app_cannot_call_for_another() {
    let scene = Scene::new().await;
    let rich = app(&scene.hosting, "rich", PAGE, &["show"]).await;
    let poor = app(&scene.hosting, "poor", PAGE, &["ask_ai"]).await;
    let content = &scene.hosting.urls.bases().content;
    let rich_call = format!("{content}/a/{}/call", rich.token);
    let token = "fetch('').then((page) => page.text()).then((text) => /\"token\":\"(\\d+[.][^\"]+)\"/.exec(text)[1])";
    let send = |token: &str, address: &str| {
        format!(
            "fetch({address:?}, {{ method: 'POST', body: JSON.stringify({{ token: {token:?}, \
             tool_name: 'show', arguments: {{}} }}) }}).then((answer) => answer.json())"
        )
    };
    // From the other app, even when it knows the address: its own token is not good there, and
    // the tool is not on its own list.
    let page = scene.open(&format!("/a/{}/", poor.token)).await;
    let own = page.evaluate(token).await;
    let own = own.as_str().unwrap();
    let across = outcome(&page, &send(own, &rich_call)).await;
    assert_eq!(across["value"]["code"], "page_token_refused", "{across}");
    let at_home = outcome(&page, &send(own, "call")).await;
    assert_eq!(at_home["value"]["code"], "tool_not_allowed", "{at_home}");

    // A page of an ordinary origin is refused before anything else, with a good token even.
    let page = scene.open(&format!("/a/{}/", rich.token)).await;
    let good = page.evaluate(token).await;
    let good = good.as_str().unwrap();
    let control = outcome(&page, &send(good, "call")).await;
    assert_eq!(control["value"]["result"]["status"], "success", "{control}");
    let plain = axum::Router::new().route("/", get(|| async { Html("<title>plain</title>") }));
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let address = open(plain, &cancel).await;
    page.open(&format!("http://{address}/")).await;
    let foreign = outcome(&page, &send(good, &rich_call)).await;
    assert_eq!(foreign["value"]["code"], "origin_not_allowed", "{foreign}");
}

#[tokio::test]
async fn pages_of_the_past_and_pages_without_a_server_say_why() {
    let scene = Scene::new().await;
    let doc = app(&scene.hosting, "app", PAGE, &["show"]).await;
    let page = scene.open(&format!("/a/{}/", doc.token)).await;
    let served = scene.hosting.get(&format!("/a/{}/", doc.token)).await.text().to_owned();
    // Live reload would replace the page before it can be asked.
    let reload_held = "Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' })";
    page.evaluate(reload_held).await;
    assert_eq!(outcome(&page, "atelier.callTool('show')").await["value"]["status"], "success");

    app(&scene.hosting, "app", PAGE, &["list_web_apps"]).await;
    let earlier = scene.open(&format!("/a/{}/v/1/", doc.token)).await;
    assert_eq!(earlier.evaluate("atelier.tools").await, json!(["list_web_apps"]));
    let past = outcome(&earlier, "atelier.callTool('list_web_apps')").await;
    assert_eq!(past["code"], "page_outdated", "{past}");
    let newest = scene.open(&format!("/a/{}/", doc.token)).await;
    let listed = outcome(&newest, "atelier.callTool('list_web_apps')").await;
    assert_eq!(listed["value"]["web_apps"][0]["app_name"], "app", "{listed}");
    let revoked = outcome(&newest, "atelier.callTool('show')").await;
    assert_eq!(revoked["code"], "tool_not_allowed", "{revoked}");

    // The same bytes elsewhere: nothing is asked, and the page is told so.
    let plain = axum::Router::new().route("/", get(move || async move { Html(served) }));
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let address = open(plain, &cancel).await;
    page.open(&format!("http://{address}/")).await;
    let offline = outcome(&page, "atelier.callTool('show')").await;
    assert_eq!(offline["code"], "offline", "{offline}");
    assert_eq!(page.complaints(), Vec::<String>::new());
}
