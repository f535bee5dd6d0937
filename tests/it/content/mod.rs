//! Hosted apps, the gallery, and who listens where.

mod apps;
mod files;
mod gallery;
mod hosting;
mod isolation;
mod looks;
mod pdf;
mod ports;
mod storage_shim;
mod versions;
