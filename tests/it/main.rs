//! Integration tests: one binary.

#[cfg(test)]
mod content;
mod jobs;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod support;
mod transport;
