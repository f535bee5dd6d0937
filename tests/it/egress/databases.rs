//! Databases of the host: exactly the one that is meant, with all that belongs to it.

use std::path::Path;

use atelier::factory::host::launcher::LaunchError;
use atelier::factory::host::reach::{self, Given, Reach};
use atelier::factory::ir::Package;
use serde_json::json;

use super::support::{Names, Workbench, open_up};
use crate::databases::postgres::Postgres;
use crate::sandbox::support::as_every_user;

/// A package that works on a database.
fn package(dialect: &str, read_only: bool) -> Package {
    serde_json::from_value(json!({
        "format": 1, "name": "db", "title": "db", "description": "", "version": "1",
        "source": "database", "mode": "direct", "tools": [], "defs": {}, "schemes": {},
        "servers": [], "hosts": [], "environment": [],
        "features": atelier::factory::ir::Features::default(),
        "database": {"dialect": dialect, "variable": "DATABASE_URL", "read_only": read_only, "tables": []},
    }))
    .unwrap()
}

/// What a server of such a package may reach, and the value of its variable inside.
fn given(dialect: &str, read_only: bool, url: &str) -> Result<(Reach, String), String> {
    let mut given = Given::default();
    given.values.insert("DATABASE_URL".to_owned(), url.to_owned());
    given.by_operator.insert("DATABASE_URL".to_owned());
    let reach = reach::of(&package(dialect, read_only), &mut given)?;
    Ok((reach, given.values["DATABASE_URL"].clone()))
}

/// Runs lines of Python with `URL`.
async fn run(bench: &Workbench, lines: &str, (reach, url): (Reach, String)) -> String {
    let ended = bench.run(&format!("URL = {url:?}\n{lines}"), reach).await;
    ended.output
}

async fn execute(file: &Path, script: &str) {
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(script.to_owned())).execute(&pool).await.unwrap();
    pool.close().await;
}

const WRITES: &str = "\
import os, sqlite3
connection = sqlite3.connect(URL)
connection.execute('INSERT INTO item VALUES (7)')
connection.commit()
print([row[0] for row in connection.execute('SELECT * FROM item ORDER BY 1')])
connection.close()
folder = os.path.dirname(URL)
for name in ('other.db', 'notes/secret.txt'):
    try:
        print(open(folder + '/' + name).read())
    except OSError as error:
        print(type(error).__name__)
try:
    os.unlink(folder + '/other.db')
    print('removed')
except OSError as error:
    print(type(error).__name__)
