//! Decides about a connection, and makes it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::AddressPolicy;
use super::hosts::{HostRule, canonical, is_address, shown};
use super::log::{self, Record, Way};
use super::resolve::Resolve;

/// Bounds of a program's connections.
#[derive(Debug, Clone, Copy)]
pub struct EgressLimits {
    /// Connections at a time.
    pub connections: usize,
    /// Time to reach a host.
    pub connect: Duration,
    /// Time for the head of a request.
    pub head: Duration,
    /// Time without a byte in either direction.
    pub idle: Duration,
    /// Time of a whole connection.
    pub total: Duration,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            connections: 64,
            connect: Duration::from_secs(10),
            head: Duration::from_secs(15),
            idle: Duration::from_mins(5),
            total: Duration::from_hours(1),
        }
    }
}

/// What a refusal tells to do.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// About a host that is not declared.
    pub undeclared: String,
    /// About an address that is not public.
    pub private: String,
}

/// Which hosts are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destinations {
    /// These.
    Declared(Vec<HostRule>),
    /// Whatever is asked for.
    Anywhere,
}

/// What a gate is made of.
pub struct GateParts {
    /// For whom it is; stands in the log.
    pub name: String,
    /// What may be reached.
    pub hosts: Destinations,
    /// At which addresses.
    pub policy: AddressPolicy,
    /// Finds addresses.
    pub resolver: Arc<dyn Resolve>,
    /// Bounds.
    pub limits: EgressLimits,
    /// For refusals.
    pub hints: Hints,
}

/// Lets one program out.
pub struct Gate {
    parts: GateParts,
    places: Arc<Semaphore>,
    made: AtomicU64,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is no host and port.
    NoHost(String),
    /// Nobody declared it.
    Undeclared(String),
    /// It is not on the public internet.
    NotPublic {
        /// Host and port.
        destination: String,
        /// The kind of its range.
        range: &'static str,
    },
    /// Nobody knows the name.
    Unresolved(String),
    /// Nobody answers.
    Unreachable {
        /// Host and port.
        destination: String,
        /// What the system says.
        reason: String,
    },
    /// Nobody answers in time.
    TooSlow(String),
    /// There are too many connections.
    Crowded(usize),
}

impl Refusal {
    /// The status of its answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoHost(_) => 400,
            Self::Undeclared(_) | Self::NotPublic { .. } => 403,
            Self::Unresolved(_) | Self::Unreachable { .. } => 502,
            Self::Crowded(_) => 503,
            Self::TooSlow(_) => 504,
        }
    }

    /// One word for the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoHost(_) => "no_host",
            Self::Undeclared(_) => "undeclared",
            Self::NotPublic { .. } => "not_public",
            Self::Unresolved(_) => "unresolved",
            Self::Unreachable { .. } => "unreachable",
            Self::TooSlow(_) => "too_slow",
            Self::Crowded(_) => "crowded",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost(given) => write!(formatter, "`{given}` is no host and port"),
            Self::Undeclared(destination) => {
                write!(formatter, "`{destination}` is not among the declared hosts")
            }
            Self::NotPublic { destination, range } => {
                write!(formatter, "`{destination}` is not on the public internet ({range} address)")
            }
            Self::Unresolved(host) => write!(formatter, "the host `{host}` has no address"),
            Self::Unreachable { destination, reason } => {
                write!(formatter, "`{destination}` cannot be reached: {reason}")
            }
            Self::TooSlow(destination) => {
                write!(formatter, "`{destination}` does not answer in time")
            }
            Self::Crowded(most) => {
                write!(formatter, "{most} connections are open, which is the most")
            }
        }
    }
}

