//! The server's end of a service: its start, its group, its end.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::pipe::PipeFlags;
use serde::Deserialize;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cgroup::{Groups, RunGroup};
use super::helper::{Control, Helper};
use super::host::{self, Findings};
use super::inside::{self, ASK, GO};
use super::interpreter::{ADDRESS_SPACE_BYTES, too_weak, weaken};
use super::kernel_files::process_of;
use super::plan::{LaunchPlan, PLAN_BYTES, PRIVATE_HOME, SeccompPolicy, ServicePlan};
use super::profile::{self, InterpreterProfile};
use super::run::watch_memory;
use super::worker::admit;
use super::zygote::Refusal;
use super::{LocalSettings, Machine};
use crate::sandbox::{
    IsolationReport, Layer, SandboxError, Service, ServiceEnd, ServiceOrder, ServiceProcess,
    ServiceSpec, ShareAccess, Tier,
};

/// How long the fences may take.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Descriptors of a server with connections.
const OPEN_FILES: u64 = 512;
/// Without a limit of its own.
const UNBOUNDED: u64 = u64::MAX;

/// A helper's word.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Message {
    Born,
    Started { held: Vec<Layer> },
    Failed { step: String, message: String },
    Exited { status: i32 },
}

/// A program that runs, before its holder has it.
struct Started {
    control: Control,
    ended: oneshot::Receiver<()>,
    streams: (pipe::Sender, pipe::Receiver, pipe::Receiver),
    listeners: Vec<TcpListener>,
    held: Vec<Layer>,
    number: i32,
    group: Option<(Arc<Groups>, RunGroup)>,
}

