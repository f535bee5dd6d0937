//! The system calls that code may not make, compiled for the machine at hand.
//!
//! Filters lie one upon the other, and the strictest verdict wins:
//! 1. calls of a foreign architecture or of the x32 table kill the process (a filter by number would
//!    read them wrongly), and numbers above the newest one that was reviewed answer ENOSYS;
//! 2. what reaches the kernel's larger surfaces answers EPERM, and so does memory that belongs to no
//!    process where nothing counts it;
//! 3. `clone3` answers ENOSYS, since its flags lie in memory that a filter cannot read: libraries fall
//!    back to `clone`, whose flags are checked;
//! 4. services may make stream sockets and connect them, which their empty network bounds; no sockets
//!    of any other kind, and none that others could connect to;
//! 5. what forking and fencing need, mounts and namespaces, answers EPERM in workers alone. All the
//!    rest binds the zygote already: its workers inherit it, which costs them nothing.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::plan::SeccompPolicy;

/// Newest call that was reviewed (`file_setattr`, Linux 6.17). The table is the same everywhere there.
const NEWEST_REVIEWED: u32 = 469;
/// Numbers from here on belong to the x32 table of x86-64.
const X32: u32 = 0x4000_0000;

const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const SOCK_DGRAM: u64 = 2;
const SOCK_RAW: u64 = 3;
/// All types of sockets but streams.
const NO_STREAMS: [u64; 6] = [SOCK_DGRAM, SOCK_RAW, 4, 5, 6, 10];
const IPPROTO_TCP: u64 = 6;
const SOCK_TYPE: u64 = 0xf;
/// MAP_SHARED (or MAP_SHARED_VALIDATE) with MAP_ANONYMOUS.
const SHARED_ANONYMOUS: u64 = 0x21;
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
/// NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NAMESPACE_FLAGS: [u64; 8] = [
    0x80,
    0x0002_0000,
    0x0200_0000,
    0x0400_0000,
    0x0800_0000,
    0x1000_0000,
    0x2000_0000,
    0x4000_0000,
];

/// Refused whatever the arguments.
const REFUSED: &[i64] = &[
    // Sockets: only connected pairs are left.
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Mounts, roots, namespaces.
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    STATMOUNT,
    LISTMOUNT,
    OPEN_TREE_ATTR,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_quotactl,
    QUOTACTL_FD,
    // Large surfaces of the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_personality,
    libc::SYS_memfd_secret,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    // Message queues outlive every limit of a process.
    libc::SYS_mq_open,
    libc::SYS_msgget,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

/// Calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS__sysctl,
    libc::SYS_uselib,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[KEXEC_FILE_LOAD];
#[cfg(not(target_arch = "x86_64"))]
const KEXEC_FILE_LOAD: i64 = 294;

/// Refused in workers; the zygote and a worker that is not fenced yet need them.
const REFUSED_IN_WORKERS: &[i64] = &[libc::SYS_mount, libc::SYS_unshare, libc::SYS_setns];

/// Memory that is counted by a memory group alone.
const SHARED_MEMORY: &[i64] = &[libc::SYS_memfd_create, libc::SYS_shmget];

// Numbers above 403 are the same on every architecture; these are newer than some C libraries.
const QUOTACTL_FD: i64 = 443;
const STATMOUNT: i64 = 457;
const LISTMOUNT: i64 = 458;
const OPEN_TREE_ATTR: i64 = 467;

/// The filters as the kernel reads them: 8 bytes for each instruction.
#[derive(Debug, Default)]
pub(super) struct Programs {
    /// For the zygote and all that it forks.
    pub(super) common: Vec<Vec<u8>>,
    /// For workers on top.
    pub(super) worker: Vec<Vec<u8>>,
}

/// Compiles the filters for this machine.
pub(super) fn programs(policy: SeccompPolicy) -> Result<Programs, String> {
    let architecture = architecture()?;
    let common = common(refused(policy)?, architecture)?;
    let worker = [fencing(architecture)?];
    let encode = |programs: &[BpfProgram]| programs.iter().map(bytes).collect();
    Ok(Programs { common: encode(&common), worker: encode(&worker) })
}

/// The filters of a service, in the order in which they are put up.
pub(super) fn service_programs(policy: SeccompPolicy) -> Result<Vec<BpfProgram>, String> {
    let architecture = architecture()?;
    let mut refused = refused(policy)?;
    refused.remove(&libc::SYS_connect);
    let mut sockets = vec![
        rule(vec![
            condition(0, SeccompCmpOp::Ne, AF_UNIX)?,
            condition(0, SeccompCmpOp::Ne, AF_INET)?,
            condition(0, SeccompCmpOp::Ne, AF_INET6)?,
        ])?,
        // Other protocols of streams are no TCP to Landlock.
        rule(vec![
            condition(2, SeccompCmpOp::Ne, 0)?,
            condition(2, SeccompCmpOp::Ne, IPPROTO_TCP)?,
        ])?,
    ];
    sockets.extend(any_of(&NO_STREAMS.map(|kind| masked(1, SOCK_TYPE, kind)))?);
    refused.insert(libc::SYS_socket, sockets);
    let mut programs = common(refused, architecture)?.to_vec();
    programs.push(fencing(architecture)?);
    Ok(programs)
}

fn architecture() -> Result<TargetArch, String> {
    TargetArch::try_from(std::env::consts::ARCH)
        .map_err(|_| format!("seccomp filters cannot be made for {}", std::env::consts::ARCH))
}

/// What forking and fencing need.
fn fencing(architecture: TargetArch) -> Result<BpfProgram, String> {
    let refused = REFUSED_IN_WORKERS.iter().map(|number| (*number, Vec::new())).collect();
    compiled(refused, errno(libc::EPERM), architecture)
}

fn common(
    refused: BTreeMap<i64, Vec<SeccompRule>>,
    architecture: TargetArch,
) -> Result<[BpfProgram; 3], String> {
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok([
        by_number(),
        compiled(refused, errno(libc::EPERM), architecture)?,
        compiled(clone3, errno(libc::ENOSYS), architecture)?,
    ])
}

/// The calls that are refused, with the arguments under which they are.
fn refused(policy: SeccompPolicy) -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, Vec::new())).collect();
    refused.insert(libc::SYS_clone, any_of(&NAMESPACE_FLAGS.map(|flag| masked(0, flag, flag)))?);
    refused.insert(
        libc::SYS_socketpair,
        any_of(&[
            condition(0, SeccompCmpOp::Ne, AF_UNIX),
            masked(1, SOCK_TYPE, SOCK_DGRAM),
            masked(1, SOCK_TYPE, SOCK_RAW),
        ])?,
    );
    refused.insert(
        libc::SYS_ioctl,
        any_of(&[
            condition(1, SeccompCmpOp::Eq, TIOCSTI),
            condition(1, SeccompCmpOp::Eq, TIOCLINUX),
        ])?,
    );
    if policy == SeccompPolicy::NoSharedMemory {
        refused.extend(SHARED_MEMORY.iter().map(|number| (*number, Vec::new())));
        refused.insert(libc::SYS_mmap, any_of(&[masked(3, SHARED_ANONYMOUS, SHARED_ANONYMOUS)])?);
    }
    Ok(refused)
}

