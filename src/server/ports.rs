//! Who listens where, when several processes share one data folder.
//!
//! In `stdio` every client starts a process of its own, and links must open whichever of them
//! lives. So a port is chosen once and kept in the catalog; the process that binds it serves it,
//! the others follow and try to bind it all the time, which succeeds as soon as the owner ends in
//! whatever way. A port that is held by something else is recognised by asking: only a process of
//! this installation can sign the answer. Then a new port is chosen, kept and announced.
//!
//! The port lies outside the range from which systems take ports for outgoing connections, or it
//! could be in use by chance after a restart.

mod identity;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::installation_key::InstallationKey;
use crate::storage::{Catalog, StorageError, StorageResult};
use identity::Verdict;

/// Pause between two tries to take a port over: a fraction of the two seconds promised.
const TAKE_OVER_PAUSE: Duration = Duration::from_millis(400);
/// How many tries pass between two questions to the owner who it is.
const TRIES_PER_QUESTION: u32 = 12;
/// How long requests in flight may go on when the listener is to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Ports are chosen from here up to the end of the range.
const FIRST_PORT: u16 = 20_480;
/// How many ports the range has.
const PORT_COUNT: u16 = 12_000;
/// How often a port is chosen before giving up: far more than programs that listen.
const CHOICES: u32 = 64;

/// A listener that the processes of an installation share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Hosted apps.
    Content,
    /// The gallery.
    Pages,
}

impl ListenerKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Pages => "pages",
        }
    }

    /// Catalog setting of the port. A port that had to be replaced keeps its setting; the next one
    /// gets the next generation, so that of several processes one decides.
    fn setting(self, generation: u32) -> String {
        let name = self.name();
        match generation {
            0 => format!("{name}_port"),
            _ => format!("{name}_port.{generation}"),
        }
    }
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another program holds the port.
    #[error(
        "port {} of {} is in use by another program\nhint: stop that program, or choose another \
         port with `{flag}`",
        .address.port(), .address.ip()
    )]
    InUse {
        /// The address that was to be listened on.
        address: SocketAddr,
        /// The flag that chooses another one.
        flag: &'static str,
    },
    /// The system refuses the address.
    #[error("cannot listen on {address}: {cause}")]
    Refused {
        /// The address that was to be listened on.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// No free port was found.
    #[error("no free port between {FIRST_PORT} and {} on 127.0.0.1", FIRST_PORT + PORT_COUNT - 1)]
    NoFreePort,
    /// The catalog, where ports are kept, failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Which port is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortWish {
    /// The installation's own, chosen once.
    Kept,
    /// This one, shared with other processes of the installation.
    Fixed {
        /// Address to listen on.
        address: SocketAddr,
        /// The flag that named it.
        flag: &'static str,
    },
}

/// Whether this process serves the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortRole {
    /// It does.
    Owner,
    /// Another process of the installation does; this one takes over when that one ends.
    Follower,
}

/// Where a shared listener is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortStatus {
    /// Its address.
    pub address: SocketAddr,
    /// Whether this process serves it.
    pub role: PortRole,
}

/// Told where the listener is, at the start and whenever it moves.
pub type Announce = Arc<dyn Fn(SocketAddr) + Send + Sync>;

/// A listener to keep.
pub struct PortPlan {
    /// Rows: where the port is kept.
    pub catalog: Arc<dyn Catalog>,
    /// Signs and checks who listens.
    pub key: InstallationKey,
    /// What is served.
    pub kind: ListenerKind,
    /// Which port.
    pub wish: PortWish,
    /// The routes.
    pub router: Router,
    /// Who wants to know the address.
    pub announce: Announce,
}

/// Keeps a shared listener served by one process of the installation.
pub struct PortKeeper {
    status: watch::Receiver<PortStatus>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl PortKeeper {
    /// Takes the port, or follows the process that has it.
    pub async fn start(plan: PortPlan) -> Result<Self, PortError> {
        let stage = match plan.wish {
            PortWish::Kept => plan.kept().await?,
            PortWish::Fixed { address, flag } => plan.fixed(address, flag).await?,
        };
        (plan.announce)(stage.status().address);
        let (sender, status) = watch::channel(stage.status());
        let cancel = CancellationToken::new();
        let task = tokio::spawn(plan.keep(stage, sender, cancel.clone()));
        Ok(Self { status, cancel, task })
    }

    /// Where the listener is, and who serves it; changes can be waited for.
    pub fn status(&self) -> watch::Receiver<PortStatus> {
        self.status.clone()
    }

    /// Frees the port, after the requests in flight or a short time.
    pub async fn stop(self) {
        self.cancel.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(error.cause = %error, "a listener ended badly");
        }
    }
}

