//! Integration tests: one binary.

mod jobs;
#[cfg(test)]
mod storage;
mod support;
mod transport;
