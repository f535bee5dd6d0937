//! The doors: MCP over stdio and streamable HTTP, and the HTTP API beside it.
//!
//! Every door turns its request into a [`CallContext`](crate::registry::CallContext), hands it to
//! the registry and shows the outcome in its own protocol. Nothing about a call is decided here
//! but who calls and what the client can do; state that outlives a call is an id in arguments,
//! never a session.
//!
//! The flow over MCP: transport -> `mcp::Handler` -> `door::Door` -> registry; back through `outcome`.
//! Streamable HTTP passes `edge` (Host and Origin) and `auth` first.

mod api;
mod auth;
pub mod content;
mod door;
mod drain;
mod edge;
mod error;
#[cfg(feature = "conformance-fixtures")]
mod fixtures;
mod health;
mod hold;
mod http;
mod identity;
mod list_changes;
mod mcp;
mod metrics;
mod openapi;
mod outcome;
pub mod pages;
mod person;
pub mod ports;
mod principals;
mod progress;
mod prompts;
mod retry;
mod roots;
mod sessions;
mod stdio;
mod tasks;

pub use auth::{LOCAL_PRINCIPAL, bearer_check, check_listen_address};
pub use error::ServeError;
pub use http::{HttpServer, serve_http};
pub use mcp::show;
pub use metrics::Metrics;
pub use principals::Principals;
pub use stdio::{serve_io, serve_stdio};
