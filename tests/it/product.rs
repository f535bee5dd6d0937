//! The product as its users meet it: the real binary on stdio, with each vendor's wire served on
//! loopback, with the client's own model, and with none.

use std::time::Duration;

use fake_llm::{FakeLlm, Fault, Reply, Rule, Script};
use serde_json::{Value, json};

use crate::support::product::{Installation, StdioClient, get, structured};

const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tea timer</title></head><body><main><h1>Tea timer</h1><p>Four minutes.</p></main></body></html>";

fn fenced() -> String {
    format!("Here it is:\n```html\n{PAGE}\n```\n")
}

async fn model() -> FakeLlm {
    FakeLlm::start(Script::new().rule(Rule::reply(Reply::text(fenced())))).await.unwrap()
}

/// Name, variables, and the model that must answer.
type Wire = (&'static str, Vec<(&'static str, String)>, &'static str);

/// Every wire that can be configured: variables, model to name, and the model that must answer.
fn wires(base: &str) -> Vec<Wire> {
    let key = || "test-key".to_owned();
    let base = base.to_owned();
    vec![
        (
            "gemini",
            vec![("GEMINI_API_KEY", key()), ("GEMINI_BASE_URL", base.clone())],
            "gemini-3.8-flash",
        ),
        (
            "google key",
            vec![("GOOGLE_API_KEY", key()), ("GEMINI_BASE_URL", base.clone())],
            "gemini-3.8-flash",
        ),
        (
            "anthropic",
            vec![("ANTHROPIC_API_KEY", key()), ("ANTHROPIC_BASE_URL", base.clone())],
            "claude-sonnet-5-5",
        ),
        (
            "openai responses",
            vec![
                ("OPENAI_API_KEY", key()),
                ("OPENAI_BASE_URL", base.clone()),
                ("ATELIER_LLM__DEFAULT_MODEL", "gpt-6.1-sol".to_owned()),
            ],
            "gpt-6.1-sol",
        ),
        (
            "openai chat",
            vec![
                ("OPENAI_API_KEY", key()),
                ("OPENAI_BASE_URL", base.clone()),
                ("ATELIER_LLM__DEFAULT_MODEL", "gpt-4.1-2025-04-14".to_owned()),
            ],
            "gpt-4.1-2025-04-14",
        ),
        (
            "openrouter",
            vec![
                ("OPENROUTER_API_KEY", key()),
                ("OPENROUTER_BASE_URL", format!("{base}/api")),
                ("ATELIER_LLM__DEFAULT_MODEL", "openrouter/some/model".to_owned()),
            ],
            "some/model",
        ),
        (
            "a compatible server that lists its model",
            vec![("OPENAI_BASE_URL", base.clone())],
            "fake-model",
        ),
        (
            "ollama",
            vec![
                ("OLLAMA_HOST", base.clone()),
                ("ATELIER_LLM__DEFAULT_MODEL", "ollama/fake-model".to_owned()),
            ],
            "fake-model",
        ),
        (
            "a compatible server without a key",
            vec![
                ("OPENAI_BASE_URL", format!("{base}/v1")),
                ("ATELIER_LLM__DEFAULT_MODEL", "local-model".to_owned()),
            ],
            "local-model",
        ),
    ]
}

#[tokio::test]
async fn each_wire_makes_an_app() {
    for vendor in 0..wires("").len() {
        let server = model().await;
        let base = server.base_url();
        let (name, variables, model_used) = wires(&base).swap_remove(vendor);
        let mut installation = Installation::new();
        for (variable, value) in variables {
            installation = installation.with(variable, value);
        }
        let mut client = installation.stdio().await;
        let made = client.call("create_web_app", json!({"user_request": "a tea timer"})).await;
        assert_eq!(made["status"], "success", "{name}: {made}");
        assert_eq!(made["model_used"], model_used, "{name}");
        assert_eq!(made["version"], 1);
        let (status, body) = get(made["url"].as_str().unwrap()).await;
        assert_eq!(status, 200);
        assert!(body.contains("<h1>Tea timer</h1>"), "{name}: {body}");
        server.assert_all_matched();
        assert_eq!(server.model_requests().len(), 1, "{name}");
        client.close().await;
    }
}

