//! `atelier workflow`: workflows without a client.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::terminal_person::TerminalPerson;
use super::{CommandError, output, tools};
use crate::agent::runs::RunId;
use crate::agent::trace;
use crate::agent::workflows::Workflows;
use crate::app::{App, LinkLife};
use crate::config::Config;
use crate::jobs::{ModelAtHand, ProgressSink};
use crate::server::ports::{ListenerKind, kept_address};

/// Run workflows, and look at them
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  atelier workflow run elixir_crud_generator --query 'Create a User schema with name (string), email (string), and age (integer). Project path is /home/me/my_phoenix_app'"
)]
pub(super) enum WorkflowCommand {
    /// Run a workflow to its end
    Run(RunArguments),
    /// List the workflows
    List(ListArguments),
    /// Look for mistakes in the file of workflows
    #[command(after_help = "Example:\n  atelier workflow check --workflows ./workflows.json")]
    Check,
    /// Show every step of a run
    Show(ShowArguments),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  atelier workflow run report_writer --query 'Solar power in Ghana' --param length=short"
)]
pub(super) struct RunArguments {
    /// Name of the workflow
    name: String,
    /// What is wanted
    #[arg(long, value_name = "TEXT", default_value = "")]
    query: String,
    /// Value of a parameter, as often as needed
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Print the whole result as JSON instead of the answer
    #[arg(long)]
    json: bool,
    /// Show the model, the prompt, the tools and the budget, and call nothing
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atelier workflow list --json")]
pub(super) struct ListArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atelier workflow show V9xQ2mJ7Tq0Kc4bN1sLrYw")]
pub(super) struct ShowArguments {
    /// Name of the run
    run: String,
    /// Print JSON instead of Markdown
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(
    command: WorkflowCommand,
    config: Config,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    match command {
        WorkflowCommand::Run(arguments) => carry_out(arguments, config, shutdown).await,
        WorkflowCommand::List(arguments) => list(&arguments, &config),
        WorkflowCommand::Check => check(&config),
        WorkflowCommand::Show(arguments) => show(&arguments, config).await,
    }
}

async fn carry_out(
    arguments: RunArguments,
    config: Config,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    let mut parameters = Map::new();
    for parameter in &arguments.parameters {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err(CommandError::usage(
                format!("`{parameter}` is no parameter"),
                "write `--param name=value`",
            ));
        };
        parameters.insert(name.trim().to_owned(), Value::from(value));
    }
    let app = App::open(config, LinkLife::WhileRunning).await?;
    if arguments.dry_run {
        let looked_at = look_at(&app, &arguments, &parameters, shutdown).await;
        app.shut_down().await;
        return looked_at;
    }
    if app.config.server.content_listen.is_none() {
        app.urls.set_content_address(kept_address(&*app.catalog, ListenerKind::Content).await?);
    }
    // Runs that an earlier process left behind are given up here, so that they can be gone on with.
    app.runner.start_background();
    let mut context = tools::context(&app, shutdown);
    context.models.host_completion = false;
    context.person = TerminalPerson::here();
    let last = Mutex::new(String::new());
    context.progress = ProgressSink::new(move |progress| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != progress.message {
            last.clone_from(&progress.message);
            output::note(&progress.message);
        }
    });
    let call = json!({"name": arguments.name, "query": arguments.query, "parameters": parameters});
    let outcome = app.registry.call("run_workflow", call, context).await;
    app.runner.shut_down().await;
    app.servers.shut_down().await;
    app.renderer.shut_down().await;
    if arguments.json || outcome.is_error {
        output::json(&outcome.structured)?;
    } else {
        let text = |key: &str| outcome.structured.get(key).and_then(Value::as_str).unwrap_or("");
        output::result(text("answer"))?;
        if text("status") == "warning" {
            output::note(text("message"));
        }
        output::note(&format!("every step: atelier workflow show {}", text("run")));
    }
    Ok(if outcome.is_error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Shows what a run would begin with.
async fn look_at(
    app: &App,
    arguments: &RunArguments,
    parameters: &Map<String, Value>,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    let workflows = Workflows::new(app.config.agent.workflows.clone());
    let request =
        workflows.request(&arguments.name, &arguments.query, parameters).map_err(failed)?;
    let mut context = tools::context(app, shutdown);
    context.models.host_completion = false;
    let choice = app.models.choose(request.model.as_deref(), &context.models).await;
    let (model, problem) = match &choice {
        Ok(choice) => (ModelAtHand::of(choice), None),
        Err(error) => (ModelAtHand::nobody(), Some(error.message.clone())),
    };
    let preview = app.agent.engine().preview(&context, model, request).await.map_err(failed)?;
    if arguments.json {
        let mut shown = preview.json();
        if let (Some(problem), Some(object)) = (&problem, shown.as_object_mut()) {
            object.insert("problem".into(), json!(problem));
        }
        output::json(&shown)?;
    } else {
        output::result(&preview.text())?;
    }
    Ok(match problem {
        Some(problem) => {
            output::note(&format!("the run would end at its first question: {problem}"));
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    })
}

fn list(arguments: &ListArguments, config: &Config) -> Result<ExitCode, CommandError> {
    let set = Workflows::new(config.agent.workflows.clone()).load().map_err(failed)?;
    if arguments.json {
        let listed: Vec<Value> = set
            .workflows
            .iter()
            .map(|(name, workflow)| {
                json!({
                    "name": name,
                    "description": workflow.description,
                    "parameters": workflow.parameters,
                })
            })
            .collect();
        output::json(&json!({ "workflows": listed, "broken": set.broken }))?;
    } else {
        for (name, workflow) in &set.workflows {
            output::result(&format!("{name:<26} {}", workflow.description))?;
        }
        for (name, problem) in &set.broken {
            output::note(&format!("{name} cannot be run: {problem}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(config: &Config) -> Result<ExitCode, CommandError> {
    let workflows = Workflows::new(config.agent.workflows.clone());
    let set = workflows.load().map_err(failed)?;
    match workflows.file() {
        Some(file) => output::result(&format!("file: {}", file.display()))?,
        None => output::result("file: none; the program's own workflows alone")?,
    }
    for warning in &set.warnings {
        output::result(&format!("warning: {warning}"))?;
    }
    for (name, problem) in &set.broken {
        output::result(&format!("wrong: {name}: {problem}"))?;
    }
    for name in set.workflows.keys() {
        output::result(&format!("ok: {name}"))?;
    }
    Ok(if set.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show(arguments: &ShowArguments, config: Config) -> Result<ExitCode, CommandError> {
    let app = App::open(config, LinkLife::WhileRunning).await?;
    let Some(run) = RunId::parse(arguments.run.trim()) else {
        return Err(CommandError::usage(
            format!("`{}` is no name of a run", arguments.run),
            "`atelier workflow run` tells it at its end",
        ));
    };
    let events = Arc::clone(app.agent.engine()).runs().events(&run, 0).map_err(failed)?;
    if arguments.json {
        output::json(&trace::json(&events))?;
    } else {
        output::result(&trace::markdown(&events))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn failed(error: crate::error::ToolError) -> CommandError {
    match &error.hint {
        Some(hint) => CommandError::failed(format!("{}\nhint: {hint}", error.message)),
        None => CommandError::failed(&error.message),
    }
}
