//! Starts Chrome where it can reach nothing: in an empty network namespace, as a user without
//! rights, with its own sandbox on, and with empty folders over those of the users.

mod arguments;
mod process;
mod profile;
mod spawn;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Gid, Uid};
use tokio::net::unix::pipe;

pub(super) use process::Process;

use self::profile::{Profile, remove_leftovers};
use self::spawn::{Namespaces, Plan, SpawnError, Stage};
use super::cdp::Connection;
use super::cdp::json::Fields as _;
use super::{Isolation, RenderError};
use crate::config::browser::IsolationWish;

/// The user and group `nobody`, which owns nothing.
const NOBODY: u32 = 65_534;
/// The folder of the namespace that Chrome may write to.
const SCRATCH: &str = "/tmp";
/// Folders with files of users, where they usually are.
const USERS_FOLDERS: [&str; 8] =
    ["/home", "/root", "/tmp", "/var/tmp", "/run/user", "/mnt", "/media", "/srv"];
/// How long a healthy Chrome may take until it answers, on a slow disk and a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// What to start, and how far it must be kept away from everything.
#[derive(Debug, Clone)]
pub(super) struct LaunchSettings {
    /// Chrome, when the configuration names it.
    pub(super) chrome: Option<PathBuf>,
    /// How much isolation is asked for.
    pub(super) isolation: IsolationWish,
    /// Folders that Chrome must not see, besides the usual ones.
    pub(super) hidden: Vec<PathBuf>,
}

/// A Chrome that answers.
pub(super) struct Launched {
    pub(super) process: Process,
    pub(super) connection: Connection,
    pub(super) version: String,
    pub(super) isolation: Isolation,
}

/// One way to start it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tier {
    is_in_namespace: bool,
    has_sandbox: bool,
}

/// Finds Chrome.
pub(super) fn find(configured: Option<&Path>) -> Result<PathBuf, RenderError> {
    match configured {
        Some(path) if path.is_file() => Ok(path.to_owned()),
        Some(path) => Err(RenderError::ChromeMissing { place: Some(path.display().to_string()) }),
        None => headless_chrome::browser::default_executable()
            .map_err(|_| RenderError::ChromeMissing { place: None }),
    }
}

/// Starts Chrome in the best way that works here.
pub(super) async fn launch(settings: &LaunchSettings) -> Result<Launched, RenderError> {
    let program = find(settings.chrome.as_deref())?;
    remove_leftovers(&std::env::temp_dir());
    let mut refusals = Vec::new();
    for tier in tiers(settings.isolation) {
        match start(settings, &program, tier).await {
            Ok(mut launched) => {
                launched.isolation.refusals = refusals;
                return Ok(launched);
            }
            Err(StartError::Tier(reason)) => refusals.push(reason),
            Err(StartError::Final(error)) => return Err(error),
        }
    }
    Err(RenderError::Isolation(refusals.join("; ")))
}

fn tiers(wish: IsolationWish) -> Vec<Tier> {
    let tier = |is_in_namespace, has_sandbox| Tier { is_in_namespace, has_sandbox };
    match wish {
        IsolationWish::Required => vec![tier(true, true)],
        IsolationWish::Best => vec![tier(true, true), tier(false, true)],
        IsolationWish::Rules => vec![tier(false, true)],
        IsolationWish::Weak => {
            vec![tier(true, true), tier(true, false), tier(false, true), tier(false, false)]
        }
    }
}

enum StartError {
    /// This tier is refused here; another may work.
    Tier(String),
    /// No tier would work.
    Final(RenderError),
}

