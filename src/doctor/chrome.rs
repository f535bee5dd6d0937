//! Chrome or Chromium: whether it starts, and how far it is kept away from everything.

use crate::browser::{Chrome, Isolation, RenderError, Renderer};
use crate::config::Config;

use super::{Check, Status};

const NAME: &str = "chrome";
const INSTALL: &str = "sudo apt-get install chromium (or set `browser.chrome` to its path)";
const NAMESPACES: &str = "sudo sysctl kernel.unprivileged_userns_clone=1 \
    kernel.apparmor_restrict_unprivileged_userns=0 (those that exist)";
const SANDBOX: &str = "sudo apt-get install chromium-sandbox, or allow user namespaces: sudo sysctl \
    kernel.unprivileged_userns_clone=1; `browser.isolation = \"weak\"` goes without";

pub(super) async fn check(config: &Config) -> Check {
    let renderer = Chrome::new(&config.browser, vec![config.storage.data_dir.clone()]);
    let status = renderer.status().await;
    renderer.shut_down().await;
    match (status.chrome, status.isolation) {
        (Ok(version), Some(isolation)) => found(&version, isolation),
        (Ok(version), None) => Check::ok(NAME, version),
        (Err(error), _) => missing(&error),
    }
}

fn found(version: &str, isolation: Isolation) -> Check {
    let detail = format!("{version}, {}", isolation.tier());
    if isolation.network_namespace && isolation.chrome_sandbox {
        return Check::ok(NAME, detail);
    }
    let fix = if isolation.chrome_sandbox { NAMESPACES } else { SANDBOX };
    let mut check = Check::finding(NAME, Status::Warning, detail, fix);
    check.reasons = isolation.refusals;
    check
}

fn missing(error: &RenderError) -> Check {
    match error {
        RenderError::ChromeMissing { place: None } => {
            Check::finding(NAME, Status::Optional, "not found", INSTALL)
        }
        RenderError::ChromeMissing { place: Some(_) } => Check::finding(
            NAME,
            Status::Warning,
            error.to_string(),
            "correct `browser.chrome`, or remove it to search the usual places",
        ),
        RenderError::Isolation(_) => {
            Check::finding(NAME, Status::Warning, error.to_string(), SANDBOX)
        }
        error => Check::finding(NAME, Status::Warning, error.to_string(), INSTALL),
    }
}
