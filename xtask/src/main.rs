//! Development tasks: generated documents and benchmarks.

#![expect(clippy::disallowed_methods, reason = "development tasks read files and start programs")]

mod bench;
mod docs;

use clap::{Parser, Subcommand};

/// Development tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes docs/TOOLS.md and the table of tools in README.md
    Docs {
        /// Fail when they are not what would be written, and write nothing
        #[arg(long)]
        check: bool,
    },
    /// Compares Atelier with its peers in one run and writes docs/BENCHMARKS.md
    Bench(bench::BenchArgs),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Docs { check: true } => docs::check(),
        Task::Docs { check: false } => docs::write(),
        Task::Bench(arguments) => bench::run(&arguments),
    }
}
