//! Integration tests: one binary.
//!
//! `cfg(test)` on the modules tells clippy that all of it is test code, helpers included.
#![expect(clippy::disallowed_methods, reason = "tests start programs and look at files themselves")]

// TMP mod agent;
#[cfg(test)]
mod architecture;
// TMP mod cli;
// TMP mod config;
#[cfg(test)]
mod content;
// TMP mod documents;
// TMP mod error_codes;
// TMP mod jobs;
// TMP mod llm;
// TMP mod patch;
// TMP mod product;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod support;
// TMP mod tool_schemas;
// TMP mod transport;
