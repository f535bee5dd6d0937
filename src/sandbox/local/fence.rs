//! The Landlock rule set: which files, and neither signals nor sockets across its border.

use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};

use super::plan::DEVICES;

/// Newest version of the interface whose rights are asked for; older kernels give what they have.
const NEWEST: ABI = ABI::V6;

/// A rule set that a process can enter: `readable` to read and execute, `writable` for everything, and
/// TCP connections to these ports alone.
///
/// `None` when the kernel has no Landlock. Paths that do not exist are left out.
pub(super) fn rule_set<'a>(
    readable: impl IntoIterator<Item = &'a Path>,
    writable: impl IntoIterator<Item = &'a Path>,
    ports: impl IntoIterator<Item = u16>,
) -> Result<Option<OwnedFd>, String> {
    let created = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(|error| error.to_string())?;
    let device_rights = AccessFs::ReadFile | AccessFs::WriteFile;
    let rules = created
        .add_rules(path_beneath_rules(readable, AccessFs::from_read(NEWEST)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(DEVICES, device_rights)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(writable, AccessFs::from_all(NEWEST))))
        .and_then(|rules| {
            let ports = ports.into_iter().map(|port| NetPort::new(port, AccessNet::ConnectTcp));
            rules.add_rules(ports.map(Ok::<_, RulesetError>))
        })
        .map_err(|error| error.to_string())?;
    Ok(rules.into())
}
