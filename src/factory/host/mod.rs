//! Where packages run: their Python, their processes behind fences, what those may reach, and the
//! servers that stay up.

pub mod client;
pub mod environment;
pub mod launcher;
mod postgres_url;
pub mod process;
pub mod reach;
pub mod running;
