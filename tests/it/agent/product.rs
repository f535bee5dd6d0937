//! Workflows through the real program: over stdio, by the command line, through a crash, and with
//! the host as the model.

use std::time::Duration;

use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::{Value, json};

use crate::support::product::{Installation, get};

const QUERY: &str = "Create a User schema with name (string), email (string), and age (integer).";

fn definition() -> Value {
    json!({
        "module_name": "User",
        "fields": [
            {"name": "name", "type": "string"},
            {"name": "email", "type": "string"},
            {"name": "age", "type": "integer"},
        ],
    })
}

/// A project that the generators may write into.
fn project(installation: &Installation) -> String {
    installation.write(
        "my_phoenix_app/mix.exs",
        "defmodule MyPhoenixApp.MixProject do\n  use Mix.Project\n  def project, do: [app: :my_phoenix_app, version: \"0.1.0\", deps: [{:phoenix, \"~> 1.7\"}, {:ecto_sql, \"~> 3.10\"}]]\nend\n",
    );
    installation.write(
        "my_phoenix_app/lib/my_phoenix_app/repo.ex",
        "defmodule MyPhoenixApp.Repo do\n  use Ecto.Repo, otp_app: :my_phoenix_app, adapter: Ecto.Adapters.Postgres\nend\n",
    );
    installation.folder().join("my_phoenix_app").to_string_lossy().into_owned()
}

/// The seed's example: schema, migration, summary.
fn elixir_script(path: &str) -> Script {
    let arguments = json!({"schema_definition": definition(), "target_project_path": path});
    Script::new()
        .rule(
            Rule::reply(Reply::tool_call("c1", "generate_ecto_schema", arguments.clone()))
                .on_user_text("User schema")
                .times(1),
        )
        .rule(
            Rule::reply(Reply::tool_call("c2", "generate_ecto_migration", arguments))
                .on_tool_result("user.ex")
                .times(1),
        )
        .rule(
            Rule::reply(Reply::text("I have generated the Ecto schema and the migration."))
                .on_tool_result("create_users"),
        )
}

fn installation() -> Installation {
    let installation = Installation::new().with("ATELIER_LIMITS__LEASE_S", "3");
    let folder = installation.folder().to_string_lossy().into_owned();
    installation.with("ATELIER_ELIXIR__ALLOWED_ROOTS", folder)
}

fn with_model(installation: Installation, server: &FakeLlm) -> Installation {
    installation.with("GEMINI_API_KEY", "key").with("GEMINI_BASE_URL", server.base_url())
}

#[tokio::test]
async fn the_elixir_workflow_runs_by_the_command_line_and_shows_its_trace() {
    let installation = installation();
    let path = project(&installation);
    let server = FakeLlm::start(elixir_script(&path)).await.unwrap();
    let installation = with_model(installation, &server);
    let query = format!("{QUERY} Project path is {path}");
    let done =
        installation.run(&["workflow", "run", "elixir_crud_generator", "--query", &query]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stdout.trim(), "I have generated the Ecto schema and the migration.");
    server.assert_all_matched();
    let schema = std::fs::read_to_string(format!("{path}/lib/my_phoenix_app/schemas/user.ex"));
    assert!(schema.unwrap().contains("field :age, :integer"));
    let run = done.stderr.rsplit_once("workflow show ").unwrap().1.trim().to_owned();
    let shown = installation.run(&["workflow", "show", &run]).await;
    for word in
        ["# Run of elixir_crud_generator", "Call 1.1: `generate_ecto_schema`", "## End: answered"]
    {
        assert!(shown.stdout.contains(word), "{word}: {}", shown.stdout);
    }
    let json = installation.run(&["workflow", "show", &run, "--json"]).await.json();
    assert_eq!(json["events"][0]["event"], "started");
    let wrong = installation.run(&["workflow", "show", "nothing"]).await;
    assert_eq!(wrong.code, Some(2));
}

