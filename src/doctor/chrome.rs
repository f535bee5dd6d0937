//! Chrome or Chromium.

use std::path::{Path, PathBuf};

use super::probe::{NoAnswer, ask};
use super::{Check, Status};

const NAME: &str = "chrome";
const INSTALL: &str = "sudo apt-get install chromium (or set `browser.chrome` to its path)";

pub(super) async fn check(configured: Option<&Path>) -> Check {
    let program = match configured {
        Some(path) => path.to_owned(),
        None => match usual_place() {
            Some(path) => path,
            None => return Check::finding(NAME, Status::Optional, "not found", INSTALL),
        },
    };
    let place = program.display();
    match ask(&program, &["--version"]).await {
        Ok(version) => Check::ok(NAME, format!("{version}, {place}")),
        Err(NoAnswer::Missing) => Check::finding(
            NAME,
            Status::Warning,
            format!("there is no program at {place}"),
            "correct `browser.chrome`, or remove it to search the usual places",
        ),
        Err(NoAnswer::Broken(reason)) => Check::finding(
            NAME,
            Status::Warning,
            format!("{place} does not start: {reason}"),
            INSTALL,
        ),
    }
}

fn usual_place() -> Option<PathBuf> {
    headless_chrome::browser::default_executable().ok()
}
