//! Integration tests: one binary.

#[cfg(test)]
mod content;
mod jobs;
mod patch;
mod product;
mod storage;
#[cfg(test)]
mod support;
mod transport;
