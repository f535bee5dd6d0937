//! The proof of a package before it is published: its server is started, listed by a real client,
//! its operations are called against a mock API that judges every request, and its own tests run.

pub mod judge;
mod mock;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::judge::holds;
use self::mock::MockApi;
use super::host::client::ServerProcess;
use super::host::launcher::{LaunchError, Launcher, Program};
use super::host::process::Ended;
use super::host::reach::{self, Given};
use super::ir::{Case, Expectation, Kind, Mode, Package, Scheme, SourceKind, Trial};

/// Most calls over standard streams; the package's own tests take all.
const CALLS: usize = 60;

/// Bytes of a list of tools that clients cope with.
const LIST_BYTES: usize = 100_000;

/// How long the package's tests may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// How far a package was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Every file was read and scanned; nothing was run.
    Static,
    /// The server ran and listed its tools.
    Started,
    /// Its tests ran.
    Tested,
}

impl Level {
    /// Its name in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Started => "started",
            Self::Tested => "tested",
        }
    }
}

/// What a self-test found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelfTest {
    /// How far it went.
    pub level: Level,
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Bytes of `tools/list`.
    pub list_bytes: usize,
    /// What failed, or why it did not go further.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub problems: Vec<String>,
    /// Of a package for a database server: how what writes was tried, and what could not be checked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub database: Option<Trial>,
}

impl SelfTest {
    /// A package that was not run, and why.
    pub fn not_run(reason: impl Into<String>) -> Self {
        Self {
            level: Level::Static,
            passed: 0,
            failed: 0,
            list_bytes: 0,
            problems: vec![reason.into()],
            database: None,
        }
    }

    fn count(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(problem) => {
                self.failed += 1;
                if self.problems.len() < 20 {
                    self.problems.push(problem.chars().take(600).collect());
                }
            }
        }
    }
}

/// Values of variables, by name. They may be secrets.
pub type Variables = BTreeMap<String, String>;

/// A package that is tested.
#[derive(Debug, Clone, Copy)]
pub struct Proven<'a> {
    /// What it is.
    pub package: &'a Package,
    /// Calls with what must come of them.
    pub cases: &'a [Case],
    /// Where it lies.
    pub folder: &'a Path,
}

/// Tests a package in a folder.
///
/// Its programs run behind the fences, without any network: the mock is what listens behind their
/// door. Only the tests of a database server reach that server, where variables name it.
pub async fn test(
    Proven { package, cases, folder }: Proven<'_>,
    variables: Option<&Variables>,
    python: &Path,
    launcher: &Launcher,
) -> SelfTest {
    let program = || Program {
        name: format!("self-test of {}", package.name),
        python: python.to_owned(),
        folder: folder.to_owned(),
        ..Program::default()
    };
    let mut found = SelfTest {
        level: Level::Static,
        passed: 0,
        failed: 0,
        list_bytes: 0,
        problems: Vec::new(),
        database: None,
    };
    match calls(package, cases, program(), launcher, &mut found).await {
        Ok(()) => found.level = Level::Started,
        Err(LaunchError::TooWeak { reason, fix }) => return not_isolated(&reason, &fix),
        Err(LaunchError::Failed(problem)) => {
            found.count(Err(problem));
            return found;
        }
    }
    // A template of the caller may configure the tests of people, not what runs here with secrets.
    let arguments = ["-m", "pytest", "-q", "--no-header", "-o", "addopts="];
    let arguments = arguments.into_iter().chain(["-p", "no:cacheprovider", "tests"]);
    let tests = Program { arguments: arguments.map(str::to_owned).collect(), ..program() };
    let tests = match variables.filter(|variables| !variables.is_empty()) {
        Some(variables) => {
            let mut given = Given { values: variables.clone(), ..Given::default() };
            match reach::of(package, &mut given) {
                Ok(reach) => Program { variables: given.values, reach, ..tests },
                Err(reason) => {
                    found.problems.push(format!("the database was not reached: {reason}"));
                    tests
                }
            }
        }
        None => tests,
    };
    let ended = match launcher.run(tests, PATIENCE).await {
        Ok(ended) => ended,
        Err(LaunchError::TooWeak { reason, fix }) => return not_isolated(&reason, &fix),
        Err(LaunchError::Failed(output)) => Ended { ok: false, output },
    };
    let (passed, failed) = counts(&ended.output);
    found.passed += passed;
    if ended.ok && passed > 0 {
        found.level = Level::Tested;
    } else {
        found.failed += failed.max(1);
        let last: Vec<&str> = ended.output.lines().rev().take(12).collect();
        let mut told = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        for secret in variables.into_iter().flat_map(BTreeMap::values) {
            told = told.replace(secret.as_str(), "••••••");
        }
        found.problems.push(format!("the package's own tests: {told}"));
    }
    found
}

/// Code runs behind the fences or not at all.
fn not_isolated(reason: &str, fix: &str) -> SelfTest {
    SelfTest::not_run(format!(
        "it was not run, since nothing would isolate it: {reason}; {fix}; or the operator sets \
         `factory.unsandboxed = true`"
    ))
}

/// Numbers of the last line of pytest.
fn counts(output: &str) -> (usize, usize) {
    let line = output.lines().rev().find(|line| line.contains(" in ")).unwrap_or_default();
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let before = |what: &str| {
        words
            .windows(2)
            .find_map(|pair| match pair {
                [number, word] if word.starts_with(what) => number.parse().ok(),
                _ => None,
            })
            .unwrap_or(0)
    };
    (before("passed"), before("failed") + before("error"))
}

