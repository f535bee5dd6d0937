//! The program `atelier`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    atelier::cli::main()
}
