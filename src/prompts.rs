//! Prompts: text files with a head, embedded at build, replaceable one by one from a folder.
//!
//! ```text
//! ---
//! id: documents/web_app
//! version: 1
//! inputs: [request, today]
//! ---
//! [[system]]
//! Instructions that never change, so that vendors can cache them.
//! [[user]]
//! {{ request | data("request", delimiter) }}
//! ```
//!
//! Whatever users, files or models wrote goes through the filter `data`, which puts it between
//! marks that carry an unguessable word. Text inside cannot close its block, since the word is
//! taken out of it. An input that is missing, or a file that uses one which is not there, is an
//! error and never an empty place.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use crate::error::ToolError;
use crate::storage::Sha256Hex;
use crate::storage::blobs::sha256_hex;

/// The embedded prompts by their id.
const EMBEDDED: [(&str, &str); 24] = [
    ("documents/web_app", include_str!("../prompts/documents/web_app.md.j2")),
    ("documents/page_tools", include_str!("../prompts/documents/page_tools.md.j2")),
    ("documents/pdf", include_str!("../prompts/documents/pdf.md.j2")),
    ("documents/pdf_repair", include_str!("../prompts/documents/pdf_repair.md.j2")),
    ("documents/pdf_tools", include_str!("../prompts/documents/pdf_tools.md.j2")),
    ("documents/repair", include_str!("../prompts/documents/repair.md.j2")),
    ("documents/edit", include_str!("../prompts/documents/edit.md.j2")),
    ("documents/edit_feedback", include_str!("../prompts/documents/edit_feedback.md.j2")),
    ("documents/rewrite", include_str!("../prompts/documents/rewrite.md.j2")),
    ("agent/ask", include_str!("../prompts/agent/ask.md.j2")),
    ("agent/repair", include_str!("../prompts/agent/repair.md.j2")),
    ("agent/chat", include_str!("../prompts/agent/chat.md.j2")),
    ("agent/run", include_str!("../prompts/agent/run.md.j2")),
    ("agent/run_text", include_str!("../prompts/agent/run_text.md.j2")),
    ("agent/closing", include_str!("../prompts/agent/closing.md.j2")),
    ("agent/summary", include_str!("../prompts/agent/summary.md.j2")),
    ("elixir/definition", include_str!("../prompts/elixir/definition.md.j2")),
    ("elixir/repair", include_str!("../prompts/elixir/repair.md.j2")),
    ("factory/tools", include_str!("../prompts/factory/tools.md.j2")),
    ("factory/body", include_str!("../prompts/factory/body.md.j2")),
    ("factory/repair", include_str!("../prompts/factory/repair.md.j2")),
    ("python/create", include_str!("../prompts/python/create.md.j2")),
    ("python/edit", include_str!("../prompts/python/edit.md.j2")),
    ("python/repair", include_str!("../prompts/python/repair.md.j2")),
];

/// Ending of a prompt's file.
const ENDING: &str = ".md.j2";

/// Input that every prompt has: the word that marks data.
const DELIMITER: &str = "delimiter";

/// What is wrong with a prompt.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A file of the override folder cannot be read.
    #[error("prompt file `{file}` cannot be read: {cause}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        cause: std::io::Error,
    },
    /// A file of the override folder replaces nothing.
    #[error("prompt file `{file}` replaces no prompt; there are: {known}")]
    Unknown {
        /// The file.
        file: String,
        /// The prompts that exist.
        known: String,
    },
    /// A file is not a prompt.
    #[error("prompt `{id}`: {reason}")]
    Malformed {
        /// The prompt.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// A prompt cannot be filled in.
    #[error("prompt `{id}` cannot be rendered: {reason}")]
    Render {
        /// The prompt.
        id: String,
        /// What is wrong.
        reason: String,
    },
}

impl From<PromptError> for ToolError {
    fn from(error: PromptError) -> Self {
        Self::internal(&error)
    }
}

/// A prompt, filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedPrompt {
    /// Instructions; empty where the prompt goes on with a conversation.
    pub system: String,
    /// The question.
    pub user: String,
    /// Version by the file's head.
    pub version: u32,
    /// Hash of the file, for the log of model calls.
    pub template_sha: Sha256Hex,
}

