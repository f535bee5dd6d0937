//! What this machine can do, found out by doing it, and what to do about the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::kernel_files::read;
use crate::sandbox::{Layer, LayerState};

/// Why layers are missing, as far as probing told.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) namespaces: Option<String>,
    pub(super) landlock: Option<String>,
    pub(super) seccomp: Option<String>,
    pub(super) groups: Option<String>,
}

/// The state of every layer: what a worker said it holds, and the reasons for the others.
pub(super) fn states(
    held: &[Layer],
    findings: &Findings,
    without: &BTreeSet<Layer>,
) -> BTreeMap<Layer, LayerState> {
    Layer::ALL
        .into_iter()
        .map(|layer| {
            let state = if held.contains(&layer) {
                LayerState::Held
            } else if let Some(off) = switched_off(layer, without) {
                LayerState::Missing {
                    reason: "it is switched off in the configuration".to_owned(),
                    fix: format!("remove `{off}` from `python.without_layers`"),
                }
            } else {
                missing(layer, findings)
            };
            (layer, state)
        })
        .collect()
}

/// The layer that the operator left out and that takes this one along, if any.
fn switched_off(layer: Layer, without: &BTreeSet<Layer>) -> Option<Layer> {
    const GROUPS: [Layer; 2] = [Layer::CgroupMemory, Layer::CgroupPids];
    let together: &[Layer] = if Layer::NAMESPACES.contains(&layer) {
        &Layer::NAMESPACES
    } else if GROUPS.contains(&layer) {
        &GROUPS
    } else {
        &[]
    };
    if without.contains(&layer) {
        return Some(layer);
    }
    together.iter().copied().find(|other| without.contains(other))
}

fn missing(layer: Layer, findings: &Findings) -> LayerState {
    let unknown = || "it does not hold".to_owned();
    let (reason, fix) = match layer {
        Layer::UserNamespace
        | Layer::MountNamespace
        | Layer::PidNamespace
        | Layer::NetworkNamespace
        | Layer::IpcNamespace
        | Layer::UtsNamespace
        | Layer::PrivateRoot => (findings.namespaces.clone(), fix_for_namespaces()),
        Layer::Landlock => (
            findings.landlock.clone().or_else(|| Some("the kernel offers no Landlock".to_owned())),
            "use Linux 5.13 or newer and add `landlock` to the `lsm=` list of the kernel's command line"
                .to_owned(),
        ),
        Layer::Seccomp | Layer::NoNewPrivs => (
            findings.seccomp.clone(),
            "use a kernel with CONFIG_SECCOMP_FILTER on x86-64 or ARM64".to_owned(),
        ),
        Layer::CgroupMemory | Layer::CgroupPids => (
            findings.groups.clone(),
            "start it in a delegated group: systemd-run --user --scope -p Delegate=yes atelier serve \
             (a service: Delegate=yes in its unit)"
                .to_owned(),
        ),
        Layer::Environment | Layer::Rlimits => (None, "report this as a defect".to_owned()),
    };
    LayerState::Missing { reason: reason.unwrap_or_else(unknown), fix }
}

/// The usual reasons, most likely first.
fn fix_for_namespaces() -> String {
    let setting = |path: &str| read(Path::new(path)).ok().map(|text| text.trim().to_owned());
    if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1".to_owned();
    }
    if setting("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        return "sudo sysctl -w user.max_user_namespaces=15000".to_owned();
    }
    if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return "install an AppArmor profile for atelier with the line `userns,`, or: \
                sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
            .to_owned();
    }
    if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
        return "start the container with: --security-opt seccomp=unconfined \
                --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
            .to_owned();
    }
    "allow user namespaces to this program: sudo sysctl -w user.max_user_namespaces=15000"
        .to_owned()
}
