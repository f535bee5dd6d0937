//! Section `[browser]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Chrome.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrowserConfig {
    /// Path of Chrome or Chromium; absent: the usual places.
    pub chrome: Option<PathBuf>,
}
