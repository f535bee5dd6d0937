//! (in work)

use std::sync::Arc;

use crate::config::Config;
use crate::registry::Registry;
use crate::storage::Catalog;
use crate::storage::blobs::Blobs;

/// Configuration and every port.
pub struct App {
    /// The resolved configuration.
    pub config: Config,
    /// All tools.
    pub registry: Arc<Registry>,
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Bytes.
    pub blobs: Blobs,
    /// Figures.
    pub metrics: Arc<crate::server::Metrics>,
}
