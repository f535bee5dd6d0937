//! MCP servers from an idea, an `OpenAPI` document or a database.
//!
//! A source makes the representation ([`ir`]), which is rendered as a package: a constant runtime
//! beside `operations.json`, tests with their cases, and what a reader needs. A package is scanned
//! and tested before it is published by one rename.

pub mod auth;
mod author;
pub mod cache;
pub mod cases;
mod control;
mod credentials;
mod draft;
pub mod error;
pub mod examples;
mod execution_log;
mod from_database;
pub mod host;
pub mod inspect;
pub mod ir;
pub mod load;
pub mod names;
pub mod plugins;
mod publish;
pub mod render;
pub mod scan;
pub mod selftest;
pub mod serialise;
mod service;
pub mod source;
pub mod tools;
mod web_search;
mod write;

pub use control::Listed;
pub use service::{CreateServer, Created, Factory, FactoryParts, Options, WebSearching};
