//! Integration tests: one binary.

mod agent;
mod documents;
mod jobs;
mod support;
