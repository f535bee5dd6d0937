//! A launcher on the real sandbox, an API on loopback, and names that lead where a test wants.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use atelier::config::factory::FactoryConfig;
use atelier::egress::EgressLimits;
use atelier::factory::host::launcher::{LaunchError, Launcher, LauncherParts, Program};
use atelier::factory::host::process::Ended;
use atelier::factory::host::reach::{Network, Reach};
use atelier::fetch::Resolve;
use atelier::sandbox::Sandbox as _;
use atelier::sandbox::local::{LocalSandbox, LocalSettings};
use axum::Router;
use axum::extract::Request;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tracing_subscriber::fmt::MakeWriter;

use crate::sandbox::support::settings;
use crate::support::factory_python::environment;

/// How long a program of a test may take.
const PATIENCE: Duration = Duration::from_secs(50);
/// A name of the test API.
pub(crate) const API: &str = "api.test";

/// Names and their addresses, and how often each was asked for.
#[derive(Default)]
pub(crate) struct Names {
    known: BTreeMap<String, Vec<IpAddr>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn new(known: &[(&str, &str)]) -> Arc<Self> {
        let mut names = Self::default();
        for (name, address) in known {
            names.known.entry((*name).to_owned()).or_default().push(address.parse().unwrap());
        }
        Arc::new(names)
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        self.known.get(host).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A launcher with its sandbox, and a folder for packages that every user may read.
pub(crate) struct Workbench {
    pub(crate) sandbox: Arc<LocalSandbox>,
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) python: PathBuf,
    pub(crate) folder: TempDir,
}

impl Workbench {
    /// With these hosts open although they are private, and these names.
    pub(crate) fn new(private: &[String], names: Arc<Names>) -> Self {
        Self::with(settings(), private, names)
    }

    /// As the operator wants it, with these names.
    pub(crate) fn configured(config: FactoryConfig, names: Arc<Names>) -> Self {
        Self::made(settings(), config, names)
    }

    pub(crate) fn with(settings: LocalSettings, private: &[String], names: Arc<Names>) -> Self {
        let config = FactoryConfig { private_hosts: private.to_vec(), ..FactoryConfig::default() };
        Self::made(settings, config, names)
    }

    fn made(settings: LocalSettings, config: FactoryConfig, names: Arc<Names>) -> Self {
        let sandbox = Arc::new(LocalSandbox::new(settings));
        let launcher = Launcher::new(LauncherParts {
            sandbox: sandbox.clone(),
            config,
            resolver: names,
            limits: EgressLimits { idle: Duration::from_secs(20), ..EgressLimits::default() },
        });
        let folder = tempfile::Builder::new().prefix("bench").tempdir().unwrap();
        open_up(folder.path());
        let python = python(folder.path());
        std::fs::create_dir(folder.path().join("package")).unwrap();
        std::fs::write(folder.path().join("package/own.txt"), "own").unwrap();
        Self { sandbox, launcher: Arc::new(launcher.unwrap()), python, folder }
    }

    /// The folder of the package.
    pub(crate) fn package(&self) -> PathBuf {
        self.folder.path().join("package")
    }

    /// A program of lines.
    pub(crate) fn program(&self, code: &str, reach: Reach) -> Program {
        Program {
            name: "bench".to_owned(),
            python: self.python.clone(),
            arguments: vec!["-c".to_owned(), code.to_owned()],
            folder: self.package(),
            variables: BTreeMap::from([("GIVEN".to_owned(), "this".to_owned())]),
            reach,
            door: None,
        }
    }

    /// Runs lines to their end.
    pub(crate) async fn run(&self, code: &str, reach: Reach) -> Ended {
        self.launcher.run(self.program(code, reach), PATIENCE).await.unwrap()
    }

    pub(crate) async fn refused(&self, code: &str, reach: Reach) -> LaunchError {
        self.launcher.run(self.program(code, reach), PATIENCE).await.unwrap_err()
    }

    /// The sandbox goes, and the bench stays.
    pub(crate) async fn sandbox_closed(&self) {
        self.sandbox.close().await;
    }

    pub(crate) async fn close(self) {
        self.sandbox.close().await;
    }
}

/// These hosts.
pub(crate) fn reach(hosts: &[String]) -> Reach {
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Reach { network: Network::Declared(hosts), ..Reach::default() }
}

/// Everybody may read it.
pub(crate) fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// An environment whose interpreter every user may execute: the prepared one, or its packages
/// behind the system's interpreter of the same version.
fn python(folder: &Path) -> PathBuf {
    let prepared = environment();
    // Who may not follow the links learns nothing.
    let real = std::fs::canonicalize(prepared.join("bin/python"));
    if real.is_ok_and(|real| !real.starts_with("/root")) {
        return prepared.join("bin/python");
    }
    let library = std::fs::read_dir(prepared.join("lib")).unwrap().next().unwrap().unwrap().path();
    let library = std::fs::canonicalize(library).unwrap();
    let version = library.file_name().unwrap().to_owned();
    let system = PathBuf::from("/usr/bin").join(&version);
    assert!(system.is_file(), "{} is missing", system.display());
    let own = folder.join("environment");
    std::fs::create_dir_all(own.join("bin")).unwrap();
    std::fs::create_dir_all(own.join("lib").join(&version)).unwrap();
    symlink(&system, own.join("bin/python")).unwrap();
    symlink(library.join("site-packages"), own.join("lib").join(&version).join("site-packages"))
        .unwrap();
    std::fs::write(
        own.join("pyvenv.cfg"),
        "home = /usr/bin\ninclude-system-site-packages = false\n",
    )
    .unwrap();
    own.join("bin/python")
}

/// An API that says what it was asked for.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::clone(&seen);
        let router = Router::new().fallback(async move |request: Request| {
            let key = request.headers().get("x-api-key").and_then(|key| key.to_str().ok());
            let host = request.headers().get("host").and_then(|host| host.to_str().ok());
            let line = format!(
                "{} {} {} {}",
                request.method(),
                host.unwrap_or_default(),
                request.uri(),
                key.unwrap_or("no key")
            );
            inbox.lock().unwrap().push(line.clone());
            (
                [("content-type", "application/json")],
                serde_json::json!({ "asked": line }).to_string(),
            )
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A log, as a subscriber writes it.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(super) fn of_connections(&self) -> Vec<String> {
        self.text().lines().filter(|line| line.contains("egress.")).map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
