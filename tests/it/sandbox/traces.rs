//! What a sandbox could leave behind: processes, mounts, groups, files, sockets, descriptors.
//!
//! To be used in a process that does nothing else, see `as_every_user`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How things stand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    processes: BTreeSet<u32>,
    mounts: BTreeSet<String>,
    groups: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
    /// Sockets, pipes and descriptors of processes that this process holds, by kind.
    descriptors: Vec<String>,
}

impl Traces {
    pub(crate) fn now() -> Self {
        let own = std::process::id();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        Self {
            processes: descendants(own).into_iter().collect(),
            mounts: mounts.lines().map(str::to_owned).collect(),
            groups: groups_of(own).into_iter().collect(),
            files: files_of(own),
            descriptors: descriptors(),
        }
    }

    /// Waits until all is as it was; the kernel collects some things a moment later.
    pub(crate) async fn assert_none_left(&self) {
        let began = Instant::now();
        loop {
            let now = Self::now();
            if now == *self {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "before {self:#?}\nnow {now:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Processes below a process, itself excluded.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut queue = vec![root];
    while let Some(process) = queue.pop() {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for thread in threads.filter_map(Result::ok) {
            let text = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children: Vec<u32> =
                text.split_whitespace().map(|it| it.parse().unwrap()).collect();
            found.extend(&children);
            queue.extend(children);
        }
    }
    found
}

/// Groups that a server's process made, anywhere in the trees.
pub(crate) fn groups_of(process: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut queue = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = queue.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(&format!("atelier-{process}-")) {
                    found.push(entry.path());
                }
                queue.push(entry.path());
            }
        }
    }
    found
}

/// Folders of runs that a server's process made.
fn files_of(process: u32) -> BTreeSet<PathBuf> {
    let prefix = format!("atelier-sandbox-{process}-");
    std::fs::read_dir(std::env::temp_dir())
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

fn descriptors() -> Vec<String> {
    let mut found: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.display().to_string())
        // The runtime and the listing have their own; numbers of kinds are what counts.
        .filter_map(|target| target.split_once(":[").map(|(kind, _)| kind.to_owned()))
        .filter(|kind| ["socket", "pipe", "mnt", "net", "pid"].contains(&kind.as_str()))
        .collect();
    found.sort();
    found
}