/// All prompts.
#[derive(Debug)]
pub struct Prompts {
    environment: Environment<'static>,
    heads: BTreeMap<String, Head>,
}

#[derive(Debug, Clone)]
struct Head {
    version: u32,
    inputs: Vec<String>,
    sections: Vec<&'static str>,
    template_sha: Sha256Hex,
}

impl Prompts {
    /// The embedded prompts, each replaced by the file of its name in `overrides` where there is
    /// one.
    ///
    /// # Errors
    /// When a file is no prompt, replaces none, or uses an input that its prompt does not have.
    pub fn load(overrides: Option<&Path>) -> Result<Self, PromptError> {
        let environment = environment().map_err(|error| PromptError::Malformed {
            id: "all".to_owned(),
            reason: error.to_string(),
        })?;
        let mut prompts = Self { environment, heads: BTreeMap::new() };
        for (id, source) in EMBEDDED {
            prompts.add(id, source, None)?;
        }
        if let Some(folder) = overrides {
            for (id, source) in override_files(folder)? {
                let inputs = prompts.head(&id)?.inputs.clone();
                prompts.add(&id, &source, Some(&inputs))?;
            }
        }
        Ok(prompts)
    }

    /// Fills a prompt in. `inputs` are exactly those of its head; `delimiter` marks data.
    ///
    /// # Errors
    /// When an input is missing or unknown: a defect of the program.
    pub fn render(
        &self,
        id: &str,
        delimiter: &str,
        inputs: BTreeMap<&'static str, Value>,
    ) -> Result<RenderedPrompt, PromptError> {
        let failed = |reason: String| PromptError::Render { id: id.to_owned(), reason };
        let head = self.head(id)?;
        let mut context: BTreeMap<String, Value> =
            inputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        context.insert(DELIMITER.to_owned(), Value::from(delimiter));
        let mut texts = [String::new(), String::new()];
        for (text, section) in texts.iter_mut().zip(["system", "user"]) {
            if head.sections.contains(&section) {
                let rendered = self
                    .environment
                    .get_template(&format!("{id}#{section}"))
                    .and_then(|template| template.render(Value::from(context.clone())))
                    .map_err(|error| failed(error.to_string()))?;
                text.push_str(rendered.trim());
            }
        }
        let [system, user] = texts;
        Ok(RenderedPrompt {
            system,
            user,
            version: head.version,
            template_sha: head.template_sha.clone(),
        })
    }

    fn head(&self, id: &str) -> Result<&Head, PromptError> {
        self.heads.get(id).ok_or_else(|| PromptError::Malformed {
            id: id.to_owned(),
            reason: "there is no such prompt".to_owned(),
        })
    }

    /// Reads, checks and keeps a prompt. An override may use the inputs of what it replaces.
    fn add(
        &mut self,
        id: &str,
        source: &str,
        allowed: Option<&[String]>,
    ) -> Result<(), PromptError> {
        let malformed = |reason: String| PromptError::Malformed { id: id.to_owned(), reason };
        let source = source.replace("\r\n", "\n");
        let (mut head, sections) = parse(id, &source).map_err(malformed)?;
        if let Some(allowed) = allowed {
            head.inputs = allowed.to_vec();
        }
        for (section, text) in sections {
            let name = format!("{id}#{section}");
            self.environment
                .add_template_owned(name.clone(), text)
                .map_err(|error| malformed(error.to_string()))?;
            let template = self
                .environment
                .get_template(&name)
                .map_err(|error| malformed(error.to_string()))?;
            for input in template.undeclared_variables(false) {
                if input != DELIMITER && !head.inputs.contains(&input) {
                    return Err(malformed(format!(
                        "it uses `{input}`, but its inputs are {}",
                        head.inputs.join(", ")
                    )));
                }
            }
        }
        self.heads.insert(id.to_owned(), head);
        Ok(())
    }
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    // Lines that hold a statement alone leave no empty line.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_syntax(syntax);
    environment.add_filter("data", data_block);
    Ok(environment)
}

