//! MCP servers from an idea, an `OpenAPI` document or a database.
//!
//! A source makes the representation ([`ir`]), which is rendered as a package: a constant runtime
//! beside `operations.json`, tests with their cases, and what a reader needs. A package is scanned
//! and tested before it is published by one rename.

pub mod error;
pub mod ir;
pub mod scan;
pub mod source;
