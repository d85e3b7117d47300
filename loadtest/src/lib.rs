//! Drives a log and metric store through its public APIs, and proves afterwards that every acknowledged row is there
//! exactly once.
//!
//! A *lane* is one agent of one tenant: it sends one body after the other. A body's rows are a pure function of the
//! run's seed, the tenant, the lane and the body's number, so what was sent is remembered as one base time and one
//! outcome a body, and each row that is read back can be checked bit by bit.
//!
//! The parts, in the order in which a row meets them: [`seed`] (ids and random numbers), [`draft`] (bodies with
//! holes), [`template`] (the same, compressed), [`logs`] and [`metrics`] (what rows look like), [`send`] and
//! [`drive`] (pushing and pacing), [`history`] (the past instead), [`state`] (what was acknowledged), [`meter`] and [`report`], [`verify`].

pub mod args;
pub mod corpus;
pub mod draft;
pub mod drive;
pub mod history;
pub mod logs;
pub mod meter;
pub mod metrics;
pub mod report;
pub mod seed;
pub mod send;
pub mod state;
pub mod template;
pub mod urls;
pub mod verify;

use crate::args::{Args, Command, Load, Reading};
use crate::corpus::{Corpus, Workload};
use crate::report::Report;
use crate::state::State;
use std::process::ExitCode;
use std::sync::Arc;

/// Runs one command. The exit code is 1 when nothing was acknowledged, or rows are missing, doubled, unexpected or
/// changed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Logs(command) => load(Workload::logs(&command)?, &command.load, &command.reading).await,
        Command::Metrics(command) => load(Workload::metrics(&command)?, &command.load, &command.reading).await,
        Command::History(command) => history::push(&command).await,
        Command::Verify(command) => {
            let state = State::read(&command.file)?;
            let corpus = state.workload.corpus();
            finish(None, Some(&command.reading), &corpus, &state, command.json.as_deref()).await
        }
    }
}

async fn load(workload: Workload, load: &Load, reading: &Reading) -> anyhow::Result<ExitCode> {
    let corpus = workload.corpus();
    let (report, lanes) = drive::drive(Arc::clone(&corpus), &workload, load, reading).await?;
    let state = State::new(workload, lanes);
    if let Some(path) = &load.save {
        state.write(path)?;
    }
    let reading = load.verify.then_some(reading);
    finish(Some(report), reading, &corpus, &state, load.json.as_deref()).await
}

/// Verifies when asked to, prints the report, and judges.
async fn finish(
    report: Option<Report>,
    reading: Option<&Reading>,
    corpus: &Arc<Corpus>,
    state: &State,
    json: Option<&std::path::Path>,
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    if let Some(report) = &report {
        println!("{report}");
        if report.rows == 0 {
            eprintln!("no push was acknowledged");
            code = ExitCode::FAILURE;
        }
    }
    let mut report = report.unwrap_or_default();
    if let Some(reading) = reading {
        let findings = verify::verify(corpus, state, reading).await?;
        println!("{findings}");
        if !findings.clean() {
            code = ExitCode::FAILURE;
        }
        report.verify = Some(findings);
    }
    if let Some(path) = json {
        report.write(path)?;
    }
    Ok(code)
}
