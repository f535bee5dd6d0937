//! The way out: connections of programs that have no network, to the hosts that they declared.
//!
//! A program behind fences reaches nothing but sockets of ours. [`Proxy`] serves one of them: HTTP
//! `CONNECT` and requests in absolute form, or the bytes of one fixed destination as they are. Behind
//! it a [`Gate`] decides: the host and port must be declared; the name is resolved here, once, and every
//! address of it checked by the rules of [`crate::fetch`]; the connection goes to exactly what was
//! checked. Each connection and each refusal is logged once: who, host, port, bytes, outcome; no paths,
//! no headers.

mod gate;
mod head;
mod hosts;
mod proxy;
mod tunnel;

pub use gate::{EgressLimits, Gate, GateParts, Hints, Refusal};
pub use hosts::{BadHost, HostRule};
pub use proxy::{Kind, Proxy};
