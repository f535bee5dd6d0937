//! Calls from inside the program: what a grant narrows, and what is closed to programs. Every
//! refusal stands beside a call of the same tool that goes through.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atelier::config::server::ServerConfig;
use atelier::jobs::{Ask, Failure, Run, ToolOutput};
use atelier::llm::{ExpectedKind, Expects, Request};
use atelier::registry::{
    Annotations, CallContext, CallOutcome, Caller, DirectReply, Grant, InnerTool, Origin, Rights,
    Terms, Tool, Toolset,
};
use atelier::storage::PrincipalId;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::workshop::{Workshop, WorkshopBuilder};

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    #[serde(default)]
    user_number: String,
    #[serde(default)]
    confirm: bool,
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ForwardParams {
    tool: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

#[derive(Debug, JsonSchema)]
#[schemars(with = "std::collections::BTreeMap<String, String>")]
struct Output(Value);

impl From<Output> for ToolOutput {
    fn from(output: Output) -> Self {
        Self::structured(output.0)
    }
}

/// Runs of the slow tool: begun, and ended by themselves.
#[derive(Debug, Default)]
struct Runs {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// Returns its arguments as they arrive.
fn show(name: &'static str, annotations: Annotations) -> Tool {
    Tool::builder(name, "Show", Toolset::Agent)
        .description("Shows its arguments")
        .annotations(annotations)
        .direct(json!({"type": "object"}), |_call, params: Params| async move {
            Ok(DirectReply::Output(ToolOutput::structured(json!({
                "user": params.user_number, "confirmed": params.confirm, "text": params.text,
            }))))
        })
}

/// Says which call it would pass on.
fn forward() -> Tool {
    Tool::builder("forward", "Forward", Toolset::Catalog)
        .description("Passes a call on")
        .direct(json!({"type": "object"}), |_call, params: ForwardParams| async move {
            Ok(DirectReply::Output(ToolOutput::structured(
                json!({"passed_to": params.tool, "with": params.arguments}),
            )))
        })
        .forwards(|arguments| {
            let name = arguments.get("tool")?.as_str()?.to_owned();
            let open_to_code = !name.starts_with("far__remove");
            let read_only = name.starts_with("far__read");
            Some(InnerTool { name, read_only, open_to_code })
        })
}

/// A job that goes on until it is stopped.
fn slow(runs: &Arc<Runs>) -> Tool {
    let runs = Arc::clone(runs);
    Tool::builder("slow", "Slow", Toolset::Agent).description("Takes long").job(
        move |_run: Run, params: Params| {
            let runs = Arc::clone(&runs);
            async move {
                runs.begun.fetch_add(1, Ordering::SeqCst);
                if params.text != "quick" {
                    std::future::pending::<()>().await;
                }
                runs.ended.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Failure>(Output(json!({})))
            }
        },
    )
}

/// Asks whoever can write a text.
fn writer() -> Tool {
    Tool::builder("writer", "Writer", Toolset::Agent).description("Writes").job(
        |run: Run, params: Params| async move {
            let request = Request::new("s", params.text, Expects::kind(ExpectedKind::Text));
            let ask = Ask {
                step: "text".into(),
                model: None,
                request,
                as_text: None,
                attempt: 1,
                max_attempts: 1,
                errors: Vec::new(),
            };
            let outcome = run.complete(ask).await?;
            Ok::<_, Failure>(Output(json!({"text": outcome.text})))
        },
    )
}

const DESTROY: Annotations = Annotations { destructive: true, ..Annotations::CREATE };

struct Inside {
    workshop: Workshop,
    caller: Caller,
    runs: Arc<Runs>,
}

impl Inside {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let runs = Arc::default();
        let closed = Tool::builder("make", "Make", Toolset::Agent)
            .description("Makes something")
            .annotations(Annotations::CREATE)
            .closed_to_code()
            .direct(json!({"type": "object"}), |_call, _params: Params| async move {
                Ok(DirectReply::Output(ToolOutput::structured(json!({"made": true}))))
            });
        let tools = vec![
            show("show", Annotations::READ),
            show("destroy", DESTROY),
            closed,
            forward(),
            slow(&runs),
            writer(),
        ];
        let workshop = WorkshopBuilder::new(tools).server(change).build().await;
        let caller = Caller::new();
        caller.bind(&workshop.registry);
        Self { workshop, caller, runs }
    }

    async fn call_under(
        &self,
        grant: &Grant,
        allowed: Option<&[&str]>,
        (tool, arguments): (&str, Value),
    ) -> CallOutcome {
        let allowed: Option<BTreeSet<String>> =
            allowed.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        self.caller.call(grant, allowed.as_ref(), tool, arguments, context()).await
    }

    /// A page's call whose app names exactly this tool.
    async fn page(&self, tool: &str, arguments: Value) -> CallOutcome {
        self.call_under(&grant(Origin::Page), Some(&[tool]), (tool, arguments)).await
    }
}

fn context() -> CallContext {
    let mut context = CallContext::new(PrincipalId::from("ann"), Origin::Client);
    context.models.host_completion = false;
    context
}

fn terms(origin: Origin) -> Terms {
    Terms {
        holder: "test".to_owned(),
        origin,
        calls: None,
        calls_per_minute: None,
        concurrent_calls: 4,
        call_time: Duration::from_mins(1),
        tokens_per_day: None,
        argument_bytes: 10_000,
        result_bytes: 100_000,
        depth: 2,
    }
}

fn grant(origin: Origin) -> Grant {
    Grant::new(terms(origin))
}

#[track_caller]
fn assert_refused(outcome: &CallOutcome, code: &str, reason: &str) {
    assert!(outcome.is_error, "{:#}", outcome.structured);
    assert_eq!(outcome.structured["code"], code, "{:#}", outcome.structured);
    let message = outcome.structured["message"].as_str().unwrap();
    assert!(message.contains(reason), "{message}");
}

#[track_caller]
fn assert_done(outcome: &CallOutcome) {
    assert!(!outcome.is_error, "{:#}", outcome.structured);
}

#[tokio::test]
async fn a_program_calls_what_was_named_and_nothing_else() {
    let inside = Inside::new().await;
    let grant = grant(Origin::Page);
    let allowed: Option<&[&str]> = Some(&["show"]);
    let done = inside.call_under(&grant, allowed, ("show", json!({"text": "hi"}))).await;
    assert_eq!(done.structured["text"], "hi");
    let other = inside.call_under(&grant, allowed, ("writer", json!({}))).await;
    assert_refused(&other, "tool_not_allowed", "not among the tools that were named");
    assert!(other.structured["hint"].as_str().unwrap().contains("mcp_tool_names"));
    let none = inside.call_under(&grant, Some(&[]), ("show", json!({}))).await;
    assert_refused(&none, "tool_not_allowed", "not among the tools");
    // Tools over jobs come with every client's rights, and with no program's.
    let job = inside.call_under(&grant, allowed, ("get_job", json!({"job_id": "x"}))).await;
    assert_refused(&job, "tool_not_allowed", "not among the tools");
    let rights = Rights { tools: Some(BTreeSet::from(["show".to_owned()])), ..Rights::default() };
    let direct = CallContext { rights, origin: Origin::Code, ..context() };
    let registry = &inside.workshop.registry;
    let job = registry.call("get_job", json!({"job_id": "x"}), direct.clone()).await;
    assert_refused(&job, "tool_not_allowed", "credentials do not cover it");
    assert_done(&registry.call("show", json!({}), direct).await);
    let unknown = inside.page("shwo", json!({})).await;
    assert_refused(&unknown, "unknown_tool", "`shwo`");
    assert!(unknown.structured["hint"].as_str().unwrap().contains("`show`"));
}

#[tokio::test]
async fn closed_tools_open_by_the_operators_setting_alone() {
    let inside = Inside::new().await;
    for (tool, reason) in [("make", "closed to pages"), ("destroy", "closed to pages")] {
        let refused = inside.page(tool, json!({})).await;
        assert_refused(&refused, "tool_not_allowed", reason);
        let hint = refused.structured["hint"].as_str().unwrap();
        assert!(hint.contains(&format!("server.open_to_pages = [\"{tool}\"]")), "{hint}");
        let client = inside.workshop.registry.call(tool, json!({}), context()).await;
        assert_done(&client);
    }
    let code = inside.call_under(&grant(Origin::Code), None, ("make", json!({}))).await;
    assert_refused(&code, "tool_not_allowed", "closed to code");
    assert!(code.structured["hint"].as_str().unwrap().contains("server.open_to_code"));

    let opened = Inside::with(|server| {
        server.open_to_pages = vec!["make".to_owned()];
        server.open_to_code = vec!["destroy".to_owned()];
    })
    .await;
    assert_done(&opened.page("make", json!({})).await);
    assert_refused(&opened.page("destroy", json!({})).await, "tool_not_allowed", "to pages");
    let code = grant(Origin::Code);
    assert_done(&opened.call_under(&code, None, ("destroy", json!({}))).await);
    let make = opened.call_under(&code, None, ("make", json!({}))).await;
    assert_refused(&make, "tool_not_allowed", "closed to code");

    let names = |origin| -> Vec<String> {
        let tools = opened.caller.tools(&Rights::default(), origin);
        tools.into_iter().map(|tool| tool.name).collect()
    };
    assert_eq!(names(Origin::Page), ["forward", "make", "show", "slow", "writer"]);
    assert_eq!(names(Origin::Code), ["destroy", "forward", "show", "slow", "writer"]);
    assert!(names(Origin::Workflow).contains(&"get_job".to_owned()));
}

#[tokio::test]
async fn an_opened_tool_must_exist() {
    let registry = std::panic::AssertUnwindSafe(Inside::with(|server| {
        server.open_to_pages = vec!["no_such_tool".to_owned()];
    }));
    let error = futures::FutureExt::catch_unwind(registry).await.err().unwrap();
    let text = error.downcast_ref::<String>().unwrap();
    assert!(text.contains("server.open_to_pages") && text.contains("no_such_tool"), "{text}");
}

#[tokio::test]
async fn the_inner_tool_of_a_forwarded_call_is_checked() {
    let inside = Inside::new().await;
    let page = grant(Origin::Page);
    let to = |name: &str| ("forward", json!({"tool": name}));
    let allowed: Option<&[&str]> = Some(&["forward", "show", "make", "far__read", "far__remove"]);
    for name in ["show", "far__read"] {
        let passed = inside.call_under(&page, allowed, to(name)).await;
        assert_eq!(passed.structured["passed_to"], name, "{:#}", passed.structured);
    }
    for (name, reason) in [
        ("writer", "credentials do not cover it"),
        ("far__other", "credentials do not cover it"),
        ("make", "closed to pages"),
        ("far__remove", "closed to pages"),
        ("forward", "passed on once only"),
        ("get_job", "credentials do not cover it"),
    ] {
        let refused = inside.call_under(&page, allowed, to(name)).await;
        assert_refused(&refused, "tool_not_allowed", reason);
    }
    let nothing =
        inside.call_under(&page, allowed, ("forward", json!({"tool": "", "arguments": {}}))).await;
    assert_refused(&nothing, "tool_not_allowed", "credentials do not cover it");

    // The same for a client: its rights hold behind the tool that passes calls on.
    let client = |rights| CallContext { rights, ..context() };
    let registry = &inside.workshop.registry;
    let reader = Rights { read_only: true, ..Rights::default() };
    for (name, code) in
        [("show", None), ("far__read", None), ("make", Some(())), ("far__write", Some(()))]
    {
        let outcome = registry.call("forward", json!({"tool": name}), client(reader.clone())).await;
        match code {
            None => assert_done(&outcome),
            Some(()) => assert_refused(&outcome, "tool_not_allowed", "do not cover it"),
        }
    }
    assert_done(
        &registry.call("forward", json!({"tool": "make"}), client(Rights::default())).await,
    );
}

#[tokio::test]
async fn a_page_says_neither_who_it_is_for_nor_yes() {
    let inside = Inside::with(|server| server.open_to_pages = vec!["destroy".to_owned()]).await;
    let allowed = BTreeSet::from(["destroy".to_owned()]);
    let sent = json!({"user_number": "somebody else", "confirm": true, "text": "t"});
    let of_bob = CallContext { user: Some("bob".to_owned()), ..context() };
    let page = grant(Origin::Page);
    let call = inside.caller.call(&page, Some(&allowed), "destroy", sent.clone(), of_bob).await;
    assert_eq!(call.structured["user"], "bob");
    assert_eq!(call.structured["confirmed"], false);
    assert_eq!(call.structured["text"], "t");
    // A client says both for itself.
    let client = inside.workshop.registry.call("destroy", sent, context()).await;
    assert_eq!(client.structured["user"], "somebody else");
    assert_eq!(client.structured["confirmed"], true);
}

#[tokio::test]
async fn a_page_reads_no_earlier_result_of_its_owner() {
    let inside = Inside::new().await;
    let secret = inside.workshop.registry.call("show", json!({"text": "secret"}), context()).await;
    let id = secret.call_id.unwrap();
    let reference = json!({"text": format!("@@ref_{id}__text")});
    let client = inside.workshop.registry.call("show", reference.clone(), context()).await;
    assert_eq!(client.structured["text"], "secret");
    let page = inside.page("show", reference).await;
    assert_refused(&page, "reference_not_allowed", "cannot use references");
    let guess = inside.page("show", json!({"text": "@@ref_00000000__text"})).await;
    assert_refused(&guess, "reference_not_allowed", "cannot use references");
    assert!(!guess.structured.to_string().contains(id.as_str()));
    assert_done(&inside.page("show", json!({"text": "an @@ref_00000000__text inside"})).await);
}

#[tokio::test]
async fn calls_sizes_and_depth_are_bounded() {
    let inside = Inside::new().await;
    let counted = Grant::new(Terms { calls: Some(2), ..terms(Origin::Code) });
    for _ in 0..2 {
        assert_done(&inside.call_under(&counted, None, ("show", json!({}))).await);
    }
    let third = inside.call_under(&counted, None, ("show", json!({}))).await;
    assert_refused(&third, "too_many_calls", "all 2 calls");

    let per_minute = Grant::new(Terms { calls_per_minute: Some(0), ..terms(Origin::Page) });
    let refused = inside.call_under(&per_minute, Some(&["show"]), ("show", json!({}))).await;
    assert_refused(&refused, "rate_limited", "more than 0 calls in a minute");
    assert_eq!(refused.structured["retry_after_s"], 60.0);

    let long = json!({"text": "x".repeat(9_000)});
    assert_done(&inside.page("show", long).await);
    let longer = json!({"text": "x".repeat(10_000)});
    assert_refused(&inside.page("show", longer).await, "arguments_too_large", "10000 bytes");
    let narrow = Grant::new(Terms { result_bytes: 300, ..terms(Origin::Page) });
    let text = |length: usize| ("show", json!({"text": "x".repeat(length)}));
    assert_done(&inside.call_under(&narrow, Some(&["show"]), text(10)).await);
    let large = inside.call_under(&narrow, Some(&["show"]), text(400)).await;
    assert_refused(&large, "result_too_large", "300 bytes");

    let deep = |depth| CallContext { depth, ..context() };
    let code = grant(Origin::Code);
    let call = |depth| inside.caller.call(&code, None, "show", json!({}), deep(depth));
    assert_done(&call(1).await);
    assert_refused(&call(2).await, "calls_too_deep", "3 deep");
}

#[tokio::test]
async fn a_call_inside_a_pages_call_stays_a_pages_call() {
    let inside = Inside::with(|server| server.open_to_code = vec!["make".to_owned()]).await;
    let code = grant(Origin::Code);
    assert_done(&inside.call_under(&code, None, ("make", json!({}))).await);
    let rights = Rights::default().narrowed_to(&BTreeSet::from(["show".to_owned()]));
    let of_page = CallContext { origin: Origin::Page, rights, depth: 1, ..context() };
    let call = |tool| inside.caller.call(&code, None, tool, json!({}), of_page.clone());
    assert_done(&call("show").await);
    assert_refused(&call("writer").await, "tool_not_allowed", "do not cover it");
    let wide = CallContext { rights: Rights::default(), ..of_page.clone() };
    let make = inside.caller.call(&code, None, "make", json!({}), wide).await;
    assert_refused(&make, "tool_not_allowed", "closed to pages");
}

#[tokio::test]
async fn a_call_that_takes_too_long_or_is_not_wanted_any_more_is_stopped() {
    let inside = Inside::new().await;
    let hurried = Grant::new(Terms { call_time: Duration::from_millis(50), ..terms(Origin::Page) });
    let quick = ("slow", json!({"text": "quick"}));
    let patient = grant(Origin::Page);
    assert_done(&inside.call_under(&patient, Some(&["slow"]), quick).await);
    let late = inside.call_under(&hurried, Some(&["slow"]), ("slow", json!({}))).await;
    assert_refused(&late, "call_timeout", "was stopped");
    let states = async || -> Vec<String> {
        let jobs = inside.workshop.catalog.jobs(&"ann".into(), 10).await.unwrap();
        jobs.iter().map(|job| job.state.as_str().to_owned()).collect()
    };
    assert_eq!(states().await, ["interrupted", "done"]);

    // One place, taken by a call that nobody waits for any more.
    let single = Grant::new(Terms { concurrent_calls: 1, ..terms(Origin::Page) });
    {
        let slow = inside.call_under(&single, Some(&["slow"]), ("slow", json!({"text": "2"})));
        let mut slow = std::pin::pin!(slow);
        let begun = || inside.runs.begun.load(Ordering::SeqCst) == 3;
        tokio::select! {
            _ = &mut slow => panic!("it cannot end"),
            () = inside.workshop.until(begun) => {}
        }
        let second = inside.call_under(&single, Some(&["slow"]), ("slow", json!({}))).await;
        assert_refused(&second, "busy", "1 calls are in flight");
    }
    let ended = async || {
        while states().await.first().map(String::as_str) != Some("interrupted") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended()).await.expect("it was not stopped");
    assert_eq!(inside.runs.ended.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_page_never_takes_up_a_job_of_its_owner() {
    let inside = Inside::new().await;
    let arguments = json!({"text": "a poem"});
    let mut host = context();
    host.models.host_completion = true;
    let registry = &inside.workshop.registry;
    let waiting = registry.call("writer", arguments.clone(), host.clone()).await;
    assert_eq!(waiting.structured["status"], "needs_completion");
    // The same call from a page has nobody to ask, and leaves the owner's open.
    let page = inside.page("writer", arguments).await;
    assert_refused(&page, "no_language_model", "no language model");
    let submitted = registry
        .call(
            "submit_completion",
            json!({"handle": waiting.structured["handle"], "text": "roses"}),
            host,
        )
        .await;
    assert_eq!(submitted.structured["text"], "roses", "{:#}", submitted.structured);
}
