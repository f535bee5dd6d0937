//! Resources as text. Fields become lines of code by rule; what is the same for every resource comes
//! from templates. All of it has one statement per line; what is too long is broken at the end.

pub(crate) mod lines;
pub(crate) mod migration;
mod parents;
mod samples;
pub(crate) mod schema;
mod templates;
pub(crate) mod view;

pub(crate) use samples::{is_guess, sample};
pub(crate) use templates::{Function, Template, functions, render, squeezed as squeezed_block};
