//! Integration tests: one binary.
//!
//! `cfg(test)` on the modules tells clippy that all of it is test code, helpers included.
#![expect(clippy::disallowed_methods, reason = "tests start programs and look at files themselves")]

#[cfg(test)]
mod agent;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod caller;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod chat;
#[cfg(test)]
mod error_codes;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod ledger;
mod llm;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod support;
#[cfg(test)]
#[path = "../fixtures/tool_search/set.rs"]
mod tool_set;
