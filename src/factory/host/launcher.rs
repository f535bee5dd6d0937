//! Starts programs of packages: behind the fences of the sandbox, with what they declared and nothing
//! else; or, where the operator says so, as plain processes.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::process::{self, Ended, Running, tail};
use super::reach::{Network, Reach};
use crate::config::factory::FactoryConfig;
use crate::egress::address::AddressPolicy;
use crate::egress::{
    Destinations, EgressLimits, Gate, GateParts, Hints, HostRule, Kind, Proxy, Resolve,
};
use crate::sandbox::{IsolationReport, Sandbox, SandboxError, ServiceProcess, ServiceSpec};

/// Where a program finds the proxy in its network, which holds nothing else.
const PROXY: SocketAddr = loopback(1, 3128);
/// Where it finds what the door leads to.
const DOOR: SocketAddr = loopback(1, 8080);
/// The first of the addresses behind which databases are.
const DATABASES: u8 = 2;
/// Variables that HTTP clients read, in the two ways in which they write them.
const PROXY_VARIABLES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
/// The variable by which TLS libraries find whom to trust.
const TRUST_VARIABLE: &str = "SSL_CERT_FILE";
/// What certificates begin with.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
/// How long a program has when it is asked to end.
const PATIENCE: Duration = Duration::from_millis(1500);

const fn loopback(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), port)
}

/// What it works with.
pub struct LauncherParts {
    /// The fences.
    pub sandbox: Arc<dyn Sandbox>,
    /// What the operator wants.
    pub config: FactoryConfig,
    /// Finds addresses.
    pub resolver: Arc<dyn Resolve>,
    /// Bounds of a program's connections.
    pub limits: EgressLimits,
}

/// Starts programs.
pub struct Launcher {
    sandbox: Arc<dyn Sandbox>,
    resolver: Arc<dyn Resolve>,
    limits: EgressLimits,
    unsandboxed: bool,
    private: Vec<HostRule>,
    ca_bundle: Option<PathBuf>,
}

/// A program of a package.
#[derive(Debug, Default)]
pub struct Program {
    /// For whom it runs; stands in the log.
    pub name: String,
    /// Interpreter.
    pub python: PathBuf,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Folder of its package.
    pub folder: PathBuf,
    /// Variables that it gets, and no others. Values are never shown.
    pub variables: BTreeMap<String, String>,
    /// What it may reach.
    pub reach: Reach,
    /// A way to something of ours, for tests.
    pub door: Option<Door>,
}

/// An address that a program will find, and what listens there.
#[derive(Debug)]
pub struct Door {
    /// The address.
    pub address: SocketAddr,
    /// Made before the program, where both share a network.
    listener: Option<TcpListener>,
}

/// A program that was started.
pub struct Started {
    /// What it reads.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// What it writes.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Where it complains.
    pub errors: Box<dyn AsyncRead + Send + Unpin>,
    /// The program.
    pub process: Launched,
    /// What listens behind its door.
    pub door: Option<TcpListener>,
    /// What stands around it, in words.
    pub isolation: String,
}

/// A running program. Dropped, it is killed with all that it started.
pub struct Launched {
    kind: LaunchedKind,
    /// Its ways out, which go with it.
    proxies: Vec<Proxy>,
}

enum LaunchedKind {
    Sandboxed(ServiceProcess),
    Plain(Running),
}

/// Why a program was not started.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LaunchError {
    /// This machine isolates too little.
    #[error("{reason}")]
    TooWeak {
        /// What is missing.
        reason: String,
        /// What to do about it.
        fix: String,
    },
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

impl Launcher {
    /// A launcher of these parts.
    ///
    /// # Errors
    /// When the configuration names no hosts.
    pub fn new(parts: LauncherParts) -> Result<Self, String> {
        let LauncherParts { sandbox, config, resolver, limits } = parts;
        let private: Result<_, _> = config.private_hosts.iter().map(|host| host.parse()).collect();
        let private = private.map_err(|bad| format!("`factory.private_hosts`: {bad}"))?;
        let FactoryConfig { unsandboxed, ca_bundle, .. } = config;
        Ok(Self { sandbox, resolver, limits, unsandboxed, private, ca_bundle })
    }

