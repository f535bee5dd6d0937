//! The end of a run as a result, or as an error that says as much.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::content_urls::{ContentUrls, HostedFile};
use crate::error::{ErrorKind, ToolError};
use crate::jobs::Content;
use crate::sandbox::{
    CodeError, End, Finished, IsolationReport, Layer, Outcome, OutputFile, Rendered, Unfinished,
};
use crate::storage::StorageError;
use crate::storage::blobs::Blobs;

/// Figures that stand in one result.
const IMAGES: usize = 8;
/// Bytes of all of them.
const IMAGE_BYTES: usize = 700_000;
/// Notes in one result.
const NOTES: usize = 40;

/// What a run came to, for the result of the tool.
#[derive(Debug, Default)]
pub struct Executed {
    /// What it printed.
    pub stdout: String,
    /// What it printed to the error stream.
    pub stderr: String,
    /// Whether `generated_function_name` led to a call.
    pub function_called: bool,
    /// What that call returned.
    pub function_result: Value,
    /// The last expression's value.
    pub result: Value,
    /// Python type of `result`, where JSON does not say it.
    pub result_type: Option<String>,
    /// Python type of `function_result`, where JSON does not say it.
    pub function_result_type: Option<String>,
    /// Files that it left.
    pub files: Vec<ProducedFile>,
    /// Calls that it made.
    pub tool_calls: Vec<CallRecord>,
    /// Time that the code took.
    pub duration_ms: u64,
    /// How much isolation there was.
    pub isolation: String,
    /// Which layers held.
    pub isolation_layers: Layers,
    /// What its author should know.
    pub notes: Vec<String>,
    /// Figures, as content beside the result.
    pub images: Vec<Content>,
    /// Why it is no success.
    pub failure: Option<RunFailure>,
}

/// A file that a run left.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProducedFile {
    /// Path in the run's folder.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// Media type.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Where it can be had.
    pub url: String,
}

/// A call that code made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord {
    /// Tool; `ask_ai` for `_call_ai`.
    pub tool: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// Time that it took, in milliseconds.
    pub duration_ms: u64,
    /// Code of its error; `cut_off` when the run ended first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Id of its result, for references.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
}

/// Layers of isolation by whether they held.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Layers {
    /// Those that held.
    pub held: Vec<String>,
    /// Those that did not.
    pub missing: Vec<String>,
}

/// Why a run is no success.
#[derive(Debug)]
pub struct RunFailure {
    code: &'static str,
    message: String,
    hint: Option<String>,
    error: Option<CodeError>,
}

impl CallRecord {
    /// A call that has not ended yet, and counts as cut off should it never.
    pub(super) fn cut_off(tool: String) -> Self {
        Self { tool, ok: false, duration_ms: 0, code: Some("cut_off".to_owned()), call_id: None }
    }
}

impl Executed {
    /// The fields that results and errors share.
    fn fields(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([
            ("stdout", json!(self.stdout)),
            ("stderr", json!(self.stderr)),
            ("function_called", json!(self.function_called)),
            ("function_result", self.function_result.clone()),
            ("result", self.result.clone()),
            ("files", json!(self.files)),
            ("tool_calls", json!(self.tool_calls)),
            ("duration_ms", json!(self.duration_ms)),
            ("isolation", json!(self.isolation)),
            ("isolation_layers", json!(self.isolation_layers)),
            ("notes", json!(self.notes)),
        ])
    }

    /// The error, when there is one.
    pub fn error(&self) -> Option<ToolError> {
        let failure = self.failure.as_ref()?;
        // Never a passing kind: the same call runs its code again only because somebody asks.
        let mut error = ToolError::new(ErrorKind::Invalid, failure.code, failure.message.clone());
        error.hint.clone_from(&failure.hint);
        for (name, value) in self.fields() {
            error = error.detail(name, value);
        }
        if let Some(told) = &failure.error {
            error = error
                .detail("error_type", json!(told.type_name))
                .detail("line", json!(told.line))
                .detail("traceback", json!(told.traceback));
        }
        Some(error)
    }
}

/// Turns the end of a run into what is told of it, and stores its files.
///
/// # Errors
/// The store's.
pub(super) async fn executed(
    outcome: Outcome,
    records: (Vec<CallRecord>, u32),
    blobs: &Blobs,
    urls: &ContentUrls,
    inline_images: bool,
) -> Result<Executed, StorageError> {
    let Outcome { end, stdout, stderr, files, skipped_files, images, duration, isolation, .. } =
        outcome;
    let (tool_calls, unlisted) = records;
    let mut told = Executed {
        stdout: stdout.text,
        stderr: stderr.text,
        tool_calls,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        isolation: isolation.tier.name().to_owned(),
        isolation_layers: layers(&isolation),
        ..Executed::default()
    };
    if inline_images {
        told.show(&images, &files);
    }
    match end {
        End::Success(finished) => told.finish(finished),
        End::Failed(error, finished) => {
            told.finish(finished);
            told.failure = Some(failed(error));
        }
        End::Unfinished(unfinished) => told.failure = Some(not_finished(&unfinished)),
        End::Inspected(_) => {
            let reason = Unfinished::Protocol("the code was looked at, not run".to_owned());
            told.failure = Some(not_finished(&reason));
        }
    }
    if unlisted > 0 {
        told.notes.push(format!("{unlisted} more calls were made than `tool_calls` lists"));
    }
    for file in skipped_files {
        told.notes.push(format!("the file `{}` was not taken: {}", file.name, file.reason));
    }
    told.notes.truncate(NOTES);
    for file in files {
        told.files.push(stored(file, blobs, urls).await?);
    }
    Ok(told)
}

