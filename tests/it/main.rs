//! Integration tests: one binary.

mod agent;
mod content;
mod documents;
mod jobs;
mod patch;
mod product;
mod storage;
mod support;
mod transport;