/// The seed's example as it stands there: external servers over stdio, one of them a script of
/// Elixir's own, a workflow of the file, and a query that names the project.
#[tokio::test]
async fn the_elixir_workflow_runs_with_external_servers() {
    let installation = installation();
    let path = project(&installation);
    let program = env!("CARGO_BIN_EXE_atelier");
    let data = installation.folder().join("other-data").to_string_lossy().into_owned();
    let roots = installation.folder().to_string_lossy().into_owned();
    installation.write(
        "mcp_servers.json",
        &json!({"mcpServers": {
            "elixir_ecto_gen_tool": {
                "command": ["elixir", super::elixir_server::script()],
                "env": {"ECTO_GENERATOR_ROOTS": roots},
            },
            "elixir_migration_gen_tool": {
                "command": program,
                "args": ["elixir", "serve-migration"],
                "env": {"ATELIER_DATA_DIR": data, "ATELIER_ELIXIR__ALLOWED_ROOTS": roots},
            },
            "elixir_phoenix_context_gen_tool": {
                "command": [program, "elixir", "serve-context"],
                "env": {"ATELIER_DATA_DIR": data, "ATELIER_ELIXIR__ALLOWED_ROOTS": roots},
            },
        }})
        .to_string(),
    );
    // Its four keys and nothing else: our own generators say that they may change what is there,
    // and naming a server of one tool names that tool.
    installation.write("workflows.json", include_str!("../../fixtures/workflows/seed.json"));
    let arguments = json!({"schema_definition": definition(), "target_project_path": path});
    let schema_tool = "elixir_ecto_gen_tool__generate_ecto_schema";
    let migration_tool = "elixir_migration_gen_tool__generate_ecto_migration";
    let script = Script::new()
        .rule(
            Rule::reply(Reply::tool_call("c1", schema_tool, arguments.clone()))
                .on_tools([schema_tool, migration_tool])
                .on_user_text("^You are an Elixir")
                .times(1),
        )
        .rule(
            Rule::reply(Reply::tool_call("c2", migration_tool, arguments))
                .on_tool_result("schemas/user.ex")
                .times(1),
        )
        .rule(
            Rule::reply(Reply::text(
                "I have generated the Ecto schema at …/user.ex and the migration.",
            ))
            .on_tool_result("create_users"),
        );
    let server = FakeLlm::start(script).await.unwrap();
    let file = |name: &str| installation.folder().join(name).to_string_lossy().into_owned();
    let (servers, workflows) = (file("mcp_servers.json"), file("workflows.json"));
    let installation = with_model(installation, &server)
        .with("ATELIER_MCP_SERVERS", servers)
        .with("ATELIER_WORKFLOWS", workflows);
    let query = format!("{QUERY} Project path is {path}");
    let done = installation
        .run(&["workflow", "run", "elixir_crud_generator", "--query", &query, "--json"])
        .await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let result = done.json();
    assert_eq!(
        result["answer"], "I have generated the Ecto schema at …/user.ex and the migration.",
        "{done:?}"
    );
    let tools: Vec<_> = result["tool_calls"].as_array().unwrap().iter().collect();
    assert_eq!(tools[0]["tool"], schema_tool);
    assert_eq!((&tools[0]["ok"], &tools[1]["ok"]), (&json!(true), &json!(true)));
    server.assert_all_matched();
    let schema = format!("{path}/lib/my_phoenix_app/schemas/user.ex");
    assert!(std::fs::read_to_string(schema).unwrap().contains("field :age, :integer"));
    assert_eq!(std::fs::read_dir(format!("{path}/priv/repo/migrations")).unwrap().count(), 1);
}

