//! What tests share.

pub(crate) mod studio;
pub(crate) mod workshop;
