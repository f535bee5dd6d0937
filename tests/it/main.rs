//! Integration tests: one binary.

mod agent;
mod architecture;
mod cli;
mod config;
mod content;
mod documents;
mod jobs;
mod llm;
mod patch;
mod product;
mod storage;
mod support;
mod tool_schemas;
mod transport;
