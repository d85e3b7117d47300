//! A distributor as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ouro_distributor::standalone(std::env::args_os())
}
