//! What every source makes and every output language is written from.
//!
//! Nothing here belongs to Python: an output language is a small constant runtime that reads this
//! representation as `operations.json` and is judged by the same cases. Texts of specifications,
//! databases and users stay data in it; they never become code.

mod http;
mod sql;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use http::*;
pub use sql::*;

/// Version of the format; runtimes refuse another one.
pub const FORMAT: u32 = 1;

/// A server, complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the server: `[a-z0-9_-]`, at most 40 characters.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// Version of what it was made from.
    pub version: String,
    /// What it was made from.
    pub source: SourceKind,
    /// How its tools are offered.
    pub mode: Mode,
    /// Its tools, in the order of `tools/list`.
    pub tools: Vec<Tool>,
    /// Schemas that tools point to as `#/$defs/<name>`.
    pub defs: Map<String, Value>,
    /// Ways to authenticate, by name.
    pub schemes: BTreeMap<String, Scheme>,
    /// Where the API is; the first one counts.
    pub servers: Vec<ServerUrl>,
    /// Hosts that the server talks to, for the sandbox's gate.
    pub hosts: Vec<String>,
    /// Environment variables that it reads.
    pub environment: Vec<Variable>,
    /// Features around every call.
    pub features: Features,
    /// The database, where the tools are [`Kind::Sql`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub database: Option<Database>,
    /// What operations answer, by the name of their tool: a file of its own, read on demand.
    #[serde(skip)]
    pub responses: Map<String, Value>,
    /// Schemas that `responses` points to.
    #[serde(skip)]
    pub response_defs: Map<String, Value>,
    /// What became no tool, each with its reason.
    #[serde(skip)]
    pub skipped: Vec<Skipped>,
    /// What was changed or left aside and does not cost a tool.
    #[serde(skip)]
    pub notes: Vec<Note>,
}

/// What a package is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// Words.
    Description,
    /// An `OpenAPI` document.
    Openapi,
    /// A database.
    Database,
}

impl SourceKind {
    /// Its name in results and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Description => "description",
            Self::Openapi => "openapi",
            Self::Database => "database",
        }
    }
}

/// How the tools are offered to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each as a tool of its own.
    Direct,
    /// Behind `search_operations`, `describe_operation` and `call_operation`.
    Search,
}

/// One tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// `[a-zA-Z0-9_-]`, at most 56 characters, unique without regard to case.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// What it does.
    pub description: String,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
    /// Hints for clients.
    pub annotations: Annotations,
    /// Schema of the arguments: an object; may point to `#/$defs/<name>` of the package.
    pub input_schema: Value,
    /// The schema as it is listed, where the full one is too large for a list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listed_schema: Option<Value>,
    /// The description as it is listed, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listed_description: Option<String>,
    /// What it does when it is called.
    pub kind: Kind,
}

/// Hints of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotations {
    /// Changes nothing.
    pub read_only: bool,
    /// May destroy something.
    pub destructive: bool,
    /// The same call twice changes nothing more.
    pub idempotent: bool,
    /// Reaches things outside the machine.
    pub open_world: bool,
}

/// What a call does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Kind {
    /// A request to an API.
    Http(Box<Http>),
    /// A statement in a database.
    Sql(Box<Sql>),
    /// A function of the package.
    Function(Function),
}

/// A function that a model wrote. Its text is a file of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Name of the file below `tools/`, without ending.
    pub module: String,
    /// Packages that it imports, from the list of allowed ones.
    pub dependencies: Vec<String>,
    /// Environment variables that it reads.
    pub environment: Vec<String>,
}

/// An environment variable of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it must never be shown.
    pub secret: bool,
    /// Whether calls fail without it.
    pub required: bool,
}

/// Features around every call, with the names of the options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// One JSON line per call on standard error.
    pub enable_logging: bool,
    /// Counters in the text format of Prometheus.
    pub enable_metrics: bool,
    /// A limit on calls.
    pub enable_rate_limiting: bool,
    /// Calls of one window.
    pub rate_limit_requests: u32,
    /// Length of the window.
    pub rate_limit_window_seconds: u32,
    /// Retries of what is safe to repeat.
    pub enable_retries: bool,
    /// Most of them.
    pub max_retries: u32,
    /// First pause.
    pub retry_delay_seconds: f64,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            enable_logging: true,
            enable_metrics: false,
            enable_rate_limiting: false,
            rate_limit_requests: 100,
            rate_limit_window_seconds: 60,
            enable_retries: true,
            max_retries: 3,
            retry_delay_seconds: 1.0,
        }
    }
}

/// Something of the source that became no tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Where it stands in the source.
    pub pointer: String,
    /// What it is: `GET /pets`, `table fts_data`.
    pub operation: String,
    /// Why.
    pub reason: String,
}

/// Something that a reader of the package should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Where.
    pub pointer: String,
    /// What.
    pub message: String,
}

/// What a source hands over.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced {
    /// The server.
    pub package: Package,
    /// What proves it.
    pub cases: Vec<Case>,
    /// Files that only this source has, such as the bodies of functions or a schema for tests.
    pub files: Vec<PackageFile>,
    /// How tools that work on a database server were tried.
    pub trial: Option<Trial>,
}

/// How the tools of a database server are tried without changing anything in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Trial {
    /// The way that was taken, in words.
    pub way: String,
    /// What could not be checked, and why.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unchecked: Vec<String>,
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFile {
    /// Path in the package, with `/`.
    pub path: String,
    /// Content.
    pub text: String,
}

/// A call and what must come of it. The package's own tests and the self-test run the same cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Name, unique in the package.
    pub name: String,
    /// Tool that is called.
    pub tool: String,
    /// With these arguments.
    pub arguments: Value,
    /// What must come of it.
    pub expect: Expectation,
    /// What of a database server it needs, and so runs only where the package's variable names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub needs: Option<Needs>,
}

/// What a case needs of a database server. Whatever it does, nothing there is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// The tables themselves, in a session that cannot write.
    Rows,
    /// The tables themselves, of which the server only plans a statement that would write.
    Plan,
    /// An empty copy of the tables, which exists in a transaction that nobody commits.
    Copy,
}

/// What must come of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Expectation {
    /// Exactly this request reaches the API.
    Request(ExpectedRequest),
    /// The structured result holds all of this; further keys are free.
    Result {
        /// What it holds.
        holds: Value,
    },
    /// The tool answers with an error whose text holds this.
    Error {
        /// What the text holds.
        holds: String,
    },
}
