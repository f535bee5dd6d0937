//! `create_mcp_server`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::numbered;
use super::options::OptionsParams;
use crate::factory::cache::Reused;
use crate::factory::error::{FactoryError, Refusal};
use crate::factory::from_database::hide_password;
use crate::factory::ir::{Mode, Skipped};
use crate::factory::selftest::{Level, SelfTest};
use crate::factory::{CreateServer, Created, Factory};
use crate::jobs::{Failure, ToolOutput};
use crate::registry::{Annotations, Tool, Toolset, structured};

const DESCRIPTION: &str = "Makes a complete MCP server (Python) from an OpenAPI or Swagger document, from a database (SQLite file or PostgreSQL URL), from a description in words, or from tools that you have written (`tool_specs`), and proves it before it is listed: the server is started, listed and called, its own tests run, and `self_test` tells the result. Every operation of an API becomes a tool or stands in `skipped` with its reason, and so does every table and view of a database; above 40 operations three tools search, describe and call them. Give exactly one source. The package holds server, tests, Dockerfile, README, skill file, CI and logs. start_mcp_server runs it.";

/// Most tools and skipped parts that a result lists.
const LISTED: usize = 200;

/// Arguments of `create_mcp_server`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Params {
    /// What the server should do, in words; a model writes its tools.
    #[serde(default)]
    description: Option<String>,
    /// An OpenAPI 3.0 or 3.1 or Swagger 2.0 document: its URL, its absolute path below an allowed
    /// folder, or its text as JSON or YAML.
    #[serde(default)]
    openapi: Option<String>,
    /// A database: path of a SQLite file or a PostgreSQL URL, or `env:NAME`.
    #[serde(default)]
    database_url: Option<String>,
    /// Name of the server; from the source when left out. A name in use makes a new version.
    #[serde(default)]
    name: Option<String>,
    /// Model that writes tools. `auto` takes whatever is configured or at hand; `host` asks you.
    #[serde(default = "default_model")]
    model: String,
    /// Language of the package: `python`.
    #[serde(default = "default_language")]
    language: String,
    /// Only operations that one of these names: `tag:pets`, `method:GET`, `/pets/*`, `GET /pets/*`,
    /// `id:list*`.
    #[serde(default)]
    include: Option<Vec<String>>,
    /// No operation that one of these names.
    #[serde(default)]
    exclude: Option<Vec<String>>,
    /// How the API authenticates where its document says nothing: `{type: api_key | bearer |
    /// basic | oauth2, …}` or a preset `github`, `google`, `azure`. With `description` and
    /// `tool_specs` it needs `options.base_url`, and counts for that address alone.
    #[serde(default)]
    auth: Option<Value>,
    /// Tools that you have written, instead of a model: a list of `{name, description,
    /// input_schema, implementation, dependencies, environment, examples}`. `implementation` is
    /// Python with `async def run(args, ctx)`.
    #[serde(default)]
    tool_specs: Option<Vec<Value>>,
    /// Absolute path of a folder for a copy of the package, below an allowed folder.
    #[serde(default)]
    output_dir: Option<String>,
    /// Features of the server, and how it is made.
    #[serde(default)]
    options: OptionsParams,
}

fn default_model() -> String {
    "auto".to_owned()
}

fn default_language() -> String {
    "python".to_owned()
}

/// Result of `create_mcp_server`.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the result has names of its own")]
pub(crate) struct Output {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Name of the server, for further calls.
    server_name: String,
    /// Number of this version, from 1.
    version: i64,
    /// Folder of the package.
    path: String,
    /// Folder of the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_path: Option<String>,
    /// The tools; of very many the first.
    tools: Vec<ToolLine>,
    /// How many there are.
    tool_count: usize,
    /// `direct`, or `search` when they stand behind search_operations, describe_operation and
    /// call_operation.
    mode: &'static str,
    /// What became no tool, with its reason; of very many the first.
    skipped: Vec<SkippedLine>,
    /// How many there are.
    skipped_count: usize,
    /// What was proven.
    self_test: SelfTest,
    /// What the scan of its code found.
    scan: Scan,
    /// The block for an MCP client's configuration.
    #[schemars(with = "serde_json::Map<String, Value>")]
    client_config: Value,
    /// Variables that the server reads.
    environment: Vec<VariableLine>,
    /// Model that wrote the tools; null when none was called.
    #[schemars(with = "Value")]
    model_used: Option<String>,
    /// Given when the same package was made before: nothing was generated, scanned or tested again;
    /// the files are those of that execution, its log included.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_cache: Option<Reused>,
}

