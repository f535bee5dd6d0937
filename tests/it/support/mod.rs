//! What tests share.

pub(crate) mod browser;
pub(crate) mod workshop;
