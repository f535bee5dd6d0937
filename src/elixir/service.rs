//! The use cases: generate from a definition, take back.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::TextDiff;
use time::OffsetDateTime;

use super::definition::{self, Layer, Problem};
use super::describe::define;
use super::error::{ElixirError, Refusal};
use super::files::{Allowed, Root};
use super::journal::{Journal, Record};
use super::plan::{Plan, plan};
use super::verify::{Verification, verify};
use crate::jobs::{Failure, Run};
use crate::llm::Outcome;
use crate::prompts::Prompts;
use crate::registry::CallContext;

/// Largest diff of a dry run.
const DIFF_BYTES: usize = 200_000;

/// What the generators are made with.
#[derive(Debug)]
pub struct ElixirParts {
    /// Prompts.
    pub prompts: Arc<Prompts>,
    /// Folders that projects may lie in.
    pub allowed_roots: Vec<PathBuf>,
    /// What can be taken back.
    pub journal: Journal,
}

/// The generators.
#[derive(Debug)]
pub struct Elixir {
    parts: ElixirParts,
}

/// What a tool makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything that the definition's `layers` name.
    Crud,
    Schema,
    Migration,
    Context,
}

impl Scope {
    fn layers(self) -> &'static [Layer] {
        match self {
            Self::Crud => &Layer::DEFAULT,
            Self::Schema => &[Layer::Schema],
            Self::Migration => &[Layer::Migration],
            Self::Context => &[Layer::Context, Layer::Tests, Layer::Fixtures],
        }
    }
}

/// Whether files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    DryRun,
}

/// Whether the project's own tools look at the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Verify,
    Trust,
}

/// A call of a generator.
#[derive(Debug, Clone)]
pub(crate) struct Generate {
    pub(crate) scope: Scope,
    pub(crate) definition: Option<Value>,
    pub(crate) description: Option<String>,
    pub(crate) project: String,
    pub(crate) mode: Mode,
    pub(crate) check: Check,
    pub(crate) model: String,
}

/// What a generator did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Generated {
    pub(crate) main: String,
    /// Paths with `created`, `updated` or `unchanged`.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) schema: String,
    pub(crate) context: String,
    pub(crate) notes: Vec<String>,
    pub(crate) diff: Option<String>,
    pub(crate) verification: Option<Verification>,
    pub(crate) root: PathBuf,
}

/// What was taken back.
#[derive(Debug, Clone)]
pub(crate) struct Undone {
    pub(crate) call_id: String,
    /// Paths with `removed` or `restored`.
    pub(crate) files: Vec<(String, &'static str)>,
}

impl Elixir {
    /// Generators on these parts.
    pub const fn new(parts: ElixirParts) -> Self {
        Self { parts }
    }

    /// Generates. With a description, the definition comes from a model first.
    pub(crate) async fn generate(
        &self,
        run: &Run,
        call: Generate,
    ) -> Result<(Generated, Option<(Value, Outcome)>), Failure> {
        let allowed = self.allowed(run.context()).await;
        let (definition, written) = match (
            &call.definition,
            call.description.as_deref().map(str::trim),
        ) {
            (Some(definition), None | Some("")) => (definition.clone(), None),
            (None, Some(description)) if !description.is_empty() => {
                let project = self.survey(&call.project, allowed.clone()).await?;
                run.progress(5.0, Some(100.0), "asking for the definition");
                let (definition, outcome) =
                    define(run, &self.parts.prompts, &call.model, description, &project).await?;
                (definition.clone(), Some((definition, outcome)))
            }
            _ => {
                return Err(ElixirError::refused(
                    Refusal::Arguments,
                    "the call needs either `schema_definition` or `description`",
                    "write `schema_definition` with `module_name` and `fields`, or say in `description` what the resource is",
                )
                .into());
            }
        };
        run.progress(60.0, Some(100.0), "generating");
        let job = Job {
            allowed,
            journal: self.parts.journal.clone(),
            call_id: run.call_id().as_str().to_owned(),
            principal: run.context().principal.as_str().to_owned(),
            definition,
            project: call.project.clone(),
            scope: call.scope,
            mode: call.mode,
            now: OffsetDateTime::from_unix_timestamp(run.started_at() / 1000)
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        };
        let mut generated = blocking(move || job.work()).await?;
        if call.check == Check::Verify && call.mode == Mode::Write {
            run.progress(80.0, Some(100.0), "compiling");
            let paths = generated.files.iter().map(|(path, _)| path.clone()).collect();
            generated.verification = Some(verify(generated.root.clone(), paths).await);
        }
        Ok((generated, written))
    }

