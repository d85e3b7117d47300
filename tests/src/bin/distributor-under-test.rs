//! A distributor as a process of its own, for cluster stories.

use std::process::ExitCode;

fn main() -> ExitCode {
    ouro_tests::victim::prepare();
    distributor::standalone()
}
