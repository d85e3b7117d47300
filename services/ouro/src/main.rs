//! Ouro: every role in one process, and the command-line client.

use clap::Parser;
use std::process::ExitCode;

/// Returns memory to the system sooner than the system's own allocator does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How it begins, read by the allocator itself: what many threads free in turns is found again in few arenas, and threads
/// keep only small pieces for themselves.
#[allow(unsafe_code)] // A symbol of that name is the only way to say it within the program.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATION: &[u8] = b"narenas_ratio:2,tcache_max:4096\0";

fn main() -> ExitCode {
    ouro::run(ouro::Args::parse())
}
