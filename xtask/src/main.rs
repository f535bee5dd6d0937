//! Development tasks: `cargo xtask docs [--check]`.

mod docs;

use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "usage: cargo xtask docs [--check]

  docs           writes docs/TOOLS.md and the table of tools in README.md
  docs --check   fails when they are not what would be written";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["docs"] => docs::write()?,
        ["docs", "--check"] => docs::check()?,
        _ => bail!("{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}
