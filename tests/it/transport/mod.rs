//! The doors: MCP over stdio and streamable HTTP in both eras, the HTTP API, and their faults.

mod api;
pub(crate) mod bench;
mod clients;
#[cfg(feature = "conformance-fixtures")]
mod conformance;
mod http;
mod http_auth;
pub(crate) mod http_client;
mod process;
mod stdio;
mod stdio_client;
mod stdio_faults;
mod tasks;
