//! Integration tests: one binary.

mod content;
mod jobs;
#[cfg(test)]
mod storage;
mod support;
mod transport;
