//! Pages that call tools, on the wire: what gets through, who is refused, and what is bounded.
//! Every refusal stands beside a call that succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atelier::config::limits::LimitsConfig;
use atelier::installation_key::Purpose;
use atelier::jobs::{Failure, Run, ToolOutput};
use atelier::llm::resolve::{Models, system_calendar};
use atelier::registry::{Annotations, DirectReply, Tool, Toolset};
use atelier::storage::{Catalog as _, Document, NewVersion, Owner};
use fake_llm::{FakeLlm, Reply, Rule, Script, Usage};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::hosting::{Answer, Hosting, Parts, local_user, send_body};
use crate::llm::{config, models};
use crate::support::studio::StudioBuilder;

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    #[serde(default)]
    user_number: String,
    #[serde(default)]
    text: String,
}

#[derive(Debug, JsonSchema)]
#[schemars(with = "std::collections::BTreeMap<String, String>")]
struct Output(Value);

impl From<Output> for ToolOutput {
    fn from(output: Output) -> Self {
        Self::structured(output.0)
    }
}

/// Runs of the slow tool that have begun.
pub(super) type Begun = Arc<AtomicUsize>;

/// Tools of these tests: one that shows what arrives, one that never ends, and a closed one.
pub(super) fn tools(begun: &Begun) -> Vec<Tool> {
    let begun = Arc::clone(begun);
    let show = |name, annotations| {
        Tool::builder(name, "Show", Toolset::Agent)
            .description("Shows what it gets")
            .annotations(annotations)
            .direct(json!({"type": "object"}), |_call, params: Params| async move {
                Ok(DirectReply::Output(ToolOutput::structured(
                    json!({"user": params.user_number, "text": params.text}),
                )))
            })
    };
    let destroy = Annotations { destructive: true, ..Annotations::CREATE };
    let endless = Tool::builder("endless", "Endless", Toolset::Agent)
        .description("Never ends")
        .job(move |_run: Run, _params: Params| {
            let begun = Arc::clone(&begun);
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
                Ok::<_, Failure>(Output(json!({})))
            }
        });
    vec![show("show", Annotations::READ), show("destroy", destroy), endless]
}

/// Models of which none is at hand.
pub(super) fn no_models() -> Arc<Models> {
    let nowhere = || Url::parse("http://127.0.0.1:9").unwrap();
    let config = atelier::config::llm::LlmConfig::default();
    let models = Models::new(&config, system_calendar()).unwrap();
    Arc::new(models.with_local_servers(nowhere(), nowhere()))
}

/// A hosting whose pages can call the tools of this file.
pub(super) async fn hosting(begun: &Begun, change: impl FnOnce(&mut LimitsConfig)) -> Hosting {
    let mut limits = LimitsConfig::default();
    change(&mut limits);
    let studio = StudioBuilder::new().tools(tools(begun)).models(no_models());
    Hosting::made_of(Parts { studio, limits, ..Parts::default() }).await
}

/// Publishes a version of an app that names tools.
pub(super) async fn app(hosting: &Hosting, name: &str, html: &str, tools: &[&str]) -> Document {
    app_of(hosting, local_user(), name, html, tools).await
}

async fn app_of(
    hosting: &Hosting,
    owner: Owner,
    name: &str,
    html: &str,
    tools: &[&str],
) -> Document {
    let names = tools.iter().map(|name| (*name).to_owned()).collect();
    let further = |new| NewVersion { tool_names: Some(names), ..new };
    hosting.publish_version(owner, name, html, further).await
}

const PAGE: &str = "<!doctype html><title>App</title><p>app</p>";

/// What the server tells a page about its tools.
async fn told(hosting: &Hosting, path: &str) -> Value {
    let page = hosting.get(path).await;
    let (_, rest) = page.text().rsplit_once("})({").unwrap();
    let (boot, _) = rest.split_once(");</script>").unwrap();
    let boot: Value = serde_json::from_str(&format!("{{{boot}")).unwrap();
    boot["tools"].clone()
}

