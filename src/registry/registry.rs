//! The registry: all tools, and the one way to call them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonschema::Validator;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::context::{CallContext, Origin, Rights};
use super::foreign::{ForeignTool, ForeignTools};
use super::foreign_call::{Handoffs, may_be_foreign};
use super::rights::allows;
use super::search::{SearchCache, SearchIndex};
use super::tool::{Tool, Toolset};
use super::validation;
use crate::config::limits::LimitsConfig;
use crate::config::server::ServerConfig;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::JobRunner;
use crate::storage::blobs::Blobs;
use crate::storage::{Catalog, PrincipalId};

/// Is told of every call: metrics.
pub trait CallObserver: Send + Sync + 'static {
    /// A call of a tool began.
    fn started(&self, tool: &str);
    /// It was answered; `outcome` is `success`, `running`, `needs_completion` or an error's code.
    fn finished(&self, tool: &str, outcome: &str, duration: Duration);
}

/// What a registry works with.
pub struct RegistryParts {
    /// All tools.
    pub tools: Vec<Tool>,
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Bytes.
    pub blobs: Blobs,
    /// Runs jobs.
    pub runner: Arc<JobRunner>,
    /// Budgets and sizes.
    pub limits: LimitsConfig,
    /// Which tools are offered.
    pub server: ServerConfig,
    /// The tools of other servers.
    pub foreign: Arc<dyn ForeignTools>,
}

/// All tools of this process and the way to call them.
pub struct Registry {
    tools: BTreeMap<&'static str, Registered>,
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) blobs: Blobs,
    pub(super) runner: Arc<JobRunner>,
    pub(super) limits: LimitsConfig,
    pub(super) server: ServerConfig,
    pub(super) foreign: Arc<dyn ForeignTools>,
    pub(super) handoffs: Handoffs,
    search: SearchCache,
    permits: Mutex<HashMap<PrincipalId, Arc<Semaphore>>>,
    pub(super) observer: Option<Arc<dyn CallObserver>>,
}

/// A tool with its compiled schema.
pub(super) struct Registered {
    pub(super) tool: Tool,
    pub(super) validator: Validator,
}

impl Registry {
    /// Builds the registry and makes it the runner's executor.
    ///
    /// # Errors
    /// When a tool's schema is no schema, or two tools have one name: defects of the program; or
    /// when the configuration names a tool or toolset that does not exist.
    pub fn new(
        parts: RegistryParts,
        observer: Option<Arc<dyn CallObserver>>,
    ) -> Result<Arc<Self>, ToolError> {
        let mut tools = BTreeMap::new();
        for tool in parts.tools {
            let validator = validation::compile(tool.name, &tool.input_schema)?;
            let name = tool.name;
            if tools.insert(name, Registered { tool, validator }).is_some() {
                return Err(ToolError::internal(&format!("two tools are named `{name}`")));
            }
        }
        let registry = Arc::new(Self {
            tools,
            catalog: parts.catalog,
            blobs: parts.blobs,
            runner: parts.runner,
            limits: parts.limits,
            server: parts.server,
            foreign: parts.foreign,
            handoffs: Handoffs::default(),
            search: SearchCache::default(),
            permits: Mutex::new(HashMap::new()),
            observer,
        });
        registry.check_configured_names()?;
        let executor: Arc<dyn crate::jobs::JobExecutor> = registry.clone();
        registry.runner.set_executor(Arc::downgrade(&executor));
        Ok(registry)
    }

    /// The tools that these rights may use, ordered by name.
    pub fn tools<'a>(&'a self, rights: &'a Rights) -> impl Iterator<Item = &'a Tool> {
        self.tools
            .values()
            .map(|registered| &registered.tool)
            .filter(move |tool| !tool.internal && self.offers(tool) && allows(rights, tool))
    }

