//! `atelier chat` without a terminal: the real program, plain lines, signals.

use std::process::Stdio;
use std::time::Duration;

use fake_llm::{FakeLlm, Fault, Reply, Rule, Script};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::support::product::Installation;

struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    installation: Installation,
}

impl Talk {
    fn begin(llm: &FakeLlm) -> Self {
        let installation = Installation::new()
            .with("ANTHROPIC_API_KEY", "test-key")
            .with("ANTHROPIC_BASE_URL", llm.base_url());
        let mut command = installation.command(&["chat"]);
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, lines, installation }
    }

    async fn type_line(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        input.flush().await.unwrap();
    }

    /// Reads to the line that contains this, and gives all that came.
    async fn until(&mut self, wanted: &str) -> String {
        let mut all = String::new();
        let reading = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended before `{wanted}`: {all}"));
                all.push_str(&line);
                all.push('\n');
                if line.contains(wanted) {
                    break;
                }
            }
        };
        let read = tokio::time::timeout(Duration::from_mins(1), reading).await;
        assert!(read.is_ok(), "no `{wanted}`: {all}");
        assert!(!all.contains('\u{1b}') && !all.contains('\u{202e}'), "{all:?}");
        all
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    async fn end(mut self) -> Option<i32> {
        drop(self.input.take());
        let ended = tokio::time::timeout(Duration::from_mins(1), self.child.wait()).await;
        ended.expect("it does not end").unwrap().code()
    }
}

#[tokio::test]
async fn a_conversation_in_plain_lines() {
    let html = "<!doctype html><html lang=\"en\"><title>T</title><p>x</p></html>";
    let script = Script::new()
        .rule(Rule::reply(Reply::text("It is declined, then.")).on_tool_result("declined"))
        .rule(Rule::reply(Reply::text("It is gone.")).on_tool_result("\"version\""))
        .rule(
            Rule::reply(Reply::tool_call(
                "a",
                "create_web_app",
                json!({"app_name": "tea", "html": html}),
            ))
            .on_user_text("make"),
        )
        .rule(
            Rule::reply(Reply::tool_call("b", "delete_document", json!({"app_name": "tea"})))
                .on_user_text("away"),
        )
        .rule(Rule::reply(Reply::text(
            "Plain \u{1b}[31mred\u{1b}[0m and \u{202e}turned\u{202c} **words**.",
        )));
    let llm = FakeLlm::start(script).await.unwrap();
    let mut talk = Talk::begin(&llm);
    talk.type_line("hello").await;
    assert_eq!(talk.until("words").await, "Plain red and turned **words**.\n");
    talk.type_line("make tea").await;
    let made = talk.until("It is gone.").await;
    assert!(made.contains("· create_web_app: done after"), "{made}");
    assert!(made.contains("  tea: http://127.0.0.1:"), "{made}");
    talk.type_line("throw it away").await;
    let asked = talk.until("[n]o").await;
    assert!(asked.contains("`delete_document` needs your approval") && asked.contains("\"tea\""));
    talk.type_line("what?").await;
    talk.until("[n]o").await;
    talk.type_line("n").await;
    let declined = talk.until("It is declined").await;
    assert!(declined.contains("delete_document: declined"), "{declined}");

    talk.type_line("/nothing").await;
    talk.until("hint: /help lists what there is").await;
    talk.type_line("/model").await;
    talk.until("* claude-sonnet-5-5").await;
    talk.type_line("/tools -create_web_app").await;
    let tools = talk.until("edit_web_app").await;
    assert!(tools.contains("  create_web_app") && tools.contains("* edit_web_app"), "{tools}");
    talk.type_line("/save talk.md").await;
    talk.until("Saved as talk.md.").await;
    talk.type_line("/save talk.md").await;
    talk.until("hint: name a file that is not there yet").await;
    let saved = std::fs::read_to_string(talk.installation.folder().join("talk.md")).unwrap();
    assert!(saved.starts_with("# hello\n") && saved.contains("> make tea"), "{saved}");
    talk.type_line("/new").await;
    talk.type_line("hello again").await;
    talk.until("words").await;
    let request = llm.model_requests().pop().unwrap();
    assert!(!request.body_text.contains("make tea"), "a new conversation knows nothing of the old");
    assert!(!request.tool_names.iter().any(|name| name == "create_web_app"));
    talk.type_line("/open").await;
    let list = talk.until("  2  hello  (").await;
    assert!(list.contains("  1  hello again  ("), "{list}");
    talk.type_line("/open 2").await;
    talk.until("It is declined, then.").await;
    talk.type_line("/quit").await;
    assert_eq!(talk.end().await, Some(0));
}

#[tokio::test]
async fn control_c_stops_the_answer_and_twice_leaves() {
    let stalls = Rule::reply(Reply::chunks(["Half\n", "an answer"]))
        .fault(Fault::StallBody { after_events: 4, millis: None })
        .times(1);
    let script = Script::new().rule(stalls).rule(Rule::reply(Reply::text("Whole.")));
    let llm = FakeLlm::start(script).await.unwrap();
    let mut talk = Talk::begin(&llm);
    talk.type_line("tell").await;
    // The words are on disk before they are shown.
    let runs = talk.installation.data().join("runs");
    let said = || {
        let logs = std::fs::read_dir(&runs).into_iter().flatten();
        logs.filter_map(|run| std::fs::read_to_string(run.ok()?.path().join("events.jsonl")).ok())
            .any(|log| log.contains("Half"))
    };
    while !said() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    talk.signal("-INT");
    let stopped = talk.until("(stopped)").await;
    assert!(stopped.starts_with("Half\n"), "what was said stands: {stopped}");
    talk.type_line("again").await;
    talk.until("Whole.").await;
    talk.signal("-INT");
    talk.until("(Ctrl-C again leaves)").await;
    talk.signal("-INT");
    let code = tokio::time::timeout(Duration::from_mins(1), talk.child.wait()).await;
    assert_eq!(code.expect("it does not leave").unwrap().code(), Some(0));
}

#[tokio::test]
async fn without_a_model_it_says_what_to_do() {
    let installation = Installation::new()
        .with("OLLAMA_HOST", "127.0.0.1:9")
        .with("ATELIER_LLM__LLAMACPP_BASE_URL", "http://127.0.0.1:9");
    let finished = installation.run(&["chat"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("no model can answer")
            && finished.stderr.contains("hint: set a key")
    );
}
