//! Control groups: memory and number of processes of a whole run, on version 2 or version 1.
//!
//! One group for this server holds one group for each run. A group serves again when its run is over
//! and it is empty, since making and removing one costs the kernel more than a run does. The group of
//! the server carries its process id and start time, so that a later start can tell what was left by
//! one that was killed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::kernel_files::{children, list, make_folder, read, start_time, write};
use super::plan::WorkerLimits;

const PREFIX: &str = "atelier-";
/// Where the processes of a group go that was delegated to us; see [`step_aside`].
const ASIDE: &str = "atelier.server";
/// Sandboxes of this process so far.
static SANDBOXES: AtomicU64 = AtomicU64::new(0);
/// Over so much time the processor time of a run is counted.
const PERIOD_MICROSECONDS: u64 = 100_000;
/// Groups that wait for their next run.
const SPARE: usize = 32;

/// The groups of this server.
#[derive(Debug)]
pub(super) struct Groups {
    hierarchies: Vec<Hierarchy>,
    limits: WorkerLimits,
    spare: Mutex<Vec<RunGroup>>,
    next: AtomicU64,
}

/// One tree of groups in which we have a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    folder: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unified,
    Memory,
    Pids,
    Processor,
}

/// The group of one run: a folder in each hierarchy.
#[derive(Debug, Clone)]
pub(super) struct RunGroup {
    folders: Vec<Hierarchy>,
    killed_before: u64,
}

/// Makes the server's group. The error says what stands in the way.
pub(super) fn establish(limits: &WorkerLimits) -> Result<Groups, String> {
    let name = own_name()?;
    let mut hierarchies = Vec::new();
    let mounts = mounts().map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
    let mut reasons = Vec::new();
    if let Some(base) = &mounts.unified {
        match unified(base, &name) {
            Ok(folder) => hierarchies.push(Hierarchy { folder, kind: Kind::Unified }),
            Err(reason) => reasons.push(format!("version 2: {reason}")),
        }
    }
    if hierarchies.is_empty() {
        match legacy(&mounts, &name) {
            Ok(found) => hierarchies = found,
            Err(reason) => reasons.push(format!("version 1: {reason}")),
        }
    }
    if hierarchies.is_empty() {
        return Err(reasons.join("; "));
    }
    let groups = Groups {
        hierarchies,
        limits: limits.clone(),
        spare: Mutex::default(),
        next: AtomicU64::new(0),
    };
    // A trial, since a limit may be refused where a folder was not.
    match groups.make() {
        Ok(trial) => {
            groups.give_back(trial);
            Ok(groups)
        }
        Err(error) => {
            remove_all(&groups.folders());
            Err(format!("a limit cannot be set: {error}"))
        }
    }
}

impl Groups {
    /// The server's own folders, to be removed when all is over.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.hierarchies.iter().map(|hierarchy| hierarchy.folder.clone()).collect()
    }

    /// A group for one run, with the limits set. Blocks for a moment.
    pub(super) fn take(&self) -> io::Result<RunGroup> {
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        match spare {
            Some(group) => Ok(group),
            None => self.make(),
        }
    }

    fn make(&self) -> io::Result<RunGroup> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let mut group = RunGroup { folders: Vec::new(), killed_before: 0 };
        for hierarchy in &self.hierarchies {
            let folder = hierarchy.folder.join(&name);
            make_folder(&folder)?;
            let memory = self.limits.memory_bytes.to_string();
            let processes = self.limits.processes.to_string();
            if matches!(hierarchy.kind, Kind::Unified) {
                write(&folder.join("memory.max"), &memory)?;
                // Machines without swap accounting lack these two.
                let _ = write(&folder.join("memory.swap.max"), "0");
                let _ = write(&folder.join("memory.oom.group"), "1");
            }
            if matches!(hierarchy.kind, Kind::Memory) {
                write(&folder.join("memory.limit_in_bytes"), &memory)?;
                let _ = write(&folder.join("memory.memsw.limit_in_bytes"), &memory);
            }
            if matches!(hierarchy.kind, Kind::Unified | Kind::Pids) {
                write(&folder.join("pids.max"), &processes)?;
            }
            // One run shall not starve the others; where that cannot be had, they share as equals.
            let quota = self.limits.processors.saturating_mul(PERIOD_MICROSECONDS).to_string();
            if matches!(hierarchy.kind, Kind::Unified) {
                let _ = write(&folder.join("cpu.max"), &format!("{quota} {PERIOD_MICROSECONDS}"));
            }
            if matches!(hierarchy.kind, Kind::Processor) {
                let _ = write(&folder.join("cpu.cfs_period_us"), &PERIOD_MICROSECONDS.to_string());
                let _ = write(&folder.join("cpu.cfs_quota_us"), &quota);
            }
            group.folders.push(Hierarchy { folder, kind: hierarchy.kind });
        }
        Ok(group)
    }

    /// Takes an emptied group back.
    pub(super) fn give_back(&self, mut group: RunGroup) {
        if group.is_empty()
            && let Ok(mut spare) = self.spare.lock()
            && spare.len() < SPARE
        {
            group.killed_before = group.killed();
            spare.push(group);
            return;
        }
        group.remove();
    }

    /// Removes everything; the runs must be over.
    pub(super) fn close(&self) {
        remove_all(&self.folders());
    }
}

