//! An ingester as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ouro_ingester::standalone(std::env::args_os())
}
