//! Where packages run: their Python, their processes, and the servers that stay up.

pub mod client;
pub mod environment;
pub mod process;
pub mod running;
