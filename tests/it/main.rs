//! Integration tests: one binary.
//!
//! `cfg(test)` on the modules tells clippy that all of it is test code, helpers included.
#![expect(clippy::disallowed_methods, reason = "tests start programs and look at files themselves")]

#[cfg(test)]
mod agent;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod caller;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod chat;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod config;
#[cfg(test)]
mod content;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod elixir;
#[cfg(test)]
mod error_codes;
#[cfg(test)]
mod factory_audit;
#[cfg(test)]
mod factory_corpus;
#[cfg(test)]
mod factory_hostile;
#[cfg(test)]
mod factory_models;
#[cfg(test)]
mod factory_parts;
#[cfg(test)]
mod factory_product;
#[cfg(test)]
mod factory_requests;
#[cfg(test)]
mod factory_settings;
#[cfg(test)]
mod factory_sign_in;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod llm;
#[cfg(test)]
mod made;
#[cfg(test)]
mod patch;
#[cfg(test)]
mod product;
#[cfg(test)]
mod product_pdf;
#[cfg(test)]
mod python;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tool_schemas;
#[cfg(test)]
#[path = "../fixtures/tool_search/set.rs"]
mod tool_set;
#[cfg(test)]
mod transport;
