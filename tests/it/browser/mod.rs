//! The renderer on a real Chrome.

mod escapes;
mod faults;
mod lifetime;
mod pdf;
mod support;
mod traps;
