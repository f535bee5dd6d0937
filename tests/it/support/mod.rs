//! What tests share.

pub mod workshop;
