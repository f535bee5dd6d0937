//! What happens inside before a service's program begins: its network, its fences, its first process.
//!
//! The launcher has entered the namespaces and made the root. It switches on the loopback interface,
//! listens there for the server and hands it those sockets, opens the rule set, and forks the first
//! process of the service's namespace. That one waits until the server has put it into a group, makes
//! the private folders, forks the program and stays: it collects what ends, and ends itself, and with
//! it everything, when the program or the server does.

use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use serde_json::{Value, json};

use super::launcher::{Failure, Step as _, die_with_parent, release_standard_input};
use super::plan::{LaunchPlan, PRIVATE_HOME, SeccompPolicy, ServicePlan, WorkerLimits};
use super::sys::{self, Fork};
use super::{fence, seccomp, shares};
use crate::sandbox::{Layer, ShareAccess};

/// What the server answers when the first process is in its group.
pub(super) const GO: &[u8] = b"{\"go\":true}";
/// Asks the program to end.
pub(super) const ASK: &[u8] = b"{\"ask\":true}";
/// Exit code for the supervisor, which then removes what the server would have removed.
const SERVER_IS_GONE: u8 = 3;
/// Exit code of a program that could not begin.
const NOT_BEGUN: u8 = 127;
/// So often strays of the program are collected, at the least.
const COLLECT_EVERY: Duration = Duration::from_secs(5);
const MESSAGE_BYTES: usize = 4096;
const MOST_DESCRIPTORS: usize = 9;

/// The streams of a program: what it reads, writes, and complains to.
pub(super) type Streams = [OwnedFd; 3];

/// Runs a service to its end. Returns in three processes: launcher, first process, program.
pub(super) fn run(
    control: &OwnedFd,
    plan: &LaunchPlan,
    service: &ServicePlan,
    streams: Streams,
) -> Result<u8, Failure> {
    let listeners = listen(service)?;
    let rules = if plan.landlock { rules(service)? } else { None };
    match sys::fork().step("fork the first process")? {
        Fork::Child => {
            drop(listeners);
            first_process(control, plan, service, streams, rules)
        }
        Fork::Parent(child) => {
            drop((streams, rules));
            let process = rustix::process::pidfd_open(child, PidfdFlags::empty())
                .step("watch the first process")?;
            let mut descriptors = vec![process.as_fd()];
            descriptors.extend(listeners.iter().map(std::os::fd::AsFd::as_fd));
            tell(control, &json!({"event": "born"}), &descriptors).step("tell the server")?;
            drop((process, listeners));
            release_standard_input().step("let go of the control socket")?;
            let ended = rustix::process::waitpid(Some(child), WaitOptions::empty())
                .step("wait for the first process")?;
            let code = ended.and_then(|(_, status)| status.exit_status()).unwrap_or(1);
            Ok(u8::try_from(code).unwrap_or(1))
        }
    }
}

/// Sockets that listen in the service's network and are the server's.
fn listen(service: &ServicePlan) -> Result<Vec<TcpListener>, Failure> {
    if service.listen.is_empty() {
        return Ok(Vec::new());
    }
    sys::raise_loopback().step("switch on the loopback interface")?;
    service
        .listen
        .iter()
        .map(|address| {
            TcpListener::bind(address)
                .map_err(|error| Failure::new(format!("listen on {address} inside"), error))
        })
        .collect()
}

/// All of the private root may be read, home and shared folders written to, and the server's sockets
/// connected to.
fn rules(service: &ServicePlan) -> Result<Option<OwnedFd>, Failure> {
    let above_home = Path::new(PRIVATE_HOME).parent().unwrap_or(Path::new("/home"));
    let shared = service
        .shares
        .iter()
        .filter(|share| share.access == ShareAccess::Write)
        .map(|share| share.folder.as_path());
    let ports = service.listen.iter().map(std::net::SocketAddr::port);
    fence::rule_set([Path::new("/")], std::iter::once(above_home).chain(shared), ports)
        .map_err(|message| Failure::told("landlock", message))
}

