//! The templates.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

use crate::elixir::error::{ElixirError, Refusal};

/// A template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Template {
    Context,
    Fixtures,
    ContextTest,
    Controller,
    Json,
    ChangesetJson,
    FallbackController,
    ControllerTest,
}

impl Template {
    const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Context, "context", include_str!("templates/context.ex.j2")),
        (Self::Fixtures, "fixtures", include_str!("templates/fixtures.ex.j2")),
        (Self::ContextTest, "context_test", include_str!("templates/context_test.exs.j2")),
        (Self::Controller, "controller", include_str!("templates/controller.ex.j2")),
        (Self::Json, "json", include_str!("templates/json.ex.j2")),
        (Self::ChangesetJson, "changeset_json", include_str!("templates/changeset_json.ex.j2")),
        (
            Self::FallbackController,
            "fallback_controller",
            include_str!("templates/fallback_controller.ex.j2"),
        ),
        (Self::ControllerTest, "controller_test", include_str!("templates/controller_test.exs.j2")),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, ..)| *known == self).map_or("", |(_, name, _)| name)
    }
}

static ENVIRONMENT: LazyLock<Result<Environment<'static>, minijinja::Error>> =
    LazyLock::new(|| {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()?;
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        for (_, name, source) in Template::ALL {
            environment.add_template(name, source)?;
        }
        Ok(environment)
    });

/// Fills a template in.
///
/// # Errors
/// A defect of the template.
pub(crate) fn render(template: Template, view: &Value) -> Result<String, ElixirError> {
    let unusable = |error: &minijinja::Error| {
        ElixirError::refused(
            Refusal::Unusable,
            format!("the template `{}` cannot be filled in: {error:#}", template.name()),
            "report this with the definition",
        )
    };
    let environment = ENVIRONMENT.as_ref().map_err(unusable)?;
    environment
        .get_template(template.name())
        .and_then(|template| template.render(Serde(view)))
        .map_err(|error| unusable(&error))
}

/// A function of a module, with its documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) code: String,
}

/// The functions of a rendered text: each begins with `#= name least most`.
pub(crate) fn functions(text: &str) -> Vec<Function> {
    let mut found: Vec<Function> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("#= ") {
            let mut words = head.split(' ');
            let name = words.next().unwrap_or_default().to_owned();
            let least = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let most = words.next().and_then(|word| word.parse().ok()).unwrap_or(least);
            found.push(Function { name, least, most, code: String::new() });
        } else if let Some(function) = found.last_mut() {
            function.code.push_str(line);
            function.code.push('\n');
        }
    }
    for function in &mut found {
        function.code = squeezed(&function.code);
    }
    found
}

/// Without blank lines at both ends and without two behind each other.
pub(crate) fn squeezed(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        let line = line.trim_end();
        if !(line.is_empty() && lines.last().is_none_or(|last| last.is_empty())) {
            lines.push(line);
        }
    }
    while lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines.join("\n") + "\n"
}
