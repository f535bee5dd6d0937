//! Programs of packages behind the fences, and their way out.

pub(crate) mod app;
mod catalog;
mod databases;
mod fences;
mod leftovers;
mod product;
mod proxy;
pub(crate) mod support;
mod tls;
