//! Tools that write are tried on a PostgreSQL of the test's own, and nothing of it changes.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use atelier::factory::ir::{Needs, Sourced, Trial};
use atelier::factory::source::database::{Access, introspect};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::postgres::Postgres;
use super::{environment, fixture, own_tests, python, request, walk, write_package};
use crate::support::product::Installation;

/// Tables whose defaults, checks and triggers would do things that no rollback takes back.
const RISKY: &str = "\
CREATE SEQUENCE counted;
CREATE FUNCTION counting() RETURNS integer LANGUAGE sql AS 'SELECT nextval(''public.counted'')::integer';
CREATE FUNCTION positive_enough(integer) RETURNS boolean LANGUAGE plpgsql AS \
  $$ BEGIN PERFORM nextval('public.counted'); RETURN $1 > 0; END $$;
CREATE DOMAIN watched AS integer CHECK (public.positive_enough(VALUE));
CREATE TABLE risky (id integer PRIMARY KEY DEFAULT nextval('counted'), label text NOT NULL, \
  number integer NOT NULL DEFAULT counting(), size watched, amount integer CHECK (positive_enough(amount)));
INSERT INTO risky (label) VALUES ('kept');
CREATE FUNCTION noticed() RETURNS trigger LANGUAGE plpgsql AS \
  $$ BEGIN PERFORM nextval('public.counted'); RETURN new; END $$;
CREATE TRIGGER noticing BEFORE INSERT OR UPDATE ON risky FOR EACH ROW EXECUTE FUNCTION noticed();
GRANT SELECT, INSERT, UPDATE, DELETE ON risky TO PUBLIC;
GRANT USAGE ON SEQUENCE counted TO PUBLIC;
INSERT INTO plain (name) VALUES ('a'), ('b');
";

struct Tried {
    server: Postgres,
    folder: TempDir,
    url: String,
}

impl Tried {
    /// The awkward tables, and a user with the rights that a script gives.
    async fn new(rights: &str) -> Self {
        let server = Postgres::start().await;
        server.run("postgres", "CREATE DATABASE awkward").await;
        server.run("postgres", "CREATE USER atelier_user PASSWORD 'hunter2'").await;
        server.run("awkward", &fixture("postgresql.sql")).await;
        server.run("awkward", &fixture("rights.sql")).await;
        server.run("awkward", RISKY).await;
        server.run("awkward", rights).await;
        let url = server.url("atelier_user", "hunter2", "awkward");
        Self { server, folder: TempDir::new().unwrap(), url }
    }

    /// What a package of it becomes, tried, with its own tests passed; nothing of the database changes.
    async fn tried(&self) -> (Sourced, Trial, String) {
        let before = self.server.dump("awkward");
        assert!(before.contains("SELECT pg_catalog.setval('public.counted'"), "{before}");
        let sourced = introspect(&request(&self.url)).await.unwrap();
        assert_eq!(self.server.dump("awkward"), before);
        let package = self.folder.path().join("package");
        write_package(&package, &sourced);
        let (told, ok) = own_tests(&package, &self.url);
        assert!(ok, "{told}");
        assert_eq!(self.server.dump("awkward"), before);
        let trial = sourced.trial.clone().unwrap();
        (sourced, trial, told)
    }
}

/// Tools that cases of a kind call.
fn tools(sourced: &Sourced, needs: Needs) -> Vec<&str> {
    let cases = sourced.cases.iter().filter(|case| case.needs == Some(needs));
    cases.map(|case| case.tool.as_str()).collect()
}

fn count(told: &str, what: &str) -> usize {
    let words: Vec<&str> = told.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let found = words.windows(2).find(|pair| pair[1] == what);
    found.map_or(0, |pair| pair[0].parse().unwrap())
}