async fn calls(
    package: &Package,
    cases: &[Case],
    program: Program,
    launcher: &Launcher,
    found: &mut SelfTest,
) -> Result<(), LaunchError> {
    let no_mock =
        |error: std::io::Error| LaunchError::Failed(format!("the mock API cannot listen: {error}"));
    let door = launcher.door().await.map_err(no_mock)?;
    let variables = placeholders(package, &mock::base_url(door.address));
    let arguments = vec!["server.py".to_owned()];
    let program = Program { arguments, variables, door: Some(door), ..program };
    let mut started = launcher.start(program).await?;
    let listener = started.door.take().ok_or(std::io::ErrorKind::NotConnected.into());
    let mock = MockApi::start(listener.map_err(no_mock)?);
    let server = ServerProcess::greet(started).await.map_err(LaunchError::Failed)?;
    let listed = server.tools().await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(problem) => {
            server.stop().await;
            return Err(LaunchError::Failed(problem));
        }
    };
    found.list_bytes = serde_json::to_string(&listed).map_or(0, |text| text.len());
    let names: Vec<&str> = listed.iter().map(|tool| tool.name.as_ref()).collect();
    found.count(check_list(package, &names));
    if package.mode == Mode::Search || package.tools.len() <= 40 {
        found.count(if found.list_bytes <= LIST_BYTES {
            Ok(())
        } else {
            Err(format!("`tools/list` has {} bytes", found.list_bytes))
        });
    }
    // At even distances, so that every part of a large API is touched. What touches a database waits
    // for the package's own tests, which have a copy of it.
    // A server with a limit takes no more calls than that.
    let features = &package.features;
    let limit = usize::try_from(features.rate_limit_requests).unwrap_or(usize::MAX);
    let most = if features.enable_rate_limiting { CALLS.min(limit) } else { CALLS };
    let step = cases.len().div_ceil(most.max(1)).max(1);
    let called = if package.source == SourceKind::Database { 0 } else { cases.len() };
    for case in cases.iter().take(called).step_by(step) {
        found.count(one(&server, &mock, case, package.mode).await);
    }
    server.stop().await;
    mock.stop().await;
    Ok(())
}

fn check_list(package: &Package, names: &[&str]) -> Result<(), String> {
    let wanted: Vec<&str> = match package.mode {
        Mode::Direct => package.tools.iter().map(|tool| tool.name.as_str()).collect(),
        Mode::Search => vec!["search_operations", "describe_operation", "call_operation"],
    };
    let same = names.iter().take(wanted.len()).eq(wanted.iter());
    if same {
        Ok(())
    } else {
        Err(format!("the server lists {} tools, not those of its description", names.len()))
    }
}

async fn one(
    server: &ServerProcess,
    mock: &MockApi,
    case: &Case,
    mode: Mode,
) -> Result<(), String> {
    mock.forget();
    let arguments = case.arguments.as_object().cloned().unwrap_or_default();
    let (tool, arguments) = match mode {
        Mode::Direct => (case.tool.clone(), arguments),
        Mode::Search => {
            let mut outer = Map::new();
            outer.insert("name".to_owned(), json!(case.tool));
            outer.insert("arguments".to_owned(), Value::Object(arguments));
            ("call_operation".to_owned(), outer)
        }
    };
    let answer = server
        .call(&tool, arguments)
        .await
        .map_err(|problem| format!("{}: {problem}", case.name))?;
    let is_error = answer.is_error == Some(true);
    let text = answer
        .content
        .iter()
        .find_map(|block| block.as_text())
        .map(|text| text.text.clone())
        .unwrap_or_default();
    let problem = match &case.expect {
        Expectation::Request(expected) => {
            let received = mock.received();
            match received.as_slice() {
                [one] if !is_error => judge::compare(expected, one).err(),
                [] | [_] => Some(format!("the call failed: {text}")),
                several => Some(format!("{} requests arrived", several.len())),
            }
        }
        Expectation::Result { holds: wanted } => {
            let got = answer.structured_content.unwrap_or_default();
            (is_error || !holds(wanted, &got)).then(|| format!("answered {text}"))
        }
        Expectation::Error { holds: wanted } => (!is_error || !text.contains(wanted))
            .then(|| format!("no error about `{wanted}`: {text}")),
    };
    problem.map_or(Ok(()), |problem| Err(format!("{}: {problem}", case.name)))
}

/// Values of a test for every variable.
fn placeholders(package: &Package, base_url: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::from([("API_BASE_URL".to_owned(), base_url.to_owned())]);
    for scheme in package.schemes.values() {
        let mut set = |name: &String, value: &str| {
            values.insert(name.clone(), value.to_owned());
        };
        match scheme {
            Scheme::ApiKey { variable, .. } | Scheme::Bearer { variable, .. } => {
                set(variable, "test-variable");
            }
            Scheme::Basic { username, password } => {
                set(username, "test-username");
                set(password, "test-password");
            }
            Scheme::Oauth2(oauth2) | Scheme::OpenIdConnect { oauth2, .. } => {
                set(&oauth2.access_token, "test-token");
            }
            Scheme::MutualTls { .. } => {}
        }
    }
    for tool in &package.tools {
        if let Kind::Function(function) = &tool.kind {
            for name in &function.environment {
                values.entry(name.clone()).or_insert_with(|| "test-value".to_owned());
            }
        }
    }
    values
}
