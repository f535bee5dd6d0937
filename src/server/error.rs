//! Why a door could not be opened or kept open.

use std::net::SocketAddr;

/// Why a door could not be opened or kept open.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Everybody who reaches the address could use the server.
    #[error(
        "`{0}` can be reached from other machines, and no token is configured\n\
         hint: listen on 127.0.0.1, or add `[[auth.tokens]]` with a `principal` and the `sha256` of a token"
    )]
    OpenToOthers(SocketAddr),
    /// The configuration of tokens or hosts cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// The store failed while the door was opened.
    #[error("the store: {0}")]
    Storage(#[from] crate::storage::StorageError),
    /// The listener or a stream failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The MCP connection could not be served.
    #[error("the MCP connection: {0}")]
    Protocol(String),
}
