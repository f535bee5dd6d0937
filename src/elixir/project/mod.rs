//! What a project is: its names, places, conventions, schemas and tables.
//!
//! Elixir is never run. Everything is read from the sources by their syntax; what a file computes is
//! left aside and, where it matters, named in the result.

mod config;
mod locate;
pub(crate) mod migrations;
pub(crate) mod modules;
mod read;
mod scopes;
pub(crate) mod table;

use std::collections::BTreeMap;

pub(crate) use read::{Wanted, read};
pub(crate) use scopes::Scope;

use migrations::{Defaults, Migrations};
use modules::Schema;

/// Databases that Ecto speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adapter {
    Postgres,
    MySql,
    Sqlite,
    /// Another one, of which nothing is assumed.
    Other,
}

/// The repo that a resource belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    pub(crate) module: String,
    /// Folder of its migrations, relative to the root.
    pub(crate) migrations: String,
    pub(crate) defaults: Defaults,
    /// `migration_foreign_key: [type: …]`.
    pub(crate) foreign_key: Option<String>,
    /// Module that migrations use.
    pub(crate) migration_module: String,
}

/// What `config :app, :generators` asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Generators {
    pub(crate) timestamp_type: Option<String>,
    pub(crate) binary_id: bool,
    pub(crate) api_prefix: Option<String>,
}

/// The web side of a project.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    /// `MyAppWeb`
    pub(crate) module: String,
    /// `lib/my_app_web`, relative to the root.
    pub(crate) folder: String,
    /// `test/my_app_web`
    pub(crate) test_folder: String,
    /// `test/support` of the app that holds the web side.
    pub(crate) router: String,
}

/// A version of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32);

/// A function that makes a row for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fixture {
    /// `user_fixture`
    pub(crate) name: String,
    /// `MyApp.AccountsFixtures`
    pub(crate) module: String,
    pub(crate) takes: Takes,
}

/// What a fixture's first argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Attributes,
    Scope,
}

/// A project, or the app of an umbrella that a resource goes to.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// `my_app`
    pub(crate) app: String,
    /// `MyApp`
    pub(crate) base: String,
    /// `""`, or `apps/my_app/`.
    pub(crate) folder: String,
    pub(crate) repo: Repo,
    pub(crate) adapter: Adapter,
    pub(crate) phoenix: Option<Version>,
    pub(crate) ecto: Option<Version>,
    pub(crate) elixir: Option<Version>,
    pub(crate) web: Option<Web>,
    pub(crate) generators: Generators,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) line_length: usize,
    pub(crate) schemas: Vec<Schema>,
    /// Path of the file by module.
    pub(crate) modules: BTreeMap<String, String>,
    pub(crate) migrations: Migrations,
    /// Functions of test fixtures.
    pub(crate) fixtures: Vec<Fixture>,
    /// What could not be read.
    pub(crate) notes: Vec<String>,
}

impl Project {
    /// The schema of a module.
    pub(crate) fn schema(&self, module: &str) -> Option<&Schema> {
        self.schemas.iter().find(|schema| schema.module == module)
    }

    /// `lib/my_app/`, relative to the root.
    pub(crate) fn lib(&self) -> String {
        format!("{}lib/{}/", self.folder, self.app)
    }

    /// `test/my_app/`, relative to the root.
    pub(crate) fn test(&self) -> String {
        format!("{}test/{}/", self.folder, self.app)
    }

    /// Whether the project keeps its schemas only in `lib/<app>/schemas`.
    pub(crate) fn keeps_schemas_apart(&self) -> bool {
        let apart = format!("{}schemas/", self.lib());
        !self.schemas.is_empty()
            && self.schemas.iter().all(|schema| schema.path.starts_with(&apart))
    }
}