/// A block of data between marks that carry the delimiter. The text cannot hold the delimiter,
/// in whatever case, so it cannot end the block.
pub(crate) fn data_block(text: &str, name: &str, delimiter: &str) -> String {
    let text = without_word(text, delimiter);
    format!("<data-{delimiter} name=\"{name}\">\n{text}\n</data-{delimiter}>")
}

fn without_word(text: &str, word: &str) -> String {
    let mut clean: String = text.replace('\0', "\u{fffd}");
    // Taking a word out can join its halves to a new one.
    while let Some(start) = find_ignoring_case(&clean, word) {
        clean.replace_range(start..start + word.len(), "");
    }
    clean
}

fn find_ignoring_case(text: &str, word: &str) -> Option<usize> {
    if word.is_empty() {
        return None;
    }
    text.as_bytes()
        .windows(word.len())
        .position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

type Sections<'a> = Vec<(&'static str, String)>;

/// Takes a file apart.
fn parse(id: &str, source: &str) -> Result<(Head, Sections<'static>), String> {
    let (head_text, body) = source
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---\n"))
        .ok_or("it does not begin with a head between two lines of `---`")?;
    let mut fields = BTreeMap::new();
    for line in head_text.lines().filter(|line| !line.trim().is_empty()) {
        let (key, value) = line
            .split_once(':')
            .ok_or_else(|| format!("`{line}` in its head is not `key: value`"))?;
        fields.insert(key.trim(), value.trim());
    }
    if let Some(key) = fields.keys().find(|key| !["id", "version", "inputs"].contains(key)) {
        return Err(format!("its head has an unknown key `{key}`"));
    }
    let field =
        |key: &str| fields.get(key).copied().ok_or_else(|| format!("its head has no `{key}`"));
    if field("id")? != id {
        return Err(format!("its head says `id: {}`", field("id")?));
    }
    let version = field("version")?
        .parse()
        .map_err(|_| "`version` in its head is not a number".to_owned())?;
    let inputs = field("inputs")?
        .strip_prefix('[')
        .and_then(|list| list.strip_suffix(']'))
        .ok_or("`inputs` in its head is not a list in brackets")?
        .split(',')
        .map(|input| input.trim().to_owned())
        .filter(|input| !input.is_empty())
        .collect();
    let sections = sections(body)?;
    let head = Head {
        version,
        inputs,
        sections: sections.iter().map(|(section, _)| *section).collect(),
        template_sha: sha256_hex(source.as_bytes()),
    };
    Ok((head, sections))
}

fn sections(body: &str) -> Result<Sections<'static>, String> {
    let mut sections: Sections<'static> = Vec::new();
    for line in body.lines() {
        let opened = match line.trim_end() {
            "[[system]]" => Some("system"),
            "[[user]]" => Some("user"),
            _ => None,
        };
        if let Some(name) = opened {
            if sections.iter().any(|(known, _)| *known == name) {
                return Err(format!("it has two sections `[[{name}]]`"));
            }
            sections.push((name, String::new()));
        } else if let Some((_, text)) = sections.last_mut() {
            text.push_str(line);
            text.push('\n');
        } else if !line.trim().is_empty() {
            return Err("it has text before its first section".to_owned());
        }
    }
    if sections.iter().any(|(name, _)| *name == "user") {
        Ok(sections)
    } else {
        Err("it has no section `[[user]]`".to_owned())
    }
}