#[tokio::test]
async fn the_seeds_model_names_work_whatever_key_there_is() {
    let server = model().await;
    let installation = Installation::new()
        .with("ANTHROPIC_API_KEY", "test-key")
        .with("ANTHROPIC_BASE_URL", server.base_url());
    let mut client = installation.stdio().await;
    for name in [
        "gemini-2.5-flash-preview-05-20",
        "gemini-2.5-pro-preview-05-06",
        "models/gemini-2.0-flash",
        "gemini-2.0-flash",
        "claude-3-7-sonnet-latest",
        "gpt-4.1-2025-04-14",
        "o4-mini-2025-04-16",
    ] {
        let arguments = json!({"user_request": format!("a timer for {name}"), "model": name});
        let made = client.call("create_web_app", arguments).await;
        assert_eq!(made["status"], "success", "{name}: {made}");
        assert_eq!(made["model_used"], "claude-sonnet-5-5", "{name}");
        assert_eq!(made["model_requested"], name);
        assert!(made["model_note"].is_string(), "{name}: {made}");
    }
}

#[tokio::test]
async fn with_no_key_the_host_writes_the_page() {
    let installation = Installation::new();
    let mut client = installation.stdio().await;
    let asked = client.call("create_web_app", json!({"user_request": "a tea timer"})).await;
    assert_eq!(asked["status"], "needs_completion");
    assert!(asked["prompt"]["user"].as_str().unwrap().contains("a tea timer"));
    let listed = client.call("list_web_apps", json!({})).await;
    assert_eq!(listed["web_apps"], json!([]), "nothing half-made is listed");
    let made = client
        .call("submit_completion", json!({"handle": asked["handle"], "text": fenced()}))
        .await;
    assert_eq!(made["status"], "success", "{made}");
    assert_eq!(made["model_used"], Value::Null);
    assert_eq!(made["call_id"], asked["call_id"]);
    let (status, body) = get(made["url"].as_str().unwrap()).await;
    assert_eq!((status, body.contains("Four minutes.")), (200, true));
    let reference = json!({"app_name": format!("@@ref_{}__app_name", made["call_id"].as_str().unwrap()), "html": PAGE});
    let second = client.call("create_web_app", reference).await;
    assert_eq!(second["version"], 2, "the reference named the same app: {second}");
    assert_eq!(second["url"], made["url"]);
}

#[tokio::test]
async fn a_page_of_the_caller_needs_no_model() {
    let installation = Installation::new();
    let mut client = installation.stdio().await;
    let made = client.call("create_web_app", json!({"html": PAGE, "app_name": "tea"})).await;
    assert_eq!(made["status"], "success", "{made}");
    let url = made["url"].as_str().unwrap();
    let (_, raw) = get(&format!("{url}raw")).await;
    assert_eq!(raw, PAGE, "stored as it is");
}

