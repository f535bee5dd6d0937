//! Several processes, one data folder, one port.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use atelier::installation_key::InstallationKey;
use atelier::server::ports::{
    ListenerKind, PortError, PortKeeper, PortPlan, PortRole, PortStatus, PortWish, bind_exclusive,
    kept_address,
};
use atelier::storage::sqlite::SqliteCatalog;
use atelier::storage::{Catalog, keys};
use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use super::hosting::open;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Data folder of a helper process.
const FOLDER: &str = "ATELIER_TEST_PORT_FOLDER";

/// A listener of content that answers with its process.
async fn keep(catalog: Arc<dyn Catalog>, wish: PortWish) -> Result<PortKeeper, PortError> {
    keep_kind(catalog, ListenerKind::Content, wish).await
}

async fn keep_kind(
    catalog: Arc<dyn Catalog>,
    kind: ListenerKind,
    wish: PortWish,
) -> Result<PortKeeper, PortError> {
    let fresh = keys::secret().unwrap();
    let secret = catalog.setting_or_insert("installation_secret", &fresh).await.unwrap();
    let name = format!("process {}", std::process::id());
    let router = Router::new().route("/", get(move || async move { name }));
    let announce = Arc::new(|_| {});
    let key = InstallationKey::new(&secret);
    PortKeeper::start(PortPlan { catalog, key, kind, wish, router, announce }).await
}

async fn in_memory() -> Arc<dyn Catalog> {
    Arc::new(SqliteCatalog::in_memory().await.unwrap())
}

/// Waits until the listener is as wanted.
async fn until(keeper: &PortKeeper, wanted: impl FnMut(&PortStatus) -> bool) -> PortStatus {
    let mut status = keeper.status();
    *tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await.unwrap().unwrap()
}

fn now(keeper: &PortKeeper) -> PortStatus {
    *keeper.status().borrow()
}

/// What a listener answers, or nothing when nobody does.
async fn fetch(address: SocketAddr, path: &str, host: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// A program that is not Atelier.
async fn foreign(address: SocketAddr, cancel: &CancellationToken) {
    let listener = TcpListener::bind(address).await.unwrap();
    let router = Router::new().fallback(|| async { "atelier AAAAAAAA" });
    tokio::spawn(atelier::server::ports::serve_until(listener, router, cancel.clone()));
}

/// Another process of this test program that keeps the port of a data folder.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "content::ports::helper_process", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next state that the process reports.
    async fn reported(&mut self) -> (String, SocketAddr) {
        let reading = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the process ended");
                let Some((_, report)) = line.split_once("PORT ") else { continue };
                let (role, address) = report.split_once(' ').unwrap();
                return (role.to_owned(), address.parse().unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap()
    }

    /// The process that answers at an address.
    fn greets_as(&self) -> String {
        format!("process {}", self.child.id().unwrap())
    }

    /// Ends it as a client does that closes its pipe.
    async fn leave(mut self) {
        drop(self.child.stdin.take());
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert!(status.success());
    }

    /// Ends it without any warning.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "not a test: the process that the tests of this module start"]
async fn helper_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let path = Path::new(&folder).join("atelier.db");
    let catalog = Arc::new(SqliteCatalog::open(&path).await.unwrap());
    let keeper = keep(catalog, PortWish::Kept).await.unwrap();
    let mut status = keeper.status();
    let report = async {
        loop {
            let PortStatus { address, role } = *status.borrow_and_update();
            println!("PORT {role:?} {address}");
            status.changed().await.unwrap();
        }
    };
    let mut end = Vec::new();
    tokio::select! {
        () = report => {}
        read = async { tokio::io::stdin().read_to_end(&mut end).await } => { read.unwrap(); }
    }
    keeper.stop().await;
}

#[tokio::test]
async fn another_process_takes_the_port_over_when_its_owner_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Process::start(folder.path());
    let (role, address) = first.reported().await;
    assert_eq!(role, "Owner");
    assert!(address.ip().is_loopback());
    assert!(address.port() < 32_768, "{address} may be taken for an outgoing connection");
    let mut second = Process::start(folder.path());
    assert_eq!(second.reported().await, ("Follower".to_owned(), address));
    let answer = fetch(address, "/", "localhost").await.unwrap();
    assert!(answer.ends_with(&first.greets_as()), "{answer}");

    // A connection that is open when its server dies must not keep the port.
    let _open = TcpStream::connect(address).await.unwrap();
    first.kill().await;
    assert_eq!(second.reported().await, ("Owner".to_owned(), address));
    let mut third = Process::start(folder.path());
    assert_eq!(third.reported().await, ("Follower".to_owned(), address));
    let answer = fetch(address, "/", "localhost").await.unwrap();
    assert!(answer.ends_with(&second.greets_as()), "{answer}");

    second.leave().await;
    assert_eq!(third.reported().await, ("Owner".to_owned(), address));
    third.leave().await;
    assert_eq!(fetch(address, "/", "localhost").await, None);
    let mut later = Process::start(folder.path());
    assert_eq!(later.reported().await, ("Owner".to_owned(), address), "links survive a restart");
    later.leave().await;
}

#[tokio::test]
async fn processes_that_start_together_agree_on_one_port() {
    let folder = tempfile::tempdir().unwrap();
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(Process::start(folder.path()));
    }
    let mut reports = Vec::new();
    for process in &mut processes {
        reports.push(process.reported().await);
    }
    let owners = reports.iter().filter(|(role, _)| role == "Owner").count();
    assert_eq!(owners, 1, "{reports:?}");
    assert!(reports.iter().all(|(_, address)| *address == reports[0].1), "{reports:?}");
}

