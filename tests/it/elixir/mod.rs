//! The Elixir generators, on projects in temporary folders.

mod altering;
mod commands;
mod generating;
mod matrix;
mod real;
mod refusals;
mod undoing;
mod verifying;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atelier::elixir::{Elixir, ElixirParts, Journal};
use atelier::prompts::Prompts;
use atelier::registry::{CallContext, Origin};
use atelier::storage::PrincipalId;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::studio::Reply;
use crate::support::workshop::{Workshop, WorkshopBuilder};

/// Generators that may work in one temporary folder.
pub(crate) struct Forge {
    workshop: Workshop,
    folder: TempDir,
}

impl Forge {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("projects")).unwrap();
        let elixir = Arc::new(Elixir::new(ElixirParts {
            prompts: Arc::new(Prompts::load(None).unwrap()),
            allowed_roots: vec![root.join("projects")],
            journal: Journal::new(root.join("journal")),
        }));
        let tools = atelier::elixir::tools::tools(&elixir);
        Self { workshop: WorkshopBuilder::new(tools).build().await, folder }
    }

    /// The folder that holds everything of the test.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// A project from the fixtures, under other names.
    pub(crate) fn project(&self, fixture: &str, app: &str, base: &str) -> PathBuf {
        let root = self.folder().join("projects").join(app);
        copy(&fixtures().join(fixture), &root, app, base);
        root
    }

    /// The usual project.
    pub(crate) fn my_app(&self) -> PathBuf {
        self.project("my_app", "my_app", "MyApp")
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.call_as("ann", tool, arguments).await
    }

    pub(crate) async fn call_as(&self, principal: &str, tool: &str, arguments: Value) -> Reply {
        let context = CallContext::new(PrincipalId::from(principal), Origin::Client);
        Reply(self.workshop.registry.call(tool, arguments, context).await)
    }

    /// `create_elixir_crud` with a definition.
    pub(crate) async fn crud(&self, project: &Path, definition: Value) -> Reply {
        let arguments = json!({"schema_definition": definition, "target_project_path": project});
        self.call("create_elixir_crud", arguments).await
    }
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/elixir")
}

/// Copies a project, with other names for the app and its modules.
pub(crate) fn copy(from: &Path, to: &Path, app: &str, base: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name().to_str().unwrap().replace("my_app", app));
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, app, base);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            std::fs::write(target, text.replace("my_app", app).replace("MyApp", base)).unwrap();
        }
    }
}

/// Every file below a folder with its text.
pub(crate) fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    collect(root, root, &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            collect(root, &path, files);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            files.insert(path.strip_prefix(root).unwrap().display().to_string(), text);
        }
    }
}

/// The text of a file of a project.
#[track_caller]
pub(crate) fn read(project: &Path, path: &str) -> String {
    let whole = project.join(path);
    std::fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{}: {error}", whole.display()))
}

/// Paths of a reply's files that have this action.
pub(crate) fn with_action(reply: &Reply, action: &str) -> Vec<String> {
    let files = reply.field("files").as_array().unwrap_or_else(|| panic!("{reply:?}"));
    files
        .iter()
        .filter(|file| file["action"] == action)
        .map(|file| file["path"].as_str().unwrap().to_owned())
        .collect()
}

/// The definition of the seed's example.
pub(crate) fn user() -> Value {
    json!({"module_name": "User", "fields": [
        {"name": "name", "type": "string"},
        {"name": "email", "type": "string"},
        {"name": "age", "type": "integer"},
    ]})
}
