//! Integration tests: one binary.

mod agent;
mod documents;
mod content;
mod jobs;
mod patch;
mod product;
mod storage;
mod support;
mod transport;