#[tokio::test]
async fn workflows_of_a_file_are_listed_checked_and_run() {
    let installation = Installation::new();
    installation.write(
        "flows.json",
        &json!({
            "greeting": {
                "description": "Greets.",
                "llm_model": "gemini-2.5-pro-preview-05-06",
                "parameters": {"who": {"type": "string"}},
                "initial_prompt_template": "Greet {{ who }}: {user_query}",
                "max_conversation_turns": 2,
            },
            "broken": {"initial_prompt_template": "{{ nobody }}"},
        })
        .to_string(),
    );
    let server = FakeLlm::start(
        Script::new()
            .rule(Rule::reply(Reply::text("Hello, Ada.")).on_user_text("^Greet Ada: kindly$")),
    )
    .await
    .unwrap();
    let file = installation.folder().join("flows.json").to_string_lossy().into_owned();
    let installation = with_model(installation, &server).with("ATELIER_WORKFLOWS", file.clone());
    let listed = installation.run(&["workflow", "list", "--json"]).await.json();
    let names: Vec<_> =
        listed["workflows"].as_array().unwrap().iter().map(|w| w["name"].clone()).collect();
    assert_eq!(names, ["app_builder", "elixir_crud_generator", "greeting", "report_writer"]);
    let checked = installation.run(&["workflow", "check", "--workflows", &file]).await;
    assert_eq!(checked.code, Some(1));
    assert!(checked.stdout.contains("wrong: broken:") && checked.stdout.contains("nobody"));
    let run = ["workflow", "run", "greeting", "--query", "kindly"];
    let missing = installation.run(&run).await;
    assert_eq!(missing.json()["code"], "invalid_parameters", "{missing:?}");
    let greeted = installation.run(&[&run[..], &["--param", "who=Ada", "--json"]].concat()).await;
    let result = greeted.json();
    assert_eq!(result["answer"], "Hello, Ada.", "{greeted:?}");
    assert_eq!((&result["turns"], &result["stop_reason"]), (&json!(1), &json!("answered")));
    let bad = installation.run(&["workflow", "run", "greeting", "--param", "who"]).await;
    assert_eq!(bad.code, Some(2));
    let near = installation.run(&["workflow", "run", "greetin"]).await;
    assert_eq!(near.json()["hint"], "did you mean `greeting`?");
}

#[tokio::test]
async fn a_dry_run_shows_model_prompt_tools_and_budget_and_calls_nothing() {
    let installation = installation();
    let path = project(&installation);
    let server = FakeLlm::start(Script::new().reply(Reply::text("never"))).await.unwrap();
    let query = format!("{QUERY} Project path is {path}");
    let run = ["workflow", "run", "elixir_crud_generator", "--query", &query, "--dry-run"];
    // Nobody could answer: said, and still shown.
    let alone = installation.run(&run).await;
    assert_eq!(alone.code, Some(1), "{alone:?}");
    assert!(alone.stderr.contains("would end at its first question"), "{alone:?}");
    let installation = with_model(installation, &server);
    let looked = installation.run(&run).await;
    assert_eq!(looked.code, Some(0), "{looked:?}");
    for part in [
        "workflow: elixir_crud_generator",
        "(api)",
        "budget: 12 turns, 100 tool calls",
        "  generate_ecto_schema",
        "instructions:",
        "You are an Elixir and Phoenix code generation assistant.",
        QUERY,
        "No model was asked and no tool was called.",
    ] {
        assert!(looked.stdout.contains(part), "{part}: {}", looked.stdout);
    }
    let shown = installation.run(&[&run[..], &["--json"]].concat()).await.json();
    assert_eq!((&shown["model"]["route"], &shown["limits"]["turns"]), (&json!("api"), &json!(12)));
    assert!(shown["model"]["id"].as_str().unwrap().starts_with("gemini"), "{shown}");
    let tool = &shown["tools"][0];
    assert!(tool["input_schema"].is_object() && tool["asks_first"] == false, "{tool}");
    assert!(shown["messages"][0]["text"].as_str().unwrap().contains(QUERY), "{shown}");
    // The same prompt is what a run sends; a look sends nothing and makes nothing.
    assert!(server.model_requests().is_empty());
    assert!(!std::path::Path::new(&format!("{path}/lib/my_phoenix_app/schemas")).exists());
    installation.run(&run[..5]).await;
    let sent = &server.model_requests()[0].body_text;
    assert!(sent.contains("You are an Elixir and Phoenix code generation assistant."), "{sent}");
    // What cannot be run cannot be looked at either.
    let unknown = installation.run(&["workflow", "run", "nothing", "--dry-run"]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("there is no workflow `nothing`"), "{unknown:?}");
}

