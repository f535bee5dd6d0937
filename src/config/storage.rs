//! Section `[storage]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where state lives.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// The data folder (`--data-dir`, `ATELIER_DATA_DIR`); absent before resolution only.
    pub data_dir: PathBuf,
}
