//! Serves a script from a file, for clients in other languages and for trying things by hand.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use fake_llm::{FakeLlm, Script};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: fake-llm --script FILE [--listen ADDRESS]";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    #[expect(clippy::disallowed_methods, reason = "a script is a file of the developer's")]
    let text = std::fs::read_to_string(&options.script)
        .with_context(|| format!("cannot read `{}`", options.script))?;
    let server = FakeLlm::start_on(&options.listen, Script::from_json(&text)?).await?;
    // Before the address is printed: whoever reads it may send a signal at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", server.base_url())?;
    output.flush()?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    if let Err(error) = server.check() {
        writeln!(std::io::stderr(), "{error}")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

struct Options {
    script: String,
    listen: String,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut script = None;
        let mut listen = "127.0.0.1:0".to_owned();
        while let Some(argument) = arguments.next() {
            let value =
                arguments.next().with_context(|| format!("`{argument}`: no value\n{USAGE}"))?;
            match argument.as_str() {
                "--script" => script = Some(value),
                "--listen" => listen = value,
                other => bail!("unknown argument `{other}`\n{USAGE}"),
            }
        }
        Ok(Self { script: script.context(USAGE)?, listen })
    }
}
