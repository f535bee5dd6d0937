//! Documents that are generated from the program: what a client sees is what is written down.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

/// Fields of every result, told once at the top of the page.
const COMMON: [&str; 5] = ["status", "message", "call_id", "job_id", "handle"];

/// Around the generated part of README.md.
const BEGIN: &str = "<!-- tools: written by cargo xtask docs -->\n";
const END: &str = "<!-- end of tools -->";

/// A file and what it should hold.
struct Document {
    path: PathBuf,
    text: String,
}

/// Writes the generated documents.
pub(crate) fn write() -> anyhow::Result<()> {
    for document in documents()? {
        fs::write(&document.path, document.text)
            .with_context(|| format!("{} cannot be written", document.path.display()))?;
    }
    Ok(())
}

/// Fails when a generated document is not up to date.
pub(crate) fn check() -> anyhow::Result<()> {
    for document in documents()? {
        let present = fs::read_to_string(&document.path).unwrap_or_default();
        ensure!(
            present == document.text,
            "{} is not up to date\nhint: `cargo xtask docs` writes it",
            document.path.display()
        );
    }
    Ok(())
}

fn documents() -> anyhow::Result<Vec<Document>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let tools = tools()?;
    let codes = fs::read_to_string(root.join("docs/error_codes.toml"))?;
    let readme = root.join("README.md");
    Ok(vec![
        Document { path: root.join("docs/TOOLS.md"), text: tools_page(&tools, &codes)? },
        Document { text: with_table(&fs::read_to_string(&readme)?, &tools)?, path: readme },
    ])
}

/// The tools as a client sees them, from the program that was built beside this one.
fn tools() -> anyhow::Result<Vec<Value>> {
    let program = std::env::current_exe()?.with_file_name("atelier");
    ensure!(program.exists(), "{} is missing\nhint: `cargo build`", program.display());
    let data = std::env::temp_dir().join(format!("atelier-xtask-{}", std::process::id()));
    let output = Command::new(&program)
        .args(["tools", "--json", "--data-dir"])
        .arg(&data)
        // Nobody's settings may change what is documented.
        .env_clear()
        .env("HOME", &data)
        .output()
        .with_context(|| format!("{} does not start", program.display()))?;
    // Best effort: what is left behind lies in the folder for temporary files.
    let _ = fs::remove_dir_all(&data);
    if !output.status.success() {
        bail!("`atelier tools` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let listed: Value = serde_json::from_slice(&output.stdout)?;
    listed.get("tools").and_then(Value::as_array).cloned().context("no tools were listed")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn tools_page(tools: &[Value], codes: &str) -> anyhow::Result<String> {
    let mut page = String::from(
        "# Tools\n\nWritten by `cargo xtask docs` from what the program tells its clients. Every result \
         also carries `status`, `message` and `call_id`; `status` is `success` or `warning`, or \
         `running` (ask `get_job` with `job_id`), or `needs_completion` (write the text and give it to \
         `submit_completion` with `handle`).\n",
    );
    for tool in tools {
        write!(page, "\n## {}\n\n{}\n", text(tool, "name"), text(tool, "description"))?;
        let hints = tool.get("annotations").unwrap_or(&Value::Null);
        let is = |hint: &str| hints.get(hint).and_then(Value::as_bool).unwrap_or(false);
        let says = [
            if is("readOnlyHint") { "changes nothing" } else { "changes what is stored" },
            if is("destructiveHint") { "may destroy" } else { "destroys nothing" },
            if is("idempotentHint") { "safe to repeat" } else { "each call does it again" },
            if is("openWorldHint") { "reaches outside" } else { "stays inside this server" },
        ];
        write!(page, "\nHints: {}.\n", says.join(", "))?;
        fields(&mut page, "Parameter", tool.get("inputSchema"), &[])?;
        fields(&mut page, "Result", tool.get("outputSchema"), &COMMON)?;
    }
    page.push_str("\n## Errors\n\nA tool that fails answers with `isError` and this JSON as text: `status` (`error`), `code`, `message`, `hint`, and for some codes `retry_after_s` or further fields.\n");
    let groups: Map<String, Value> = toml::from_str(codes)?;
    for (group, rows) in groups {
        write!(page, "\n### {group}\n\n| code | meaning |\n| --- | --- |\n")?;
        for (code, meaning) in rows.as_object().into_iter().flatten() {
            writeln!(page, "| `{code}` | {} |", cell(meaning.as_str().unwrap_or_default()))?;
        }
    }
    Ok(page)
}

/// A table of the properties of a schema but some.
fn fields(
    page: &mut String,
    title: &str,
    schema: Option<&Value>,
    but: &[&str],
) -> anyhow::Result<()> {
    let Some(schema) = schema else { return Ok(()) };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Ok(());
    };
    let properties: Vec<_> =
        properties.iter().filter(|(name, _)| !but.contains(&name.as_str())).collect();
    if properties.is_empty() {
        return Ok(());
    }
    write!(page, "\n| {title} | type | |\n| --- | --- | --- |\n")?;
    for (name, property) in properties {
        let mut notes = cell(text(property, "description"));
        if let Some(default) = property.get("default") {
            write!(notes, " Default: `{default}`.")?;
        }
        for (key, word) in [("minimum", "At least"), ("maximum", "At most")] {
            if let Some(bound) = property.get(key) {
                write!(notes, " {word} {bound}.")?;
            }
        }
        let mark = if required.contains(&name.as_str()) { " (required)" } else { "" };
        writeln!(page, "| `{name}`{mark} | {} | {} |", kind(property), notes.trim())?;
    }
    Ok(())
}

fn kind(property: &Value) -> String {
    match text(property, "type") {
        "" => "any".to_owned(),
        "array" => format!("list of {}", kind(property.get("items").unwrap_or(&Value::Null))),
        other => other.to_owned(),
    }
}

/// Text that fits a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// README.md with the table of tools between its marks.
fn with_table(readme: &str, tools: &[Value]) -> anyhow::Result<String> {
    let (head, rest) = readme.split_once(BEGIN).context("README.md has no mark for the tools")?;
    let (_, tail) = rest.split_once(END).context("README.md has no end mark for the tools")?;
    let mut table = String::from("\n| tool | does |\n| --- | --- |\n");
    for tool in tools {
        let description = cell(text(tool, "description"));
        let first = description.split_once(". ").map_or(description.as_str(), |(first, _)| first);
        let first = first.trim_end_matches('.');
        writeln!(table, "| [`{0}`](docs/TOOLS.md#{0}) | {first} |", text(tool, "name"))?;
    }
    Ok(format!("{head}{BEGIN}{table}\n{END}{tail}"))
}
