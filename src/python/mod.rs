//! Python: written by a model, and run in the sandbox ([`execute`]).
//!
//! Invariants of writing: what is returned parses as Python; nothing is executed; what a model or a
//! caller sends is data.
//!
//! The flow of writing: a tool -> [`PythonCode`] checks the request and the tools named for the code -> a
//! prompt from `prompts/python/` -> a model's answer as a step -> `reply` takes the one program
//! out of it -> `code` parses and looks at it -> one repair round -> the program with what may
//! still be wrong.

mod code;
mod error;
pub mod execute;
mod generate;
mod model;
mod packages;
mod reply;
mod service;
pub mod tools;

pub use code::Finding;
pub use error::PythonError;
pub use model::{CreateCode, EditCode};
pub use service::{PythonCode, PythonParts, WrittenCode};
