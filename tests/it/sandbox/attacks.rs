//! Every attack of the table, on each tier that this machine can make, as root and as an ordinary user.

use atelier::sandbox::local::LocalSandbox;
use atelier::sandbox::{Layer, RunSpec, Sandbox as _, Tier};

use super::cases::{CASES, Case, Control, PRELUDE};
use super::support::{again_as_ordinary_user, outside, run, sandbox, sandbox_without, user, value};

fn inside_code(secret: &str, body: &str) -> String {
    format!("{PRELUDE}\nSECRET = {secret:?}\ndef attack():\n    {body}\nattack()")
}

async fn inside(sandbox: &LocalSandbox, secret: &str, body: &str) -> String {
    let outcome = run(sandbox, RunSpec::new(inside_code(secret, body))).await;
    value(&outcome).as_str().unwrap_or("no text").to_owned()
}

/// What is wrong about a case, if anything.
async fn wrong(sandbox: &LocalSandbox, secret: &str, case: &Case) -> Option<String> {
    let seen = inside(sandbox, secret, case.body).await;
    if !case.inside.contains(&seen.as_str()) {
        return Some(format!("{}: {seen} inside, not {:?}", case.name, case.inside));
    }
    let control = match case.control {
        Control::OutsideAsRoot if user() != 0 => return None,
        Control::Outside | Control::OutsideAsRoot => {
            let body = case.body;
            let code = format!(
                "{PRELUDE}\nSECRET = {secret:?}\ndef attack():\n    {body}\nprint(attack())"
            );
            outside(&code).await
        }
        Control::Sibling(body) => {
            let seen = inside(sandbox, secret, body).await;
            return (seen != "ok").then(|| format!("{}: its sibling came to {seen}", case.name));
        }
    };
    (control.is_empty() || case.inside.contains(&control.as_str()))
        .then(|| format!("{}: {control:?} outside too", case.name))
}

async fn attack(sandbox: LocalSandbox, expected: Tier) {
    // A plain folder that everybody may look into: only the sandbox keeps the file from the code.
    let folder = tempfile::Builder::new().prefix("planted").tempdir().unwrap();
    let secret = folder.path().join("secret.txt");
    std::fs::write(&secret, "planted").unwrap();
    for (path, mode) in [(folder.path(), 0o755), (&secret, 0o644)] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let secret = secret.to_str().unwrap();
    let report = sandbox.report().await;
    let tier = report.isolation.tier;
    assert_eq!(tier, expected, "{report:?}");
    let mut found = Vec::new();
    let mut tried = 0;
    for case in CASES.iter().filter(|case| case.least <= tier) {
        tried += 1;
        found.extend(wrong(&sandbox, secret, case).await);
    }
    sandbox.close().await;
    assert!(tried >= 75, "{tried} cases");
    assert!(found.is_empty(), "on {tier}, as user {}:\n{}", user(), found.join("\n"));
}

const GROUPS: [Layer; 2] = [Layer::CgroupMemory, Layer::CgroupPids];

#[tokio::test(flavor = "multi_thread")]
async fn attacks_fail_on_the_strongest_tier() {
    let strongest = sandbox().report().await.isolation.tier;
    assert!(strongest >= Tier::NoCgroup, "this machine only reaches {strongest}");
    attack(sandbox(), strongest).await;
    again_as_ordinary_user("sandbox::attacks::attacks_fail_on_the_strongest_tier").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_fail_without_groups() {
    attack(sandbox_without(&GROUPS), Tier::NoCgroup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_fail_without_landlock() {
    attack(sandbox_without(&[Layer::Landlock]), Tier::NoLandlock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_fail_without_namespaces() {
    attack(sandbox_without(&[Layer::UserNamespace]), Tier::NoUserns).await;
    again_as_ordinary_user("sandbox::attacks::attacks_fail_without_namespaces").await;
}