/// What the rule language cannot say: ranges of numbers.
fn by_number() -> BpfProgram {
    const LOAD: u16 = 0x20;
    const AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD, 0, 0, 0),
        step(AT_LEAST, 0, 1, X32),
        step(RETURN, 0, 0, u32::from(SeccompAction::KillProcess)),
        step(AT_LEAST, 0, 1, NEWEST_REVIEWED + 1),
        step(RETURN, 0, 0, u32::from(errno(libc::ENOSYS))),
        step(RETURN, 0, 0, u32::from(SeccompAction::Allow)),
    ]
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn compiled(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    verdict: SeccompAction,
    architecture: TargetArch,
) -> Result<BpfProgram, String> {
    SeccompFilter::new(rules, SeccompAction::Allow, verdict, architecture)
        .and_then(BpfProgram::try_from)
        .map_err(|error| format!("the seccomp filter cannot be compiled: {error}"))
}

fn any_of(conditions: &[Result<SeccompCondition, String>]) -> Result<Vec<SeccompRule>, String> {
    conditions.iter().map(|condition| rule(vec![condition.clone()?])).collect()
}

/// All of these together.
fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, String> {
    SeccompRule::new(conditions).map_err(|error| error.to_string())
}

fn condition(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, String> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
        .map_err(|error| error.to_string())
}

fn masked(index: u8, mask: u64, value: u64) -> Result<SeccompCondition, String> {
    condition(index, SeccompCmpOp::MaskedEq(mask), value)
}

fn bytes(program: &BpfProgram) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend(instruction.code.to_ne_bytes());
        bytes.extend([instruction.jt, instruction.jf]);
        bytes.extend(instruction.k.to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_compiles() {
        for policy in [SeccompPolicy::Standard, SeccompPolicy::NoSharedMemory] {
            let Programs { common, worker } = programs(policy).unwrap();
            assert_eq!((common.len(), worker.len()), (3, 1));
            assert!(common.iter().chain(&worker).all(|it| it.len() % 8 == 0 && !it.is_empty()));
            assert_eq!(service_programs(policy).unwrap().len(), 4);
        }
    }
}
