//! Several operating system processes on one data folder.
//!
//! The processes are this test binary, told by an argument to run one ignored test, and by the
//! environment where to work.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use atelier::storage::blobs::Blobs;
use atelier::storage::sqlite::SqliteCatalog;
use atelier::storage::{
    Catalog, DocumentKind, InsertedJob, JobMode, JobState, NewJob, NewVersion, keys,
};

use super::fixtures::*;
use super::history::{Acknowledged, problems, raw, still_works};

const FOLDER: &str = "ATELIER_TEST_FOLDER";
const PROCESSES: usize = 4;

/// What marks a line of a helper process among those of the test harness.
const SAYS: &str = "helper says ";

/// The place of a helper process; fails when a person runs the helper as a test.
fn place() -> PathBuf {
    PathBuf::from(std::env::var_os(FOLDER).expect("this helper is started by other tests"))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SAYS}{line}").unwrap();
    out.flush().unwrap();
}

/// Waits until the process that started this one says that all are there.
fn wait_for_start() {
    say("ready");
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
}

/// A helper process; killed when it is dropped.
pub(super) struct Helper {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Everything it printed, for the message of a failure.
    transcript: String,
}

impl Helper {
    pub(super) fn start(test: &str, folder: &Path) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()), test, folder)
    }

    /// Starts through a shell that first limits the size of the files it may write.
    pub(super) fn start_limited(test: &str, folder: &Path) -> Self {
        let mut command = Command::new("sh");
        // Without the trap the limit would kill the process instead of failing its write.
        command.args(["-c", r#"trap "" XFSZ; ulimit -f 64; exec "$0" "$@""#]);
        command.arg(std::env::current_exe().unwrap());
        Self::spawn(command, test, folder)
    }

    fn spawn(mut command: Command, test: &str, folder: &Path) -> Self {
        let mut child = command
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, transcript: String::new() }
    }

    /// What the helper says next; `None` when it has ended.
    fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            self.transcript.push_str(&line);
            // The harness prints the name of the test before it, on the same line.
            if let Some((_, said)) = line.trim_end().split_once(SAYS) {
                return Some(said.to_owned());
            }
        }
    }

    fn expect(&mut self, expected: &str) {
        assert_eq!(self.next().as_deref(), Some(expected), "{}", self.transcript);
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// Reads to the end and checks that it ended well.
    pub(super) fn finish(mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(line) = self.next() {
            said.push(line);
        }
        assert!(self.child.wait().unwrap().success(), "{}", self.transcript);
        said
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the helpers and lets them go at the same time.
fn together(test: &str, folder: &Path) -> Vec<Helper> {
    let mut helpers: Vec<_> = (0..PROCESSES).map(|_| Helper::start(test, folder)).collect();
    for helper in &mut helpers {
        helper.expect("ready");
    }
    for helper in &mut helpers {
        helper.go();
    }
    helpers
}

#[tokio::test]
async fn the_schema_is_made_once_when_all_start_at_the_same_instant() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let helpers = together("storage::processes::helper_that_opens", folder.path());
        let values: Vec<_> = helpers.into_iter().map(Helper::finish).collect();
        assert!(values.iter().all(|value| value.len() == 1 && *value == values[0]), "{values:?}");
        let mut database = raw(&folder.path().join("atelier.db")).await;
        let migrations: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations")
            .fetch_all(&mut database)
            .await
            .unwrap();
        let known = std::fs::read_dir("storage/migrations/sqlite").unwrap().count();
        assert_eq!(migrations.len(), known);
    }
}

#[tokio::test]
#[ignore = "a helper process of other tests"]
async fn helper_that_opens() {
    wait_for_start();
    let catalog = SqliteCatalog::open(&place().join("atelier.db")).await.unwrap();
    say(&catalog.setting_or_insert("key", &std::process::id().to_string()).await.unwrap());
    publish(&catalog, new_version("app")).await;
}

/// Rounds of writing in each process.
const ROUNDS: usize = 40;

#[tokio::test]
async fn processes_that_write_at_the_same_time_all_get_their_turn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("atelier.db");
    std::fs::create_dir(folder.path().join("blobs")).unwrap();
    let helpers = together("storage::processes::helper_that_hammers", folder.path());
    let mut acknowledged = Vec::new();
    let mut new_keys = 0;
    for helper in helpers {
        for line in &helper.finish() {
            match parse(line) {
                Some(told) => acknowledged.push(told),
                None => new_keys += 1,
            }
        }
    }
    let total = PROCESSES * ROUNDS;
    assert_eq!(acknowledged.len(), total);
    assert_eq!(new_keys, ROUNDS, "each key was shared by all processes and made one job");
    let blobs = Blobs::local(&folder.path().join("blobs")).unwrap();
    assert_eq!(problems(&file, &blobs, &acknowledged).await, [""; 0]);
    let catalog = SqliteCatalog::open(&file).await.unwrap();
    let document = catalog.document(&owner("1"), DocumentKind::WebApp, "app").await;
    assert_eq!(document.unwrap().unwrap().head, i64::try_from(total).unwrap());
    let used = catalog.add_quota(&alice(), "calls", 1 << 50, 0, i64::MAX).await.unwrap();
    assert_eq!(used, Some(i64::try_from(total).unwrap()));
}

