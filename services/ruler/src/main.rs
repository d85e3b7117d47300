//! A ruler as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ouro_ruler::standalone(std::env::args_os())
}