fn first_process(
    control: &OwnedFd,
    plan: &LaunchPlan,
    service: &ServicePlan,
    streams: Streams,
    rules: Option<OwnedFd>,
) -> Result<u8, Failure> {
    die_with_parent()?;
    match hear(control) {
        Some(word) if word.get("go").is_some() => {}
        Some(_) => return Ok(0),
        None => return Ok(SERVER_IS_GONE),
    }
    furnish(&plan.limits)?;
    let (said, says) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).step("make a pipe")?;
    let program = match sys::fork().step("fork the program")? {
        Fork::Child => {
            drop(said);
            let failure = begin(plan, service, &streams, rules);
            let text = json!([failure.step(), failure.message()]).to_string();
            // Nobody is left to tell when this fails.
            let _ = std::fs::File::from(says).write_all(text.as_bytes());
            return Ok(NOT_BEGUN);
        }
        Fork::Parent(program) => program,
    };
    drop((streams, rules, says));
    // The end of the pipe without a word is the exec that closed it.
    let mut words = String::new();
    let _ = std::fs::File::from(said).read_to_string(&mut words);
    if let Ok((step, message)) = serde_json::from_str::<(String, String)>(&words) {
        return Err(Failure::told(&step, message));
    }
    let held = held(plan);
    tell(control, &json!({"event": "started", "held": held}), &[]).step("tell the server")?;
    watch(control, program)
}

/// The layers that the program has around it, as it could not begin otherwise.
fn held(plan: &LaunchPlan) -> Vec<Layer> {
    let mut held = vec![Layer::Environment, Layer::Rlimits, Layer::NoNewPrivs];
    held.extend(Layer::NAMESPACES);
    if plan.landlock {
        held.push(Layer::Landlock);
    }
    if plan.seccomp.is_some() {
        held.push(Layer::Seccomp);
    }
    held
}

/// Waits for the end of the program or of the server, and collects what ends meanwhile.
fn watch(control: &OwnedFd, program: Pid) -> Result<u8, Failure> {
    let process =
        rustix::process::pidfd_open(program, PidfdFlags::empty()).step("watch the program")?;
    let pause = rustix::time::Timespec::try_from(COLLECT_EVERY).unwrap_or_default();
    loop {
        let mut descriptors =
            [PollFd::new(control, PollFlags::IN), PollFd::new(&process, PollFlags::IN)];
        match rustix::event::poll(&mut descriptors, Some(&pause)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::new("watch the program", error)),
        }
        let is_heard = descriptors.first().is_some_and(|entry| !entry.revents().is_empty());
        while let Ok(Some((ended, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if ended == program {
                let message = json!({"event": "exited", "status": status.as_raw()});
                // The server may be gone as well.
                let _ = tell(control, &message, &[]);
                return Ok(0);
            }
        }
        if is_heard {
            match hear(control) {
                Some(word) if word.get("ask").is_some() => {
                    let _ = rustix::process::kill_process(program, Signal::TERM);
                }
                // The server is done with it; all goes with this process.
                Some(_) => return Ok(0),
                None => return Ok(SERVER_IS_GONE),
            }
        }
    }
}

/// The private folders, as root of the namespace.
fn furnish(limits: &WorkerLimits) -> Result<(), Failure> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("proc", "/proc", "proc", quiet | MountFlags::NOEXEC, None)
        .step("mount /proc")?;
    let options = format!("size={},nr_inodes={},mode=700", limits.tmpfs_bytes, limits.tmpfs_inodes);
    let options = std::ffi::CString::new(options)
        .map_err(|_| Failure::told("mount the home folder", "odd limits".to_owned()))?;
    rustix::mount::mount("tmpfs", PRIVATE_HOME, "tmpfs", quiet, options.as_c_str())
        .step("mount the home folder")?;
    rustix::fs::mkdir(temporary().as_str(), Mode::from_raw_mode(0o700))
        .step("make the folder for temporary files")?;
    rustix::system::sethostname(b"sandbox").step("name the machine")?;
    let whole = MountFlags::BIND | MountFlags::RDONLY | quiet;
    rustix::mount::mount_remount("/", whole, c"").step("read-only root")
}

pub(super) fn temporary() -> String {
    format!("{PRIVATE_HOME}/.tmp")
}

/// Puts up the fences and becomes the program; returns what went wrong.
fn begin(
    plan: &LaunchPlan,
    service: &ServicePlan,
    streams: &Streams,
    rules: Option<OwnedFd>,
) -> Failure {
    match fence_in(plan, service, streams, rules) {
        Ok(()) => {}
        Err(failure) => return failure,
    }
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that starts processes")]
    let error = Command::new(&plan.executable)
        .args(&service.arguments)
        .env_clear()
        .envs(&service.environment)
        .exec();
    Failure::new(format!("start {}", plan.executable.display()), error)
}

