//! Web apps and PDF documents made from a request, stored in versions and hosted.
//!
//! Invariants: a version is published whole or not at all; versions never change; whatever a
//! model or the web sends is data, never an instruction to this program.
//!
//! The flow: a tool -> [`Documents`] checks the request -> [`attachments`] are fetched as one step
//! -> a prompt from `prompts/documents/` -> a model's answer as a step -> the one document in it,
//! checked, with one repair round -> name -> publish -> URL.

mod app_tools;
pub mod attachments;
mod dependencies;
mod edit;
mod embedded;
mod error;
mod files;
mod generate;
mod html;
mod lookup;
mod markup;
mod material;
mod media;
mod model;
mod names;
pub mod patch;
mod pdf;
mod publish;
mod rename;
mod service;
mod svg;
pub mod tools;
pub mod verification;
mod versions;

pub use crate::fetch::{self, address};
pub use attachments::{Attachments, Collected, CollectedFile};
pub use edit::{EditResult, EditedDocument, EditedPrint};
pub use error::DocumentError;
pub use html::{GivenProblem, ReplyProblem};
pub use model::{CreatePdf, CreateWebApp, EditDocument, WhichDocument};
pub use pdf::{MadeCall, PublishedPdf};
pub use publish::Writer;
pub use service::{DocumentList, DocumentParts, Documents, LinkLife, PublishedApp};
pub use versions::{DeletedDocument, RestoredDocument, VersionList};
