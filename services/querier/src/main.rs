//! A querier as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ouro_querier::standalone(std::env::args_os())
}