impl RunGroup {
    /// Moves a process in; its children will be born there.
    pub(super) fn add(&self, process: i32) -> io::Result<()> {
        let text = process.to_string();
        self.folders.iter().try_for_each(|folder| write(&folder.folder.join("cgroup.procs"), &text))
    }

    /// Whether the kernel killed something in here for want of memory.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        self.killed() > self.killed_before
    }

    fn killed(&self) -> u64 {
        self.folders
            .iter()
            .filter_map(|folder| match folder.kind {
                Kind::Unified => read(&folder.folder.join("memory.events")).ok(),
                Kind::Memory => read(&folder.folder.join("memory.oom_control")).ok(),
                Kind::Pids | Kind::Processor => None,
            })
            .filter_map(|text| {
                text.lines()
                    .find_map(|line| line.strip_prefix("oom_kill "))
                    .and_then(|count| count.trim().parse::<u64>().ok())
            })
            .sum()
    }

    /// Kills all that is inside, where the kernel offers that.
    pub(super) fn kill(&self) {
        for folder in self.folders.iter().filter(|folder| folder.kind == Kind::Unified) {
            let _ = write(&folder.folder.join("cgroup.kill"), "1");
        }
    }

    fn is_empty(&self) -> bool {
        self.folders.iter().all(|folder| {
            read(&folder.folder.join("cgroup.procs")).is_ok_and(|text| text.trim().is_empty())
        })
    }

    fn remove(&self) {
        let folders: Vec<_> = self.folders.iter().map(|folder| folder.folder.clone()).collect();
        remove_all(&folders);
    }
}

/// Removes groups with their children, and ends whatever is still in them.
pub(super) fn remove_all(folders: &[PathBuf]) {
    for folder in folders {
        for child in children(folder) {
            remove(&child);
        }
        remove(folder);
    }
}

fn remove(folder: &Path) {
    for _ in 0..200 {
        match rustix::fs::rmdir(folder) {
            Err(rustix::io::Errno::BUSY) => {
                end_all(folder);
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(()) | Err(_) => return,
        }
    }
}

/// Kills the processes of a group whose run is over; a server that was killed may leave some where
/// there are no namespaces.
fn end_all(folder: &Path) {
    for process in list(&folder.join("cgroup.procs")).unwrap_or_default() {
        if let Some(process) = process.parse().ok().and_then(rustix::process::Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    }
}

/// Removes what servers left that are no more.
fn sweep(parent: &Path) {
    for folder in children(parent) {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut parts = name.strip_prefix(PREFIX).unwrap_or_default().split('-');
        let (Some(process), Some(started), Some(_)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let alive = process
            .parse()
            .ok()
            .and_then(|process| start_time(process).ok())
            .is_some_and(|time| time.to_string() == started);
        if !alive {
            remove_all(&[folder]);
        }
    }
}

fn own_name() -> Result<String, String> {
    let process = std::process::id();
    let started = i32::try_from(process)
        .map_err(|error| error.to_string())
        .and_then(|process| start_time(process).map_err(|error| error.to_string()))?;
    // One process may hold several sandboxes.
    let number = SANDBOXES.fetch_add(1, Ordering::Relaxed);
    Ok(format!("{PREFIX}{process}-{started}-{number}"))
}

/// Where this process stands in each tree.
#[derive(Debug, Default)]
struct Mounts {
    unified: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    processor: Option<PathBuf>,
}

fn mounts() -> io::Result<Mounts> {
    let own = read(Path::new("/proc/self/cgroup"))?;
    let path_in = |wanted: &str| {
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            controllers.split(',').any(|controller| controller == wanted).then(|| path.to_owned())
        })
    };
    let mut mounts = Mounts::default();
    for line in read(Path::new("/proc/self/mountinfo"))?.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (mut left, mut right) = (left.split(' ').skip(3), right.split(' '));
        let (Some(root), Some(point)) = (left.next(), left.next()) else { continue };
        let (Some(kind), _, Some(options)) = (right.next(), right.next(), right.next()) else {
            continue;
        };
        let place = |wanted: &str| {
            let path = path_in(wanted)?;
            let below = Path::new(&path).strip_prefix(root).ok()?;
            Some(Path::new(point).join(below))
        };
        if kind == "cgroup2" {
            mounts.unified = mounts.unified.or_else(|| place(""));
        } else if kind == "cgroup" {
            let has = |name| options.split(',').any(|option| option == name);
            if has("memory") {
                mounts.memory = place("memory");
            }
            if has("cpu") {
                mounts.processor = place("cpu");
            }
            if has("pids") {
                mounts.pids = place("pids");
            }
        }
    }
    Ok(mounts)
}

