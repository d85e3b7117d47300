//! A compactor as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ouro_compactor::standalone(std::env::args_os())
}
