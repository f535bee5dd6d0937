//! Elixir.

use super::probe::{NoAnswer, ask};
use super::{Check, Status};

pub(super) async fn check() -> Check {
    match ask("elixir", &["--short-version"]).await {
        Ok(version) => Check::ok("elixir", version),
        Err(NoAnswer::Missing) => {
            Check::finding("elixir", Status::Optional, "not found", "sudo apt-get install elixir")
        }
        Err(NoAnswer::Broken(reason)) => Check::finding(
            "elixir",
            Status::Warning,
            format!("elixir does not start: {reason}"),
            "sudo apt-get install --reinstall elixir",
        ),
    }
}
