//! Composes all services in one process, and speaks to a running one as its command-line client.
//!
//! `args` says what was asked for; `server` opens and joins the roles; `status` answers how the process is; `observe`
//! stores Ouro's own log lines and meters in Ouro; `client` is everything that only talks HTTP. `dev` runs a whole
//! cluster of processes on one machine, `certs` makes what its members know each other by. `stored` looks at objects.

mod args;
mod certs;
mod client;
mod dev;
mod observe;
mod server;
mod settings;
mod status;
mod stored;

pub use args::Args;
pub use settings::Settings;

use args::{CatalogCommand, Command, Run};
use model::Role;
use std::ffi::OsString;
use std::process::ExitCode;

/// The exit code for settings that cannot be used (EX_USAGE).
const BAD_SETTINGS: u8 = 64;

/// Does what the command line asks for.
pub fn run(args: Args) -> ExitCode {
    match args.command {
        Some(Command::Query(query)) => client::run(client::query(query)),
        Some(Command::Tail(tail)) => client::run(client::tail(tail)),
        Some(Command::Push(push)) => client::run(client::push(push)),
        Some(Command::Ring(show)) => client::run(client::ring(show)),
        Some(Command::Shards(show)) => client::run(client::shards(show)),
        Some(Command::Compactor(command)) => client::run(client::compactor(command)),
        Some(Command::Inspect(inspect)) => client::run(stored::inspect(inspect)),
        Some(Command::Verify(verify)) => client::run(stored::verify(verify)),
        Some(Command::Catalog(CatalogCommand::Verify(verify))) => client::run(stored::verify_catalog(verify)),
        Some(Command::Dev(dev)) => client::run(dev::run(dev)),
        Some(Command::Certs(command)) => client::run(async move { certs::run(&command) }),
        Some(Command::Run(Run { role, args })) => run_role(role, args),
        None => serve(&args.serve),
    }
}

/// One service, as its own program would run it.
fn run_role(role: Role, args: Vec<OsString>) -> ExitCode {
    let line = std::iter::once(format!("ouro run {role}").into()).chain(args);
    match role {
        Role::Distributor => distributor::standalone(line),
        Role::Ingester => ingester::standalone(line),
        Role::Querier => querier::standalone(line),
        Role::Compactor => compactor::standalone(line),
        Role::Ruler => ruler::standalone(line),
    }
}

fn serve(args: &args::Serve) -> ExitCode {
    let settings = match args.settings() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("ouro: {error}");
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    if args.print_settings {
        print!("{}", ::settings::render(&settings.redacted()));
        return ExitCode::SUCCESS;
    }
    if args.check {
        println!("the settings are good");
        return ExitCode::SUCCESS;
    }
    let log = settings.log.clone();
    node::process::run(&log, args.sources(), |node, captured| server::serve(settings, node, captured))
}
