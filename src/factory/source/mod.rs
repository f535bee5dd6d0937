//! What packages are made from.

pub mod database;
pub mod description;
pub mod openapi;
pub mod select;