fn fence_in(
    plan: &LaunchPlan,
    service: &ServicePlan,
    streams: &Streams,
    rules: Option<OwnedFd>,
) -> Result<(), Failure> {
    die_with_parent()?;
    rustix::process::setsid().step("leave the session")?;
    become_nobody()?;
    for (number, stream) in (0..).zip(streams) {
        sys::become_stream(stream.as_fd(), number).step("take the streams")?;
    }
    sys::close_on_exec(3).step("close inherited descriptors")?;
    rustix::process::chdir(&service.folder)
        .map_err(|error| Failure::new(format!("enter {}", service.folder.display()), error))?;
    limit_resources(&plan.limits)?;
    rustix::thread::clear_ambient_capability_set().step("clear ambient capabilities")?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).step("drop capabilities")?;
    die_with_parent()?;
    rustix::thread::set_no_new_privs(true).step("no_new_privs")?;
    shares::check(service)?;
    if let Some(rules) = rules {
        sys::restrict_self(rules.as_fd()).step("landlock")?;
    }
    if let Some(policy) = plan.seccomp {
        apply(policy)?;
    }
    Ok(())
}

/// A user namespace of its own, in which the program is an ordinary user and may do nothing to what
/// the first process has made.
fn become_nobody() -> Result<(), Failure> {
    // The old one stays open for the maps, since the new one is read-only and lies on top.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = rustix::fs::open("/proc/self", flags, Mode::empty()).step("open /proc")?;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", quiet | MountFlags::RDONLY, None)
        .step("mount /proc")?;
    sys::unshare(UnshareFlags::NEWUSER).step("unshare user")?;
    for (name, text) in [("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", "1000 0 1")] {
        let step = |error: rustix::io::Errno| Failure::new(format!("write {name}"), error);
        let file = rustix::fs::openat(&own, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(step)?;
        rustix::io::write(&file, text.as_bytes()).map_err(step)?;
    }
    Ok(())
}

fn limit_resources(limits: &WorkerLimits) -> Result<(), Failure> {
    let pairs = [
        (Resource::Nofile, Some(limits.open_files)),
        (Resource::Fsize, Some(limits.file_bytes)),
        (Resource::Core, Some(0)),
        (Resource::Nproc, Some(limits.processes)),
        (Resource::Cpu, Some(limits.cpu_seconds)),
        (Resource::Memlock, Some(65_536)),
        (Resource::Msgqueue, Some(0)),
        (Resource::Sigpending, Some(1024)),
        (Resource::As, limits.address_space_bytes),
    ];
    for (resource, value) in pairs {
        let Some(value) = value.filter(|value| *value != u64::MAX) else { continue };
        let hard = rustix::process::getrlimit(resource).maximum;
        let value = hard.map_or(value, |hard| hard.min(value));
        let limit = Rlimit { current: Some(value), maximum: Some(value) };
        rustix::process::setrlimit(resource, limit)
            .map_err(|error| Failure::new(format!("limit {resource:?}"), error))?;
    }
    Ok(())
}

fn apply(policy: SeccompPolicy) -> Result<(), Failure> {
    let failed = |message: String| Failure::told("seccomp", message);
    for program in seccomp::service_programs(policy).map_err(failed)? {
        seccompiler::apply_filter(&program).map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

/// The next word of the server; none when it has ended.
fn hear(control: &OwnedFd) -> Option<Value> {
    let mut buffer = vec![0_u8; MESSAGE_BYTES];
    loop {
        return match rustix::net::recv(control, &mut buffer, RecvFlags::empty()) {
            Ok((0, _)) => None,
            Ok((length, _)) => {
                Some(serde_json::from_slice(buffer.get(..length)?).unwrap_or(Value::Null))
            }
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => None,
        };
    }
}

fn tell(
    control: &OwnedFd,
    message: &Value,
    descriptors: &[BorrowedFd<'_>],
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        rights.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let text = message.to_string();
    rustix::net::sendmsg(
        control,
        &[IoSlice::new(text.as_bytes())],
        &mut rights,
        SendFlags::NOSIGNAL,
    )
    .map(drop)
}

/// Tells the server of a step that failed.
pub(super) fn report(control: &OwnedFd, failure: &Failure) {
    let message = json!({"event": "failed", "step": failure.step(), "message": failure.message()});
    // Nobody is left to tell when this fails.
    let _ = tell(control, &message, &[]);
}

/// How a program ended, from the kernel's word.
pub(super) fn end_of(status: i32) -> crate::sandbox::ServiceEnd {
    use crate::sandbox::ServiceEnd;
    let status = ExitStatus::from_raw(status);
    match (status.code(), status.signal()) {
        (Some(code), _) => ServiceEnd::Exited(code),
        (None, Some(signal)) => ServiceEnd::Signaled(signal),
        (None, None) => ServiceEnd::Lost,
    }
}