/// Starts a service.
pub(super) async fn start(
    settings: &LocalSettings,
    machine: &Machine,
    spec: ServiceSpec,
    closed: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Service, SandboxError> {
    // Without namespaces nothing bounds what it may connect to.
    let least = settings.least.max(Tier::NoLandlock);
    let profile = InterpreterProfile {
        preload: Vec::new(),
        ..InterpreterProfile::new("service", &spec.interpreter)
    };
    let resolved = profile::resolve(&profile).await?;
    let mut findings = Findings { groups: machine.groups_missing.clone(), ..Findings::default() };
    let mut plan = plan(settings, machine, spec, resolved.readable);
    let started = loop {
        if !plan.namespaces {
            let states =
                host::states(&[Layer::Environment, Layer::Rlimits], &findings, &settings.without);
            return Err(too_weak(least, IsolationReport::new(states)));
        }
        match launch(settings, machine, &plan, tasks).await {
            Ok(started) => break started,
            Err(refusal) => weaken_service(&mut plan, &mut findings, &refusal)?,
        }
    };
    let isolation = IsolationReport::new(host::states(&started.held, &findings, &settings.without));
    let (orders, ordered) = watch::channel(ServiceOrder::Run);
    let (noted, ended) = watch::channel(None);
    let (input, output, errors) = started.streams;
    let owner = Owner {
        control: started.control,
        collected: started.ended,
        number: started.number,
        memory: settings.limits.memory_bytes,
        group: started.group,
        closed: closed.clone(),
    };
    tasks.spawn(async move { owner.watch(ordered, noted).await });
    let process = ServiceProcess::new(orders, ended);
    if isolation.tier < least {
        return Err(too_weak(least, isolation));
    }
    Ok(Service {
        input: Box::new(input),
        output: Box::new(output),
        errors: Box::new(errors),
        listeners: started.listeners,
        process,
        isolation: Arc::new(isolation),
    })
}

/// What the strongest way needs.
fn plan(
    settings: &LocalSettings,
    machine: &Machine,
    spec: ServiceSpec,
    interpreter: Vec<std::path::PathBuf>,
) -> LaunchPlan {
    let off = |layer: Layer| settings.without.contains(&layer);
    let mut limits = settings.limits.clone();
    limits.cpu_seconds = UNBOUNDED;
    limits.open_files = OPEN_FILES;
    if spec.shares.iter().any(|share| share.access == ShareAccess::Write) {
        // Databases grow.
        limits.file_bytes = UNBOUNDED;
    }
    let mut policy = SeccompPolicy::Standard;
    if machine.groups.is_none() {
        policy = SeccompPolicy::NoSharedMemory;
        limits.address_space_bytes.get_or_insert(ADDRESS_SPACE_BYTES);
    }
    let mut readable = interpreter;
    readable.push(spec.folder.clone());
    readable.extend(spec.readable);
    let mut environment = spec.environment;
    let programs = spec.interpreter.parent().map(|folder| folder.display().to_string());
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.unwrap_or_default());
    for (name, value) in [
        ("PATH", path),
        ("LANG", "C.UTF-8".to_owned()),
        ("HOME", PRIVATE_HOME.to_owned()),
        ("TMPDIR", inside::temporary()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    LaunchPlan {
        executable: spec.interpreter,
        readable,
        search_paths: Vec::new(),
        preload: Vec::new(),
        drop_to: machine.user,
        namespaces: !Layer::NAMESPACES.into_iter().any(off),
        landlock: !off(Layer::Landlock),
        seccomp: (!off(Layer::Seccomp)).then_some(policy),
        cache: None,
        limits,
        groups: machine.groups.as_ref().map(|groups| groups.folders()).unwrap_or_default(),
        service: Some(ServicePlan {
            arguments: spec.arguments,
            folder: spec.folder,
            environment,
            shares: spec.shares,
            copies: spec.copies,
            listen: spec.listen,
        }),
    }
}

/// What is this service's own fault is no weakness of the machine.
fn weaken_service(
    plan: &mut LaunchPlan,
    findings: &mut Findings,
    refusal: &Refusal,
) -> Result<(), SandboxError> {
    let starts = |words: &[&str]| words.iter().any(|word| refusal.step.starts_with(word));
    let of_machine = refusal.step == "seccomp"
        || refusal.step == "landlock"
        || starts(&["unshare", "write ", "mount", "make mounts", "pivot_root"]);
    if of_machine {
        return weaken(plan, findings, refusal);
    }
    Err(SandboxError::Start(refusal.to_string()))
}

async fn launch(
    settings: &LocalSettings,
    machine: &Machine,
    plan: &LaunchPlan,
    tasks: &TaskTracker,
) -> Result<Started, Refusal> {
    let local = |error: io::Error| Refusal::new("make the service's descriptors", error);
    let text = serde_json::to_vec(plan).map_err(|error| local(error.into()))?;
    if text.len() > PLAN_BYTES {
        let most = PLAN_BYTES >> 10;
        return Err(Refusal::new(
            "start the service",
            format!("its variables hold more than {most} kB"),
        ));
    }
    let pair = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| local(error.into()));
    let ((their_input, input), (output, their_output), (errors, their_errors)) =
        (pair()?, pair()?, pair()?);
    let nonblocking =
        |end: &OwnedFd| rustix::io::ioctl_fionbio(end, true).map_err(|error| local(error.into()));
    for end in [&input, &output, &errors] {
        nonblocking(end)?;
    }
    let streams = (
        pipe::Sender::from_owned_fd(input).map_err(local)?,
        pipe::Receiver::from_owned_fd(output).map_err(local)?,
        pipe::Receiver::from_owned_fd(errors).map_err(local)?,
    );
    let Helper { control, complaint, ended } = Helper::start(&settings.program, tasks)?;
    let theirs = [their_input.as_fd(), their_output.as_fd(), their_errors.as_fd()];
    let sent = control.send(&text, &theirs).await;
    drop((their_input, their_output, their_errors));
    sent.map_err(|error| Refusal::new("talk to the sandbox's helper", error))?;
    let begin = begin(&control, machine);
    match tokio::time::timeout(START_LIMIT, begin).await {
        Ok(Ok(begun)) => {
            let Begun { listeners, held, number, group } = begun;
            Ok(Started { control, ended, streams, listeners, held, number, group })
        }
        Ok(Err(mut refusal)) => {
            control.close();
            if refusal.message == ENDED
                && let Ok(Ok(text)) = tokio::time::timeout(Duration::from_secs(5), complaint).await
                && let Some(last) = text.lines().rev().find(|line| !line.trim().is_empty())
            {
                refusal.message = format!("{ENDED} ({last})");
            }
            Err(refusal)
        }
        Err(_) => {
            control.close();
            Err(Refusal::new("start the service", "its fences take too long"))
        }
    }
}

const ENDED: &str = "the helper ended";

/// A service behind its fences.
struct Begun {
    listeners: Vec<TcpListener>,
    held: Vec<Layer>,
    number: i32,
    group: Option<(Arc<Groups>, RunGroup)>,
}

/// The talk with the helper until the program runs.
async fn begin(control: &Control, machine: &Machine) -> Result<Begun, Refusal> {
    let (message, descriptors) = next(control).await?;
    let Message::Born = message else { return Err(out_of_order(message)) };
    let mut descriptors = descriptors.into_iter();
    let process = descriptors
        .next()
        .ok_or_else(|| Refusal::new("start the service", "its process is missing"))?;
    let number =
        process_of(process.as_fd()).map_err(|error| Refusal::new("find the service", error))?;
    let mut held = Vec::new();
    let group = match &machine.groups {
        Some(groups) => {
            let group = admit(Arc::clone(groups), number).await?;
            held.extend([Layer::CgroupMemory, Layer::CgroupPids]);
            Some((Arc::clone(groups), group))
        }
        None => None,
    };
    let result = fenced(control).await;
    match result {
        Ok(reported) => {
            held.extend(reported);
            held.sort();
            let listeners = descriptors.map(TcpListener::from).collect();
            Ok(Begun { listeners, held, number, group })
        }
        Err(refusal) => {
            control.close();
            give_back(group).await;
            Err(refusal)
        }
    }
}

async fn fenced(control: &Control) -> Result<Vec<Layer>, Refusal> {
    control
        .send(GO, &[])
        .await
        .map_err(|error| Refusal::new("talk to the sandbox's helper", error))?;
    match next(control).await?.0 {
        Message::Started { held } => Ok(held),
        other => Err(out_of_order(other)),
    }
}

async fn next(control: &Control) -> Result<(Message, Vec<OwnedFd>), Refusal> {
    let lost = |error: io::Error| Refusal::new("talk to the sandbox's helper", error);
    let (data, descriptors) = control.receive().await.map_err(lost)?;
    if data.is_empty() {
        return Err(Refusal::new("start the service", ENDED));
    }
    let message = serde_json::from_slice(&data).map_err(|error| lost(error.into()))?;
    Ok((message, descriptors))
}

fn out_of_order(message: Message) -> Refusal {
    match message {
        Message::Failed { step, message } => Refusal { step, message },
        Message::Born | Message::Started { .. } | Message::Exited { .. } => {
            Refusal::new("start the service", "an answer out of order")
        }
    }
}

/// Kills what is left in a group and takes it back.
async fn give_back(group: Option<(Arc<Groups>, RunGroup)>) {
    let Some((groups, group)) = group else { return };
    // May wait for the kernel.
    let _ = tokio::task::spawn_blocking(move || {
        group.kill();
        groups.give_back(group);
    })
    .await;
}

/// Whoever owns the program: ends it when its holder lets go, and tells how it ended.
struct Owner {
    control: Control,
    collected: oneshot::Receiver<()>,
    number: i32,
    memory: u64,
    group: Option<(Arc<Groups>, RunGroup)>,
    closed: CancellationToken,
}

impl Owner {
    async fn watch(
        self,
        mut ordered: watch::Receiver<ServiceOrder>,
        noted: watch::Sender<Option<ServiceEnd>>,
    ) {
        let group = self.group.as_ref().map(|(_, group)| group.clone());
        let mut memory = Box::pin(watch_memory(self.number, self.memory, group));
        let mut end = None;
        loop {
            tokio::select! {
                message = next(&self.control) => {
                    if let Ok((Message::Exited { status }, _)) = message {
                        end = Some(inside::end_of(status));
                    }
                    break;
                }
                order = ordered.changed() => {
                    let order = order.map_or(ServiceOrder::Kill, |()| *ordered.borrow_and_update());
                    match order {
                        ServiceOrder::Run => {}
                        ServiceOrder::Ask => { let _ = self.control.send(ASK, &[]).await; }
                        ServiceOrder::Kill => {
                            end = Some(ServiceEnd::Signaled(KILLED));
                            break;
                        }
                    }
                }
                () = &mut memory => {
                    end = Some(ServiceEnd::OutOfMemory);
                    break;
                }
                () = self.closed.cancelled() => {
                    end = Some(ServiceEnd::Lost);
                    break;
                }
            }
        }
        if self.group.as_ref().is_some_and(|(_, group)| group.ran_out_of_memory()) {
            end = Some(ServiceEnd::OutOfMemory);
        }
        self.control.close();
        // The supervisor ends last.
        let _ = self.collected.await;
        give_back(self.group).await;
        noted.send_replace(Some(end.unwrap_or(ServiceEnd::Lost)));
    }
}

/// What ends a program whose namespace goes.
const KILLED: i32 = 9;
