//! Integration tests: one binary.

mod jobs;
mod patch;
mod support;
