//! A registry over a catalog in memory, with the tools that a test brings.

use std::sync::Arc;
use std::time::Duration;

use atelier::config::limits::LimitsConfig;
use atelier::config::server::ServerConfig;
use atelier::jobs::{JobRunner, RunnerParts};
use atelier::llm::resolve::Models;
use atelier::registry::{ForeignTools, NoForeignTools, Registry, RegistryParts, Tool};
use atelier::storage::Catalog;
use atelier::storage::blobs::Blobs;
use atelier::storage::sqlite::SqliteCatalog;

/// What a test works with.
pub(crate) struct Workshop {
    /// Calls tools.
    pub(crate) registry: Arc<Registry>,
    /// Runs jobs; its background work starts only when the test says so.
    pub(crate) runner: Arc<JobRunner>,
    /// Rows.
    pub(crate) catalog: Arc<dyn Catalog>,
    /// Bytes.
    pub(crate) blobs: Blobs,
}

/// Collects what a workshop is made from.
pub(crate) struct WorkshopBuilder {
    tools: Vec<Tool>,
    limits: LimitsConfig,
    server: ServerConfig,
    models: Arc<Models>,
    stores: Option<(Arc<dyn Catalog>, Blobs)>,
    foreign: Arc<dyn ForeignTools>,
}

impl WorkshopBuilder {
    /// A workshop with these tools and those over jobs.
    pub(crate) fn new(tools: Vec<Tool>) -> Self {
        Self {
            tools,
            limits: LimitsConfig::default(),
            server: ServerConfig::default(),
            models: Arc::new(Models::default()),
            stores: None,
            foreign: Arc::new(NoForeignTools::default()),
        }
    }

    /// Changes limits.
    pub(crate) fn limits(mut self, change: impl FnOnce(&mut LimitsConfig)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Changes what is offered and opened.
    pub(crate) fn server(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.server);
        self
    }

    /// Models that may answer.
    pub(crate) fn models(mut self, models: Arc<Models>) -> Self {
        self.models = models;
        self
    }

    /// Other servers.
    pub(crate) fn foreign(mut self, foreign: impl ForeignTools) -> Self {
        self.foreign = Arc::new(foreign);
        self
    }

    /// On stores that are there already.
    pub(crate) fn on(mut self, catalog: Arc<dyn Catalog>, blobs: Blobs) -> Self {
        self.stores = Some((catalog, blobs));
        self
    }

    /// A second process on the same stores.
    pub(crate) fn beside(mut self, other: &Workshop) -> Self {
        self.stores = Some((Arc::clone(&other.catalog), other.blobs.clone()));
        self
    }

    /// Builds it.
    pub(crate) async fn build(self) -> Workshop {
        let (catalog, blobs) = if let Some(stores) = self.stores {
            stores
        } else {
            let catalog = SqliteCatalog::in_memory().await.unwrap();
            (Arc::new(catalog) as Arc<dyn Catalog>, Blobs::in_memory())
        };
        let runner = JobRunner::new(RunnerParts {
            catalog: Arc::clone(&catalog),
            blobs: blobs.clone(),
            models: self.models,
            limits: self.limits.clone(),
        });
        let mut tools = self.tools;
        tools.extend(atelier::jobs::tools::tools(&runner));
        let parts = RegistryParts {
            tools,
            catalog: Arc::clone(&catalog),
            blobs: blobs.clone(),
            runner: Arc::clone(&runner),
            limits: self.limits,
            server: self.server,
            foreign: self.foreign,
        };
        let registry = Registry::new(parts, None).unwrap();
        Workshop { registry, runner, catalog, blobs }
    }
}

impl Workshop {
    /// Waits for a condition; a test's own time limit ends it when it never holds.
    pub(crate) async fn until(&self, condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .expect("the condition never held");
    }
}
