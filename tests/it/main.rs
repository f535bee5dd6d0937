//! Integration tests: one binary.

mod architecture;
mod cli;
mod config;
mod content;
mod jobs;
mod patch;
mod product;
mod storage;
mod support;
mod tool_schemas;
mod transport;
