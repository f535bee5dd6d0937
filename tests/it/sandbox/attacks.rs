//! Every attack of the table, on each tier that this machine can make, as root and as an ordinary user.
//!
//! Each test runs in a process of its own for each user, which afterwards must be as it was before.

use atelier::sandbox::local::LocalSandbox;
use atelier::sandbox::{Layer, RunSpec, Sandbox as _, Tier};

use super::cases::{CASES, Case, Control, PRELUDE, UNCOUNTED};
use super::support::{Planted, as_every_user, outside, run, sandbox, sandbox_without, user, value};
use super::traces::Traces;

fn code(secret: &str, body: &str) -> String {
    format!("{PRELUDE}\nSECRET = {secret:?}\ndef attack():\n    {body}")
}

async fn inside(sandbox: &LocalSandbox, secret: &str, body: &str) -> String {
    let spec = RunSpec::new(format!("{}\nattack()", code(secret, body)));
    let outcome = run(sandbox, spec).await;
    value(&outcome).as_str().unwrap_or("no text").to_owned()
}

/// What is wrong about a case, if anything.
async fn wrong(sandbox: &LocalSandbox, tier: Tier, secret: &str, case: &Case) -> Option<String> {
    let (name, expected) = (case.name, case.expected(tier));
    if tier < case.least {
        return Some(format!("{name}: it takes the tier {}", case.least));
    }
    let seen = inside(sandbox, secret, case.body).await;
    if seen != expected {
        return Some(format!("{name}: {seen} inside, not {expected}"));
    }
    match case.control {
        Control::OutsideAsRoot if user() != 0 => None,
        Control::Outside | Control::OutsideAsRoot => {
            let control = outside(&format!("{}\nprint(attack())", code(secret, case.body))).await;
            (control.is_empty() || control == expected)
                .then(|| format!("{name}: {control:?} outside too"))
        }
        Control::Sibling(body) => {
            let seen = inside(sandbox, secret, body).await;
            (seen != "ok").then(|| format!("{name}: its sibling came to {seen}"))
        }
    }
}

/// One suite at a time: without namespaces the kernel counts all that a user runs, and the bombs of
/// one would leave no process to the others. Every process of these tests can open their program.
async fn alone() -> std::fs::File {
    tokio::task::spawn_blocking(|| {
        let program = std::fs::File::open("/proc/self/exe").unwrap();
        program.lock().unwrap();
        program
    })
    .await
    .unwrap()
}

async fn attack(sandbox: LocalSandbox, expected: Option<Tier>, cases: &[&Case]) {
    let _turn = alone().await;
    let traces = Traces::now();
    let planted = Planted::new();
    let report = sandbox.report().await;
    let tier = report.isolation.tier;
    match expected {
        Some(expected) => assert_eq!(tier, expected, "{report:?}"),
        None => assert!(tier >= Tier::NoCgroup, "this machine only reaches {tier}: {report:?}"),
    }
    let mut found = Vec::new();
    for case in cases {
        found.extend(wrong(&sandbox, tier, planted.path(), case).await);
    }
    sandbox.close().await;
    drop(planted);
    assert!(found.is_empty(), "on {tier}, as user {}:\n{}", user(), found.join("\n"));
    traces.assert_none_left().await;
}

/// Those that a tier must hold back; the weaker ones are made on purpose here.
fn for_tier(tier: Tier) -> Vec<&'static Case> {
    CASES.iter().filter(|case| case.least <= tier).collect()
}

const GROUPS: [Layer; 2] = [Layer::CgroupMemory, Layer::CgroupPids];

#[tokio::test(flavor = "multi_thread")]
async fn attacks_fail_on_the_strongest_tier() {
    assert!(CASES.len() >= 100, "{} cases", CASES.len());
    let all: Vec<_> = CASES.iter().collect();
    as_every_user("sandbox::attacks::attacks_fail_on_the_strongest_tier", async || {
        attack(sandbox(), None, &all).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_fail_without_groups() {
    let mut cases = for_tier(Tier::NoCgroup);
    cases.extend(UNCOUNTED);
    as_every_user("sandbox::attacks::attacks_fail_without_groups", async || {
        attack(sandbox_without(&GROUPS), Some(Tier::NoCgroup), &cases).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_fail_without_landlock() {
    let cases = for_tier(Tier::NoLandlock);
    as_every_user("sandbox::attacks::attacks_fail_without_landlock", async || {
        attack(sandbox_without(&[Layer::Landlock]), Some(Tier::NoLandlock), &cases).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_fail_without_namespaces() {
    let cases = for_tier(Tier::NoUserns);
    as_every_user("sandbox::attacks::attacks_fail_without_namespaces", async || {
        attack(sandbox_without(&[Layer::UserNamespace]), Some(Tier::NoUserns), &cases).await;
    })
    .await;
}
