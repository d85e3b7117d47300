//! Runs seeds, each in a process of its own; or one of them, to be looked at.
//!
//! `ouro-sim --seeds 5000` runs many and sums up what they reached. `ouro-sim --seed 17` runs one and prints what
//! happens; with `OURO_LOG=debug` also what the services log.

use clap::Parser;
use ouro_sim::{entropy, story};
use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A run takes about a second. One that takes this long hangs.
const HANGS: Duration = Duration::from_secs(180);

#[derive(Parser)]
struct Arguments {
    /// Run this seed, and print what happens.
    #[arg(long, env = "OURO_SEED")]
    seed: Option<u64>,
    /// Print only what came of it.
    #[arg(long, requires = "seed")]
    brief: bool,
    /// Run so many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// … from this one on.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// … so many at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let fine = match arguments.seed {
        Some(seed) => one(seed, !arguments.brief)?,
        None => many(&arguments),
    };
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(seed: u64, shown: bool) -> anyhow::Result<bool> {
    if let Ok(filter) = std::env::var("OURO_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).without_time().init();
    }
    let folder = story::scratch()?;
    let path = folder.path().to_owned();
    // A thread of its own: the keys of its hashes are drawn when it first needs some, and are part of the story.
    let run = std::thread::spawn(move || {
        entropy::seed(seed);
        story::run(seed, &path, shown)
    });
    let outcome = run.join().map_err(|_| anyhow::anyhow!("the run panicked"))??;
    println!("hash {:016x}", outcome.hash);
    outcome.counts.iter().for_each(|(kind, count)| println!("count {count} {kind}"));
    outcome.complaints.iter().for_each(|what| println!("broken {what}"));
    Ok(outcome.complaints.is_empty())
}

fn many(arguments: &Arguments) -> bool {
    let (next, end) = (AtomicU64::new(arguments.from), arguments.from + arguments.seeds);
    let (begun, done) = (Instant::now(), AtomicU64::new(0));
    let sums: Mutex<(BTreeMap<String, u64>, Vec<u64>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= end {
                        return;
                    }
                    let (fine, text) = child(seed);
                    let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                    counts(&text).for_each(|(kind, count)| *sums.0.entry(kind.to_owned()).or_default() += count);
                    if !fine {
                        sums.1.push(seed);
                        report(seed, &text);
                    }
                    let done = done.fetch_add(1, Relaxed) + 1;
                    if done.is_multiple_of(100) {
                        println!("{done} of {} seeds, {:.0?}", arguments.seeds, begun.elapsed());
                    }
                }
            });
        }
    });
    let (sums, bad) = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} seeds from {} on in {:.1?}:", arguments.seeds, arguments.from, begun.elapsed());
    sums.iter().for_each(|(kind, count)| println!("{count:>14} {kind}"));
    println!("{} of them went wrong {bad:?}", bad.len());
    bad.is_empty()
}

fn counts(text: &str) -> impl Iterator<Item = (&str, u64)> {
    let counts = text.lines().filter_map(|line| line.strip_prefix("count ")?.split_once(' '));
    counts.filter_map(|(count, kind)| Some((kind, count.parse().ok()?)))
}

fn report(seed: u64, text: &str) {
    println!("seed {seed} went wrong:");
    text.lines().filter_map(|line| line.strip_prefix("broken ")).take(5).for_each(|line| println!("    {line}"));
    println!("    to see it again: OURO_SEED={seed} cargo run -p ouro-sim");
}

/// Runs a seed in a process of its own; says whether it went well, and what it printed.
fn child(seed: u64) -> (bool, String) {
    let run = || {
        // Not by its name: it may be built anew meanwhile.
        let mut child = Command::new("/proc/self/exe")
            .args(["--brief", "--seed", &seed.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > HANGS {
                child.kill()?;
                child.wait()?;
                return Ok((false, format!("broken it did not end within {HANGS:?}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output()?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !text.contains("\nhash ") && !text.starts_with("hash ") {
            text.push_str("\nbroken the process died");
        }
        Ok::<_, std::io::Error>((output.status.success(), text))
    };
    run().unwrap_or_else(|error| (false, format!("broken the process did not run: {error}")))
}