async fn start(
    settings: &LaunchSettings,
    program: &Path,
    tier: Tier,
) -> Result<Launched, StartError> {
    let broken = |error: &dyn std::fmt::Display| {
        StartError::Final(RenderError::ChromeBroken(error.to_string()))
    };
    let user = rustix::process::geteuid();
    let group = rustix::process::getegid();
    let nobody = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    // Root of a container that knows no other user cannot become one, but can be called by
    // another number in a user namespace of Chrome's own.
    let is_alone = user.is_root() && !knows_nobody();
    let becomes = (user.is_root() && !is_alone).then_some(nobody);
    let (profile, folder) = if tier.is_in_namespace {
        (None, PathBuf::from(SCRATCH))
    } else {
        let profile = Profile::create(&std::env::temp_dir(), becomes).map_err(|e| broken(&e))?;
        let folder = profile.path();
        (Some(profile), folder)
    };
    let text = |text: String| CString::new(text).map_err(|e| broken(&e));
    let mut command = vec![text(program.display().to_string())?];
    for argument in arguments::arguments(&folder, tier.has_sandbox) {
        command.push(text(argument)?);
    }
    let environment =
        arguments::environment(&folder).into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let namespaces = if !tier.is_in_namespace {
        Namespaces::None
    } else if becomes.is_some() {
        Namespaces::ByRoot
    } else {
        let (seen_user, seen_group) = if is_alone { nobody } else { (user, group) };
        Namespaces::ByUser {
            users: text(format!("{} {} 1", seen_user.as_raw(), user.as_raw()))?,
            groups: text(format!("{} {} 1", seen_group.as_raw(), group.as_raw()))?,
        }
    };
    let covers = if tier.is_in_namespace {
        let (user, group) = if user.is_root() { nobody } else { (user, group) };
        covers(settings, program, user, group)
            .into_iter()
            .map(|(folder, options)| Ok((text(folder)?, text(options)?)))
            .collect::<Result<Vec<_>, StartError>>()?
    } else {
        Vec::new()
    };
    let pipes = Pipes::new().map_err(|e| broken(&e))?;
    let plan =
        Plan { command, environment, namespaces, becomes, covers, descriptors: pipes.theirs };
    let process = Process::start(plan, pipes.errors, profile)
        .await
        .map_err(|error| explain(&error, program, tier))?;
    let sender = pipe::Sender::from_owned_fd(pipes.to_chrome).map_err(|e| broken(&e))?;
    let receiver = pipe::Receiver::from_owned_fd(pipes.from_chrome).map_err(|e| broken(&e))?;
    let connection = Connection::new(sender, receiver);
    let question = connection.command(None, "Browser.getVersion", serde_json::json!({}));
    let answer = tokio::select! {
        answer = tokio::time::timeout(START_PATIENCE, question) => answer,
        () = process.wait() => Ok(Err(super::cdp::CommandError::Closed)),
    };
    let complaint = match answer {
        Ok(Ok(answer)) => {
            let version = answer.field("product").as_str().unwrap_or("unknown version").to_owned();
            let isolation = Isolation {
                network_namespace: tier.is_in_namespace,
                chrome_sandbox: tier.has_sandbox,
                refusals: Vec::new(),
            };
            return Ok(Launched { process, connection, version, isolation });
        }
        Ok(Err(_)) => {
            process.end(Duration::from_millis(500)).await;
            process.complaints()
        }
        Err(_) => format!("it did not answer within {} s", START_PATIENCE.as_secs()),
    };
    process.kill();
    let complaint = telling_line(&complaint);
    // A Chrome that cannot make its sandbox ends at once and says so.
    if tier.has_sandbox && complaint.to_ascii_lowercase().contains("sandbox") {
        return Err(StartError::Tier(format!("Chrome's own sandbox: {complaint}")));
    }
    if tier.is_in_namespace {
        return Err(StartError::Tier(format!("in a network namespace: {complaint}")));
    }
    Err(StartError::Final(RenderError::ChromeBroken(complaint)))
}

/// Whether this process can become nobody: in some containers there is no user but root.
#[expect(clippy::disallowed_methods, reason = "a file of the kernel about this process")]
fn knows_nobody() -> bool {
    ["/proc/self/uid_map", "/proc/self/gid_map"].into_iter().all(|map| {
        std::fs::read_to_string(map).is_ok_and(|text| {
            text.lines().any(|line| {
                let mut numbers = line.split_whitespace().map(str::parse::<u64>);
                let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
                    (numbers.next(), numbers.next(), numbers.next())
                else {
                    return false;
                };
                (first..first.saturating_add(count)).contains(&u64::from(NOBODY))
            })
        })
    })
}

