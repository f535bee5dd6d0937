//! Databases as sources: what is made of awkward ones, called by a real client on SQLite and on a
//! PostgreSQL of the test's own.

pub(crate) mod postgres;
mod scanned;
mod trial;

use std::path::{Path, PathBuf};
use std::process::Command;

use atelier::factory::error::{FactoryError, Refusal};
use atelier::factory::ir::{Features, Kind, Mode, Needs, Operation, PackageFile, Sourced};
use atelier::factory::render::{self, templates::Templates};
use atelier::factory::source::database::{Access, DatabaseRequest, introspect};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};
use tempfile::TempDir;

use self::postgres::Postgres;
use crate::support::factory_python::{environment, interpreter as python};
use crate::support::product::Installation;

/// Tables that are awkward, of both kinds of databases.
const LEAST_TABLES: usize = 25;

fn fixture(name: &str) -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/factory/database").join(name);
    std::fs::read_to_string(path).unwrap()
}

async fn sqlite(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

/// A file with the tables of a script.
async fn make_sqlite(path: &Path, script: &str) {
    let mut connection = sqlite(path).await;
    sqlx::raw_sql(AssertSqlSafe(script.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn request(url: &str) -> DatabaseRequest {
    DatabaseRequest {
        url: url.to_owned(),
        variable: "DATABASE_URL".to_owned(),
        name: "awkward".to_owned(),
        tables: Vec::new(),
        include: Vec::new(),
        exclude: Vec::new(),
        access: Access::ReadWrite,
        features: Features::default(),
        mode: None,
    }
}

async fn refused(request: &DatabaseRequest) -> FactoryError {
    introspect(request).await.unwrap_err()
}

/// Writes the package that a database became, as the factory does.
fn write_package(folder: &Path, sourced: &Sourced) {
    let mut files: Vec<PackageFile> =
        render::render(&sourced.package, &sourced.cases, &Templates::default()).unwrap();
    files.extend(sourced.files.iter().cloned());
    for file in files {
        let path = folder.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file.text).unwrap();
    }
}

/// Runs `tests/clients/database.py`; how many checks held.
fn client(package: &Path, scenario: &str, arguments: &[&str]) -> usize {
    let python = python();
    let ended = Command::new(&python)
        .arg(format!("{}/tests/clients/database.py", env!("CARGO_MANIFEST_DIR")))
        .arg(scenario)
        .arg(&python)
        .arg(package)
        .args(arguments)
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let log = std::fs::read_to_string(package.join("server.log")).unwrap_or_default();
    let log: Vec<&str> = log.lines().rev().take(5).collect();
    assert!(ended.status.success(), "{out}\n{err}\n{log:#?}");
    out.trim().strip_prefix("ok ").and_then(|count| count.parse().ok()).unwrap()
}

/// Runs a package's own tests; their last line, and whether they passed.
fn own_tests(package: &Path, url: &str) -> (String, bool) {
    let ended = Command::new(python())
        .args(["-m", "pytest", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "tests"])
        .current_dir(package)
        .env("DATABASE_URL", url)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&ended.stdout).into_owned();
    (out.lines().last().unwrap_or_default().to_owned(), ended.status.success())
}

fn operations(sourced: &Sourced) -> Vec<Operation> {
    sourced
        .package
        .tools
        .iter()
        .filter_map(|tool| match &tool.kind {
            Kind::Sql(sql) => Some(sql.operation),
            Kind::Http(_) | Kind::Function(_) => None,
        })
        .collect()
}

fn reasons(sourced: &Sourced) -> Vec<String> {
    let told = |one: &atelier::factory::ir::Skipped| format!("{}: {}", one.operation, one.reason);
    sourced.package.skipped.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_tables_of_sqlite_are_served() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("awkward.db");
    make_sqlite(&file, &fixture("sqlite.sql")).await;
    let url = file.to_str().unwrap();
    let sourced = introspect(&request(url)).await.unwrap();
    let tables = &sourced.package.database.as_ref().unwrap().tables;
    assert!(tables.len() >= LEAST_TABLES, "{}", tables.len());
    assert_eq!(sourced.package.mode, Mode::Search);

    // What became no tool is told, with its reason.
    let reasons = reasons(&sourced);
    for expected in [
        "view broken: the database cannot read it: no such table: main.no_such_table",
        "table search: it is a virtual table (fts5)",
        "table search_data: it holds the index of a virtual table",
        "update key_only: every column that can be written belongs to the key",
        "delete keyless: it has no key, so no single row can be chosen",
        "create totals: rows of a view are not written",
    ] {
        assert!(
            reasons.iter().any(|reason| reason.starts_with(expected)),
            "{expected}\n{reasons:#?}"
        );
    }

    let package = folder.path().join("package");
    write_package(&package, &sourced);
    let held = client(&package, "all", &["sqlite", url]);
    assert!(held > 500, "{held}");

    // The package's own cases, on the copy that its own schema makes.
    let copy = folder.path().join("copy.db");
    let schema = std::fs::read_to_string(package.join("tests/schema.sql")).unwrap();
    make_sqlite(&copy, &schema).await;
    let held = client(&package, "cases", &[copy.to_str().unwrap()]);
    assert!(held > 100, "{held}");

    // The file is as whole as it was, and what refers to nothing was never stored.
    let mut connection = sqlite(&file).await;
    let check: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
    assert_eq!(check, "ok");
    let dangling =
        sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap();
    assert!(dangling.is_empty());
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_tables_of_postgresql_are_served() {
    let server = Postgres::start().await;
    server.run("postgres", "CREATE DATABASE awkward").await;
    server.run("postgres", "CREATE USER atelier_user PASSWORD 'hunter2'").await;
    server.run("awkward", &fixture("postgresql.sql")).await;
    server.run("awkward", &fixture("rights.sql")).await;
    let url = server.url("atelier_user", "hunter2", "awkward");
    let sourced = introspect(&request(&url)).await.unwrap();
    let tables = &sourced.package.database.as_ref().unwrap().tables;
    assert!(tables.len() >= LEAST_TABLES, "{}", tables.len());
    assert_eq!(sourced.package.hosts, ["127.0.0.1"]);
    let reasons = reasons(&sourced);
    for expected in [
        "table public.measured_2025: it is a partition",
        "table public.unreadable: the user of this database may not read it",
        "create public.read_only_here: the user of the database may not make rows",
        "update public.key_only: every column that can be written belongs to the key",
        "delete public.stored_totals: rows of a view are not written",
    ] {
        assert!(
            reasons.iter().any(|reason| reason.starts_with(expected)),
            "{expected}\n{reasons:#?}"
        );
    }
    assert!(
        sourced.package.notes.iter().any(|note| note.pointer == "public.read_only_here.hidden")
    );

    let folder = TempDir::new().unwrap();
    let package = folder.path().join("package");
    write_package(&package, &sourced);
    let held = client(&package, "all", &["postgresql", &url]);
    assert!(held > 500, "{held}");
    // The package's own tests read every table where its variable names the database, and say that
    // they did not where it does not.
    let needing = sourced.cases.iter().filter(|case| case.needs.is_some()).count();
    let reading = sourced.cases.iter().filter(|case| case.needs == Some(Needs::Rows)).count();
    assert!(reading > tables.len(), "{reading}");
    let (told, ok) = own_tests(&package, &url);
    assert!(ok && told.contains("passed") && !told.contains("skipped"), "{told}");
    let (told, ok) = own_tests(&package, "");
    assert!(ok && told.contains(&format!("{needing} skipped")), "{told}");
    let (told, ok) = own_tests(&package, &server.url("atelier_user", "hunter2", "nowhere"));
    assert!(!ok && told.contains(&format!("{needing} failed")), "{told}");
    let none = server.url("atelier_user", "hunter2", "nowhere");
    client(&package, "fails", &[&none, "there is no such database or user"]);
    let wrong = server.url("atelier_user", "hunter2hunter2", "awkward");
    client(&package, "fails", &[&wrong, "user or password is wrong"]);

    // Nothing that was made holds the password.
    for file in walk(&package) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains("hunter2"), "{}", file.display());
    }

    let mut reading = request(&url);
    reading.access = Access::ReadOnly;
    let sourced = introspect(&reading).await.unwrap();
    let read_only = folder.path().join("read-only");
    write_package(&read_only, &sourced);
    client(&read_only, "read-only", &["postgresql", &url]);
    // Not the tools alone: the session itself may not write.
    assert!(forced_write(&read_only, &url).contains("for reading only"));

    for (url, expected) in [
        (&wrong, "user or password is wrong"),
        (&none, "no database of that name"),
        (&"postgresql://u:hunter2@127.0.0.1:1/x".to_owned(), "nothing answers there"),
    ] {
        let error = refused(&request(url)).await;
        assert_eq!(error.code, Refusal::NotAccessible);
        assert!(error.message.contains(expected), "{}", error.message);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    let mut some = request(&url);
    some.tables = vec!["Sales Dept.plain".to_owned(), "paged".to_owned()];
    let sourced = introspect(&some).await.unwrap();
    let names: Vec<&str> = sourced.package.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(sourced.package.mode, Mode::Direct);
    assert!(names.contains(&"list_Sales_Dept_plain") && names.contains(&"list_paged"), "{names:?}");
    assert_eq!(names.len(), 13);
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// What the runtime of a package that only reads says to a statement that writes.
fn forced_write(package: &Path, url: &str) -> String {
    let program = "\
import json, sys
sys.path.insert(0, sys.argv[1])
from runtime.database import Cancellation, DatabaseBackend
package = json.load(open(sys.argv[1] + '/operations.json'))
backend = DatabaseBackend(package, {'DATABASE_URL': sys.argv[2]})
try:
    with backend.driver.session(True, Cancellation()) as session:
        session.query('DELETE FROM plain RETURNING 1', [])
    print('written')
except Exception as error:
    print(error)
";
    let ended =
        Command::new(python()).args(["-c", program]).arg(package).arg(url).output().unwrap();
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_only_reads_cannot_write() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("awkward.db");
    make_sqlite(&file, &fixture("sqlite.sql")).await;
    let url = file.to_str().unwrap();
    let package = folder.path().join("package");
    let mut reading = request(url);
    reading.access = Access::ReadOnly;
    let sourced = introspect(&reading).await.unwrap();
    write_package(&package, &sourced);
    let writes = [Operation::Create, Operation::CreateMany, Operation::Update, Operation::Delete];
    assert!(operations(&sourced).iter().all(|operation| !writes.contains(operation)));
    assert!(reasons(&sourced).contains(&"create plain: the server only reads".to_owned()));
    client(&package, "read-only", &["sqlite", url]);
    let told = forced_write(&package, url);
    assert!(told.contains("may not be written") || told.contains("readonly"), "{told}");
    // The same statement is let through where writing is allowed.
    let writing = folder.path().join("writing");
    write_package(&writing, &introspect(&request(url)).await.unwrap());
    assert_eq!(forced_write(&writing, url).trim(), "written");
}

/// Triggers that change what was written, in its own table and in others.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_comes_back_as_triggers_left_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("noted.db");
    let script = "\
CREATE TABLE noted (id INTEGER PRIMARY KEY, label TEXT, other TEXT);
CREATE TABLE journal (id INTEGER PRIMARY KEY, what TEXT NOT NULL);
CREATE TRIGGER made AFTER INSERT ON noted BEGIN
  UPDATE noted SET label = upper(label) WHERE id = new.id;
  INSERT INTO journal (what) VALUES ('made ' || new.id);
END;
CREATE TRIGGER changed AFTER UPDATE OF other ON noted BEGIN
  UPDATE noted SET label = label || '!' WHERE id = new.id;
END;";
    make_sqlite(&file, script).await;
    let url = file.to_str().unwrap();
    let sourced = introspect(&request(url)).await.unwrap();
    let package = folder.path().join("package");
    write_package(&package, &sourced);
    for tool in ["create_noted", "update_noted", "list_journal", "delete_noted"] {
        assert!(sourced.cases.iter().any(|case| case.tool == tool), "{tool}");
    }
    let (told, ok) = own_tests(&package, "");
    assert!(ok, "{told}");
    let program = "\
import asyncio, json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from runtime.application import Application
server = Application(Path(sys.argv[1]), {'DATABASE_URL': sys.argv[2]})
async def labels():
    for name, arguments in [('create_noted', {'id': 5, 'label': 'a'}), ('update_noted', {'id': 5, 'other': 'b'})]:
        result = await server.call(name, arguments)
        print(json.loads(result.content[0].text)['row']['label'])
asyncio.run(labels())
";
    let ended =
        Command::new(python()).args(["-c", program]).arg(&package).arg(url).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(told, "A\nA!\n", "{}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_cannot_be_read_say_why() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("noise.db"), b"certainly no database, whatever its name says".repeat(99))
        .unwrap();
    make_sqlite(Path::new(&at("empty.db")), "").await;
    make_sqlite(Path::new(&at("torn.db")), &fixture("sqlite.sql")).await;
    let mut bytes = std::fs::read(at("torn.db")).unwrap();
    bytes.iter_mut().skip(100).take(3000).for_each(|byte| *byte = 0xAA);
    std::fs::write(at("torn.db"), bytes).unwrap();
    for (url, code, expected) in [
        (at("none.db"), Refusal::NotAccessible, "there is no database file `none.db`"),
        (at(""), Refusal::Arguments, "folder"),
        (at("noise.db"), Refusal::NotAccessible, "no SQLite database"),
        (at("torn.db"), Refusal::NotAccessible, "damaged"),
        (at("empty.db"), Refusal::NothingToDo, "it has no tables"),
        ("mysql://h/d".to_owned(), Refusal::Arguments, "`mysql` are not supported"),
        (String::new(), Refusal::Arguments, "empty"),
        ("postgresql://u:hunter2@:bad/x".to_owned(), Refusal::Arguments, "no URL"),
    ] {
        let error = refused(&request(&url)).await;
        assert_eq!(error.code, code, "{url}: {}", error.message);
        assert!(
            error.message.contains(expected) && !error.hint.is_empty(),
            "{url}: {}",
            error.message
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    // Locked by somebody else, then free again.
    make_sqlite(Path::new(&at("busy.db")), "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let mut owner = sqlite(Path::new(&at("busy.db"))).await;
    sqlx::raw_sql("BEGIN EXCLUSIVE; INSERT INTO t VALUES (1)").execute(&mut owner).await.unwrap();
    let error = refused(&request(&at("busy.db"))).await;
    assert!(error.message.contains("another program has locked it"), "{}", error.message);
    sqlx::raw_sql("COMMIT").execute(&mut owner).await.unwrap();
    owner.close().await.unwrap();
    introspect(&request(&at("busy.db"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_database_says_so() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("plain.db");
    make_sqlite(&file, "CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT)").await;
    let package = folder.path().join("package");
    write_package(&package, &introspect(&request(file.to_str().unwrap())).await.unwrap());
    let noise = folder.path().join("noise.db");
    std::fs::write(&noise, [7_u8; 5000]).unwrap();
    client(&package, "fails", &["", "DATABASE_URL is not set"]);
    client(&package, "fails", &["/nowhere/none.db", "no database file `none.db`"]);
    client(&package, "fails", &[noise.to_str().unwrap(), "no SQLite database"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_databases_ask_for_a_selection() {
    use std::fmt::Write as _;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("large.db");
    let mut script = String::from("BEGIN;\n");
    for number in 0..2000 {
        let _ = writeln!(script, "CREATE TABLE t{number:04} (id INTEGER PRIMARY KEY);");
    }
    make_sqlite(&file, &format!("{script}COMMIT;")).await;
    let mut all = request(file.to_str().unwrap());
    let error = refused(&all).await;
    assert_eq!((error.code, &error.details["tables"]), (Refusal::TooLarge, &json!(2000)));
    assert!(error.message.contains("t0000, t0001") && error.hint.contains("`tables`"), "{error}");
    all.include = vec!["t00*".to_owned()];
    all.exclude = vec!["*9".to_owned()];
    let sourced = introspect(&all).await.unwrap();
    assert_eq!(sourced.package.database.unwrap().tables.len(), 90);
    all.include.clear();
    all.exclude.clear();
    all.tables = vec!["t0007".to_owned(), "t9999".to_owned()];
    let error = refused(&all).await;
    assert!(
        error.message.contains("no table `t9999`") && error.hint.contains("t0999"),
        "{error} {}",
        error.hint
    );
    all.tables.pop();
    // Nothing but a key: there is nothing to update, and that is said.
    let package = introspect(&all).await.unwrap().package;
    assert_eq!(package.tools.len(), 6);
    let last = package.skipped.last().unwrap();
    assert_eq!(last.operation, "update t0007");
    assert!(last.reason.contains("belongs to the key"), "{last:?}");
}

/// What is known of a schema is used again, until the schema changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_schema_is_seen_at_once() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("changing.db");
    make_sqlite(&file, "CREATE TABLE one (id INTEGER PRIMARY KEY)").await;
    let all = request(file.to_str().unwrap());
    let tables = async || introspect(&all).await.unwrap().package.database.unwrap().tables.len();
    assert_eq!((tables().await, tables().await), (1, 1));
    make_sqlite(&file, "CREATE TABLE two (id INTEGER PRIMARY KEY)").await;
    assert_eq!(tables().await, 2);
}

#[test]
fn create_mcp_server_makes_a_server_of_a_database() {
    let venv = environment().to_str().unwrap().to_owned();
    let installation = Installation::new();
    let folder = installation.folder().canonicalize().unwrap();
    let file = folder.join("shop.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(make_sqlite(&file, &fixture("sqlite.sql")));
    let installation = installation
        .with("ATELIER_FACTORY__ALLOWED_ROOTS", folder.to_str().unwrap())
        .with("ATELIER_FACTORY__ENVIRONMENT", venv)
        .with("SHOP", file.to_str().unwrap());
    let call = |arguments: Value| {
        let arguments = arguments.to_string();
        let mut command = installation.command(&["call", "create_mcp_server", &arguments]);
        let ended = runtime.block_on(async { command.output().await.unwrap() });
        let text = if ended.status.success() {
            ended.stdout
        } else {
            [ended.stdout, ended.stderr].concat()
        };
        (ended.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = call(
        json!({ "database_url": file, "options": { "tables": ["plain", "child", "parent"] } }),
    );
    assert_eq!(code, Some(0), "{text}");
    let made: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&made["status"], &made["server_name"]),
        (&json!("success"), &json!("shop")),
        "{made:#}"
    );
    assert_eq!(
        (&made["self_test"]["level"], &made["self_test"]["failed"]),
        (&json!("tested"), &json!(0)),
        "{made:#}"
    );
    assert!(made["self_test"]["passed"].as_u64().unwrap() > 10, "{made:#}");
    // Its server was started and listed by a client too.
    let bytes = made["self_test"]["list_bytes"].as_u64().unwrap();
    assert!(bytes > 1000 && bytes <= 100_000, "{made:#}");
    assert_eq!(made["tool_count"], 19);
    let (code, text) = call(
        json!({ "database_url": "env:SHOP", "name": "readers", "options": { "read_only": true } }),
    );
    assert_eq!(code, Some(0), "{text}");
    let made: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&made["server_name"], &made["self_test"]["level"]),
        (&json!("readers"), &json!("tested")),
        "{made:#}"
    );
    assert_eq!(made["environment"][0]["name"], "SHOP");

    let (code, text) = call(json!({ "database_url": "/etc/passwd" }));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("allowed folder"), "{text}");
    let (code, text) = call(json!({ "database_url": "postgresql://u:hunter2@127.0.0.1:1/x" }));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("nothing answers there") && !text.contains("hunter2"), "{text}");
    // Neither rows nor files hold the password.
    for file in walk(&installation.data()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"), "{}", file.display());
    }
}
