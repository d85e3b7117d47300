//! The one process with its fail points, for cluster stories.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    ouro_tests::victim::prepare();
    let _points = fail::FailScenario::setup();
    ouro::run(ouro::Args::parse())
}