    /// An offered tool by its name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.registered(name).map(|registered| &registered.tool).filter(|tool| !tool.internal)
    }

    /// Fires after the tools of other servers became others; `None` where they never do.
    pub fn catalog_changes(&self) -> Option<tokio::sync::watch::Receiver<()>> {
        self.foreign.changes()
    }

    /// The tools of other servers that stand in the tool list themselves, as far as these rights
    /// cover them, ordered by name.
    pub fn exposed_tools(&self, rights: &Rights) -> Vec<Arc<ForeignTool>> {
        let exposed = &self.foreign.known(rights.principal.as_ref()).exposed;
        let tools = self.known_foreign(rights, Origin::Client);
        tools.filter(|tool| exposed.contains(&tool.name)).collect()
    }

    /// The tools of other servers that are known and that may be called from there.
    pub(super) fn known_foreign(
        &self,
        rights: &Rights,
        origin: Origin,
    ) -> impl Iterator<Item = Arc<ForeignTool>> {
        let known = self.foreign.known(rights.principal.as_ref());
        let tools: Vec<_> = known
            .tools
            .values()
            .filter(|tool| self.offers_foreign(tool))
            .filter(|tool| self.check_foreign(tool, rights, origin).is_ok())
            .cloned()
            .collect();
        tools.into_iter()
    }

    /// The index over all tools that these rights may know of, made anew when the foreign ones have
    /// changed.
    pub(super) async fn search_index(&self, rights: &Rights) -> Arc<SearchIndex> {
        let own = self.tools.values().map(|registered| &registered.tool);
        self.search.index(own, &self.foreign.known(rights.principal.as_ref())).await
    }

    pub(super) fn registered(&self, name: &str) -> Option<&Registered> {
        self.tools.get(name).filter(|registered| self.offers(&registered.tool))
    }

    /// Whether the configuration offers a tool.
    fn offers(&self, tool: &Tool) -> bool {
        let server = &self.server;
        let named = |list: &[String], name: &str| list.iter().any(|entry| entry == name);
        if tool.internal {
            return true;
        }
        if named(&server.exclude_tools, tool.name) {
            return false;
        }
        // Without these no other tool can be finished.
        if tool.toolset == Toolset::Jobs {
            return true;
        }
        if server.read_only && !tool.annotations.read_only {
            return false;
        }
        let narrowed = !server.toolsets.is_empty() || !server.tools.is_empty();
        !narrowed
            || named(&server.toolsets, tool.toolset.as_str())
            || named(&server.tools, tool.name)
    }

    /// A place for a job of this call. Code that waits for its calls holds one already: were theirs
    /// counted too, runs that hold all places would wait for each other for ever. Their grant bounds
    /// them.
    pub(super) fn place_of(
        &self,
        context: &CallContext,
    ) -> Result<Option<OwnedSemaphorePermit>, ToolError> {
        let is_inner = context.origin == Origin::Code && context.depth > 0;
        if is_inner { Ok(None) } else { self.permit(&context.principal).map(Some) }
    }

    /// One of the principal's places for calls in flight.
    pub(super) fn permit(
        &self,
        principal: &PrincipalId,
    ) -> Result<OwnedSemaphorePermit, ToolError> {
        let permit = {
            let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
            // Principals that have nothing in flight need no entry.
            let places = self.limits.concurrent_calls.max(1);
            permits.retain(|_, semaphore| semaphore.available_permits() < places);
            let semaphore = permits
                .entry(principal.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(places)));
            Arc::clone(semaphore).try_acquire_owned()
        };
        permit.map_err(|_| {
            let mut error = ToolError::new(
                ErrorKind::Limit,
                "busy",
                format!("{} calls of yours are in flight already", self.limits.concurrent_calls),
            )
            .hint("wait for one to end, then repeat this call");
            error.retry_after_s = Some(1.0);
            error
        })
    }

    /// Why there is no such tool, with the names nearest to it.
    pub(super) fn unknown_tool(&self, name: &str, rights: &Rights) -> ToolError {
        let near = self.nearest_tools(name, rights);
        let hint = if near.is_empty() {
            "list the tools to see what there is".to_owned()
        } else {
            format!("did you mean `{}`?", near.join("`, `"))
        };
        let shown: String = name.chars().take(64).collect();
        ToolError::not_found("unknown_tool", format!("there is no tool `{shown}`")).hint(hint)
    }

    /// The names of tools closest to a wrong one.
    fn nearest_tools(&self, name: &str, rights: &Rights) -> Vec<String> {
        let shown: String = name.chars().take(64).collect();
        let own = self.tools.values().map(|registered| &registered.tool);
        let own = own.filter(|tool| !tool.internal && self.offers(tool)).map(|tool| tool.name);
        let known = self.foreign.known(rights.principal.as_ref());
        // A name without a server's is hardly meant for another server's tool.
        let foreign = known.tools.values().filter(|_| may_be_foreign(name));
        let foreign = foreign.filter(|tool| self.offers_foreign(tool)).map(|tool| &*tool.name);
        let mut near: Vec<(f64, &str)> = own
            .chain(foreign)
            .map(|known| (strsim::normalized_damerau_levenshtein(&shown, known), known))
            .filter(|(likeness, _)| *likeness >= 0.5)
            .collect();
        near.sort_by(|left, right| right.0.total_cmp(&left.0));
        near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
    }

    fn check_configured_names(&self) -> Result<(), ToolError> {
        let server = &self.server;
        let unknown = |list: &[String], known: &dyn Fn(&str) -> bool| {
            list.iter().find(|entry| !known(entry)).cloned()
        };
        let is_toolset = |name: &str| Toolset::ALL.iter().any(|set| set.as_str() == name);
        // Whether another server has a tool is not known before it was started.
        let is_tool = |name: &str| self.tools.contains_key(name) || may_be_foreign(name);
        let bad = unknown(&server.toolsets, &is_toolset)
            .map(|name| ("server.toolsets", name))
            .or_else(|| unknown(&server.tools, &is_tool).map(|name| ("server.tools", name)))
            .or_else(|| {
                unknown(&server.exclude_tools, &is_tool).map(|name| ("server.exclude_tools", name))
            })
            .or_else(|| {
                unknown(&server.open_to_pages, &is_tool).map(|name| ("server.open_to_pages", name))
            })
            .or_else(|| {
                unknown(&server.open_to_code, &is_tool).map(|name| ("server.open_to_code", name))
            });
        match bad {
            None => Ok(()),
            Some((key, name)) => Err(ToolError::invalid(
                "unknown_tool",
                format!("`{key}` names `{name}`, which does not exist"),
            )
            .hint("`atelier tools` lists tools and toolsets")),
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.tools.keys()).finish()
    }
}