/// The capability in the newest version of an app.
async fn token_of(hosting: &Hosting, app: &Document) -> String {
    let tools = told(hosting, &format!("/a/{}/", app.token)).await;
    tools["token"].as_str().unwrap_or_else(|| panic!("no token in {tools}")).to_owned()
}

async fn send(hosting: &Hosting, app: &Document, headers: &[(&str, &str)], body: Value) -> Answer {
    let path = format!("/a/{}/call", app.token);
    send_body(&hosting.content, Method::POST, &path, headers, body.to_string()).await
}

/// A call as the page's script sends it.
async fn call(hosting: &Hosting, app: &Document, tool: &str, arguments: Value) -> Answer {
    let token = token_of(hosting, app).await;
    let body = json!({"token": token, "tool_name": tool, "arguments": arguments});
    send(hosting, app, &[("origin", "null")], body).await
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.header("access-control-allow-origin"), "*", "the page may read it");
    assert_eq!(answer.header("cache-control"), "no-store");
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

#[track_caller]
fn assert_refused(answer: &Answer, status: StatusCode, code: &str, reason: &str) {
    let value = json_of(answer);
    assert_eq!((answer.status, value["code"].as_str()), (status, Some(code)), "{value}");
    assert_eq!(value["result"], Value::Null);
    let message = value["error"].as_str().unwrap();
    assert!(message.contains(reason), "{message}");
    assert!(value["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{value}");
}

#[tokio::test]
async fn a_page_calls_what_its_app_names_as_its_owner() {
    let hosting = hosting(&Begun::default(), |_| {}).await;
    let owner = Owner { principal: "anna".into(), user: "her number".to_owned() };
    let names = ["show", "list_web_apps"];
    let app = app_of(&hosting, owner, "hers", PAGE, &names).await;
    hosting.publish("of somebody else", PAGE).await;
    let path = format!("/a/{}/", app.token);
    assert_eq!(told(&hosting, &path).await["names"], json!(names));

    let sent = json!({"text": "hi", "user_number": "+17145986105"});
    let answer = call(&hosting, &app, "show", sent).await;
    assert_eq!(answer.status, StatusCode::OK);
    let value = json_of(&answer);
    assert_eq!(value["error"], Value::Null);
    assert_eq!(value["result"]["text"], "hi");
    assert_eq!(value["result"]["user"], "her number", "whatever the page sends");
    // A tool of the program: the owner's own things.
    let list = json_of(&call(&hosting, &app, "list_web_apps", json!({})).await);
    let apps: Vec<&str> = list["result"]["web_apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| app["app_name"].as_str().unwrap())
        .collect();
    assert_eq!(apps, ["hers"]);

    let other = call(&hosting, &app, "ask_ai", json!({"prompt": "x"})).await;
    assert_refused(&other, StatusCode::FORBIDDEN, "tool_not_allowed", "not among the tools");
    let wrong = call(&hosting, &app, "show", json!({"text": ["x"]})).await;
    assert_refused(&wrong, StatusCode::BAD_REQUEST, "invalid_arguments", "`text`");
    let reference = call(&hosting, &app, "show", json!({"text": "@@ref_00000000__text"})).await;
    assert_refused(&reference, StatusCode::FORBIDDEN, "reference_not_allowed", "references");

    // An app that names none has no capability, and another's does not help it.
    let silent = hosting.publish("silent", PAGE).await;
    assert_eq!(told(&hosting, &format!("/a/{}/", silent.token)).await, Value::Null);
}

#[tokio::test]
async fn closed_tools_stay_closed_even_when_an_app_names_them() {
    // Such a list can stand in a document from a time when the tool was open.
    let begun = Begun::default();
    let closed = hosting(&begun, |_| {}).await;
    let names = ["destroy", "create_web_app", "show"];
    let doc = app(&closed, "app", PAGE, &names).await;
    for tool in ["destroy", "create_web_app"] {
        let answer = call(&closed, &doc, tool, json!({})).await;
        assert_refused(&answer, StatusCode::FORBIDDEN, "tool_not_allowed", "closed to pages");
        assert!(json_of(&answer)["hint"].as_str().unwrap().contains("server.open_to_pages"));
    }
    assert_eq!(call(&closed, &doc, "show", json!({})).await.status, StatusCode::OK);

    let studio = StudioBuilder::new().tools(tools(&begun)).open_to_pages(&["destroy"]);
    let opened = Hosting::made_of(Parts { studio, ..Parts::default() }).await;
    let doc = app(&opened, "app", PAGE, &names).await;
    assert_eq!(call(&opened, &doc, "destroy", json!({})).await.status, StatusCode::OK);
    let still = call(&opened, &doc, "create_web_app", json!({})).await;
    assert_refused(&still, StatusCode::FORBIDDEN, "tool_not_allowed", "closed to pages");
}

#[tokio::test]
async fn only_a_page_of_this_app_calls() {
    let hosting = hosting(&Begun::default(), |_| {}).await;
    let app_a = app(&hosting, "a", PAGE, &["show"]).await;
    let app_b = app(&hosting, "b", PAGE, &["show"]).await;
    let token = token_of(&hosting, &app_a).await;
    let null = ("origin", "null");
    let with = |token: &str| json!({"token": token, "tool_name": "show", "arguments": {}});

    let origins: [&[(&str, &str)]; 5] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "http://127.0.0.1:7411")],
        &[("origin", "file://")],
        &[("origin", "Null")],
    ];
    for headers in origins {
        let answer = send(&hosting, &app_a, headers, with(&token)).await;
        assert_refused(&answer, StatusCode::FORBIDDEN, "origin_not_allowed", "only pages");
    }
    let rebound = send(&hosting, &app_a, &[null, ("host", "evil.example")], with(&token)).await;
    assert_eq!(rebound.status, StatusCode::FORBIDDEN);

    let (expires, rest) = token.split_once('.').unwrap();
    let (n, signature) = rest.split_once('.').unwrap();
    let later: i64 = expires.parse::<i64>().unwrap() + 1;
    let other_key = atelier::installation_key::InstallationKey::new("another installation");
    let claim = |n: &str, expires: &str| format!("{} {n} {expires}", app_a.id);
    let forged = [
        String::new(),
        "x".to_owned(),
        "..".to_owned(),
        format!("{expires}.{n}."),
        format!("{later}.{n}.{signature}"),
        format!("{expires}.2.{signature}"),
        format!("{expires}.{n}.{signature}x"),
        format!("{expires}.{n}.{}", other_key.sign(Purpose::PageCalls, &claim(n, expires))),
        // Signed by us, for something else.
        format!("{expires}.{n}.{}", hosting.key.sign(Purpose::PageStorage, &claim(n, expires))),
        token_of(&hosting, &app_b).await,
    ];
    for token in forged {
        let answer = send(&hosting, &app_a, &[null], with(&token)).await;
        assert_refused(&answer, StatusCode::FORBIDDEN, "page_token_refused", "this app");
    }
    let past = hosting.key.sign(Purpose::PageCalls, &claim("1", "1000"));
    let answer = send(&hosting, &app_a, &[null], with(&format!("1000.1.{past}"))).await;
    assert_refused(&answer, StatusCode::FORBIDDEN, "page_expired", "too long ago");

    // The control, from the token that everything above was made of.
    let good = send(&hosting, &app_a, &[null], with(&token)).await;
    assert_eq!(good.status, StatusCode::OK, "{}", good.text());
    let got = hosting.get(&format!("/a/{}/call", app_a.token)).await;
    assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
    for body in ["", "{}", "[1]", "{\"token\":1}", "{\"tool_name\":\"show\"}"] {
        let path = format!("/a/{}/call", app_a.token);
        let answer =
            send_body(&hosting.content, Method::POST, &path, &[null], body.to_owned()).await;
        assert!(answer.status.is_client_error(), "{body}: {answer:?}");
        assert!(json_of(&answer)["error"].is_string(), "{body}");
    }
    let nowhere = Document { token: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(), ..app_a.clone() };
    let answer = send(&hosting, &nowhere, &[null], with(&token)).await;
    assert_refused(&answer, StatusCode::NOT_FOUND, "page_not_found", "no such app");
    // And after it is deleted, with a token that was good.
    let deleted =
        hosting.studio.call_as("local", "delete_document", json!({"app_name": "a"})).await;
    assert_eq!(deleted.text("status"), "success");
    let answer = send(&hosting, &app_a, &[null], with(&token)).await;
    assert_refused(&answer, StatusCode::NOT_FOUND, "page_not_found", "no such app");
}