/// A connection that was let through.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Gate {
    /// A gate of these parts.
    pub fn new(parts: GateParts) -> Self {
        let places = Arc::new(Semaphore::new(parts.limits.connections));
        Self { parts, places, made: AtomicU64::new(0) }
    }

    pub(super) fn limits(&self) -> &EgressLimits {
        &self.parts.limits
    }

    /// Connections that were made so far.
    pub fn connections_made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// The refusal and what to do about it, in one line.
    pub fn explain(&self, refusal: &Refusal) -> String {
        let hint = match refusal {
            Refusal::Undeclared(_) => {
                let declared: Vec<String> = match &self.parts.hosts {
                    Destinations::Declared(hosts) => {
                        hosts.iter().take(20).map(HostRule::to_string).collect()
                    }
                    Destinations::Anywhere => Vec::new(),
                };
                let declared =
                    if declared.is_empty() { "none".to_owned() } else { declared.join(", ") };
                format!(" ({declared}); {}", self.parts.hints.undeclared)
            }
            Refusal::NotPublic { .. } => format!("; {}", self.parts.hints.private),
            Refusal::NoHost(_)
            | Refusal::Unresolved(_)
            | Refusal::Unreachable { .. }
            | Refusal::TooSlow(_)
            | Refusal::Crowded(_) => String::new(),
        };
        format!("{refusal}{hint}")
    }

    /// The addresses of a host, if it may be connected to: these, and no others.
    ///
    /// # Errors
    /// Why not; it stands in the log.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let work = async {
            let host = self.meant(host, port)?;
            self.checked(&host, port).await
        };
        work.await.inspect_err(|refusal| self.log_refusal(host, port, refusal))
    }

    /// Connects to a host, if that may be.
    ///
    /// # Errors
    /// Why not; it stands in the log.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<Passed, Refusal> {
        self.connected(host, port)
            .await
            .inspect_err(|refusal| self.log_refusal(host, port, refusal))
    }

    async fn connected(&self, host: &str, port: u16) -> Result<Passed, Refusal> {
        let limits = &self.parts.limits;
        let host = self.meant(host, port)?;
        let destination = destination(&host, port);
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Refusal::Crowded(limits.connections))?;
        let work = async {
            let addresses = self.checked(&host, port).await?;
            // The first that answers, of those that were checked and no others.
            TcpStream::connect(addresses.as_slice()).await.map_err(|error| Refusal::Unreachable {
                destination: destination.clone(),
                reason: plain(&error),
            })
        };
        let stream = tokio::time::timeout(limits.connect, work)
            .await
            .map_err(|_| Refusal::TooSlow(destination.clone()))??;
        let _ = stream.set_nodelay(true);
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Passed { stream, _place: place })
    }

    /// The host in the form in which it is compared, when it is meant.
    fn meant(&self, host: &str, port: u16) -> Result<String, Refusal> {
        let host = canonical(host).ok_or_else(|| Refusal::NoHost(shown(host)))?;
        let is_meant = match &self.parts.hosts {
            Destinations::Declared(rules) => rules.iter().any(|rule| rule.covers(&host, port)),
            Destinations::Anywhere => true,
        };
        if is_meant { Ok(host) } else { Err(Refusal::Undeclared(destination(&host, port))) }
    }

    async fn checked(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.parts.resolver.resolve(host).await.unwrap_or_default(),
        };
        if found.is_empty() {
            return Err(Refusal::Unresolved(host.to_owned()));
        }
        let found: Vec<SocketAddr> =
            found.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        self.parts
            .policy
            .check(host, &found)
            .map_err(|range| Refusal::NotPublic { destination: destination(host, port), range })?;
        Ok(found)
    }

    /// Begins what the log will say about a connection.
    pub(crate) fn record(&self, host: &str, port: u16, way: Way) -> Record {
        Record::begin(&self.parts.name, &destination(host, port), way)
    }

    fn log_refusal(&self, host: &str, port: u16, refusal: &Refusal) {
        log::refusal(&self.parts.name, &destination(host, port), refusal);
    }
}

/// Host and port, as they are written.
pub(super) fn destination(host: &str, port: u16) -> String {
    if is_address(host) && host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// What the system says, without its number.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "there is no way to it".to_owned()
        }
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => "the connection failed".to_owned(),
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gate").field("name", &self.parts.name).finish_non_exhaustive()
    }
}
