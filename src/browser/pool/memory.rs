//! How much memory a process and everything below it takes.
#![expect(clippy::disallowed_methods, reason = "the kernel tells by files")]

use std::fs;

use rustix::process::Pid;

/// What the processes of a tree hold for themselves alone, in bytes; shared pages are left out.
pub(in crate::browser) fn memory_of_tree(root: Pid) -> u64 {
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    tree(root.as_raw_nonzero().get())
        .into_iter()
        .filter_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
            let mut fields = text.split(' ').skip(1).map(str::parse::<u64>);
            let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
            Some(resident.saturating_sub(shared) * page)
        })
        .sum()
}

/// A process with its children and theirs.
fn tree(root: i32) -> Vec<i32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    found
}
