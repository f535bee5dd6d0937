//! What packages are made from.

pub mod database;