#[tokio::test]
async fn an_edit_takes_names_back_at_once() {
    let hosting = hosting(&Begun::default(), |_| {}).await;
    let first = app(&hosting, "app", PAGE, &["show", "list_web_apps"]).await;
    let token = token_of(&hosting, &first).await;
    let with = |token: &str, tool: &str| json!({"token": token, "tool_name": tool});
    let null = [("origin", "null")];
    let good = send(&hosting, &first, &null, with(&token, "show")).await;
    assert_eq!(good.status, StatusCode::OK);

    let second = app(&hosting, "app", PAGE, &["list_web_apps"]).await;
    let stale = send(&hosting, &first, &null, with(&token, "show")).await;
    assert_refused(&stale, StatusCode::CONFLICT, "page_outdated", "newest version");
    let token = token_of(&hosting, &second).await;
    let gone = send(&hosting, &first, &null, with(&token, "show")).await;
    assert_refused(&gone, StatusCode::FORBIDDEN, "tool_not_allowed", "not among the tools");
    let kept = send(&hosting, &first, &null, with(&token, "list_web_apps")).await;
    assert_eq!(kept.status, StatusCode::OK);

    // A page of an earlier version learns the names and gets nothing to call with.
    let earlier = told(&hosting, &format!("/a/{}/v/1/", first.token)).await;
    assert_eq!(earlier, json!({"names": ["list_web_apps"]}));
    app(&hosting, "app", PAGE, &[]).await;
    assert_eq!(told(&hosting, &format!("/a/{}/", first.token)).await, Value::Null);
}

