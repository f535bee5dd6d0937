//! What tests share.

pub(crate) mod browser;
pub(crate) mod factory_python;
pub(crate) mod pdf;
pub(crate) mod product;
pub(crate) mod sources;
pub(crate) mod studio;
pub(crate) mod workshop;
