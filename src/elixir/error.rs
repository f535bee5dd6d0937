//! Errors of the generators. Every one leaves the project as it was.

use serde_json::json;

use super::definition::Problem;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::Failure;

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum ElixirError {
    /// The definition is wrong.
    #[error("{}", listed(problems))]
    Definition {
        /// All that is wrong with it.
        problems: Vec<Problem>,
    },
    /// Anything else.
    #[error("{message}")]
    Refused {
        /// What kind of refusal.
        code: Refusal,
        /// What failed, for which input.
        message: String,
        /// What to do.
        hint: String,
    },
}

/// Kinds of refusals, each with a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The folder is outside the allowed ones.
    PathNotAllowed,
    /// The folder holds no Phoenix or Ecto project.
    NotAProject,
    /// The project leaves a choice open: several apps, no repo.
    ProjectUnclear,
    /// A file that must be edited does not parse.
    BrokenSource,
    /// A name is in use for something else.
    NameTaken,
    /// A module or table that the definition points to is not there.
    TargetMissing,
    /// A change could lose data or fail on existing rows.
    UnsafeChange,
    /// The database cannot do it.
    Unsupported,
    /// A file changed while the call ran, or since.
    Conflict,
    /// A file or folder cannot be read or written.
    NotAccessible,
    /// There is nothing to undo under this id.
    NothingToUndo,
    /// The result would not be Elixir: a defect of the generator.
    Unusable,
    /// A model's answers could not be used.
    NoDefinition,
    /// The call names neither a definition nor a description, or both.
    Arguments,
}

impl Refusal {
    /// Every one, for the documentation's test.
    pub const ALL: [Self; 14] = [
        Self::PathNotAllowed,
        Self::NotAProject,
        Self::ProjectUnclear,
        Self::BrokenSource,
        Self::NameTaken,
        Self::TargetMissing,
        Self::UnsafeChange,
        Self::Unsupported,
        Self::Conflict,
        Self::NotAccessible,
        Self::NothingToUndo,
        Self::Unusable,
        Self::NoDefinition,
        Self::Arguments,
    ];

    /// The stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PathNotAllowed => "elixir_path_not_allowed",
            Self::NotAProject => "elixir_not_a_project",
            Self::ProjectUnclear => "elixir_project_unclear",
            Self::BrokenSource => "elixir_source_broken",
            Self::NameTaken => "elixir_name_taken",
            Self::TargetMissing => "elixir_target_missing",
            Self::UnsafeChange => "elixir_unsafe_change",
            Self::Unsupported => "elixir_unsupported",
            Self::Conflict => "elixir_conflict",
            Self::NotAccessible => "elixir_not_accessible",
            Self::NothingToUndo => "elixir_nothing_to_undo",
            Self::Unusable => "elixir_unusable",
            Self::NoDefinition => "elixir_no_definition",
            Self::Arguments => "elixir_arguments",
        }
    }
}

impl ElixirError {
    pub(crate) fn refused(
        code: Refusal,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Refused { code, message: message.into(), hint: hint.into() }
    }

    /// One thing that is wrong with the definition.
    pub(crate) fn definition(
        place: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let problem = Problem { place: place.into(), message: message.into(), fix: fix.into() };
        Self::Definition { problems: vec![problem] }
    }
}

fn listed(problems: &[Problem]) -> String {
    let each: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {} ({})", problem.place, problem.message, problem.fix))
        .collect();
    format!("the definition cannot be used: {}", each.join("; "))
}

impl From<ElixirError> for ToolError {
    fn from(error: ElixirError) -> Self {
        let message = error.to_string();
        match error {
            ElixirError::Definition { problems } => {
                let hint = problems.first().map_or_else(String::new, |first| first.fix.clone());
                Self::invalid("invalid_definition", message)
                    .hint(hint)
                    .detail("problems", json!(problems))
            }
            ElixirError::Refused { code, hint, .. } => {
                let kind = match code {
                    Refusal::PathNotAllowed => ErrorKind::Denied,
                    Refusal::NotAProject | Refusal::TargetMissing | Refusal::NothingToUndo => {
                        ErrorKind::NotFound
                    }
                    Refusal::Conflict | Refusal::NameTaken | Refusal::BrokenSource => {
                        ErrorKind::Conflict
                    }
                    Refusal::NoDefinition | Refusal::NotAccessible => ErrorKind::Unavailable,
                    Refusal::Unusable => ErrorKind::Internal,
                    Refusal::ProjectUnclear
                    | Refusal::UnsafeChange
                    | Refusal::Unsupported
                    | Refusal::Arguments => ErrorKind::Invalid,
                };
                let error = Self::new(kind, code.as_str(), message).hint(hint);
                match code {
                    Refusal::NoDefinition => error.for_its_answers(),
                    _ => error,
                }
            }
        }
    }
}

impl From<ElixirError> for Failure {
    fn from(error: ElixirError) -> Self {
        Self::Error(error.into())
    }
}