/// The address of a shared listener without serving it: for commands that make links and end.
pub async fn kept_address(
    catalog: &dyn Catalog,
    kind: ListenerKind,
) -> Result<SocketAddr, PortError> {
    if let Some((_, port)) = stored_port(catalog, kind).await? {
        return Ok(loopback(port));
    }
    let (port, _) = choose_port(catalog, kind, 0).await?;
    Ok(loopback(port))
}

/// Listens on an address that this process alone shall have.
pub async fn bind_exclusive(
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, PortError> {
    try_bind(address).await?.ok_or(PortError::InUse { address, flag })
}

/// Tells answers that have no end of their own that their listener closes. A request that came
/// without a listener, as in tests, never learns of any.
#[derive(Debug, Clone, Default)]
pub struct Closing(Option<CancellationToken>);

impl Closing {
    /// Fires with this token.
    pub const fn at(token: CancellationToken) -> Self {
        Self(Some(token))
    }

    /// Waits until the listener closes.
    pub async fn wait(&self) {
        match &self.0 {
            Some(cancel) => cancel.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

/// Serves a listener until `cancel` fires, then lets requests in flight end for a short time.
pub async fn serve_until(listener: TcpListener, router: Router, cancel: CancellationToken) {
    // Answers are small and written at once; waiting for more to send would only delay them.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error.cause = %error, "a connection keeps its delay");
        }
    });
    let router = router.layer(Extension(Closing(Some(cancel.clone()))));
    let graceful = cancel.clone().cancelled_owned();
    let serve = axum::serve(listener, router).with_graceful_shutdown(graceful).into_future();
    let deadline = async {
        cancel.cancelled().await;
        sleep(STOP_GRACE).await;
    };
    tokio::select! {
        served = serve => {
            if let Err(error) = served {
                tracing::error!(error.cause = %error, "a listener failed");
            }
        }
        () = deadline => {}
    }
}

/// What this process does about the port.
enum Stage {
    Own(TcpListener, SocketAddr),
    Follow(SocketAddr),
}

impl Stage {
    const fn status(&self) -> PortStatus {
        match *self {
            Self::Own(_, address) => PortStatus { address, role: PortRole::Owner },
            Self::Follow(address) => PortStatus { address, role: PortRole::Follower },
        }
    }
}

impl PortPlan {
    /// The installation's port, or another one when something else holds it.
    async fn kept(&self) -> Result<Stage, PortError> {
        let mut generation = 0;
        for _ in 0..CHOICES {
            let stored = stored_port(&*self.catalog, self.kind).await?;
            if let Some((newest, port)) = stored {
                if let Some(stage) = self.take_or_follow(loopback(port)).await? {
                    return Ok(stage);
                }
                generation = newest + 1;
            }
            // Whoever comes first decides; the others find the choice stored and look again.
            let (new, listener) = choose_port(&*self.catalog, self.kind, generation).await?;
            if let Some((_, port)) = stored {
                tracing::warn!(
                    listener.kind = self.kind.name(),
                    listener.port_old = port,
                    listener.port_new = new,
                    "another program holds the port: links made before do not open any more"
                );
            }
            if let Some(listener) = listener {
                return Ok(Stage::Own(listener, loopback(new)));
            }
        }
        Err(PortError::NoFreePort)
    }

    /// The port that the user named.
    async fn fixed(&self, address: SocketAddr, flag: &'static str) -> Result<Stage, PortError> {
        self.take_or_follow(address).await?.ok_or(PortError::InUse { address, flag })
    }

    /// Binds the address, or follows a process of this installation that has it. `None` when it is
    /// somebody else's.
    async fn take_or_follow(&self, address: SocketAddr) -> Result<Option<Stage>, PortError> {
        for _ in 0..identity::QUESTIONS {
            if let Some(listener) = try_bind(address).await? {
                let address =
                    listener.local_addr().map_err(|cause| PortError::Refused { address, cause })?;
                return Ok(Some(Stage::Own(listener, address)));
            }
            match identity::ask(address, self.kind, &self.key).await? {
                Verdict::Ours => return Ok(Some(Stage::Follow(address))),
                Verdict::Foreign => return Ok(None),
                Verdict::Nobody | Verdict::Silent => sleep(identity::QUESTION_PAUSE).await,
            }
        }
        Ok(None)
    }

    async fn keep(
        self,
        mut stage: Stage,
        status: watch::Sender<PortStatus>,
        cancel: CancellationToken,
    ) {
        let mut tries = 0;
        loop {
            let address = match stage {
                Stage::Own(listener, address) => {
                    let router =
                        identity::with_identity(self.router, self.kind, self.key, address.port());
                    serve_until(listener, router, cancel).await;
                    return;
                }
                Stage::Follow(address) => address,
            };
            if timeout(TAKE_OVER_PAUSE, cancel.cancelled()).await.is_ok() {
                return;
            }
            tries += 1;
            stage = match self.follow(address, tries % TRIES_PER_QUESTION == 0).await {
                Ok(stage) => stage,
                Err(error) => {
                    tracing::warn!(error.cause = %error, "cannot take the port over, trying again");
                    Stage::Follow(address)
                }
            };
            let now = stage.status();
            if now.address != address {
                (self.announce)(now.address);
            }
            status.send_if_modified(|before| std::mem::replace(before, now) != now);
        }
    }

    /// One try to take the port over; now and then with a look at who has it.
    async fn follow(&self, address: SocketAddr, is_due: bool) -> Result<Stage, PortError> {
        if let Some(listener) = try_bind(address).await? {
            return Ok(Stage::Own(listener, address));
        }
        match self.wish {
            PortWish::Kept if is_due => self.kept().await,
            PortWish::Kept | PortWish::Fixed { .. } => Ok(Stage::Follow(address)),
        }
    }
}

/// The newest port that was kept, and its generation.
async fn stored_port(
    catalog: &dyn Catalog,
    kind: ListenerKind,
) -> StorageResult<Option<(u32, u16)>> {
    let mut newest = None;
    let mut generation = 0;
    while let Some(text) = catalog.setting(&kind.setting(generation)).await? {
        newest = Some((generation, parse_port(kind, &text)?));
        generation += 1;
    }
    Ok(newest)
}

/// Chooses a free port and keeps it, unless another process was first: then its choice holds and
/// there is no listener.
async fn choose_port(
    catalog: &dyn Catalog,
    kind: ListenerKind,
    generation: u32,
) -> Result<(u16, Option<TcpListener>), PortError> {
    for _ in 0..CHOICES {
        let port = random_port()?;
        let Some(listener) = try_bind(loopback(port)).await? else { continue };
        let kept = catalog.setting_or_insert(&kind.setting(generation), &port.to_string()).await?;
        let kept = parse_port(kind, &kept)?;
        return Ok((kept, (kept == port).then_some(listener)));
    }
    Err(PortError::NoFreePort)
}

fn parse_port(kind: ListenerKind, text: &str) -> StorageResult<u16> {
    let port = text.parse().ok().filter(|port| *port != 0);
    let name = kind.name();
    port.ok_or_else(|| StorageError::Corrupt(format!("`{text}` is no port of the {name} listener")))
}

fn random_port() -> StorageResult<u16> {
    let random = getrandom::u32()
        .map_err(|error| StorageError::Unavailable(format!("no random source: {error}")))?;
    let offset = u16::try_from(random % u32::from(PORT_COUNT)).unwrap_or_default();
    Ok(FIRST_PORT + offset)
}

/// Binds an address, or tells by `None` that it is in use.
async fn try_bind(address: SocketAddr) -> Result<Option<TcpListener>, PortError> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(cause) if cause.kind() == ErrorKind::AddrInUse => Ok(None),
        Err(cause) => Err(PortError::Refused { address, cause }),
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
