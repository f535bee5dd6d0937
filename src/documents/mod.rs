//! Web apps made from a request, stored in versions and hosted.
//!
//! Invariants: a version is published whole or not at all; versions never change; whatever a
//! model or the web sends is data, never an instruction to this program.
//!
//! The flow: a tool -> [`Documents`] checks the request -> [`attachments`] are fetched as one step
//! -> a prompt from `prompts/documents/` -> a model's answer as a step -> the one document in it,
//! checked, with one repair round -> name -> publish -> URL.

pub mod address;
pub(crate) mod dependencies;
pub(crate) mod html;
pub(crate) mod markup;
pub(crate) mod media;
pub(crate) mod names;
pub mod patch;
pub(crate) mod svg;
