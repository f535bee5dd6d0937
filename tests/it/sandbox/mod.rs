//! The sandbox against real interpreters and the real kernel.

mod attacks;
mod calls;
mod cases;
mod leftovers;
mod limits;
mod packages;
mod protocol;
mod secrets;
mod semantics;
mod soak;
pub(crate) mod support;
mod tiers;
pub(crate) mod traces;
