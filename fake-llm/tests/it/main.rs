//! The scripted model server, seen from outside.

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
