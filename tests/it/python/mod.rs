//! Python that is run, with every right and limit around it, and Python that is written.

mod bad_input;
mod chain;
mod contract;
mod doors;
mod files;
mod host;
mod rights;
mod support;
mod writing;
