//! Hosted apps, the gallery, and who listens where.

mod apps;
mod calls;
mod calls_in_browser;
mod events;
mod exchange;
mod files;
mod gallery;
mod gallery_actions;
mod hosting;
mod isolation;
mod libraries;
mod looks;
mod page_storage;
mod pdf;
mod ports;
mod storage_shim;
mod thumbs;
mod versions;
