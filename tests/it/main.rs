//! Integration tests: one binary.

mod content;
mod jobs;
mod llm;
mod patch;
mod product;
mod storage;
mod support;
mod transport;
