//! Layers that are missing: named, with the reason and the fix, and refused below the least tier.

use atelier::doctor::{Status, explain_sandbox};
use atelier::sandbox::local::{LocalSandbox, LocalSettings};
use atelier::sandbox::{
    IsolationReport, Layer, LayerState, RunSpec, Sandbox as _, SandboxError, SandboxReport, Tier,
};
use serde_json::json;

use super::support::{as_every_user, run, sandbox_without, settings, user, value};

#[tokio::test(flavor = "multi_thread")]
async fn every_masked_layer_is_reported_and_code_still_runs() {
    for (layer, tier) in [
        (Layer::CgroupMemory, Tier::NoCgroup),
        (Layer::CgroupPids, Tier::NoCgroup),
        (Layer::Landlock, Tier::NoLandlock),
        (Layer::UserNamespace, Tier::NoUserns),
        (Layer::MountNamespace, Tier::NoUserns),
        (Layer::PidNamespace, Tier::NoUserns),
        (Layer::NetworkNamespace, Tier::NoUserns),
        (Layer::IpcNamespace, Tier::NoUserns),
        (Layer::UtsNamespace, Tier::NoUserns),
        (Layer::PrivateRoot, Tier::NoUserns),
        (Layer::Seccomp, Tier::Process),
    ] {
        let sandbox = sandbox_without(&[layer]);
        let report = sandbox.report().await.isolation;
        assert_eq!(report.tier, tier, "{report:?}");
        let Some(LayerState::Missing { reason, fix }) = report.layers.get(&layer).cloned() else {
            panic!("{layer} holds although it is masked");
        };
        assert!(reason.contains("switched off"), "{reason}");
        assert!(fix.contains(layer.name()), "{fix}");
        // The doctor tells the same, with what to do about it.
        let whole = sandbox.report().await;
        for (least, word) in [(Tier::Process, "code runs"), (Tier::Full, "code is refused")] {
            let checks = explain_sandbox(&whole, least);
            let check = checks.iter().find(|check| check.name == "sandbox").unwrap();
            assert_eq!(check.status, Status::Warning);
            assert!(check.detail.starts_with(word), "{check:?}");
            assert!(check.detail.contains(tier.name()) || tier == Tier::Process, "{check:?}");
            assert!(check.fix.as_ref().unwrap().contains(&fix), "{check:?}");
            assert!(check.reasons.iter().any(|it| it.starts_with(layer.name())), "{check:?}");
        }
        let outcome = run(&sandbox, RunSpec::new("6 * 7")).await;
        assert_eq!(value(&outcome), &json!(42));
        assert_eq!(outcome.isolation.tier, tier);
        sandbox.close().await;
    }
}

/// No setting leaves these out, since every Linux has them: only a defect could.
#[test]
fn layers_that_every_machine_has_are_explained_too() {
    for layer in [Layer::Environment, Layer::Rlimits, Layer::NoNewPrivs] {
        let states = Layer::ALL.into_iter().map(|other| {
            let state = if other == layer {
                LayerState::Missing { reason: "the probe saw".into(), fix: "do this".into() }
            } else {
                LayerState::Held
            };
            (other, state)
        });
        let report = SandboxReport {
            isolation: IsolationReport::new(states.collect()),
            profiles: Vec::new(),
        };
        let checks = explain_sandbox(&report, Tier::Process);
        assert_eq!(checks[0].status, Status::Warning, "{layer}");
        assert!(checks[0].detail.contains(layer.name()), "{:?}", checks[0]);
        assert_eq!(checks[0].reasons, [format!("{layer}: the probe saw")]);
        assert_eq!(checks[0].fix.as_deref(), Some("do this"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_least_tier_nothing_runs() {
    let weak =
        LocalSettings { least: Tier::NoUserns, without: [Layer::Seccomp].into(), ..settings() };
    let sandbox = LocalSandbox::new(weak.clone());
    let error = sandbox.start(RunSpec::new("1")).await.unwrap_err();
    let SandboxError::TooWeak { reached, least, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*reached, *least), (Tier::Process, Tier::NoUserns));
    assert_eq!(error.code(), "sandbox_unavailable");
    assert!(error.hint().contains("seccomp"), "{}", error.hint());
    sandbox.close().await;
    // The operator's explicit choice.
    let sandbox = LocalSandbox::new(LocalSettings { least: Tier::Process, ..weak });
    assert_eq!(value(&run(&sandbox, RunSpec::new("1")).await), &json!(1));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_never_run_as_root() {
    as_every_user("sandbox::tiers::children_never_run_as_root", async || {
        for sandbox in [sandbox_without(&[]), sandbox_without(&[Layer::UserNamespace])] {
            let outcome = run(
                &sandbox,
                RunSpec::new("import os\n[os.getuid(), os.geteuid(), os.getgroups()]"),
            )
            .await;
            let uid = value(&outcome)[0].as_u64().unwrap();
            assert_ne!(uid, 0);
            if !outcome.isolation.holds(Layer::UserNamespace) && user() == 0 {
                assert_eq!(uid, u64::from(settings().user));
                assert_eq!(value(&outcome)[2], json!([]));
            }
            sandbox.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_interpreter_is_named() {
    let mut wrong = settings();
    wrong.profiles[0].executable = "/no/such/python".into();
    let sandbox = LocalSandbox::new(wrong);
    let error = sandbox.start(RunSpec::new("1")).await.unwrap_err();
    assert_eq!(error.code(), "python_unavailable");
    assert!(error.to_string().contains("/no/such/python"), "{error}");
    let mut spec = RunSpec::new("1");
    spec.profile = Some("unheard-of".to_owned());
    let error = sandbox.start(spec).await.unwrap_err();
    assert_eq!(error.code(), "invalid_arguments");
    assert!(error.hint().contains("default"), "{}", error.hint());
    sandbox.close().await;
}