/// A tool.
#[derive(Debug, Serialize, JsonSchema)]
struct ToolLine {
    /// Name.
    name: String,
    /// What it does.
    description: String,
}

/// Something that became no tool.
#[derive(Debug, Serialize, JsonSchema)]
struct SkippedLine {
    /// What it is.
    operation: String,
    /// Why.
    reason: String,
}

/// What a scan found.
#[derive(Debug, Serialize, JsonSchema)]
struct Scan {
    /// Each with rule, severity, place and message.
    findings: Vec<Value>,
}

/// A variable of the server.
#[derive(Debug, Serialize, JsonSchema)]
struct VariableLine {
    /// Name.
    name: String,
    /// What it is for.
    description: String,
    /// Whether calls fail without it.
    required: bool,
}

/// The tool.
pub(crate) fn tool(factory: &Arc<Factory>) -> Tool {
    let factory = Arc::clone(factory);
    Tool::builder("create_mcp_server", "Create an MCP server", Toolset::Factory)
        .description(DESCRIPTION)
        .annotations(Annotations::CREATE)
        .closed_to_code()
        .job(move |run, params: Params| {
            let factory = Arc::clone(&factory);
            async move {
                let created = Box::pin(factory.create(&run, params.into_call()?)).await?;
                Ok(Output::new(created))
            }
        })
        .hides(hide_password)
}

impl Params {
    fn into_call(self) -> Result<CreateServer, Failure> {
        if self.language != "python" {
            return Err(FactoryError::new(
                Refusal::Arguments,
                format!(
                    "packages in `{}` are not made yet",
                    crate::factory::names::prose(&self.language, 40)
                ),
                "leave `language` out, or write `python`",
            )
            .into());
        }
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Ok(CreateServer {
            description: self.description,
            openapi: self.openapi,
            database_url: self.database_url,
            tool_specs: self.tool_specs.map(Value::Array),
            name: filled(self.name),
            model: self.model,
            auth: self.auth,
            include: self.include.unwrap_or_default(),
            exclude: self.exclude.unwrap_or_default(),
            output_dir: filled(self.output_dir),
            options: self.options.into(),
        })
    }
}

impl Output {
    fn new(created: Created) -> Self {
        let Created {
            server_name,
            version,
            path,
            output_path,
            tools,
            mode,
            skipped,
            self_test,
            findings,
            client_config,
            environment,
            model_used,
            reused,
        } = created;
        let proven = match self_test.level {
            Level::Tested => format!("{} checks passed", self_test.passed),
            Level::Started => "its server started; its own tests did not run".to_owned(),
            Level::Static => format!(
                "it was not run: {}",
                self_test.problems.first().map_or("no reason is known", String::as_str)
            ),
        };
        let again = reused.as_ref().map_or_else(String::new, |reused| {
            format!(
                " The same package was made and proven before, by the call {}.",
                reused.execution
            )
        });
        let what =
            if version == 1 { "made".to_owned() } else { format!("made as version {version}") };
        let message = format!(
            "`{server_name}` is {what}, with {} and {} skipped; {proven}.{again}",
            numbered(tools.len(), "tool"),
            numbered(skipped.len(), "part")
        );
        Self {
            status: if self_test.level == Level::Tested { "success" } else { "warning" },
            message,
            server_name,
            version,
            path,
            output_path,
            tool_count: tools.len(),
            tools: tools
                .into_iter()
                .take(LISTED)
                .map(|(name, description)| ToolLine { name, description })
                .collect(),
            mode: match mode {
                Mode::Direct => "direct",
                Mode::Search => "search",
            },
            skipped_count: skipped.len(),
            skipped: skipped
                .into_iter()
                .take(LISTED)
                .map(|Skipped { operation, reason, .. }| SkippedLine { operation, reason })
                .collect(),
            self_test,
            scan: Scan { findings },
            client_config,
            environment: environment
                .into_iter()
                .map(|(name, description, required)| VariableLine { name, description, required })
                .collect(),
            model_used,
            from_cache: reused,
        }
    }
}

impl From<Output> for ToolOutput {
    fn from(output: Output) -> Self {
        structured(&output)
    }
}
