//! The way out: every connection to a host that somebody else named is decided about here.
//!
//! A [`Gate`] decides: the host and port must be among those that are meant; the name is resolved here,
//! once, and every address of it checked ([`address`]); the connection goes to exactly what was checked.
//! Each connection and each refusal is logged once: who, host, port, bytes, outcome; no paths, no headers.
//! [`tally`] counts them.
//!
//! Two go through it. A program behind fences reaches nothing but sockets of ours: [`Proxy`] serves one
//! of them, as HTTP `CONNECT` and requests in absolute form, or as the bytes of one fixed destination.
//! And [`crate::fetch`] fetches files of the public internet for whoever may name their addresses.

pub mod address;
mod gate;
mod head;
mod hosts;
mod log;
mod proxy;
mod resolve;
mod tally;
mod tunnel;

pub use gate::{Destinations, EgressLimits, Gate, GateParts, Hints, Refusal};
pub use hosts::{BadHost, HostRule};
pub(crate) use log::{Record, Way};
pub use proxy::{Kind, Proxy};
pub use resolve::{Resolve, SystemResolver};
pub use tally::{Figures, Tally, tally};
