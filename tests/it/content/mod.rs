//! Hosted apps, the gallery, and who listens where.

mod apps;
mod calls;
mod calls_in_browser;
mod files;
mod gallery;
mod gallery_actions;
mod hosting;
mod isolation;
mod looks;
mod ports;
mod storage_shim;