fn explain(error: &SpawnError, program: &Path, tier: Tier) -> StartError {
    let reason = &error.error;
    match error.stage {
        Stage::Exec if reason.kind() == std::io::ErrorKind::NotFound => {
            StartError::Final(RenderError::ChromeMissing {
                place: Some(program.display().to_string()),
            })
        }
        Stage::Exec => {
            StartError::Final(RenderError::ChromeBroken(format!("{}: {reason}", program.display())))
        }
        Stage::Clone | Stage::Maps | Stage::Mounts if tier.is_in_namespace => {
            StartError::Tier(format!("{}: {reason}", error.stage.name()))
        }
        Stage::Clone | Stage::Maps | Stage::Mounts | Stage::Identity | Stage::Descriptors => {
            StartError::Final(RenderError::ChromeBroken(format!(
                "{}: {reason}",
                error.stage.name()
            )))
        }
    }
}

/// The line of Chrome's complaints that says most.
fn telling_line(complaints: &str) -> String {
    let lines = || complaints.lines().map(str::trim).filter(|line| !line.is_empty());
    let fatal = lines().find(|line| line.contains("FATAL") || line.contains("No usable sandbox"));
    let line = fatal.or_else(|| lines().next_back()).unwrap_or("it ended without a word");
    line.chars().take(400).collect()
}

/// Folders to cover, outermost first, with the options of the empty file systems over them.
fn covers(
    settings: &LaunchSettings,
    program: &Path,
    user: Uid,
    group: Gid,
) -> Vec<(String, String)> {
    let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let mut folders: Vec<PathBuf> = USERS_FOLDERS
        .iter()
        .map(PathBuf::from)
        .chain(settings.hidden.iter().cloned())
        .chain(std::env::home_dir())
        .chain([std::env::temp_dir()])
        .filter_map(|folder| folder.canonicalize().ok())
        .filter(|folder| folder.is_dir() && folder.parent().is_some())
        // A Chrome that somebody installed in a home needs it; there the missing rights of the
        // user it runs as have to do.
        .filter(|folder| !program.starts_with(folder))
        .collect();
    folders.sort();
    let mut outermost: Vec<PathBuf> = Vec::new();
    for folder in folders {
        if !outermost.last().is_some_and(|outer| folder.starts_with(outer)) {
            outermost.push(folder);
        }
    }
    let mine = format!("mode=0700,uid={},gid={}", user.as_raw(), group.as_raw());
    let mut covers: Vec<(String, String)> = outermost
        .into_iter()
        .filter(|folder| folder != Path::new(SCRATCH))
        .map(|folder| (folder.display().to_string(), "mode=0555,size=64k".to_owned()))
        .collect();
    // Chrome's own: what it writes is gone with it. The second is for shared memory.
    covers.push((SCRATCH.to_owned(), format!("{mine},size=512m")));
    if Path::new("/dev/shm").is_dir() {
        covers.push(("/dev/shm".to_owned(), format!("{mine},size=1g")));
    }
    covers
}

/// The pipes between us and Chrome.
struct Pipes {
    theirs: [OwnedFd; 5],
    to_chrome: OwnedFd,
    from_chrome: OwnedFd,
    errors: OwnedFd,
}

impl Pipes {
    fn new() -> std::io::Result<Self> {
        use rustix::fs::{Mode, OFlags, open};
        use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
        let (commands, to_chrome) = pipe_with(PipeFlags::CLOEXEC)?;
        let (from_chrome, answers) = pipe_with(PipeFlags::CLOEXEC)?;
        let (errors, complaints) = pipe_with(PipeFlags::CLOEXEC)?;
        // Whole documents go through; a refusal only makes it slower.
        for end in [&to_chrome, &from_chrome] {
            let _ = fcntl_setpipe_size(end, 1 << 20);
        }
        let input = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let output = open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        let theirs = [input, output, complaints, commands, answers];
        Ok(Self { theirs, to_chrome, from_chrome, errors })
    }
}
