//! The helper processes between the server and an interpreter, or a service.
//!
//! The server starts its own program again as the *supervisor*, which starts it once more as the
//! *launcher*; the launcher enters the namespaces and starts the interpreter on the zygote's code, as
//! pid 1 in there. Each has a single thread, which namespaces demand and a server cannot offer.
//!
//! ```text
//! server - supervisor (as the server's user; removes the groups in the end)
//!            - launcher (namespaces, private root, dropped user)
//!                - zygote (Python, pid 1 inside) - workers (one run each)
//! ```
//!
//! A service takes the zygote's place: see `inside`.
//!
//! The leash is the control socket: when the server ends, however it does, the zygote reads the end
//! of it and leaves, and the kernel takes all its workers along.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::net::RecvFlags;
use rustix::process::{Gid, Pid, Signal, Uid};
use rustix::thread::UnshareFlags;

use super::helper::receive;
use super::plan::{LaunchPlan, PLAN_BYTES, PRIVATE_HOME};
use super::{cgroup, embedded, fence, inside, root, seccomp, sys};

/// First argument of the supervisor.
pub(super) const SUPERVISOR: &str = "internal-sandbox-supervisor";
/// First argument of the launcher.
const LAUNCHER: &str = "internal-sandbox-launcher";

/// Runs as a helper process when the first argument says so.
pub(crate) fn run_when_asked() -> Option<ExitCode> {
    let role = std::env::args_os().nth(1)?;
    if role == SUPERVISOR {
        Some(supervise())
    } else if role == LAUNCHER {
        Some(launch())
    } else {
        None
    }
}

/// A step that failed on the way to a zygote or a service; goes back to the server.
#[derive(Debug)]
pub(super) struct Failure {
    step: String,
    message: String,
}

impl Failure {
    /// A step that failed for a reason in words.
    pub(super) fn told(step: &str, message: String) -> Self {
        Self { step: step.to_owned(), message }
    }

    pub(super) fn step(&self) -> &str {
        &self.step
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn new(step: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self { step: step.into(), message: error.into().to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.step, self.message)
    }
}

/// Names the step that a result belongs to.
pub(super) trait Step<T> {
    fn step(self, name: &str) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, name: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(name, error))
    }
}

/// Waits for the launcher, then removes what only the server's own user can remove.
fn supervise() -> ExitCode {
    let server = rustix::process::getppid();
    let Ok(plan) = read_plan(io::stdin(), RecvFlags::PEEK) else { return ExitCode::FAILURE };
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that starts processes")]
    let launcher = Command::new("/proc/self/exe").arg(LAUNCHER).spawn();
    let ended = launcher.and_then(|mut launcher| launcher.wait());
    match ended {
        // The server has let go of this zygote; others of its may use the groups.
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) | Err(_) => {
            // A zygote that died alone is replaced, and its successor needs the groups.
            if server_is_gone(server) {
                cgroup::remove_all(&plan.groups);
            }
            ExitCode::FAILURE
        }
    }
}

