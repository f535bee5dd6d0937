//! Tools of other servers: the port to them, and the way of a call.
//!
//! They stand beside the program's own tools under the names `server__tool`. A call takes the same
//! way: rights on that name, references, the schema, the record of the result. What differs is
//! that a server may have to be started before its tools are known, and that nobody can say
//! whether a call that was cut off took effect, so none is ever repeated by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use jsonschema::Validator;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::context::CallerPerson;
use super::validation;
use crate::error::ToolError;
use crate::jobs::{ProgressSink, ToolOutput};
use crate::storage::PrincipalId;

/// Divides a server's name from its tool's.
pub const SERVER_DIVIDER: &str = "__";

/// Hints as a server states them; absent where it says nothing. They are claims.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hints {
    /// It changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    /// It may destroy what was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// The same call twice changes nothing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// It reaches things outside its server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

impl Hints {
    /// Whether the server says that the tool changes nothing.
    pub fn is_read_only(&self) -> bool {
        self.read_only_hint == Some(true)
    }

    /// Whether the server says that the tool may destroy something.
    pub fn is_destructive(&self) -> bool {
        self.destructive_hint == Some(true) && !self.is_read_only()
    }
}

/// A tool of another server.
#[derive(Debug)]
pub struct ForeignTool {
    /// Its name here: `server__tool`, or an alias when that is too long or odd.
    pub name: String,
    /// The server's name.
    pub server: String,
    /// Whose server it is; `None`: everybody's.
    pub owner: Option<PrincipalId>,
    /// Its name there.
    pub inner_name: String,
    /// Title for people.
    pub title: Option<String>,
    /// What it does, in the server's words.
    pub description: String,
    /// JSON Schema of its arguments, as the server gave it.
    pub input_schema: Value,
    /// JSON Schema of its structured result, as the server gave it.
    pub output_schema: Option<Value>,
    /// What the server says about it.
    pub hints: Hints,
    /// The compiled schemas; `None` inside: the server's schema is none, so nothing is checked.
    pub validators: Validators,
}

/// Compiled schemas of a foreign tool, made at its first call.
#[derive(Default)]
pub struct Validators {
    input: OnceLock<Option<Validator>>,
    output: OnceLock<Option<Validator>>,
}

impl std::fmt::Debug for Validators {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Validators").finish_non_exhaustive()
    }
}

impl ForeignTool {
    /// Whether a principal may know of it.
    pub fn is_seen_by(&self, principal: Option<&PrincipalId>) -> bool {
        self.owner.as_ref().is_none_or(|owner| Some(owner) == principal)
    }

    /// Checks arguments against the server's schema. Arguments that fit are left alone; of others
    /// the lenient forms (numbers as text and the like) are tried.
    ///
    /// # Errors
    /// `invalid_arguments`, naming each fault with its place.
    pub(super) fn check_arguments(&self, arguments: &mut Value) -> Result<(), ToolError> {
        let compile = || validation::compile_foreign(&self.input_schema);
        let Some(validator) = self.validators.input.get_or_init(compile) else { return Ok(()) };
        if validator.is_valid(arguments) {
            return Ok(());
        }
        let mut lenient = arguments.clone();
        validation::normalise(&mut lenient, &self.input_schema);
        validation::check(&self.name, validator, &lenient)?;
        *arguments = lenient;
        Ok(())
    }

    /// What is wrong with a structured result by the server's own schema.
    pub fn result_faults(&self, result: Option<&Value>) -> Vec<String> {
        let Some(schema) = &self.output_schema else { return Vec::new() };
        let Some(result) = result else {
            return vec!["there is no structured result, which its schema promises".to_owned()];
        };
        let compile = || validation::compile_foreign(schema);
        match self.validators.output.get_or_init(compile) {
            Some(validator) => validation::faults(validator, result),
            None => Vec::new(),
        }
    }
}

/// The foreign tools that are known at a moment, by name.
#[derive(Debug, Default)]
pub struct ForeignList {
    /// The tools.
    pub tools: BTreeMap<String, Arc<ForeignTool>>,
    /// Names of those that stand in the tool list themselves.
    pub exposed: BTreeSet<String>,
}

/// A server whose tools could not be learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnlistedServer {
    /// Its name.
    pub name: String,
    /// Why, and what to do.
    pub problem: String,
}

/// One call of a foreign tool.
#[derive(Debug)]
pub struct ForeignCall {
    /// The tool.
    pub tool: Arc<ForeignTool>,
    /// Its arguments, an object.
    pub arguments: Value,
    /// Where progress goes.
    pub progress: ProgressSink,
    /// Whom its server may ask, where the call comes from somebody.
    pub person: Option<Arc<dyn CallerPerson>>,
}

/// The other servers: those that everybody has, and those of one principal beside them.
#[async_trait]
pub trait ForeignTools: Send + Sync + 'static {
    /// The tools that a principal may know of and that are known at this moment; `None`: those that
    /// everybody has. Starts nothing. The same `Arc` as long as nothing changes.
    fn known(&self, principal: Option<&PrincipalId>) -> Arc<ForeignList>;

    /// Fires after the lists of [`Self::known`] became others; `None` where they never do.
    fn changes(&self) -> Option<watch::Receiver<()>> {
        None
    }

    /// Learns the tools of all servers, starting those that were never listed, and returns after
    /// a bounded time. Says which could not be learned.
    async fn learn(&self, principal: Option<&PrincipalId>) -> Vec<UnlistedServer>;

    /// A tool by its name, after starting its server when its tools are not known yet. `None`: no
    /// server that the principal may know of has it.
    ///
    /// # Errors
    /// When its server cannot be started.
    async fn find(
        &self,
        name: &str,
        principal: Option<&PrincipalId>,
    ) -> Result<Option<Arc<ForeignTool>>, ToolError>;

    /// Calls a tool. When the future is dropped, the server is told that the call is off.
    ///
    /// # Errors
    /// Whatever went wrong, in the words of the caller's error.
    async fn call(&self, call: ForeignCall) -> Result<ToolOutput, ToolError>;
}

/// No other servers.
#[derive(Debug, Default)]
pub struct NoForeignTools {
    none: Arc<ForeignList>,
}

#[async_trait]
impl ForeignTools for NoForeignTools {
    fn known(&self, _principal: Option<&PrincipalId>) -> Arc<ForeignList> {
        Arc::clone(&self.none)
    }

    async fn learn(&self, _principal: Option<&PrincipalId>) -> Vec<UnlistedServer> {
        Vec::new()
    }

    async fn find(
        &self,
        _name: &str,
        _principal: Option<&PrincipalId>,
    ) -> Result<Option<Arc<ForeignTool>>, ToolError> {
        Ok(None)
    }

    async fn call(&self, call: ForeignCall) -> Result<ToolOutput, ToolError> {
        Err(ToolError::not_found("unknown_tool", format!("there is no tool `{}`", call.tool.name)))
    }
}
