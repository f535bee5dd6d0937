//! Integration tests: one binary.

#[cfg(test)]
mod content;
mod jobs;
mod llm;
mod patch;
mod product;
mod storage;
#[cfg(test)]
mod support;
mod transport;