/// The prompt files below a folder with the ids that they replace.
fn override_files(folder: &Path) -> Result<Vec<(String, String)>, PromptError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        let unreadable =
            |cause| PromptError::Unreadable { file: current.display().to_string(), cause };
        for entry in std::fs::read_dir(&current).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Some(id) = path
                .strip_prefix(folder)
                .ok()
                .and_then(|relative| relative.to_str())
                .and_then(|relative| relative.strip_suffix(ENDING))
                .map(|id| id.replace(std::path::MAIN_SEPARATOR, "/"))
            else {
                continue;
            };
            if !EMBEDDED.iter().any(|(known, _)| *known == id) {
                let known: Vec<&str> = EMBEDDED.iter().map(|(known, _)| *known).collect();
                return Err(PromptError::Unknown {
                    file: path.display().to_string(),
                    known: known.join(", "),
                });
            }
            #[expect(clippy::disallowed_methods, reason = "the operator's prompts, read once")]
            let source = std::fs::read_to_string(&path).map_err(|cause| {
                PromptError::Unreadable { file: path.display().to_string(), cause }
            })?;
            found.push((id, source));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write files")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORD: &str = "3f9c0a7b5d2e8146";

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn embedded_prompts_are_whole() {
        let prompts = Prompts::load(None).unwrap();
        assert_eq!(prompts.heads.len(), EMBEDDED.len());
    }

    #[test]
    fn a_missing_input_is_an_error() {
        let prompts = Prompts::load(None).unwrap();
        let error = prompts.render("documents/web_app", WORD, BTreeMap::new()).unwrap_err();
        assert!(matches!(error, PromptError::Render { .. }), "{error}");
    }

    #[test]
    fn a_file_replaces_one_prompt() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            "agent/ask.md.j2",
            "---\nid: agent/ask\nversion: 7\ninputs: [prompt]\n---\n[[user]]\nOurs: {{ prompt }}\n",
        );
        write(folder.path(), "README.md", "not a prompt");
        let prompts = Prompts::load(Some(folder.path())).unwrap();
        let inputs = BTreeMap::from([("prompt", Value::from("hi"))]);
        let rendered = prompts.render("agent/ask", WORD, inputs).unwrap();
        assert_eq!((rendered.user.as_str(), rendered.system.as_str()), ("Ours: hi", ""));
        assert_eq!(rendered.version, 7);
    }

    #[test]
    fn wrong_files_are_named_at_the_start() {
        for (name, text, expected) in [
            ("agent/asks.md.j2", "", "replaces no prompt"),
            ("agent/ask.md.j2", "no head", "does not begin with a head"),
            (
                "agent/ask.md.j2",
                "---\nid: x\nversion: 1\ninputs: []\n---\n[[user]]\n",
                "says `id: x`",
            ),
            (
                "agent/ask.md.j2",
                "---\nid: agent/ask\nversion: 1\ninputs: []\nx: 1\n---\n[[user]]\n",
                "unknown key `x`",
            ),
            (
                "agent/ask.md.j2",
                "---\nid: agent/ask\nversion: a\ninputs: []\n---\n[[user]]\n",
                "not a number",
            ),
            (
                "agent/ask.md.j2",
                "---\nid: agent/ask\nversion: 1\ninputs: []\n---\ntext\n",
                "before its first section",
            ),
            (
                "agent/ask.md.j2",
                "---\nid: agent/ask\nversion: 1\ninputs: []\n---\n[[system]]\n",
                "no section `[[user]]`",
            ),
            (
                "agent/ask.md.j2",
                "---\nid: agent/ask\nversion: 1\ninputs: []\n---\n[[user]]\n{{ secret }}\n",
                "uses `secret`",
            ),
            (
                "agent/ask.md.j2",
                "---\nid: agent/ask\nversion: 1\ninputs: []\n---\n[[user]]\n{% if %}\n",
                "syntax error",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), name, text);
            let error = Prompts::load(Some(folder.path())).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} lacks {expected}");
        }
    }

    proptest! {
        #[test]
        fn no_text_closes_its_block(parts in proptest::collection::vec(
            prop_oneof![
                Just(WORD.to_owned()),
                Just(WORD.to_uppercase()),
                Just(WORD[..8].to_owned()),
                Just(WORD[8..].to_owned()),
                Just(format!("</data-{WORD}>")),
                "\\PC{0,10}",
            ],
            0..12,
        )) {
            let block = data_block(&parts.concat(), "request", WORD);
            prop_assert_eq!(block.to_ascii_lowercase().matches(WORD).count(), 2);
            let closing = format!("\n</data-{WORD}>");
            prop_assert!(block.ends_with(&closing));
        }
    }
}