/// Whether the server has ended: then this process has another parent, a moment after the server's
/// descriptors were closed.
fn server_is_gone(server: Option<Pid>) -> bool {
    for _ in 0..50 {
        if rustix::process::getppid() != server {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Puts the null device in place of the control socket, which belongs to the child now.
pub(super) fn release_standard_input() -> io::Result<()> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(null)?;
    Ok(())
}

fn read_plan(control: impl AsFd, flags: RecvFlags) -> io::Result<LaunchPlan> {
    let mut buffer = vec![0_u8; PLAN_BYTES];
    let (length, _) = rustix::net::recv(control, &mut buffer, flags)?;
    buffer.truncate(length);
    serde_json::from_slice(&buffer).map_err(io::Error::from)
}

fn launch() -> ExitCode {
    let code = sys::close_inherited(3)
        .step("close inherited descriptors")
        .and_then(|()| sys::adopt(0).step("take the control socket"))
        .map(|control| match start(&control) {
            Ok(code) => code,
            Err(failure) => {
                inside::report(&control, &failure);
                1
            }
        });
    ExitCode::from(code.unwrap_or(1))
}

/// Enters the namespaces and becomes what the plan wants.
fn start(control: &OwnedFd) -> Result<u8, Failure> {
    let (plan, descriptors) = receive(control.as_fd())
        .and_then(|(bytes, descriptors)| {
            let plan: LaunchPlan = serde_json::from_slice(&bytes).map_err(io::Error::from)?;
            Ok((plan, descriptors))
        })
        .step("read the plan")?;
    die_with_parent()?;
    if plan.namespaces {
        enter_namespaces(&plan)?;
    } else if let Some(user) = plan.drop_to {
        become_user(user)?;
    }
    die_with_parent()?;
    match &plan.service {
        None => start_zygote(control, &plan),
        Some(service) => {
            let streams = <[OwnedFd; 3]>::try_from(descriptors)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
                .step("take the streams")?;
            inside::run(control, &plan, service, streams)
        }
    }
}

fn start_zygote(control: &OwnedFd, plan: &LaunchPlan) -> Result<u8, Failure> {
    let rules = if plan.landlock && plan.namespaces { private_rules()? } else { None };
    let bundle = bundle(plan, rules.as_ref())?;
    let cache = plan.cache_folder();
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that starts processes")]
    let mut zygote = Command::new(&plan.executable)
        .args(["-I", "-S", "-B", "-X", "utf8", "-c", embedded::BOOT])
        .arg(bundle.as_raw_fd().to_string())
        .env_clear()
        .envs(environment(plan, cache))
        .stdin(Stdio::from(control.try_clone().step("copy the control socket")?))
        .spawn()
        .map_err(|error| Failure::new(format!("start {}", plan.executable.display()), error))?;
    drop(bundle);
    drop(rules);
    release_standard_input().step("let go of the control socket")?;
    let status = zygote.wait().step("wait for the interpreter")?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Variables of the interpreter; nothing is taken over from the server.
fn environment(plan: &LaunchPlan, cache: &Path) -> Vec<(&'static str, PathBuf)> {
    let home = if plan.namespaces { Path::new(PRIVATE_HOME) } else { cache };
    let one = || PathBuf::from("1");
    vec![
        ("PATH", PathBuf::from("/usr/local/bin:/usr/bin:/bin")),
        ("LANG", PathBuf::from("C.UTF-8")),
        ("HOME", home.to_owned()),
        ("MPLBACKEND", PathBuf::from("Agg")),
        ("MPLCONFIGDIR", cache.to_owned()),
        // A zygote that has threads cannot fork safely.
        ("OPENBLAS_NUM_THREADS", one()),
        ("OMP_NUM_THREADS", one()),
        ("MKL_NUM_THREADS", one()),
        ("NUMEXPR_NUM_THREADS", one()),
    ]
}

pub(super) fn die_with_parent() -> Result<(), Failure> {
    // A change of user clears it, so it is asked for again behind each.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("parent death signal")
}

fn enter_namespaces(plan: &LaunchPlan) -> Result<(), Failure> {
    let all = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    if let Some(user) = plan.drop_to {
        // Root builds the root first, so that an interpreter in a private home folder can be bound.
        sys::unshare(UnshareFlags::NEWNS).step("unshare mount namespace")?;
        root::enter(plan)?;
        become_user(user)?;
        let group = rustix::process::getgid();
        sys::unshare(all).step("unshare namespaces")?;
        map_ids(Uid::from_raw(user), group)
    } else {
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        sys::unshare(all).step("unshare namespaces")?;
        map_ids(user, group)?;
        root::enter(plan)
    }
}

/// This user and group are 0 inside, for the zygote alone; workers map themselves to 1000.
fn map_ids(user: Uid, group: Gid) -> Result<(), Failure> {
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {} 1", user.as_raw())),
        ("/proc/self/gid_map", format!("0 {} 1", group.as_raw())),
    ] {
        #[expect(clippy::disallowed_methods, reason = "a file of the kernel, not of the store")]
        std::fs::write(file, text).map_err(|error| Failure::new(format!("write {file}"), error))?;
    }
    Ok(())
}

fn become_user(number: u32) -> Result<(), Failure> {
    let (user, group) = (Uid::from_raw(number), Gid::from_raw(number));
    rustix::thread::set_thread_groups(&[]).step("leave all groups")?;
    rustix::thread::set_thread_res_gid(group, group, group).step("change the group")?;
    rustix::thread::set_thread_res_uid(user, user, user).step("change the user")?;
    // Otherwise /proc/self belongs to root and the maps of ids cannot be written.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
        .step("stay visible to oneself")
}

/// One rule set for all workers: the run folder is a mount below a folder that it names, and all else
/// in the private root may be read.
fn private_rules() -> Result<Option<OwnedFd>, Failure> {
    let above_home = Path::new(PRIVATE_HOME).parent().unwrap_or(Path::new("/home"));
    let rules = fence::rule_set([Path::new("/")], [above_home], [])
        .map_err(|message| Failure::told("landlock", message))?;
    if let Some(rules) = &rules {
        rustix::io::fcntl_setfd(rules, rustix::io::FdFlags::empty())
            .step("pass on the rule set")?;
    }
    Ok(rules)
}

/// What the zygote reads first: its code, its plan and the filters, in memory that only it holds.
fn bundle(plan: &LaunchPlan, rules: Option<&OwnedFd>) -> Result<OwnedFd, Failure> {
    let programs = match plan.seccomp {
        Some(policy) => {
            seccomp::programs(policy).map_err(|message| Failure::told("seccomp", message))?
        }
        None => seccomp::Programs::default(),
    };
    let text = embedded::bundle(plan, &programs, rules.map(std::os::fd::AsRawFd::as_raw_fd));
    let memory = rustix::fs::memfd_create("atelier-zygote", rustix::fs::MemfdFlags::empty())
        .step("make room for the zygote's code")?;
    let mut file = std::fs::File::from(memory);
    io::Write::write_all(&mut file, text.as_bytes()).step("write the zygote's code")?;
    io::Seek::rewind(&mut file).step("write the zygote's code")?;
    Ok(OwnedFd::from(file))
}
