//! What every main does: read the settings, start the log and the runtime, serve until told to stop, and drain.

use crate::node::Node;
use clap::Parser;
use settings::Sources;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use telemetry::Captured;

/// The exit code for settings that cannot be used (EX_USAGE).
const BAD_SETTINGS: u8 = 64;
/// How long tasks may take to end after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(20);

/// The command line of a service that runs as a process of its own.
#[derive(Debug, Parser)]
struct Args {
    /// Settings file, .toml or .yaml.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Show the effective settings and exit.
    #[arg(long)]
    print_settings: bool,
    /// Check the settings and exit.
    #[arg(long)]
    check: bool,
}

/// Settings of a process.
pub trait ProcessSettings: Sized {
    /// Reads them; the text of an error names the key and where it stands.
    fn load(sources: &Sources) -> Result<Self, String>;

    fn log(&self) -> &telemetry::Settings;

    /// Says what is wrong beyond types.
    fn check(&self) -> Result<(), String>;

    /// As TOML, without secrets.
    fn render(&self) -> String;
}

/// Reads the settings that the command line names, its first word aside, and runs a service with them.
pub fn main<S: ProcessSettings, F>(
    line: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(S, Node, Captured) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), String>>,
{
    let args = Args::parse_from(line);
    let sources = Sources::default().file(args.config.as_deref()).environment();
    let settings = match S::load(&sources).and_then(|settings| settings.check().map(|()| settings)) {
        Ok(settings) => settings,
        Err(why) => return fail(why, ExitCode::from(BAD_SETTINGS)),
    };
    if args.print_settings {
        print!("{}", settings.render());
        return ExitCode::SUCCESS;
    }
    if args.check {
        println!("the settings are good");
        return ExitCode::SUCCESS;
    }
    let log = settings.log().clone();
    run(&log, sources, |node, captured| serve(settings, node, captured))
}

/// Runs `serve` until it ends or the process is told to stop, then drains its tasks.
pub fn run<F, E: Display>(
    log: &telemetry::Settings,
    sources: Sources,
    serve: impl FnOnce(Node, Captured) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
{
    let captured = match telemetry::start(log) {
        Ok(captured) => captured,
        Err(error) => return fail(error, ExitCode::from(BAD_SETTINGS)),
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(error, ExitCode::FAILURE),
    };
    let served = runtime.block_on(async {
        let node = Node::with_sources(cores, sources);
        node.spawn("signals", stop_on_signal(node.clone()));
        let served = serve(node.clone(), captured).await;
        for late in node.drain(DRAIN).await {
            tracing::warn!(task = late, limit = ?DRAIN, "a task did not end in time");
        }
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format!("{error:#}"), ExitCode::FAILURE),
    }
}

fn fail(why: impl Display, code: ExitCode) -> ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or("ouro");
    eprintln!("{name}: {why}");
    code
}

async fn stop_on_signal(node: Node) {
    let mut stopping = node.stopping();
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
        () = stopping.wait() => {}
    }
    node.stop();
}
