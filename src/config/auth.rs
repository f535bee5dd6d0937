//! Section `[auth]`.

use serde::{Deserialize, Serialize};

/// Who may connect over HTTP. Without tokens only loopback addresses are listened on, and every
/// caller is the principal `local`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Accepted bearer tokens.
    pub tokens: Vec<TokenConfig>,
}

/// A bearer token, kept as its hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// Principal that the token stands for.
    pub principal: String,
    /// SHA-256 of the token, in hex (`printf %s TOKEN | sha256sum`).
    pub sha256: String,
    /// Toolsets open to it; empty: those of the server.
    #[serde(default)]
    pub toolsets: Vec<String>,
}