    /// Takes back the change of a call, or the newest one of a project.
    pub(crate) async fn undo(
        &self,
        context: &CallContext,
        project: Option<String>,
        call_id: Option<String>,
    ) -> Result<Undone, ElixirError> {
        let allowed = self.allowed(context).await;
        let journal = self.parts.journal.clone();
        let principal = context.principal.as_str().to_owned();
        blocking(move || {
            let nothing = |what: String| {
                ElixirError::refused(
                    Refusal::NothingToUndo,
                    what,
                    "name the `call_id` that a generator returned, or the project whose last change is meant",
                )
            };
            let record = match (&call_id, &project) {
                (Some(call_id), _) => journal
                    .find(call_id)?
                    .filter(|record| record.principal == principal)
                    .ok_or_else(|| nothing(format!("no change of the call `{}` is known", definition::shown(call_id))))?,
                (None, Some(project)) => {
                    let root = Root::open(project, &allowed)?;
                    journal
                        .newest(root.path(), &principal)?
                        .ok_or_else(|| nothing(format!("no change of `{project}` is known")))?
                }
                (None, None) => {
                    return Err(nothing("neither `call_id` nor `target_project_path` is given".to_owned()));
                }
            };
            let root = Root::open(&record.root.to_string_lossy(), &allowed)?;
            let _lock = Journal::lock(&root)?;
            let back = journal.undo(&root, &record)?;
            let files = back
                .into_iter()
                .map(|change| {
                    let what = if change.after.is_some() { "restored" } else { "removed" };
                    (change.path, what)
                })
                .collect();
            Ok(Undone { call_id: record.call_id, files })
        })
        .await
    }

    /// Where this caller's projects may lie.
    async fn allowed(&self, context: &CallContext) -> Allowed {
        let of_caller = match &context.folders {
            Some(folders) => folders.folders().await,
            None => None,
        };
        Allowed { configured: self.parts.allowed_roots.clone(), of_caller }
    }

    /// The schemas and scopes of a project, for a model.
    async fn survey(&self, project: &str, allowed: Allowed) -> Result<String, ElixirError> {
        let project = project.to_owned();
        blocking(move || {
            let root = Root::open(&project, &allowed)?;
            let project = super::project::read(&root, super::project::Wanted::default())?;
            let mut lines = vec![format!("app {}, modules below {}", project.app, project.base)];
            for schema in project.schemas.iter().take(100) {
                let fields: Vec<&str> =
                    schema.fields.iter().take(30).map(|field| field.name.as_str()).collect();
                lines.push(format!(
                    "schema {} (table {}): {}",
                    schema.module,
                    schema.table,
                    fields.join(", ")
                ));
            }
            Ok(lines.join("\n"))
        })
        .await
    }
}

/// File work off the asynchronous threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ElixirError> + Send + 'static,
) -> Result<T, ElixirError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ElixirError::refused(
            Refusal::Unusable,
            format!("the generator stopped: {error}"),
            "report this with the definition",
        ))
    })
}

struct Job {
    allowed: Allowed,
    journal: Journal,
    call_id: String,
    principal: String,
    definition: Value,
    project: String,
    scope: Scope,
    mode: Mode,
    now: OffsetDateTime,
}

impl Job {
    fn work(self) -> Result<Generated, ElixirError> {
        let definition = definition::read(&self.definition)
            .map_err(|problems: Vec<Problem>| ElixirError::Definition { problems })?;
        let root = Root::open(&self.project, &self.allowed)?;
        let _lock = Journal::lock(&root)?;
        self.journal.recover(&root)?;
        // A job that runs again after its files were written only answers again.
        if let Some(record) = self.journal.find(&self.call_id)?
            && let Ok(generated) = serde_json::from_value(record.result)
        {
            return Ok(generated);
        }
        let mut wanted = definition;
        if self.scope != Scope::Crud {
            // A tool of one layer makes that layer, whatever the definition says.
            wanted.layers.clear();
        }
        let plan = plan(&root, &wanted, self.scope.layers(), self.now)?;
        let generated = Generated {
            main: root.path().join(&plan.main).to_string_lossy().into_owned(),
            files: plan
                .files
                .iter()
                .map(|(path, action)| (path.clone(), action.as_str().to_owned()))
                .collect(),
            schema: plan.schema.clone(),
            context: plan.context.clone(),
            notes: plan.notes.clone(),
            diff: (self.mode == Mode::DryRun).then(|| diff(&plan)),
            verification: None,
            root: root.path().to_owned(),
        };
        if self.mode == Mode::Write && !plan.changes.is_empty() {
            let result = serde_json::to_value(&generated).unwrap_or_default();
            let record = Record {
                call_id: self.call_id,
                principal: self.principal,
                root: root.path().to_owned(),
                changes: plan.changes,
                result,
            };
            self.journal.carry_out(&root, &record)?;
        }
        Ok(generated)
    }
}

/// The changes of a plan as unified diffs.
fn diff(plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let before = change.before.as_deref().unwrap_or_default();
        let after = change.after.as_deref().unwrap_or_default();
        let old = if change.before.is_some() {
            format!("a/{}", change.path)
        } else {
            "/dev/null".to_owned()
        };
        let lines = TextDiff::from_lines(before, after);
        text.push_str(
            &lines.unified_diff().header(&old, &format!("b/{}", change.path)).to_string(),
        );
        if text.len() > DIFF_BYTES {
            text.truncate(text.floor_char_boundary(DIFF_BYTES));
            text.push_str("\n(cut)\n");
            break;
        }
    }
    text
}
