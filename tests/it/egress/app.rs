//! The program on the real sandbox.

use std::sync::Arc;

use atelier::app::{App, LinkLife, Ports};
use atelier::browser::Chrome;
use atelier::config::Config;
use atelier::fetch::Fetcher;
use atelier::llm::resolve::{Models, system_calendar};
use atelier::sandbox::local::{LocalSandbox, LocalSettings};
use atelier::storage::blobs::Blobs;
use atelier::storage::sqlite::SqliteCatalog;

/// The program with the real sandbox, whose helper is the real binary.
pub(crate) async fn open(config: Config, sandbox: LocalSettings) -> Arc<App> {
    let ports = Ports {
        catalog: Arc::new(SqliteCatalog::in_memory().await.unwrap()),
        blobs: Blobs::in_memory(),
        models: Arc::new(Models::new(&config.llm, system_calendar()).unwrap()),
        fetcher: Fetcher::new(),
        renderer: Arc::new(Chrome::new(&config.browser, Vec::new())),
        sandbox: Arc::new(LocalSandbox::new(sandbox)),
        further_tools: Vec::new(),
    };
    App::with_ports(config, ports, LinkLife::WhileRunning).await.unwrap()
}
