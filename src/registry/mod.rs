//! Every tool call, from whichever door, goes through [`Registry::call`]: references, validation,
//! rights, quotas, the answer budget and the record of the result are the same for all tools.
//!
//! A tool is one function in one file that returns a [`Tool`]: metadata, schemas and handler.

mod call;
mod caller;
mod context;
mod description;
mod foreign;
mod foreign_call;
mod ledger;
mod portable_schema;
mod references;
#[expect(
    clippy::module_inception,
    reason = "the struct `Registry` is what a newcomer looks for here"
)]
mod registry;
mod reply;
mod rights;
pub mod search;
mod shown;
mod tool;
pub mod tools;
mod validation;

pub use caller::{Caller, Grant, Terms, ToolHints, Within};
pub use context::{
    CallContext, CallerFolders, CallerPerson, DEFAULT_USER, Origin, PersonAnswer, PersonQuestion,
    Rights, TokenAllowance,
};
pub use description::ToolDescription;
pub use foreign::{
    ForeignCall, ForeignList, ForeignTool, ForeignTools, Hints, NoForeignTools, SERVER_DIVIDER,
    UnlistedServer, Validators,
};
pub use ledger::Ledger;
pub use portable_schema::portable_schema;
pub use registry::{CallObserver, Registry, RegistryParts};
pub use reply::{CallOutcome, OpenQuestion, SamplingAsk};
pub use shown::{shape, shown};
pub(crate) use tool::structured;
pub use tool::{
    Annotations, Call, DirectReply, Forwarding, Handler, InnerTool, Tool, ToolBuilder, Toolset,
};
