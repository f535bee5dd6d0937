//! (in work)

pub mod content;
pub mod pages;
pub mod ports;