#[tokio::test]
async fn an_owner_who_is_shut_out_takes_the_tools_along() {
    let hosting = hosting(&Begun::default(), |_| {}).await;
    let owner = Owner { principal: "removed".into(), user: "1".to_owned() };
    let app = app_of(&hosting, owner, "app", PAGE, &["show"]).await;
    let answer = call(&hosting, &app, "show", json!({})).await;
    assert_refused(&answer, StatusCode::FORBIDDEN, "tool_not_allowed", "owner of this app");
}

#[tokio::test]
async fn calls_of_an_app_are_limited_by_minute() {
    let hosting = hosting(&Begun::default(), |limits| limits.page_calls_per_minute = 3).await;
    let busy = app(&hosting, "busy", PAGE, &["show"]).await;
    let calm = app(&hosting, "calm", PAGE, &["show"]).await;
    let mut refused = None;
    let mut passed = 0;
    // The minute may turn over once in between.
    for _ in 0..7 {
        let answer = call(&hosting, &busy, "show", json!({})).await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
        passed += 1;
    }
    let refused = refused.expect("nothing was refused");
    assert!(passed >= 3, "{passed}");
    assert_refused(&refused, StatusCode::TOO_MANY_REQUESTS, "rate_limited", "3 calls in a minute");
    assert_eq!(refused.header("retry-after"), "60");
    assert_eq!(call(&hosting, &calm, "show", json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn calls_at_a_time_sizes_and_times_are_limited() {
    let begun = Begun::default();
    let hosting = Arc::new(
        hosting(&begun, |limits| {
            limits.page_concurrent_calls = 2;
            limits.page_call_s = 0.3;
        })
        .await,
    );
    let doc = app(&hosting, "app", PAGE, &["show", "endless"]).await;
    let late = call(&hosting, &doc, "endless", json!({})).await;
    assert_refused(&late, StatusCode::PAYLOAD_TOO_LARGE, "call_timeout", "within 0.3 s");

    let large = |bytes: usize| json!({"text": "x".repeat(bytes)});
    assert_eq!(call(&hosting, &doc, "show", large(250_000)).await.status, StatusCode::OK);
    let refused = call(&hosting, &doc, "show", large(270_000)).await;
    assert_refused(&refused, StatusCode::PAYLOAD_TOO_LARGE, "arguments_too_large", "262144");
    let larger = call(&hosting, &doc, "show", large(600_000)).await;
    assert_refused(&larger, StatusCode::PAYLOAD_TOO_LARGE, "page_request_too_large", "524288");

    let patient = Arc::new(self::hosting(&begun, |limits| limits.page_concurrent_calls = 2).await);
    let doc = app(&patient, "app", PAGE, &["show", "endless"]).await;
    let before = begun.load(Ordering::SeqCst);
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (hosting, doc) = (Arc::clone(&patient), doc.clone());
            tokio::spawn(async move { call(&hosting, &doc, "endless", json!({})).await })
        })
        .collect();
    patient.studio.workshop.until(|| begun.load(Ordering::SeqCst) == before + 2).await;
    let third = call(&patient, &doc, "show", json!({})).await;
    assert_refused(&third, StatusCode::TOO_MANY_REQUESTS, "busy", "2 calls are in flight");

    // The pages go away: their jobs end, and there is room again.
    for request in waiting {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
    }
    let has_room = async || loop {
        if call(&patient, &doc, "show", json!({})).await.status == StatusCode::OK {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    tokio::time::timeout(Duration::from_secs(30), has_room()).await.expect("the places stay taken");
    let jobs = patient.catalog.jobs(&"local".into(), 10).await.unwrap();
    let endless = jobs.iter().filter(|job| job.tool == "endless");
    let states: Vec<&str> = endless.map(|job| job.state.as_str()).collect();
    assert_eq!(states, ["interrupted", "interrupted"]);
}

#[tokio::test]
async fn a_page_asks_a_model_within_its_allowance_or_not_at_all() {
    let begun = Begun::default();
    let without = hosting(&begun, |_| {}).await;
    let doc = app(&without, "app", PAGE, &["ask_ai"]).await;
    for model in ["auto", "host"] {
        let arguments = json!({"prompt": "Who?", "model": model});
        let answer = call(&without, &doc, "ask_ai", arguments).await;
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "no_language_model");
        assert_refused(&answer, status, code, "no language model");
        assert!(!answer.text().contains("handle"));
    }

    let spent = Usage {
        input_tokens: Some(60),
        output_tokens: Some(40),
        cached_tokens: None,
        reasoning_tokens: None,
    };
    let server = FakeLlm::start(Script::new().rule(Rule::reply(Reply::text("Ada.").usage(spent))))
        .await
        .unwrap();
    let studio = StudioBuilder::new().models(Arc::new(models(&config(&server))));
    let limits = LimitsConfig { page_tokens_per_day: 150, ..LimitsConfig::default() };
    let hosting = Hosting::made_of(Parts { studio, limits, ..Parts::default() }).await;
    let doc = app(&hosting, "app", PAGE, &["ask_ai"]).await;
    let other = app(&hosting, "other", PAGE, &["ask_ai"]).await;
    let ask = async |doc: &Document, n: i64| {
        call(&hosting, doc, "ask_ai", json!({"prompt": format!("Who? {n}")})).await
    };
    let mut refused = None;
    let mut answered = 0;
    // The day may turn over once in between.
    for n in 0..5 {
        let answer = ask(&doc, n).await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
        assert_eq!(json_of(&answer)["result"]["answer"], "Ada.");
        answered += 1;
    }
    assert!(answered >= 2, "{answered}");
    let refused = json_of(&refused.expect("nothing was refused"));
    assert_eq!(refused["code"], "quota_exceeded");
    assert!(refused["error"].as_str().unwrap().contains("150 model tokens of this app"));
    assert!(refused["hint"].as_str().unwrap().contains("limits.page_tokens_per_day"));
    assert_eq!(ask(&other, 9).await.status, StatusCode::OK, "each app has its own allowance");
}
