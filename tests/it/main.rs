//! Integration tests: one binary.

mod content;
mod jobs;
mod support;
