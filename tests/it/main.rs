//! Integration tests: one binary.

mod jobs;
mod support;
