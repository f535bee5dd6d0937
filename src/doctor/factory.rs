//! The Python environments of made servers.

use std::path::PathBuf;

use super::probe::{NoAnswer, ask};
use super::{Check, Status};
use crate::config::Config;

/// What made servers import.
const IMPORT: &str =
    "import mcp, pytest; from importlib.metadata import version; print(version('mcp'))";

const NAME: &str = "made servers";

pub(super) async fn check(config: &Config) -> Check {
    let isolation = if config.factory.unsandboxed {
        "they run as plain processes"
    } else {
        "they are made and tested, not started (`factory.unsandboxed` is off)"
    };
    if let Some(folder) = &config.factory.environment {
        return match ask(folder.join("bin/python"), &["-c", IMPORT]).await {
            Ok(version) => {
                Check::ok(NAME, format!("mcp {version} in {}; {isolation}", folder.display()))
            }
            Err(NoAnswer::Missing | NoAnswer::Broken(_)) => Check::finding(
                NAME,
                Status::Warning,
                format!(
                    "`factory.environment` is {}, which cannot import mcp and pytest",
                    folder.display()
                ),
                format!(
                    "{}/bin/python -m pip install --only-binary :all: 'mcp>=2.3,<3' pytest",
                    folder.display()
                ),
            ),
        };
    }
    match ready(config.storage.data_dir.join("environments")).await {
        0 => match ask(&config.factory.python, &["-c", "import venv, ensurepip"]).await {
            Ok(_) => Check::ok(NAME, format!("an environment is made at first use; {isolation}")),
            Err(NoAnswer::Missing | NoAnswer::Broken(_)) => Check::finding(
                NAME,
                Status::Optional,
                format!(
                    "`{}` makes no virtual environments, so made servers are not tested",
                    config.factory.python
                ),
                "sudo apt-get install python3-venv",
            ),
        },
        count => Check::ok(NAME, format!("{count} environments are ready; {isolation}")),
    }
}

/// How many environments are finished.
async fn ready(folder: PathBuf) -> usize {
    let mut count = 0;
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else { return 0 };
    while let Ok(Some(entry)) = entries.next_entry().await {
        if tokio::fs::try_exists(entry.path().join("READY")).await.unwrap_or(false) {
            count += 1;
        }
    }
    count
}