/// What was said of what could not be checked.
fn unchecked(trial: &Trial, wanted: &str) {
    let found = trial.unchecked.iter().any(|one| one.contains(wanted));
    assert!(found, "{wanted}\n{:#?}", trial.unchecked);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_writes_is_tried_in_a_schema_that_never_is() {
    let tried = Tried::new("GRANT CREATE ON DATABASE awkward TO atelier_user").await;
    let (sourced, trial, told) = tried.tried().await;
    assert!(trial.way.contains("in a schema that existed only within a transaction"), "{trial:?}");
    let called = tools(&sourced, Needs::Copy);
    for tool in [
        "create_plain",
        "update_plain",
        "delete_plain",
        "create_order",
        "create_with_spaces",
        "create_quote_s",
        "create_composite",
        "create_key_only",
        "create_keyless",
        "create_always_identity",
        "create_generated",
        "create_child",
        "delete_parent",
        "create_cycle_b",
        "create_numbers",
        "create_moments",
        "create_risky",
        "update_risky",
        "delete_risky",
    ] {
        assert!(called.contains(&tool), "{tool}\n{called:?}\n{:#?}", trial.unchecked);
    }
    // Nothing of the database's own code had a part in it, and that is said.
    unchecked(&trial, "public.risky: the default of number, since it calls functions");
    unchecked(&trial, "public.risky: the rules of the type public.watched of size");
    unchecked(&trial, "public.risky: the constraint risky_amount_check, since it calls functions");
    unchecked(&trial, "public.risky: its triggers");
    unchecked(&trial, "public.secretive: its policies of row-level security");
    unchecked(&trial, "public.measured: its partitions");
    assert!(called.len() > 80, "{}", called.len());
    assert!(tools(&sourced, Needs::Plan).contains(&"delete_risky"));
    assert_eq!(count(&told, "skipped"), 0, "{told}");

    // A control: what the trial leaves out does leave traces.
    let before = tried.server.dump("awkward");
    tried.server.run("awkward", "BEGIN; INSERT INTO risky (label) VALUES ('x'); ROLLBACK").await;
    assert_ne!(tried.server.dump("awkward"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_make_no_schema_has_temporary_tables_or_plans() {
    let tried = Tried::new("").await;
    let (sourced, trial, told) = tried.tried().await;
    assert!(trial.way.contains("in temporary tables that existed only"), "{trial:?}");
    assert!(tools(&sourced, Needs::Copy).contains(&"delete_risky"));
    assert_eq!(count(&told, "skipped"), 0, "{told}");
    let copied = tools(&sourced, Needs::Copy).len();

    // The package comes to a place where not even those may be made.
    tried.server.run("awkward", "REVOKE TEMPORARY ON DATABASE awkward FROM PUBLIC").await;
    let (told, ok) = own_tests(&tried.folder.path().join("package"), &tried.url);
    assert!(ok && count(&told, "skipped") == copied, "{told}");
    let (sourced, trial, told) = tried.tried().await;
    assert_eq!(trial.way, "what writes was planned by the server and not run");
    unchecked(&trial, "may make neither schemas nor temporary tables");
    assert!(tools(&sourced, Needs::Copy).is_empty());
    let planned = tools(&sourced, Needs::Plan);
    for tool in ["create_plain", "update_risky", "delete_composite"] {
        assert!(planned.contains(&tool), "{tool}\n{planned:?}\n{:#?}", trial.unchecked);
    }
    assert_eq!(count(&told, "skipped"), 0, "{told}");

    // Somebody would notice tables that are made, and may do anything then.
    tried
        .server
        .run(
            "awkward",
            "GRANT ALL ON DATABASE awkward TO atelier_user; \
             CREATE FUNCTION watching() RETURNS event_trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM nextval('public.counted'); END $$; \
             CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION watching()",
        )
        .await;
    let (_, trial, _) = tried.tried().await;
    unchecked(&trial, "the event trigger `watcher`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_only_reads_is_not_made_to_write() {
    let rights = "REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, \"Sales Dept\" FROM atelier_user, PUBLIC";
    let tried = Tried::new(rights).await;
    let (sourced, trial, told) = tried.tried().await;
    assert!(trial.way.starts_with("no tool writes") && trial.unchecked.is_empty(), "{trial:?}");
    assert!(tools(&sourced, Needs::Copy).is_empty() && tools(&sourced, Needs::Plan).is_empty());
    assert!(tools(&sourced, Needs::Rows).contains(&"list_risky"));
    assert_eq!(count(&told, "skipped"), 0, "{told}");
    // The same where the caller wants a server that only reads, whatever its user may.
    tried.server.run("awkward", "GRANT INSERT ON risky TO atelier_user").await;
    let mut reading = request(&tried.url);
    reading.access = Access::ReadOnly;
    let trial = introspect(&reading).await.unwrap().trial.unwrap();
    assert!(trial.way.starts_with("no tool writes"), "{trial:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_is_killed_leaves_nothing() {
    let tried = Tried::new("GRANT CREATE ON DATABASE awkward TO atelier_user").await;
    let (_, _, _) = tried.tried().await;
    let before = tried.server.dump("awkward");
    let package = tried.folder.path().join("package");
    let program = "\
import asyncio, json, sys, time
from pathlib import Path
root = Path(sys.argv[1])
sys.path[:0] = [str(root), str(root / 'tests')]
from postgresql import backends
package = json.loads((root / 'operations.json').read_text())
copy = backends(root, package, {'DATABASE_URL': sys.argv[2]})['copy']
tool = next(tool for tool in package['tools'] if tool['name'] == 'create_risky')
row = asyncio.run(copy.call(tool, {'label': 'half-way'}))
print(row['row']['label'], copy.driver.space, flush=True)
time.sleep(600)
";
    let mut running = Command::new(python())
        .args(["-c", program])
        .arg(&package)
        .arg(&tried.url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(running.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("half-way atelier_test_"), "{line}");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'atelier_user'";
    assert_eq!(tried.server.number("awkward", sessions).await, 1);
    running.kill().unwrap();
    running.wait().unwrap();
    let started = Instant::now();
    while tried.server.number("awkward", sessions).await > 0 {
        assert!(started.elapsed() < Duration::from_secs(30), "its session is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'atelier%'";
    assert_eq!(tried.server.number("awkward", left).await, 0);
    assert_eq!(tried.server.dump("awkward"), before);
}

#[test]
fn create_mcp_server_says_how_a_server_was_tried() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rights = "GRANT CREATE ON DATABASE awkward TO atelier_user";
    let tried = runtime.block_on(Tried::new(rights));
    let installation = Installation::new()
        .with("ATELIER_FACTORY__ENVIRONMENT", environment().to_str().unwrap())
        .with("ATELIER_FACTORY__VARIABLES__SHOP", tried.url.as_str());
    let before = tried.server.dump("awkward");
    let arguments = json!({
        "database_url": "env:SHOP",
        "options": { "tables": ["plain", "risky", "parent", "child"] },
    });
    let mut command = installation.command(&["call", "create_mcp_server", &arguments.to_string()]);
    let ended = runtime.block_on(async { command.output().await.unwrap() });
    let text = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert!(ended.status.success(), "{text}");
    let made: Value = serde_json::from_str(&text[..=text.rfind('}').unwrap()]).unwrap();
    let test = &made["self_test"];
    assert_eq!((&test["level"], &test["failed"]), (&json!("tested"), &json!(0)), "{made:#}");
    // Lists, reads and plans of the tables themselves, and all of the copy: none was skipped.
    let path = std::path::PathBuf::from(made["path"].as_str().unwrap());
    let cases: Value =
        serde_json::from_slice(&std::fs::read(path.join("tests/cases.json")).unwrap()).unwrap();
    let cases = cases["cases"].as_array().unwrap().len();
    assert!(test["passed"].as_u64().unwrap() >= cases as u64, "{cases} cases: {made:#}");
    let way = test["database"]["way"].as_str().unwrap();
    assert!(way.contains("schema that existed only within a transaction"), "{way}");
    let log = std::fs::read_to_string(path.join("EXECUTION_LOG.md")).unwrap();
    assert!(log.contains(way) && log.contains("risky: its triggers"), "{log}");
    assert_eq!(tried.server.dump("awkward"), before);
    for file in walk(&installation.data()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"), "{}", file.display());
    }
}