";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_shared_with_its_journal_and_nothing_beside_it() {
    as_every_user(
        "egress::databases::a_file_is_shared_with_its_journal_and_nothing_beside_it",
        async || {
            let bench = Workbench::new(&[], Names::new(&[]));
            let folder = bench.folder.path().join("data");
            std::fs::create_dir_all(folder.join("notes")).unwrap();
            open_up(&folder);
            let (file, other) = (folder.join("shop.db"), folder.join("other.db"));
            std::fs::write(folder.join("notes/secret.txt"), "planted").unwrap();
            std::fs::write(&other, "planted").unwrap();
            execute(&file, "CREATE TABLE item (id INTEGER); INSERT INTO item VALUES (1)").await;
            let url = file.to_str().unwrap();
            let hidden = "PermissionError\nFileNotFoundError\nOSError";
            // A rollback journal, and a log.
            let seen = run(&bench, WRITES, given("sqlite", false, url).unwrap()).await;
            assert_eq!(seen, format!("[1, 7]\n{hidden}"));
            execute(&file, "PRAGMA journal_mode = WAL; DELETE FROM item WHERE id = 7").await;
            let address = format!("sqlite://{url}?mode=rw");
            let seen = run(&bench, WRITES, given("sqlite", false, &address).unwrap()).await;
            assert_eq!(seen, format!("[1, 7]\n{hidden}"));
            // Others see what was written, and the neighbours are as they were.
            let pool = sqlx::SqlitePool::connect(&format!("sqlite://{url}")).await.unwrap();
            let count: i64 =
                sqlx::query_scalar("SELECT count(*) FROM item").fetch_one(&pool).await.unwrap();
            pool.close().await;
            assert_eq!(count, 2);
            assert_eq!(std::fs::read_to_string(&other).unwrap(), "planted");

            // For reading only, with a log and without.
            let reads = "\
import sqlite3
connection = sqlite3.connect(f'file:{URL}?mode=ro', uri=True)
print([row[0] for row in connection.execute('SELECT * FROM item ORDER BY 1')])
try:
    open(URL, 'ab')
    print('may write')
except OSError as error:
    print(error.strerror)
";
            let seen = run(&bench, reads, given("sqlite", true, url).unwrap()).await;
            assert_eq!(seen, "[1, 7]\nmay write", "a reader of a log writes beside it");
            execute(&file, "PRAGMA journal_mode = DELETE").await;
            let seen = run(&bench, reads, given("sqlite", true, url).unwrap()).await;
            assert_eq!(seen, "[1, 7]\nRead-only file system");
            // By way of a link it is the file behind it.
            let link = bench.folder.path().join("link.db");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            let (reach, inside) = given("sqlite", true, link.to_str().unwrap()).unwrap();
            assert_eq!(inside, std::fs::canonicalize(&file).unwrap().to_str().unwrap());
            assert_eq!(run(&bench, reads, (reach, inside)).await, "[1, 7]\nRead-only file system");
            let missing = given("sqlite", false, "/nowhere/x.db").unwrap_err();
            assert!(
                missing.starts_with("`DATABASE_URL`: the SQLite file /nowhere/x.db"),
                "{missing}"
            );
            bench.close().await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_others_is_no_more_than_that() {
    if crate::sandbox::support::user() != 0 {
        return;
    }
    // Root is nobody inside: what belongs to no owner of the folder stays closed, and is told.
    let bench = Workbench::new(&[], Names::new(&[]));
    let folder = bench.folder.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("shop.db");
    execute(&file, "CREATE TABLE item (id INTEGER)").await;
    std::os::unix::fs::chown(&file, Some(4711), Some(4711)).unwrap();
    let (reach, url) = given("sqlite", false, file.to_str().unwrap()).unwrap();
    match bench.refused(&format!("URL = {url:?}"), reach).await {
        LaunchError::Failed(reason) => {
            assert!(reason.contains("may not write to"), "{reason}");
            assert!(reason.contains("shop.db"), "{reason}");
        }
        weak @ LaunchError::TooWeak { .. } => panic!("{weak}"),
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_reached_by_name_on_its_port_alone() {
    let server = Postgres::start().await;
    server.run("postgres", "CREATE USER reader PASSWORD 'hunter2'").await;
    let bench =
        Workbench::new(&[], Names::new(&[("db.test", "127.0.0.1"), ("gone.test", "127.0.0.1")]));
    let lines = "\
import os, psycopg, socket
try:
    with psycopg.connect(URL, connect_timeout=10) as connection:
        print(connection.execute('SELECT current_user').fetchone()[0], connection.info.host)
except psycopg.OperationalError as error:
    print('no:', str(error).strip().splitlines()[-1])
for host, port in (('127.0.0.1', OTHER), ('127.0.0.2', OTHER)):
    try:
        socket.create_connection((host, port), 5)
        print('connected')
    except OSError as error:
        print(type(error).__name__, error.errno)
";
    // A neighbour that must stay out of reach.
    let neighbour = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let lines = lines.replace("OTHER", &neighbour.local_addr().unwrap().port().to_string());
    let port = server.port();
    let closed = "PermissionError 13\nPermissionError 13";
    let url = |host: &str| format!("postgresql://reader:hunter2@{host}/postgres");
    let by_name = given("postgresql", false, &url(&format!("db.test:{port}"))).unwrap();
    assert_eq!(run(&bench, &lines, by_name).await, format!("reader db.test\n{closed}"));
    // The first of two does not answer.
    let two = url(&format!("gone.test:1,db.test:{port}"));
    let seen = run(&bench, &lines, given("postgresql", false, &two).unwrap()).await;
    assert_eq!(seen, format!("reader db.test\n{closed}"));
    let unknown = given("postgresql", false, &url(&format!("nowhere.test:{port}"))).unwrap();
    let seen = run(&bench, &lines, unknown).await;
    assert!(seen.starts_with("no:") && seen.ends_with(closed), "{seen}");
    // By its socket, and without a network at all.
    let socket = format!(
        "postgresql://reader:hunter2@/postgres?host={}&port={port}",
        server.folder().display()
    );
    let seen = run(&bench, &lines, given("postgresql", false, &socket).unwrap()).await;
    assert_eq!(seen, format!("reader {}\n{closed}", server.folder().display()));
    bench.close().await;
}
