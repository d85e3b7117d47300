//! The command-line client: speaks the public HTTP API, prints tables for people and JSON for scripts.

mod answer;
mod compactor;
mod http;
mod push;
mod query;
mod ring;
mod table;
mod tail;

pub use compactor::compactor;
pub use http::Client;
pub use push::push;
pub use query::query;
pub use ring::{ring, shards};
pub use table::table;
pub use tail::tail;

use std::process::ExitCode;

/// Runs a command to its end, and says what went wrong.
pub fn run(command: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ouro: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        // `ouro query … | head` is no failure.
        Err(error)
            if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ouro: {error:#}");
            ExitCode::FAILURE
        }
    }
}
