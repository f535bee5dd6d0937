//! Integration tests: one binary.

mod jobs;
mod llm;
mod support;
