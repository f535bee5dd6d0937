//! Whether made servers can run isolated, and the Python that they run with.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::probe::{NoAnswer, ask};
use super::{Check, Status};
use crate::app::{self, CommonEnvironment};
use crate::config::Config;
use crate::sandbox::{Sandbox, SandboxError, ServiceSpec};

/// What made servers import.
const IMPORT: &str =
    "import mcp, pytest; from importlib.metadata import version; print(version('mcp'))";
/// A program that starts and ends.
const NOTHING: &str = "print('nothing')";
/// How long it may take, with a cold disk.
const PATIENCE: Duration = Duration::from_secs(40);

const NAME: &str = "made servers";
const ENVIRONMENT: &str = "made servers' python";

/// Looks at both, the isolation by starting a program behind it, and ends the sandbox.
pub(super) async fn checks(config: &Config) -> Vec<Check> {
    let environment = app::environment_of_made_servers(config);
    let mut checks = vec![isolation(config, &environment).await];
    checks.push(python(config, &environment).await);
    checks
}

async fn isolation(config: &Config, environment: &CommonEnvironment) -> Check {
    if config.factory.unsandboxed {
        let detail = "they run as plain processes, as the configuration allows";
        let fix = "remove `factory.unsandboxed`, so that they run behind the sandbox's fences";
        return Check::finding(NAME, Status::Warning, detail, fix);
    }
    let sandbox = match app::sandbox_to_examine(config) {
        Ok((sandbox, _)) => sandbox,
        Err(error) => {
            let fix = "put `[python]` in atelier.toml right";
            return Check::finding(NAME, Status::Warning, error.to_string(), fix);
        }
    };
    let (interpreter, code) = if environment.is_ready {
        (environment.python.clone(), IMPORT)
    } else {
        (config.factory.python.clone().into(), NOTHING)
    };
    let spec = ServiceSpec {
        interpreter,
        arguments: vec!["-I".to_owned(), "-c".to_owned(), code.to_owned()],
        folder: "/usr".into(),
        listen: vec![std::net::SocketAddr::from(([127, 0, 0, 1], 3128))],
        ..ServiceSpec::default()
    };
    let tried = tokio::time::timeout(PATIENCE, run(sandbox.as_ref(), spec)).await;
    sandbox.close().await;
    let not = |detail: String, fix: String| {
        let fix = format!("{fix}; or `factory.unsandboxed = true`, without isolation");
        Check::finding(NAME, Status::Warning, detail, fix)
    };
    match tried {
        Ok(Ok(tier)) => Check::ok(
            NAME,
            format!(
                "they run isolated, in the tier `{tier}`, with the network to declared hosts alone"
            ),
        ),
        Ok(Err(Problem::Refused(error))) => not(
            format!("they cannot run isolated and are neither tested nor started: {error}"),
            error.hint(),
        ),
        Ok(Err(Problem::Ended(said))) => not(
            format!("their Python does not work isolated: {said}"),
            "use an interpreter and an environment that every user may read".to_owned(),
        ),
        Err(_) => not(
            format!("their Python does not answer within {} s", PATIENCE.as_secs()),
            "look at the load of this machine".to_owned(),
        ),
    }
}

enum Problem {
    Refused(SandboxError),
    Ended(String),
}

/// Runs a program to its end; the tier in which it ran.
async fn run(sandbox: &dyn Sandbox, spec: ServiceSpec) -> Result<String, Problem> {
    let mut service = sandbox.start_service(spec).await.map_err(Problem::Refused)?;
    let mut said = String::new();
    // What cannot be read is told by how it ended.
    let _ = service.errors.read_to_string(&mut said).await;
    let end = service.process.ended().await;
    if end.is_success() {
        return Ok(service.isolation.tier.name().to_owned());
    }
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(Problem::Ended(format!("{end} {last}").trim().chars().take(300).collect()))
}

async fn python(config: &Config, environment: &CommonEnvironment) -> Check {
    let folder = environment.folder.display();
    if environment.is_given {
        return match ask(&environment.python, &["-c", IMPORT]).await {
            Ok(version) => {
                Check::ok(ENVIRONMENT, format!("mcp {version} in {folder} (`factory.environment`)"))
            }
            Err(NoAnswer::Missing | NoAnswer::Broken(_)) => Check::finding(
                ENVIRONMENT,
                Status::Warning,
                format!("`factory.environment` is {folder}, which cannot import mcp and pytest"),
                format!(
                    "{folder}/bin/python -m pip install --only-binary :all: 'mcp>=2.3,<3' pytest"
                ),
            ),
        };
    }
    let what = format!("mcp {} and {} packages, locked,", environment.sdk, environment.packages);
    if environment.is_ready {
        return Check::ok(ENVIRONMENT, format!("{what} in {folder}"));
    }
    match ask(&config.factory.python, &["-c", "import venv, ensurepip"]).await {
        Ok(_) => Check::ok(
            ENVIRONMENT,
            format!("{what} are installed from wheels at first use, into {folder}"),
        ),
        Err(NoAnswer::Missing | NoAnswer::Broken(_)) => Check::finding(
            ENVIRONMENT,
            Status::Optional,
            format!(
                "`{}` makes no virtual environments, so made servers are not tested",
                config.factory.python
            ),
            "sudo apt-get install python3-venv",
        ),
    }
}
