//! The doors: MCP over stdio and streamable HTTP in both eras, the HTTP API, and their faults.

mod api;
mod bench;
mod clients;
#[cfg(feature = "conformance-fixtures")]
mod conformance;
mod http;
mod http_auth;
mod http_client;
mod process;
mod stdio;
mod stdio_client;
mod stdio_faults;
mod tasks;
