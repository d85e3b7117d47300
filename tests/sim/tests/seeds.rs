//! Seeds as CI runs them: those that found something once, a few twice, and some hundreds.
//!
//! `OURO_SEEDS` says how many, `OURO_FROM` from which one on.

use ouro_sim::regressions::FOUND;
use std::process::{Command, Output};

const SEEDS: u64 = 200;

fn simulate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ouro-sim"));
    command.args(arguments).env_remove("OURO_SEED").env_remove("OURO_LOG");
    command.output().expect("the simulation runs")
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}")))
}

#[test]
fn nothing_is_lost_whatever_happens() {
    let (from, seeds) = (number("OURO_FROM", 0), number("OURO_SEEDS", SEEDS));
    let output = simulate(&["--from", &from.to_string(), "--seeds", &seeds.to_string()]);
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}");
    // A simulation in which nothing goes wrong proves nothing.
    for kind in ["crashes in a write", "disks wiped", "elections", "partitions", "pauses", "segments", "reads"] {
        let line = text.lines().find(|line| line.trim_start().ends_with(&format!(" {kind}")));
        assert!(line.is_some(), "no {kind} in {seeds} seeds");
    }
}

#[test]
fn what_was_found_once_stays_found() {
    for (seed, what) in FOUND {
        let output = simulate(&["--brief", "--seed", &seed.to_string()]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "seed {seed} ({what}):\n{text}");
    }
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in 1000..1004 {
        let run = || simulate(&["--brief", "--seed", &u64::to_string(&seed)]).stdout;
        let (first, second) = (run(), run());
        assert!(first.starts_with(b"hash "), "seed {seed} has no hash");
        assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&second), "seed {seed}");
    }
}
