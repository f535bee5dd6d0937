//! `${VAR}`, `${VAR:-default}`, `${env:VAR}` and `${input:id}` in the texts of an entry.

use std::collections::BTreeMap;

use super::entry::Fault;
use crate::config::environment::Environment;

/// What stands behind the names.
pub(super) struct Values<'a> {
    pub(super) environment: &'a Environment,
    pub(super) inputs: &'a BTreeMap<String, Option<String>>,
}

impl Values<'_> {
    /// The text with every name replaced.
    pub(super) fn expand(&self, text: &str) -> Result<String, Fault> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, after)) = behind.split_once('}') else {
                // No name: an argument may well hold these two letters.
                out.push_str("${");
                rest = behind;
                continue;
            };
            out.push_str(&self.value(name)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, name: &str) -> Result<String, Fault> {
        if let Some(id) = name.strip_prefix("input:") {
            let variable = input_variable(id);
            let given = self.environment.get(&variable).map(str::to_owned);
            return given.or_else(|| self.inputs.get(id).cloned().flatten()).ok_or_else(|| {
                Fault::new(
                    format!("`${{input:{id}}}` has no value: nobody can be asked for it here"),
                    format!("set the environment variable `{variable}`"),
                )
            });
        }
        let name = name.strip_prefix("env:").unwrap_or(name);
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name, None),
        };
        self.environment.get(name).or(default).map(str::to_owned).ok_or_else(|| {
            Fault::new(
                format!("the environment variable `{name}` that it names is not set"),
                format!("set `{name}`, or write `${{{name}:-default}}`"),
            )
        })
    }
}

/// The variable that gives a VS Code input its value.
fn input_variable(id: &str) -> String {
    let name: String = id
        .chars()
        .map(
            |letter| {
                if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' }
            },
        )
        .collect();
    format!("INPUT_{name}")
}
