//! What tests share.

pub(crate) mod command;
pub(crate) mod browser;
pub(crate) mod workshop;
