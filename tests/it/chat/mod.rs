//! The chat: the page in a real browser, its routes over real sockets, and the terminal.

mod access;
mod branches;
mod files;
mod hostile;
mod journey;
mod looks;
mod pictures;
mod served;
mod stream;
mod support;
mod terminal;
