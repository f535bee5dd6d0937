//! The Python interpreter and the packages that code most often wants.

use super::probe::{NoAnswer, ask};
use super::{Check, Status};

/// Prints which of its arguments can be imported.
const FIND: &str = "import importlib.util, sys\n\
    print(' '.join(name for name in sys.argv[1:] if importlib.util.find_spec(name)))";
const PACKAGES: [&str; 3] = ["numpy", "pandas", "matplotlib"];

pub(super) async fn checks() -> Vec<Check> {
    let version = match ask("python3", &["--version"]).await {
        Ok(version) => Check::ok("python", version),
        Err(NoAnswer::Missing) => {
            return vec![Check::finding(
                "python",
                Status::Optional,
                "python3 is not on the PATH",
                "sudo apt-get install python3",
            )];
        }
        Err(NoAnswer::Broken(reason)) => {
            return vec![Check::finding(
                "python",
                Status::Warning,
                format!("python3 does not start: {reason}"),
                "sudo apt-get install --reinstall python3",
            )];
        }
    };
    vec![version, packages().await]
}

async fn packages() -> Check {
    let mut arguments = vec!["-c", FIND];
    arguments.extend(PACKAGES);
    let found = match ask("python3", &arguments).await {
        Ok(found) => found,
        Err(NoAnswer::Missing) => String::new(),
        Err(NoAnswer::Broken(reason)) => {
            return Check::finding(
                "python packages",
                Status::Warning,
                format!("python3 cannot list its packages: {reason}"),
                "sudo apt-get install --reinstall python3",
            );
        }
    };
    let missing: Vec<&str> = PACKAGES
        .into_iter()
        .filter(|package| !found.split_whitespace().any(|name| name == *package))
        .collect();
    if missing.is_empty() {
        return Check::ok("python packages", PACKAGES.join(", "));
    }
    Check::finding(
        "python packages",
        Status::Optional,
        format!("missing: {}", missing.join(", ")),
        format!("python3 -m pip install {}", missing.join(" ")),
    )
}
