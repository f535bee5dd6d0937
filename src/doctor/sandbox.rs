//! How well code is kept from this machine, and what would keep it better.

use super::{Check, Status};
use crate::sandbox::{ProfileReport, Sandbox, SandboxReport, Tier};

/// Looks at a sandbox by starting it, and ends it again.
pub(super) async fn checks(sandbox: &dyn Sandbox, least: Tier) -> Vec<Check> {
    let report = sandbox.report().await;
    sandbox.close().await;
    explain(&report, least)
}

/// What a report means to the operator: the tier, each missing layer, the command that adds it.
pub fn explain(report: &SandboxReport, least: Tier) -> Vec<Check> {
    let mut checks = vec![layers(report, least)];
    checks.extend(report.profiles.iter().map(interpreter));
    checks
}

fn layers(report: &SandboxReport, least: Tier) -> Check {
    let isolation = &report.isolation;
    let tier = isolation.tier;
    if tier == Tier::Full {
        return Check::ok("sandbox", "every layer holds: code runs in the tier `full`");
    }
    let names: Vec<_> = isolation.missing().map(|(layer, _, _)| layer.name()).collect();
    let detail = if tier < least {
        format!("code is refused: the tier is `{tier}`, `{least}` is the least allowed")
    } else if tier == Tier::Process {
        "code runs WITHOUT isolation, as the configuration allows".to_owned()
    } else {
        format!("code runs in the tier `{tier}`")
    };
    let mut fixes: Vec<&str> = Vec::new();
    let mut reasons = Vec::new();
    for (layer, reason, fix) in isolation.missing() {
        reasons.push(format!("{layer}: {reason}"));
        if !fixes.contains(&fix) {
            fixes.push(fix);
        }
    }
    let mut check = Check::finding(
        "sandbox",
        Status::Warning,
        format!("{detail}; missing: {}", names.join(", ")),
        fixes.join("; and: "),
    );
    check.reasons = reasons;
    check
}

fn interpreter(profile: &ProfileReport) -> Check {
    const NAME: &str = "sandbox python";
    if let Some(error) = &profile.error {
        let fix = "see the sandbox above, or: sudo apt-get install python3";
        return Check::finding(NAME, Status::Warning, error.clone(), fix);
    }
    let version = profile.version.as_deref().unwrap_or("of an unknown version");
    let mut detail = format!("Python {version} ({})", profile.executable);
    let missing: Vec<_> = profile.missing.keys().map(String::as_str).collect();
    if missing.is_empty() {
        detail.push_str(", all packages loaded before runs");
        return Check::ok(NAME, detail);
    }
    let mut check = Check::finding(
        NAME,
        Status::Optional,
        format!("{detail}; without {}", missing.join(", ")),
        "sudo apt-get install python3-numpy python3-pandas python3-matplotlib",
    );
    check.reasons =
        profile.missing.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    check
}