#[tokio::test]
#[ignore = "a helper process of other tests"]
async fn helper_that_hammers() {
    wait_for_start();
    let catalog = SqliteCatalog::open(&place().join("atelier.db")).await.unwrap();
    let blobs = Blobs::local(&place().join("blobs")).unwrap();
    for round in 0..ROUNDS {
        let keyed = NewJob { key: Some(format!("key {round}")), ..new_job() };
        if let InsertedJob::New(_) = catalog.insert_job(keyed).await.unwrap() {
            say("a new key");
        }
        // All processes write the same bytes: one blob, whoever is first.
        let told = publish_bytes(&catalog, &blobs, "app", &format!("round {round}")).await;
        say(&format!("{} {} {}", told.document, told.n, told.sha));
        catalog.add_quota(&alice(), "calls", 1 << 50, 1, i64::MAX).await.unwrap().unwrap();
    }
}

/// Blob, then row: a whole job as the server runs it.
async fn publish_bytes(
    catalog: &SqliteCatalog,
    blobs: &Blobs,
    name: &str,
    text: &str,
) -> Acknowledged {
    let job = insert(catalog, NewJob { mode: JobMode::Task, ..new_job() }).await;
    let blob_sha = blobs.put(text.to_owned()).await.unwrap();
    catalog.save_step(&job.fence(), "llm#1", &blob_sha).await.unwrap();
    let new = NewVersion { blob_sha: blob_sha.clone(), ..new_version(name) };
    let published = catalog.publish_version(&job.fence(), new).await.unwrap();
    catalog.finish_job(&job.fence(), &ended(JobState::Done)).await.unwrap();
    Acknowledged { document: published.document.id.0, n: published.n, sha: blob_sha.0 }
}

fn parse(line: &str) -> Option<Acknowledged> {
    let mut words = line.split(' ');
    let (document, n, sha) = (words.next()?, words.next()?, words.next()?);
    Some(Acknowledged { document: document.into(), n: n.parse().ok()?, sha: sha.into() })
}

/// Kills of a writing process, each on the same folder.
const KILLS: u64 = 12;

#[tokio::test]
async fn a_killed_writer_leaves_whole_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("atelier.db");
    std::fs::create_dir(folder.path().join("blobs")).unwrap();
    let blobs = Blobs::local(&folder.path().join("blobs")).unwrap();
    let mut acknowledged = Vec::new();
    for kill in 0..KILLS {
        let mut helper =
            Helper::start("storage::processes::helper_that_writes_for_ever", folder.path());
        for _ in 0..=kill {
            let line = helper.next().expect("the writer goes on until it is killed");
            acknowledged.push(parse(&line).unwrap());
        }
        // Somewhere inside the next job, at another point each time.
        std::thread::sleep(Duration::from_micros(kill * 1_300));
        helper.child.kill().unwrap();
        while let Some(line) = helper.next() {
            acknowledged.extend(parse(&line));
        }
        helper.child.wait().unwrap();
        assert_eq!(problems(&file, &blobs, &acknowledged).await, [""; 0], "after kill {kill}");
    }
    assert!(acknowledged.len() >= usize::try_from(KILLS).unwrap());
    let catalog = SqliteCatalog::open(&file).await.unwrap();
    still_works(&catalog).await;
    // The checker did look at the blobs: without them, each version is a problem.
    let versions: i64 = sqlx::query_scalar("SELECT count(*) FROM version")
        .fetch_one(&mut raw(&file).await)
        .await
        .unwrap();
    let found = problems(&file, &Blobs::in_memory(), &[]).await;
    assert_eq!(found.len(), usize::try_from(versions).unwrap());
}

#[tokio::test]
#[ignore = "a helper process of other tests"]
async fn helper_that_writes_for_ever() {
    let catalog = SqliteCatalog::open(&place().join("atelier.db")).await.unwrap();
    let blobs = Blobs::local(&place().join("blobs")).unwrap();
    for round in 0_u64.. {
        let text = format!("{} {round}", keys::job_id());
        let told = publish_bytes(&catalog, &blobs, &format!("app {}", round % 3), &text).await;
        say(&format!("{} {} {}", told.document, told.n, told.sha));
    }
}
