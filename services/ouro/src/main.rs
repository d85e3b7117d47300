//! Ouro: every role in one process, and the command-line client.

use clap::Parser;
use std::process::ExitCode;

/// Returns memory to the system sooner than the system's own allocator does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ouro::run(ouro::Args::parse())
}