#[tokio::test]
async fn clients_with_a_model_of_their_own_are_asked_in_both_eras() {
    let answer = json!({
        "role": "assistant", "model": "client-model", "stopReason": "endTurn",
        "content": {"type": "text", "text": fenced()},
    });
    let installation = Installation::new();
    let mut legacy = StdioClient::start(installation.command(&["stdio"]));
    legacy.initialize(json!({"sampling": {}})).await;
    legacy.answer_sampling(answer.clone());
    let made = legacy.call("create_web_app", json!({"user_request": "a tea timer"})).await;
    assert_eq!(made["status"], "success", "{made}");
    assert_eq!(made["llm_route"], "sampling");
    assert_eq!(legacy.sampled.len(), 1);
    legacy.close().await;

    let mut modern = StdioClient::start(installation.command(&["stdio"]));
    modern.modern(&json!({"sampling": {}}));
    let call = json!({"name": "create_web_app", "arguments": {"user_request": "a modern timer"}});
    let asked = modern.request("tools/call", call.clone()).await;
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let (key, request) = asked["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(request["method"], "sampling/createMessage");
    let mut retry = call;
    retry["requestState"] = asked["requestState"].clone();
    retry["inputResponses"] = json!({key.as_str(): answer});
    let made = structured(&modern.request("tools/call", retry).await);
    assert_eq!(made["status"], "success", "{made}");
    assert_eq!(made["llm_route"], "sampling");
}

#[tokio::test]
async fn a_client_that_declines_to_sample_is_asked_to_write() {
    let installation = Installation::new();
    let mut client = StdioClient::start(installation.command(&["stdio"]));
    client.initialize(json!({"sampling": {}})).await;
    client.answer_sampling(json!({"code": -1, "message": "User rejected sampling request"}));
    let asked = client.call("create_web_app", json!({"user_request": "a tea timer"})).await;
    assert_eq!(asked["status"], "needs_completion", "{asked}");
}

#[tokio::test]
async fn apps_urls_and_pending_completions_survive_kill() {
    let installation = Installation::new();
    let mut client = installation.stdio().await;
    let made = client.call("create_web_app", json!({"html": PAGE, "app_name": "tea"})).await;
    let asked = client.call("create_web_app", json!({"user_request": "a second app"})).await;
    assert_eq!(asked["status"], "needs_completion");
    client.kill().await;

    let mut client = installation.stdio().await;
    let listed = client.call("list_web_apps", json!({})).await;
    assert_eq!(listed["web_apps"][0]["url"], made["url"]);
    assert_eq!(get(made["url"].as_str().unwrap()).await.0, 200);
    let second =
        client.call("submit_completion", json!({"handle": asked["handle"], "text": PAGE})).await;
    assert_eq!(second["status"], "success", "{second}");
    assert_eq!(get(second["url"].as_str().unwrap()).await.0, 200);
}

#[tokio::test]
async fn a_model_call_is_not_paid_twice_after_kill() {
    // The first answer is truncated by its structure, so the call goes on to a repair, in which
    // the process is killed: the first answer must not be asked for again.
    let script = Script::new()
        .rule(Rule::reply(Reply::text("```html\n<!doctype html><html><body>cut")).times(1))
        .rule(
            Rule::reply(Reply::text(fenced())).fault(Fault::StallHeaders { millis: None }).times(1),
        )
        .rule(Rule::reply(Reply::text(fenced())));
    let server = FakeLlm::start(script).await.unwrap();
    let installation = Installation::new()
        .with("GEMINI_API_KEY", "test-key")
        .with("GEMINI_BASE_URL", server.base_url())
        .with("ATELIER_LIMITS__LEASE_S", "0.5");
    let mut client = installation.stdio().await;
    let call = json!({"name": "create_web_app", "arguments": {"user_request": "a tea timer"}});
    client.send(&json!({"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": call})).await;
    server.wait_for(Duration::from_secs(30), |requests| requests.len() == 2).await.unwrap();
    client.kill().await;

    let mut client = installation.stdio().await;
    // The lost job becomes `interrupted` once its lease has run out; the repetition goes on with it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let made = client.call("create_web_app", json!({"user_request": "a tea timer"})).await;
    assert_eq!(made["status"], "success", "{made}");
    let requests = server.model_requests();
    assert_eq!(requests.len(), 3, "the first answer was stored and not paid for again");
}

#[tokio::test]
async fn bad_input_gets_a_clear_error_and_lists_nothing() {
    let installation = Installation::new();
    let mut client = installation.stdio().await;
    let long = "x".repeat(10 * 1024 * 1024);
    for (arguments, code) in [
        (json!({}), "request_missing"),
        (json!({"user_request": " \n "}), "request_missing"),
        (json!({"user_request": long}), "arguments_too_large"),
        (json!({"user_request": "x", "model": "no-such-model"}), "invalid_model"),
        (json!({"user_request": "x", "model": "gemini-x/../../evil#"}), "invalid_model"),
        (json!({"user_request": "x", "model": "claude-sonnet-5-5"}), "model_key_missing"),
        (json!({"html": ""}), "request_missing"),
        (json!({"html": "just words"}), "invalid_html"),
        (json!({"user_request": "x", "attachments": "no"}), "invalid_arguments"),
        (
            json!({"user_request": "x", "attachments": ["http://127.0.0.1:1/a.png"]}),
            "attachments_failed",
        ),
    ] {
        let shown: String = arguments.to_string().chars().take(80).collect();
        let refused = client.call("create_web_app", arguments).await;
        assert_eq!(refused["status"], "error", "{shown}: {refused}");
        assert_eq!(refused["code"], code, "{shown}: {refused}");
        assert!(refused["hint"].is_string(), "{shown}: {refused}");
    }
    let listed = client.call("list_web_apps", json!({})).await;
    assert_eq!(listed["web_apps"], json!([]));
    let tricky = json!({"html": PAGE, "app_name": "../../etc/passwd\u{0}"});
    let made = client.call("create_web_app", tricky).await;
    assert_eq!(made["status"], "success", "{made}");
    let name = made["app_name"].as_str().unwrap();
    assert!(!name.contains(['/', '\\', '\u{0}']) && !name.starts_with('.'), "{name}");
}

#[tokio::test]
async fn a_refused_key_is_said_once_and_never_shown() {
    let script = Script::new().rule(Rule::default().fault(Fault::status(401)));
    let server = FakeLlm::start(script).await.unwrap();
    let installation = Installation::new()
        .with("ANTHROPIC_API_KEY", "sk-ant-very-secret-key")
        .with("ANTHROPIC_BASE_URL", server.base_url())
        .with("ATELIER_LOG", "trace");
    let mut client = installation.stdio().await;
    let refused = client.call("create_web_app", json!({"user_request": "a tea timer"})).await;
    assert_eq!(refused["code"], "model_key_refused", "{refused}");
    assert_eq!(server.requests().len(), 1, "a refused key is not tried again");
    let (_, log) = client.close().await;
    assert!(!log.is_empty(), "a log at trace level says something");
    assert!(!format!("{log}{refused}").contains("very-secret"), "the key was shown");
}

#[tokio::test]
async fn three_processes_share_one_installation() {
    let installation = Installation::new();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(installation.stdio().await);
    }
    let mut urls = Vec::new();
    for (n, client) in clients.iter_mut().enumerate() {
        let arguments = json!({"html": PAGE, "app_name": format!("app_{n}")});
        let made = client.call("create_web_app", arguments).await;
        urls.push(made["url"].as_str().unwrap().to_owned());
    }
    let origins: std::collections::BTreeSet<&str> =
        urls.iter().map(|url| url.split("/a/").next().unwrap()).collect();
    assert_eq!(origins.len(), 1, "one content port: {origins:?}");
    for client in &mut clients {
        let listed = client.call("list_web_apps", json!({})).await;
        assert_eq!(listed["web_apps"].as_array().unwrap().len(), 3);
    }
    // Whoever owns the port ends; the links must live on within two seconds.
    let first = clients.remove(0);
    first.kill().await;
    let taken_over = async {
        for url in &urls {
            loop {
                let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
                if tokio::net::TcpStream::connect(address).await.is_ok() {
                    assert_eq!(get(url).await.0, 200);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), taken_over).await.expect("nobody took over");
    for client in clients {
        assert_eq!(client.close().await.0, Some(0));
    }
}

#[tokio::test]
async fn a_content_port_of_another_program_is_left_to_it() {
    let installation = Installation::new();
    let mut client = installation.stdio().await;
    let made = client.call("create_web_app", json!({"html": PAGE, "app_name": "tea"})).await;
    let url = made["url"].as_str().unwrap().to_owned();
    client.close().await;
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let foreign = tokio::net::TcpListener::bind(&address).await.unwrap();
    let mut client = installation.stdio().await;
    let listed = client.call("list_web_apps", json!({})).await;
    let moved = listed["web_apps"][0]["url"].as_str().unwrap();
    assert_ne!(moved, url, "the link names a port that is ours");
    assert_eq!(get(moved).await.0, 200);
    drop(foreign);
}

/// Runs the program in a mount namespace in which a script has prepared the data folder.
fn in_mount_namespace(installation: &Installation, prepare: &str) -> tokio::process::Command {
    let script = format!(
        "mkdir -p '{data}' && {prepare} && exec '{binary}' stdio",
        data = installation.data().display(),
        binary = env!("CARGO_BIN_EXE_atelier"),
    );
    let unshare = std::path::Path::new("/usr/bin/unshare");
    assert!(unshare.exists(), "`unshare` is missing: apt-get install util-linux");
    installation.command_of(unshare, &["-r", "-m", "sh", "-c", &script])
}

/// Text that does not compress, another for each number.
fn filler(number: u32) -> String {
    let letter = |at: u32| b'a' + u8::try_from((at.wrapping_mul(2_654_435_761) >> 7) % 26).unwrap();
    let begin = number * 400_000;
    (begin..begin + 400_000).map(|at| char::from(letter(at))).collect()
}

#[tokio::test]
async fn a_full_disk_is_said_and_what_was_there_still_serves() {
    let installation = Installation::new();
    let prepare = format!("mount -t tmpfs -o size=4m tmpfs '{}'", installation.data().display());
    let mut client = StdioClient::start(in_mount_namespace(&installation, &prepare));
    client.initialize(json!({})).await;
    let first = client.call("create_web_app", json!({"html": PAGE, "app_name": "tea"})).await;
    assert_eq!(first["status"], "success", "{first}");
    // Bytes that do not compress and differ, until nothing fits any more.
    let mut refused = Value::Null;
    for n in 0..20 {
        let page = PAGE.replace("Four minutes.", &filler(n));
        let made = client.call("create_web_app", json!({"html": page, "app_name": "tea"})).await;
        if made["status"] == "error" {
            refused = made;
            break;
        }
    }
    assert_eq!(refused["code"], "disk_full", "{refused}");
    let page = format!("{PAGE}<!-- {} -->", filler(21));
    let refused =
        client.call("create_pdf_document", json!({"html": page, "doc_name": "tea"})).await;
    assert_eq!(refused["code"], "disk_full", "{refused}");
    let edits = format!(
        "<<<<<<< SEARCH\n<title>\n=======\n<!-- {} --><title>\n>>>>>>> REPLACE",
        filler(22)
    );
    let edit = json!({"app_name": "tea", "edits": edits});
    let edited = client.call("edit_web_app", edit).await;
    assert_eq!(edited["code"], "disk_full", "{edited}");
    assert_eq!(get(first["url"].as_str().unwrap()).await.0, 200, "the app is still served");
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_is_a_start_error_with_its_fix() {
    let installation = Installation::new();
    let data = installation.data();
    let prepare =
        format!("mount --bind '{0}' '{0}' && mount -o remount,ro,bind '{0}'", data.display());
    let output = in_mount_namespace(&installation, &prepare).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains(data.to_str().unwrap()), "{log}");
    assert!(log.contains("ATELIER_DATA_DIR"), "{log}");
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn nothing_is_left_running_after_the_end() {
    let installation = Installation::new();
    let client = installation.stdio().await;
    let process = client.process();
    let children = || {
        std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"))
            .unwrap_or_default()
    };
    assert_eq!(children(), "", "an idle server has no children");
    assert_eq!(client.close().await.0, Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
    assert!(installation.folder().join("data/atelier.db").exists());
}

const ASKING: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Asks</title></head><body><main><h1>Asks</h1><output id=\"out\"></output></main><script>atelier.askAi('Who?').then((text) => { out.textContent = text; }, (error) => { out.textContent = error.code; });</script></body></html>";

#[tokio::test]
async fn an_app_asks_a_model_and_its_owner_deletes_it_in_the_gallery() {
    let server =
        FakeLlm::start(Script::new().rule(Rule::reply(Reply::text("Ada.")))).await.unwrap();
    let installation = Installation::new()
        .with("ANTHROPIC_API_KEY", "test-key")
        .with("ANTHROPIC_BASE_URL", server.base_url());
    let mut client = installation.stdio().await;
    let arguments = json!({"html": ASKING, "app_name": "asks", "mcp_tool_names": ["ask_ai"]});
    let made = client.call("create_web_app", arguments).await;
    assert_eq!(made["mcp_tool_names"], json!(["ask_ai"]), "{made}");

    let browser = crate::support::browser::Browser::launch().await;
    let app = browser.page().await;
    app.open(made["url"].as_str().unwrap()).await;
    app.until("document.getElementById('out').textContent === 'Ada.'").await;
    server.assert_all_matched();

    let list = client.call("list_web_apps", json!({})).await;
    let gallery = browser.page().await;
    gallery.open(list["gallery_url"].as_str().unwrap()).await;
    gallery.click("[data-name=asks] .manage").await;
    gallery.until("document.querySelectorAll('#versions li').length === 1").await;
    gallery.click("#delete").await;
    gallery.click("#delete-now").await;
    gallery.until("document.querySelectorAll('.card').length === 0").await;
    let list = client.call("list_web_apps", json!({})).await;
    assert_eq!(list["web_apps"], json!([]), "{list}");
    assert_eq!(get(made["url"].as_str().unwrap()).await.0, 404);
    client.close().await;
}