/// Both trees of version 1, or none; processor time where it can be had.
fn legacy(mounts: &Mounts, name: &str) -> Result<Vec<Hierarchy>, String> {
    let mut made: Vec<Hierarchy> = Vec::new();
    for (base, kind, title) in
        [(&mounts.memory, Kind::Memory, "memory"), (&mounts.pids, Kind::Pids, "pids")]
    {
        let result =
            base.as_ref().ok_or_else(|| format!("no `{title}` controller")).and_then(|base| {
                sweep(base);
                let folder = base.join(name);
                make_folder(&folder)
                    .map(|()| folder.clone())
                    .map_err(|error| format!("{}: {error}", folder.display()))
            });
        match result {
            Ok(folder) => made.push(Hierarchy { folder, kind }),
            Err(reason) => {
                remove_all(&made.into_iter().map(|made| made.folder).collect::<Vec<_>>());
                return Err(reason);
            }
        }
    }
    if let Some(base) = &mounts.processor {
        sweep(base);
        let folder = base.join(name);
        if make_folder(&folder).is_ok() {
            made.push(Hierarchy { folder, kind: Kind::Processor });
        }
    }
    Ok(made)
}

/// A folder in version 2's tree with both controllers on.
fn unified(base: &Path, name: &str) -> Result<PathBuf, String> {
    let base = delegated(base);
    let at = |path: &Path, error: &io::Error| format!("{}: {error}", path.display());
    let controllers = base.join("cgroup.controllers");
    let offered = read(&controllers).map_err(|error| at(&controllers, &error))?;
    for wanted in ["memory", "pids"] {
        if !offered.split_whitespace().any(|name| name == wanted) {
            return Err(format!("{} offers no `{wanted}`", controllers.display()));
        }
    }
    sweep(base);
    let control = base.join("cgroup.subtree_control");
    if let Err(error) = write(&control, "+memory +pids") {
        if error.raw_os_error() != Some(rustix::io::Errno::BUSY.raw_os_error()) {
            return Err(at(&control, &error));
        }
        // A group with processes of its own cannot have controlled children: we step aside.
        step_aside(base).map_err(|error| at(base, &error))?;
        write(&control, "+memory +pids").map_err(|error| at(&control, &error))?;
    }
    let folder = base.join(name);
    make_folder(&folder).map_err(|error| at(&folder, &error))?;
    let own = folder.join("cgroup.subtree_control");
    if let Err(error) = write(&own, "+memory +pids") {
        remove(&folder);
        return Err(at(&own, &error));
    }
    // Processor time is delegated less often than the other two.
    if write(&control, "+cpu").is_ok() {
        let _ = write(&own, "+cpu");
    }
    Ok(folder)
}

/// The group that was delegated to us: whoever starts this server may have been put aside together
/// with an earlier one, and then it is born there.
fn delegated(base: &Path) -> &Path {
    match base.parent() {
        Some(above) if base.ends_with(ASIDE) => delegated(above),
        Some(_) | None => base,
    }
}

/// Moves the processes of a group that was delegated to us into a child of it.
fn step_aside(base: &Path) -> io::Result<()> {
    let folder = base.join(ASIDE);
    make_folder(&folder)?;
    for process in list(&base.join("cgroup.procs"))? {
        write(&folder.join("cgroup.procs"), &process)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_put_aside_finds_the_group_again() {
        for (born, group) in [
            ("/sys/fs/cgroup", "/sys/fs/cgroup"),
            ("/sys/fs/cgroup/app.scope", "/sys/fs/cgroup/app.scope"),
            ("/sys/fs/cgroup/app.scope/atelier.server", "/sys/fs/cgroup/app.scope"),
            ("/sys/fs/cgroup/app.scope/atelier.server/atelier.server", "/sys/fs/cgroup/app.scope"),
        ] {
            assert_eq!(delegated(Path::new(born)), Path::new(group));
        }
    }
}