#[tokio::test]
async fn a_port_held_by_another_program_is_replaced_once_for_all() {
    let catalog = in_memory().await;
    let kept = kept_address(&*catalog, ListenerKind::Content).await.unwrap();
    assert_eq!(kept_address(&*catalog, ListenerKind::Content).await.unwrap(), kept);
    let cancel = CancellationToken::new();
    foreign(kept, &cancel).await;

    let first = keep(Arc::clone(&catalog), PortWish::Kept).await.unwrap();
    let second = keep(Arc::clone(&catalog), PortWish::Kept).await.unwrap();
    let new = now(&first);
    assert_eq!(new.role, PortRole::Owner);
    assert_ne!(new.address, kept);
    assert_eq!(now(&second), PortStatus { address: new.address, role: PortRole::Follower });
    first.stop().await;
    until(&second, |status| status.role == PortRole::Owner).await;
    second.stop().await;

    // The new port stays, though the old one is free again.
    cancel.cancel();
    let later = keep(Arc::clone(&catalog), PortWish::Kept).await.unwrap();
    assert_eq!(now(&later).address, new.address);
    assert_eq!(kept_address(&*catalog, ListenerKind::Content).await.unwrap(), new.address);
    later.stop().await;
}

#[tokio::test]
async fn a_program_that_never_answers_does_not_hold_a_start_up() {
    let catalog = in_memory().await;
    let kept = kept_address(&*catalog, ListenerKind::Content).await.unwrap();
    let _silent = TcpListener::bind(kept).await.unwrap();
    let keeper = keep(catalog, PortWish::Kept).await.unwrap();
    assert_eq!(now(&keeper).role, PortRole::Owner);
    assert_ne!(now(&keeper).address, kept);
    keeper.stop().await;
}

#[tokio::test]
async fn another_installation_and_another_listener_are_foreign() {
    let (ours, theirs) = (in_memory().await, in_memory().await);
    let first = keep(Arc::clone(&theirs), PortWish::Kept).await.unwrap();
    let port = now(&first).address.port().to_string();
    ours.set_setting("content_port", &port).await.unwrap();
    let second = keep(Arc::clone(&ours), PortWish::Kept).await.unwrap();
    assert_eq!(now(&second).role, PortRole::Owner);

    theirs.set_setting("pages_port", &port).await.unwrap();
    let pages = keep_kind(Arc::clone(&theirs), ListenerKind::Pages, PortWish::Kept).await.unwrap();
    assert_eq!(now(&pages).role, PortRole::Owner);
    let ports = [&first, &second, &pages].map(|keeper| now(keeper).address.port());
    assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2], "{ports:?}");
    for keeper in [first, second, pages] {
        keeper.stop().await;
    }
}

#[tokio::test]
async fn a_follower_moves_when_a_foreign_program_was_faster() {
    let catalog = in_memory().await;
    let mut owner = keep(Arc::clone(&catalog), PortWish::Kept).await.unwrap();
    let mut follower = keep(Arc::clone(&catalog), PortWish::Kept).await.unwrap();
    let address = now(&owner).address;
    assert_eq!(now(&follower).role, PortRole::Follower);
    let cancel = CancellationToken::new();
    let listener = loop {
        owner.stop().await;
        if let Ok(listener) = TcpListener::bind(address).await {
            break listener;
        }
        // The follower was faster; it owns the port now, and another one follows.
        until(&follower, |status| status.role == PortRole::Owner).await;
        owner = follower;
        follower = keep(Arc::clone(&catalog), PortWish::Kept).await.unwrap();
    };
    let router = Router::new().fallback(|| async { "not Atelier" });
    tokio::spawn(atelier::server::ports::serve_until(listener, router, cancel.clone()));
    let moved = until(&follower, |status| status.role == PortRole::Owner).await;
    assert_ne!(moved.address, address);
    assert!(fetch(moved.address, "/", "localhost").await.unwrap().contains("process "));
    follower.stop().await;
    cancel.cancel();
}

#[tokio::test]
async fn a_named_port_is_shared_with_us_and_refused_to_others() {
    let catalog = in_memory().await;
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let taken = open(Router::new(), &cancel).await;
    let wish = |address| PortWish::Fixed { address, flag: "--content-listen" };
    let Err(error) = keep(Arc::clone(&catalog), wish(taken)).await else { panic!("it was taken") };
    let expected = format!(
        "port {} of 127.0.0.1 is in use by another program\nhint: stop that program, or choose \
         another port with `--content-listen`",
        taken.port()
    );
    assert_eq!(error.to_string(), expected);
    let Err(error) = bind_exclusive(taken, "--listen").await else { panic!("it was taken") };
    assert!(error.to_string().ends_with("with `--listen`"), "{error}");

    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let owner = keep(Arc::clone(&catalog), wish(free)).await.unwrap();
    let address = now(&owner).address;
    assert_ne!(address.port(), 0);
    let follower = keep(Arc::clone(&catalog), wish(address)).await.unwrap();
    assert_eq!(now(&follower), PortStatus { address, role: PortRole::Follower });
    owner.stop().await;
    until(&follower, |status| status.role == PortRole::Owner).await;
    follower.stop().await;
}

#[tokio::test]
async fn only_processes_of_this_machine_learn_whose_a_listener_is() {
    let keeper = keep(in_memory().await, PortWish::Kept).await.unwrap();
    let address = now(&keeper).address;
    let path = "/.well-known/atelier?AAAAAAAAAAAAAAAAAAAAAA";
    let answer = fetch(address, path, &address.to_string()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\r\n\r\natelier "), "{answer}");
    let refused = [
        (path, "evil.example"),
        ("/.well-known/atelier", "localhost"),
        ("/.well-known/atelier?a%20b", "localhost"),
    ];
    for (path, host) in refused {
        let answer = fetch(address, path, host).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    keeper.stop().await;
}
