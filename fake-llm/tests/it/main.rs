//! The scripted model server, seen from outside.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "in tests a panic is the report; the lints know only functions marked as tests"
)]

mod capture;
mod encoders;
mod faults;
mod genai_client;
mod genai_faults;
mod genai_round_trip;
mod program;
mod raw_client;
mod script;
mod shapes;
