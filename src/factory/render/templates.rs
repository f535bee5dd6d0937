//! The texts of a package that people read: templates, each of which a folder of the caller may
//! replace.

use std::collections::BTreeMap;

use minijinja::Environment;
use minijinja::value::Value;

use crate::factory::error::{FactoryError, Refusal};
use crate::factory::names::prose;

/// The templates: name, path in the package, text.
pub const TEMPLATES: [(&str, &str, &str); 6] = [
    ("README.md.j2", "README.md", include_str!("templates/README.md.j2")),
    ("skill.md.j2", "skill.md", include_str!("templates/skill.md.j2")),
    ("Dockerfile.j2", "Dockerfile", include_str!("templates/Dockerfile.j2")),
    ("pyproject.toml.j2", "pyproject.toml", include_str!("templates/pyproject.toml.j2")),
    ("ci.yml.j2", ".github/workflows/ci.yml", include_str!("templates/ci.yml.j2")),
    ("COVERAGE.md.j2", "COVERAGE.md", include_str!("templates/COVERAGE.md.j2")),
];

/// Templates, those of the caller before ours.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    replaced: BTreeMap<String, String>,
}

impl Templates {
    /// Replaces single templates by name.
    ///
    /// # Errors
    /// When a name is none of ours.
    pub fn replaced(replaced: BTreeMap<String, String>) -> Result<Self, FactoryError> {
        if let Some(name) =
            replaced.keys().find(|name| !TEMPLATES.iter().any(|(own, _, _)| own == name))
        {
            let names: Vec<&str> = TEMPLATES.iter().map(|(name, _, _)| *name).collect();
            return Err(FactoryError::new(
                Refusal::Template,
                format!("`{}` is no template", prose(name, 100)),
                format!("the templates are {}", names.join(", ")),
            ));
        }
        Ok(Self { replaced })
    }

    /// Those of the caller, by name.
    pub(crate) fn names_and_texts(&self) -> &BTreeMap<String, String> {
        &self.replaced
    }

    /// Every template filled in, as path and text.
    ///
    /// # Errors
    /// When a template of the caller is wrong.
    pub fn render(&self, values: &Value) -> Result<Vec<(&'static str, String)>, FactoryError> {
        let mut environment = Environment::new();
        environment.add_filter("line", line);
        environment.add_filter("quoted", |text: String| {
            serde_json::Value::String(prose(&text, 300).replace('\n', " ")).to_string()
        });
        TEMPLATES
            .iter()
            .map(|(name, path, own)| {
                let text = self.replaced.get(*name).map_or(*own, String::as_str);
                let rendered = environment.render_str(text, values).map_err(|error| {
                    FactoryError::new(
                        Refusal::Template,
                        format!("the template `{name}` cannot be filled in: {error}"),
                        "compare it with the built-in one",
                    )
                })?;
                Ok((*path, format!("{}\n", rendered.trim_end())))
            })
            .collect()
    }
}

/// A text as one line of Markdown that begins nothing and closes nothing.
#[expect(clippy::needless_pass_by_value, reason = "filters of templates take owned text")]
fn line(text: String, longest: Option<usize>) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut safe = String::new();
    for letter in prose(&flat, longest.unwrap_or(600)).chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '|' | '`' | '[' | ']' | '*' | '_' | '\\' | '!' | '#' => {
                safe.push('\\');
                safe.push(letter);
            }
            letter => safe.push(letter),
        }
    }
    safe
}
