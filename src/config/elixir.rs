//! Section `[elixir]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The generators of Phoenix and Ecto code.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ElixirConfig {
    /// Folders that the projects may lie in. Without any: the working folder, when it is a mix
    /// project and neither `/` nor the home folder.
    pub allowed_roots: Vec<PathBuf>,
}