impl Executed {
    fn finish(&mut self, finished: Finished) {
        let Finished { value, function_called, function_value, notes } = finished;
        self.function_called = function_called;
        self.notes.extend(notes);
        (self.result, self.result_type) = self.value("result", value);
        (self.function_result, self.function_result_type) =
            self.value("function_result", function_value);
    }

    /// A value, its type where JSON does not say it, and a note where it is not whole.
    fn value(&mut self, field: &str, rendered: Rendered) -> (Value, Option<String>) {
        let Rendered { value, type_name, exact, note } = rendered;
        if let Some(note) = note {
            self.notes.push(format!("`{field}`: {note}"));
        }
        let kind = (!exact && !type_name.is_empty()).then_some(type_name);
        (value, kind)
    }

    /// Puts figures beside the result, as far as there is room.
    fn show(&mut self, names: &[String], files: &[OutputFile]) {
        let mut left = IMAGE_BYTES;
        let mut hidden = 0;
        for name in names {
            let Some(file) = files.iter().find(|file| file.name == *name) else { continue };
            if self.images.len() >= IMAGES || file.bytes.len() > left {
                hidden += 1;
                continue;
            }
            left -= file.bytes.len();
            self.images.push(Content::Image {
                media_type: "image/png".to_owned(),
                base64: STANDARD.encode(&file.bytes),
            });
        }
        if hidden > 0 {
            self.notes.push(format!(
                "{hidden} figures are too many or too large to be shown; `files` has them"
            ));
        }
    }
}

async fn stored(
    file: OutputFile,
    blobs: &Blobs,
    urls: &ContentUrls,
) -> Result<ProducedFile, StorageError> {
    let bytes = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
    let media_type = media_type(&file.name, &file.bytes);
    let sha = blobs.put(file.bytes).await?;
    let name = file.name.rsplit('/').next().unwrap_or(&file.name).to_owned();
    let url = urls.file(&HostedFile { sha: sha.0, media_type: media_type.to_owned(), name });
    Ok(ProducedFile { name: file.name, bytes, media_type: media_type.to_owned(), url })
}

/// What a file is, by its bytes and, for texts, by its name.
fn media_type(name: &str, bytes: &[u8]) -> &'static str {
    if let Some(kind) = infer::get(bytes)
        && !kind.mime_type().starts_with("text/")
    {
        return kind.mime_type();
    }
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    let is_text = std::str::from_utf8(bytes).is_ok();
    match (is_text, ending.as_str()) {
        (false, _) => "application/octet-stream",
        (true, "csv") => "text/csv",
        (true, "json" | "geojson" | "ipynb") => "application/json",
        (true, "html" | "htm") => "text/html",
        (true, "svg") => "image/svg+xml",
        (true, "md") => "text/markdown",
        (true, "xml") => "application/xml",
        (true, _) => "text/plain",
    }
}

fn layers(report: &IsolationReport) -> Layers {
    let (held, missing) =
        Layer::ALL.into_iter().partition::<Vec<_>, _>(|layer| report.holds(*layer));
    let names =
        |layers: Vec<Layer>| layers.into_iter().map(|layer| layer.name().to_owned()).collect();
    Layers { held: names(held), missing: names(missing) }
}

fn failed(error: CodeError) -> RunFailure {
    let place = error.line.map(|line| format!(" (line {line})")).unwrap_or_default();
    let message = match (error.type_name.is_empty(), error.message.is_empty()) {
        (true, true) => "the code failed without a reason".to_owned(),
        (false, true) => format!("{}{place}", error.type_name),
        (true, false) => format!("{}{place}", error.message),
        (false, false) => format!("{}: {}{place}", error.type_name, error.message),
    };
    let hint = error.hint.clone().unwrap_or_else(|| {
        "put the code right and call again; `traceback`, `stdout` and `stderr` say what happened".to_owned()
    });
    RunFailure { code: "python_error", message, hint: Some(hint), error: Some(error) }
}

fn not_finished(unfinished: &Unfinished) -> RunFailure {
    let hint = match unfinished {
        Unfinished::Timeout | Unfinished::CpuLimit => {
            "do less in one run, or give a larger `timeout_seconds` (at most 300)"
        }
        Unfinished::ParkedTooLong => "call again, and submit the answers sooner",
        Unfinished::MemoryLimit => {
            "work on smaller parts, or let the operator raise `python.memory_bytes`"
        }
        Unfinished::OutputLimit => "print less, or write to a file",
        Unfinished::Protocol(_) => {
            "leave the descriptors of the process alone, and make smaller calls and results"
        }
        Unfinished::Exited(_) => "end with `sys.exit` or by returning, so that the result is kept",
        Unfinished::Signalled(_) => {
            "a native library crashed or the code killed itself; do it another way"
        }
        Unfinished::Cancelled | Unfinished::Interrupted => "call again to run the code again",
    };
    RunFailure {
        code: unfinished.code(),
        message: unfinished.message(),
        hint: Some(hint.to_owned()),
        error: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_what_their_bytes_say_and_texts_what_their_name_says() {
        for (name, bytes, expected) in [
            ("a.csv", &b"a,b\n1,2\n"[..], "text/csv"),
            ("a.png", b"no picture", "text/plain"),
            ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
            ("a.json", b"{}", "application/json"),
            ("a.json", b"\xff\xfe\0", "application/octet-stream"),
            ("page.HTML", b"<!DOCTYPE html><p>x", "text/html"),
            ("noending", b"", "text/plain"),
        ] {
            assert_eq!(media_type(name, bytes), expected, "{name}");
        }
    }
}