    /// A way for a program to something of ours, to be handed over with it.
    ///
    /// # Errors
    /// When nothing can listen.
    pub async fn door(&self) -> io::Result<Door> {
        if !self.unsandboxed {
            return Ok(Door { address: DOOR, listener: None });
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Door { address: listener.local_addr()?, listener: Some(listener) })
    }

    /// Starts a program.
    ///
    /// # Errors
    /// Why it does not run.
    pub async fn start(&self, mut program: Program) -> Result<Started, LaunchError> {
        if let (Some(bundle), Network::Declared(_)) = (&self.ca_bundle, &program.reach.network) {
            check_bundle(bundle).await?;
            let path = bundle.to_string_lossy().into_owned();
            program.variables.insert(TRUST_VARIABLE.to_owned(), path);
            program.reach.copies.push(bundle.clone());
        }
        if self.unsandboxed { plain(program) } else { self.sandboxed(program).await }
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// Why it was not started.
    pub async fn run(&self, program: Program, patience: Duration) -> Result<Ended, LaunchError> {
        let started = self.start(program).await?;
        let Started { input, output, errors, mut process, door: _, isolation: _ } = started;
        drop(input);
        let work = async {
            let (out, err) = tokio::join!(process::collect(output), process::collect(errors));
            let (ok, how) = process.end().await;
            let mut output = tail(&String::from_utf8_lossy(&[out, err].concat()));
            if !ok && output.is_empty() {
                output = how;
            }
            Ended { ok, output }
        };
        let ended = tokio::time::timeout(patience, work).await;
        Ok(ended.unwrap_or_else(|_| Ended {
            ok: false,
            output: format!("stopped after {} s", patience.as_secs()),
        }))
    }

    async fn sandboxed(&self, program: Program) -> Result<Started, LaunchError> {
        let Program { name, python, arguments, folder, mut variables, reach, door } = program;
        let mut listen = Vec::new();
        let mut served = Vec::new();
        let door = door.map(|door| door.address);
        listen.extend(door);
        let mut ways = Vec::new();
        if let Network::Declared(hosts) = &reach.network {
            let gate = self.gate(&name, hosts.clone(), self.private.clone());
            listen.push(PROXY);
            served.push((Kind::Http, gate));
            for variable in PROXY_VARIABLES {
                variables.insert(variable.to_owned(), format!("http://{PROXY}"));
            }
            ways.extend(hosts.iter().map(HostRule::to_string));
        }
        let mut addresses = Vec::new();
        for ((host, port), last) in reach.databases.iter().zip(DATABASES..) {
            // The operator's own address of a database may lead anywhere.
            let rule = HostRule::exact(host, *port)
                .map_err(|error| LaunchError::Failed(format!("the database's address: {error}")))?;
            ways.push(rule.to_string());
            let gate = self.gate(&name, vec![rule.clone()], vec![rule]);
            let address = loopback(last, *port);
            listen.push(address);
            served.push((Kind::Fixed { host: host.clone(), port: *port }, gate));
            addresses.push(address.ip().to_string());
        }
        if !addresses.is_empty() {
            // The name stays in the URL, for the certificate; only the address is another.
            variables.insert("PGHOSTADDR".to_owned(), addresses.join(","));
        }
        let spec = ServiceSpec {
            interpreter: python,
            arguments,
            folder,
            environment: variables,
            readable: Vec::new(),
            shares: reach.shares,
            copies: reach.copies,
            listen,
        };
        let service = self.sandbox.start_service(spec).await.map_err(refused)?;
        let failed = |error: io::Error| LaunchError::Failed(format!("its network: {error}"));
        let mut listeners = Vec::new();
        for listener in service.listeners {
            listener.set_nonblocking(true).map_err(failed)?;
            listeners.push(TcpListener::from_std(listener).map_err(failed)?);
        }
        let mut listeners = listeners.into_iter();
        let door = door.and_then(|_| listeners.next());
        let proxies = served
            .into_iter()
            .zip(listeners)
            .map(|((kind, gate), listener)| Proxy::serve(listener, kind, gate))
            .collect();
        Ok(Started {
            input: service.input,
            output: service.output,
            errors: service.errors,
            process: Launched { kind: LaunchedKind::Sandboxed(service.process), proxies },
            door,
            isolation: in_words(&service.isolation, &reach.network, &ways),
        })
    }

    fn gate(&self, name: &str, hosts: Vec<HostRule>, private: Vec<HostRule>) -> Arc<Gate> {
        Arc::new(Gate::new(GateParts {
            name: name.to_owned(),
            hosts: Destinations::Declared(hosts),
            policy: AddressPolicy::public_only().with_hosts(private),
            resolver: Arc::clone(&self.resolver),
            limits: self.limits,
            hints: Hints {
                undeclared: "a made server reaches the hosts of its description alone; the operator \
                             sets another with `factory.variables` (API_BASE_URL, OAUTH2_TOKEN_URL, \
                             or the variable of its server)"
                    .to_owned(),
                private: "the operator allows it by naming that host in `factory.private_hosts`"
                    .to_owned(),
            },
        }))
    }
}

/// A program without certificates would fail at its first connection, with less to go by.
async fn check_bundle(bundle: &Path) -> Result<(), LaunchError> {
    let bad = |reason: String| {
        LaunchError::Failed(format!("`factory.ca_bundle` is {}, {reason}", bundle.display()))
    };
    let text = tokio::fs::read(bundle).await;
    let text = text.map_err(|error| bad(format!("which cannot be read: {error}")))?;
    if String::from_utf8_lossy(&text).contains(CERTIFICATE) {
        return Ok(());
    }
    Err(bad("which holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)".to_owned()))
}

fn refused(error: SandboxError) -> LaunchError {
    match error {
        SandboxError::TooWeak { .. } => {
            LaunchError::TooWeak { reason: error.to_string(), fix: error.hint() }
        }
        other => LaunchError::Failed(other.to_string()),
    }
}

fn in_words(isolation: &IsolationReport, network: &Network, ways: &[String]) -> String {
    let network = match (network, ways) {
        (Network::None, []) => "no network".to_owned(),
        (Network::Declared(_), []) => "network to no host, since none is declared".to_owned(),
        (_, ways) => format!("network to {} alone", ways.join(", ")),
    };
    format!("sandbox, tier `{}`; {network}", isolation.tier)
}

fn plain(program: Program) -> Result<Started, LaunchError> {
    let Program { name: _, python, arguments, folder, variables, reach: _, door } = program;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failed = |reason: String| LaunchError::Failed(reason);
    let mut running = process::start(&python, &arguments, &folder, &variables)
        .map_err(|error| failed(format!("{} cannot be started: {error}", python.display())))?;
    let (Some(input), Some(output), Some(errors)) =
        (running.child.stdin.take(), running.child.stdout.take(), running.child.stderr.take())
    else {
        return Err(failed("it has no standard streams".to_owned()));
    };
    Ok(Started {
        input: Box::new(input),
        output: Box::new(output),
        errors: Box::new(errors),
        process: Launched { kind: LaunchedKind::Plain(running), proxies: Vec::new() },
        door: door.and_then(|door| door.listener),
        isolation: "plain process, as the operator allows (`factory.unsandboxed`)".to_owned(),
    })
}

impl Launched {
    /// Kills it and all that it started, at once. May be called again.
    pub fn kill(&self) {
        match &self.kind {
            LaunchedKind::Sandboxed(process) => process.kill(),
            LaunchedKind::Plain(running) => running.signal(rustix::process::Signal::KILL),
        }
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        match &self.kind {
            LaunchedKind::Sandboxed(process) => process.ask_to_end(),
            LaunchedKind::Plain(running) => running.signal(rustix::process::Signal::TERM),
        }
    }

    /// Waits for its end: whether it was a good one, and how it ended, in words.
    pub async fn end(&mut self) -> (bool, String) {
        let end = match &mut self.kind {
            LaunchedKind::Sandboxed(process) => {
                let end = process.ended().await;
                (end.is_success(), end.to_string())
            }
            LaunchedKind::Plain(running) => match running.child.wait().await {
                Ok(status) => (status.success(), status.to_string()),
                Err(error) => (false, error.to_string()),
            },
        };
        for proxy in std::mem::take(&mut self.proxies) {
            proxy.close().await;
        }
        end
    }

    /// Ends it: politely, and then not. Nothing of it is left afterwards.
    pub async fn stop(mut self) {
        if tokio::time::timeout(PATIENCE, self.end()).await.is_ok() {
            return;
        }
        self.ask_to_end();
        if tokio::time::timeout(PATIENCE, self.end()).await.is_err() {
            self.kill();
            self.end().await;
        }
    }
}