#[tokio::test]
async fn a_killed_server_goes_on_and_pays_for_nothing_twice() {
    let installation = installation();
    let path = project(&installation);
    // The answer to the second question comes only when the first process is dead.
    let slow = json!({"schema_definition": definition(), "target_project_path": path});
    let script = Script::new()
        .rule(
            Rule::reply(Reply::tool_call("c1", "generate_ecto_schema", slow.clone()))
                .on_user_text("User schema")
                .times(1),
        )
        .rule(
            Rule::reply(Reply::tool_call("c2", "generate_ecto_migration", slow))
                .on_tool_result("user.ex")
                .fault(fake_llm::Fault::StallHeaders { millis: Some(1500) })
                .times(2),
        )
        .rule(Rule::reply(Reply::text("Both are there.")).on_tool_result("create_users"));
    let server = FakeLlm::start(script).await.unwrap();
    let installation =
        with_model(installation, &server).with("ATELIER_LIMITS__ANSWER_BUDGET_S", "0.2");
    let mut first = installation.stdio().await;
    let started = first
        .call(
            "run_workflow",
            json!({"name": "elixir_crud_generator", "query": format!("{QUERY} Project path is {path}")}),
        )
        .await;
    assert_eq!(started["status"], "running", "{started}");
    // The second question has arrived: the first answer and its call are stored.
    tokio::time::timeout(Duration::from_mins(1), async {
        while server.model_requests().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    first.kill().await;

    let mut second = installation.stdio().await;
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    let result = loop {
        let result =
            second.call("get_job", json!({"job_id": started["job_id"], "wait_seconds": 5})).await;
        if result["status"] != "running" || std::time::Instant::now() > deadline {
            break result;
        }
    };
    assert_eq!(result["answer"], "Both are there.", "{result}");
    let tools: Vec<_> =
        result["tool_calls"].as_array().unwrap().iter().map(|call| call["tool"].clone()).collect();
    assert_eq!(tools, ["generate_ecto_schema", "generate_ecto_migration"]);
    // The question that was open is asked again; the one that was answered is not.
    let asked = server.model_requests();
    let firsts = asked.iter().filter(|request| request.tool_result.is_none()).count();
    assert_eq!((firsts, asked.len()), (1, 4), "asked {}", asked.len());
    let (status, trace) = get(result["trace_url"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    assert!(trace.contains("Taken up again") && trace.contains("## End: answered"), "{trace}");
    let (status, _) = get(&format!("{}x", result["trace_url"].as_str().unwrap())).await;
    assert_eq!(status, 404);
    second.close().await;
}

#[tokio::test]
async fn with_no_model_the_host_takes_each_step() {
    let installation = installation();
    let path = project(&installation);
    let mut client = installation.stdio().await;
    let asked = client
        .call(
            "run_workflow",
            json!({"name": "elixir_crud_generator", "query": QUERY,
                   "parameters": {"target_project_path": path}}),
        )
        .await;
    assert_eq!(asked["status"], "needs_completion", "{asked}");
    let system = asked["prompt"]["system"].as_str().unwrap();
    assert!(system.contains("tool_calls") && system.contains("`generate_ecto_schema`"), "{system}");
    let mut result = asked;
    for text in [
        "I think.".to_owned(),
        json!({"tool_calls": [{"name": "generate_ecto_schema", "arguments":
            {"schema_definition": definition(), "target_project_path": path}}], "note": "The schema first."})
        .to_string(),
        json!({"tool_calls": [{"name": "generate_ecto_migration", "arguments":
            {"schema_definition": definition(), "target_project_path": path}}]})
        .to_string(),
        "```json\n{\"final\": \"Both are there.\"}\n```".to_owned(),
    ] {
        assert_eq!(result["status"], "needs_completion", "{result}");
        let handle = result["handle"].clone();
        result = client.call("submit_completion", json!({"handle": handle, "text": text})).await;
    }
    assert_eq!(result["answer"], "Both are there.", "{result}");
    assert_eq!(result["tool_calls"].as_array().unwrap().len(), 2);
    assert_eq!(result["llm_route"], "host");
    let migrations = std::fs::read_dir(format!("{path}/priv/repo/migrations")).unwrap().count();
    assert_eq!(migrations, 1);
    client.close().await;
}

/// Turns of the run that is killed again and again.
const TURNS: usize = 4;

/// One run that is killed twice; returns how often it was, and how many questions were open at a
/// kill and so were asked again.
async fn killed_run(seed: u64) -> (usize, usize) {
    let page = |n: usize| {
        format!(
            "<!DOCTYPE html><html><head><title>{n}</title></head><body><h1>App {n}</h1></body></html>"
        )
    };
    let mut script = Script::new();
    for n in 1..=TURNS {
        let call = Reply::tool_call(
            format!("c{n}"),
            "create_web_app",
            json!({"user_number": "1", "app_name": format!("app-{n}"), "html": page(n)}),
        );
        let rule = Rule::reply(call).fault(fake_llm::Fault::StallHeaders { millis: Some(120) });
        script = script.rule(if n == 1 {
            rule.on_user_text("Make four apps")
        } else {
            rule.on_tool_result(format!("app-{}\\b", n - 1))
        });
    }
    let script = script.rule(
        Rule::reply(Reply::text("All four are there.")).on_tool_result(format!("app-{TURNS}\\b")),
    );
    // The first rule would answer later questions too, since the user's words stay the last text.
    let mut script = script;
    script.rules.rotate_left(1);
    let server = FakeLlm::start(script).await.unwrap();
    let installation = with_model(Installation::new(), &server)
        // A busy machine must not lose a lease by itself: attempts are counted.
        .with("ATELIER_LIMITS__LEASE_S", "3")
        .with("ATELIER_LIMITS__ANSWER_BUDGET_S", "0.05")
        .with("ATELIER_BROWSER__VERIFY", "false");
    installation.write(
        "workflows.json",
        &json!({"apps": {"tools": ["create_web_app"], "initial_prompt_template": "{{ query }}"}})
            .to_string(),
    );
    let file = installation.folder().join("workflows.json").to_string_lossy().into_owned();
    let installation = installation.with("ATELIER_WORKFLOWS", file);
    let mut client = installation.stdio().await;
    let started =
        client.call("run_workflow", json!({"name": "apps", "query": "Make four apps."})).await;
    let job = started["job_id"].clone();
    assert!(job.is_string(), "{started}");
    let mut kills = 0;
    let mut state = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let result = loop {
        if kills < 2 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            // The moment is the test's subject, so it is a time and no condition.
            tokio::time::sleep(Duration::from_millis((state >> 33) % 700)).await;
            client.kill().await;
            kills += 1;
            client = installation.stdio().await;
            continue;
        }
        let result = client.call("get_job", json!({"job_id": job, "wait_seconds": 1})).await;
        if result["status"] != "running" && result["code"] != "interrupted" {
            break result;
        }
    };
    assert_eq!(result["answer"], "All four are there.", "seed {seed}: {result}");
    let asked = server.model_requests().len();
    assert!(
        (TURNS + 1..=TURNS + 1 + kills).contains(&asked),
        "seed {seed}: {asked} questions for {} answers and {kills} kills",
        TURNS + 1
    );
    let apps = client.call("list_web_apps", json!({"user_number": "1"})).await;
    let versions: Vec<_> = apps["web_apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| (app["app_name"].as_str().unwrap().to_owned(), app["version"].clone()))
        .collect();
    assert_eq!(versions.len(), TURNS, "seed {seed}: {versions:?}");
    assert!(versions.iter().all(|(_, version)| *version == json!(1)), "seed {seed}: {versions:?}");
    client.close().await;
    (kills, asked - (TURNS + 1))
}

#[tokio::test]
async fn kills_at_random_points_repeat_nothing() {
    for seed in 1..=2 {
        killed_run(seed).await;
    }
}

#[tokio::test]
#[ignore = "soak: 200 kills take many minutes"]
async fn two_hundred_kills_repeat_nothing() {
    let (mut kills, mut asked_again, mut runs) = (0, 0, 0);
    let mut seed = 100;
    while kills < 200 {
        let (killed, again) = killed_run(seed).await;
        kills += killed;
        asked_again += again;
        runs += 1;
        seed += 1;
        eprintln!(
            "{runs} runs, {kills} kills, {asked_again} questions asked again, never more than one for a kill"
        );
    }
}
