//! Python code that runs in the sandbox and calls tools.
//!
//! The flow: the tool -> [`PythonRuns`] admits the run, reads its input files and starts it behind the
//! sandbox port -> `live` holds the conversation with it: output becomes progress, calls are served by
//! `calls` through the registry -> `outcome` turns its end into a result or an error.
//!
//! Nothing that the code says is believed: who it acts for, what it may call and how often is decided
//! here, by what the caller of the tool was allowed. When an answer has to be written by the host, the
//! run is stopped as it is and kept in `parking`; the job goes to sleep with the question, and its next
//! attempt takes the same run up again.

mod calls;
mod inputs;
mod live;
mod model;
mod outcome;
mod parking;
mod service;
mod stubs;

pub use inputs::{FetchedFile, FileSource};
pub use model::{ExecuteCode, RunSettings};
pub use outcome::{CallRecord, Executed, Layers, ProducedFile};
pub use service::{PythonRuns, RunParts};
