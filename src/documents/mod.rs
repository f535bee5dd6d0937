//! Web apps made from a request, stored in versions and hosted.
//!
//! Invariants: a version is published whole or not at all; versions never change; whatever a
//! model or the web sends is data, never an instruction to this program.
//!
//! The flow: a tool -> [`Documents`] checks the request -> [`attachments`] are fetched as one step
//! -> a prompt from `prompts/documents/` -> a model's answer as a step -> the one document in it,
//! checked, with one repair round -> name -> publish -> URL.

pub mod address;
pub mod attachments;
mod dependencies;
mod error;
pub mod fetch;
mod generate;
mod html;
mod markup;
mod material;
mod media;
mod model;
mod names;
pub mod patch;
mod publish;
mod service;
mod svg;
pub mod tools;

pub use attachments::{Attachments, Collected, CollectedFile};
pub use error::DocumentError;
pub use html::GivenProblem;
pub use model::CreateWebApp;
pub use publish::Writer;
pub use service::{AppList, DocumentParts, Documents, LinkLife, PublishedApp};
