//! What tests share.

pub(crate) mod workshop;
