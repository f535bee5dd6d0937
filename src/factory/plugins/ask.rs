//! One run of a plugin.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::{PROGRAM, Plugin, refused};
use crate::factory::error::FactoryError;
use crate::factory::host::launcher::{LaunchError, Program, Started};
use crate::factory::host::process;
use crate::factory::names::prose;
use crate::factory::publish;
use crate::factory::render::runtime_files;
use crate::factory::service::Factory;

/// Longest answer.
const ANSWER_BYTES: u64 = 8 << 20;

/// Why there is no answer.
enum Silence {
    TooLong,
    TooLarge,
    Ended { how: String, said: String },
}

impl Factory {
    /// Starts a plugin, asks it, and waits for its end.
    pub(super) async fn ask_plugin(
        &self,
        plugin: &Plugin,
        question: String,
    ) -> Result<Value, FactoryError> {
        let name = &plugin.config.name;
        let operators = "the operator corrects it under `factory.plugins`";
        let environments = &self.parts.environments;
        let python = environments
            .interpreter(runtime_files::REQUIREMENTS, runtime_files::DEVELOPMENT)
            .await
            .map_err(|reason| {
                let why = format!("was not run: there is no Python environment: {reason}");
                refused(name, &why, "`atelier doctor` shows what is missing")
            })?;
        let unwritten = |error: std::io::Error| {
            refused(name, &format!("cannot be staged: {error}"), "free space or correct the rights")
        };
        // What was read is what runs; it goes with this call, however that ends.
        let staging = self.folder().join(".staging");
        tokio::fs::create_dir_all(&staging).await.map_err(unwritten)?;
        let staged =
            tempfile::Builder::new().prefix("plugin-").tempdir_in(&staging).map_err(unwritten)?;
        let folder = staged.path().join(name);
        publish::stage(&folder, &plugin.files).await?;
        let program = Program {
            name: format!("plugin {name}"),
            python,
            arguments: vec![PROGRAM.to_owned()],
            folder,
            ..Program::default()
        };
        let started = self.parts.launcher.start(program).await.map_err(|error| match error {
            LaunchError::TooWeak { reason, fix } => refused(
                name,
                &format!("was not run, since nothing would isolate it: {reason}"),
                &format!("{fix}; or the operator sets `factory.unsandboxed = true`"),
            ),
            LaunchError::Failed(reason) => {
                refused(name, &format!("was not started: {reason}"), operators)
            }
        })?;
        let patience = Duration::try_from_secs_f64(plugin.config.timeout_s).unwrap_or_default();
        let text = heard(started, question, patience).await.map_err(|silence| {
            let why = match silence {
                Silence::TooLong => {
                    format!("did not answer within {} s, and was ended", plugin.config.timeout_s)
                }
                Silence::TooLarge => {
                    format!("answered with more than {ANSWER_BYTES} bytes, and was ended")
                }
                Silence::Ended { how, said } => format!("failed ({how}): {}", prose(&said, 600)),
            };
            refused(name, &why, operators)
        })?;
        serde_json::from_slice(&text).map_err(|error| {
            let begins = prose(&String::from_utf8_lossy(&text), 120);
            let why = format!("answered no JSON: {error}; it begins with `{begins}`");
            refused(name, &why, "it prints one JSON object and nothing else to standard output")
        })
    }
}

/// What it says, once it has ended well.
async fn heard(started: Started, question: String, patience: Duration) -> Result<Vec<u8>, Silence> {
    let Started { mut input, output, errors, mut process, door: _, isolation: _ } = started;
    let work = async {
        let ask = async move {
            // One that does not read its question has its reasons.
            let _ = input.write_all(question.as_bytes()).await;
            let _ = input.shutdown().await;
        };
        let listen = async {
            let answer = answer(output).await;
            if answer.is_err() {
                // Or it would wait forever for somebody to read on.
                process.kill();
            }
            answer
        };
        let ((), answer, errors) = tokio::join!(ask, listen, process::collect(errors));
        let (ok, how) = process.end().await;
        match answer {
            Err(silence) => Err(silence),
            Ok(answer) if ok => Ok(answer),
            Ok(_) => {
                let said = String::from_utf8_lossy(&errors);
                let last = said.lines().rev().find(|line| !line.trim().is_empty());
                Err(Silence::Ended { how, said: last.unwrap_or("no words").to_owned() })
            }
        }
    };
    let ended = tokio::time::timeout(patience, work).await;
    let Ok(answer) = ended else {
        process.kill();
        process.end().await;
        return Err(Silence::TooLong);
    };
    answer
}

async fn answer(output: impl AsyncRead + Unpin) -> Result<Vec<u8>, Silence> {
    let mut text = Vec::new();
    // A stream that breaks off ends like any other; its process tells why.
    let _ = output.take(ANSWER_BYTES + 1).read_to_end(&mut text).await;
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if length > ANSWER_BYTES { Err(Silence::TooLarge) } else { Ok(text) }
}
