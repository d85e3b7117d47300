//! The load generator's process: reads the command line, runs it, and says by its exit code whether all is well.

use clap::Parser;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    loadtest::run(loadtest::args::Args::parse()).await
}
