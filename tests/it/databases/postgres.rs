//! A PostgreSQL server of a test's own: on loopback, with a password, gone when the test ends.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);
const PASSWORD: &str = "of the test alone";

pub(crate) struct Postgres {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        let owner = owner();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (password, data) = (path.join("password"), path.join("data"));
        std::fs::write(&password, PASSWORD).unwrap();
        std::fs::create_dir(&data).unwrap();
        if let Some((user, group)) = owner {
            for path in [path, password.as_path(), data.as_path()] {
                chown(path, Some(user), Some(group)).unwrap();
            }
        }
        let made = command("initdb", owner)
            .args(["--auth=scram-sha-256", "--username=postgres", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Somebody may take the port in between: then there is another one.
        for _ in 0..5 {
            let port = free_port();
            let mut process = command("postgres", owner)
                .arg("-D")
                .arg(&data)
                .arg("-k")
                .arg(path)
                .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
                .args(["-c", "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=16MB"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(path.join("log")).unwrap())
                .spawn()
                .unwrap();
            if answers(&mut process, port).await {
                return Self { process, port, folder };
            }
        }
        panic!("{}", std::fs::read_to_string(path.join("log")).unwrap_or_default());
    }

    pub(crate) async fn run(&self, database: &str, script: &str) {
        let mut connection = options(self.port).database(database).connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(script.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// A number that a query finds.
    pub(crate) async fn number(&self, database: &str, query: &str) -> i64 {
        let mut connection = options(self.port).database(database).connect().await.unwrap();
        let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
        let number = query.fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        number
    }

    /// All that a database holds, as statements.
    pub(crate) fn dump(&self, database: &str) -> String {
        let made = command("pg_dump", None)
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string(), database])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Newer programs put a random word around what they print.
        let text = String::from_utf8(made.stdout).unwrap();
        let lines = text.lines().filter(|line| !line.contains("restrict "));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where its socket is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of the server for whoever may do everything, without a database.
    pub(crate) fn administration(&self) -> String {
        let password = PASSWORD.replace(' ', "%20");
        format!("postgresql://postgres:{password}@127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgresql://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A quick end, in which the server ends its children itself.
        let process =
            i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(process) = process {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::QUIT);
        }
        let _ = self.process.wait();
    }
}

fn options(port: u16) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("postgres")
        .password(PASSWORD)
        .database("postgres")
}

/// Waits until the server answers; `false` when it ended instead.
async fn answers(process: &mut Child, port: u16) -> bool {
    let started = Instant::now();
    loop {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        let connection: Result<PgConnection, _> = options(port).connect().await;
        if let Ok(connection) = connection {
            connection.close().await.unwrap();
            return true;
        }
        assert!(started.elapsed() < PATIENCE, "PostgreSQL does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A program of PostgreSQL, run by somebody who is not root: as root it refuses.
fn command(program: &str, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(find(program));
    command.current_dir("/").env("LC_ALL", "C").env("TZ", "UTC");
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}

/// Debian keeps the server's programs out of the path, by version.
fn find(program: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    let found = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("`{program}` is not installed; run `scripts/install-packages.sh test`")
    })
}

/// When this is root: the user and group of `postgres`, else of `nobody`.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let entry = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [found, _, user, group, ..] = fields.as_slice() else { return None };
            (*found == name).then(|| (user.parse().unwrap(), group.parse().unwrap()))
        })
    };
    Some(entry("postgres").or_else(|| entry("nobody")).unwrap())
}
