//! Atelier: one MCP server that gives any agent a workshop.
//!
//! The way of a call: `server` (stdio, HTTP) -> [`registry`] -> a capability's tool -> its service
//! -> port -> adapter. [`app`] is the only place that names adapters.

pub mod agent;
pub mod app;
pub mod browser;
pub mod cli;
pub mod config;
pub mod content_urls;
pub mod doctor;
pub mod documents;
pub mod egress;
pub mod elixir;
pub mod error;
pub mod factory;
pub mod fetch;
pub mod installation_key;
pub mod jobs;
pub mod libraries;
pub mod llm;
pub mod mcp_client;
pub mod page_runtime;
pub mod prompts;
pub mod python;
pub mod registry;
pub mod sandbox;
pub mod server;
pub mod storage;
pub mod telemetry;
