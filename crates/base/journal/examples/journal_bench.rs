//! Appends rounds over many groups, reopens, reads at random; prints MB/s, CPU seconds a GB and milliseconds.
//!
//! `journal_bench [--gb 4] [--round 1048576] [--groups 64] [--spread 64] [--keep 0] [--dir /tmp] [--no-sync]`
//! `--spread`: entries a round, each of another group. `--keep n`: compact so that n GB stay, and segments recycle.

use bytes::Bytes;
use model::{ByteSize, GroupId};
use ouro_journal::{Journal, Round, Settings};
use std::time::Instant;

struct Options {
    gb: f64,
    round: usize,
    groups: u64,
    spread: u64,
    keep: f64,
    dir: String,
    sync: bool,
}

fn options() -> Options {
    let mut options =
        Options { gb: 4.0, round: 1 << 20, groups: 64, spread: 64, keep: 0.0, dir: String::new(), sync: true };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        if flag == "--no-sync" {
            options.sync = false;
            continue;
        }
        let value = args.next().expect("every other flag has a value");
        let number = || value.parse::<f64>().expect("a number");
        match flag.as_str() {
            "--gb" => options.gb = number(),
            "--round" => options.round = number() as usize,
            "--groups" => options.groups = number() as u64,
            "--spread" => options.spread = number() as u64,
            "--keep" => options.keep = number(),
            "--dir" => options.dir = value,
            other => panic!("unknown flag {other}"),
        }
    }
    options
}

/// User and system time of this process in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) / 100.0
}

fn noise(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

fn main() {
    let options = options();
    let dir = match options.dir.as_str() {
        "" => tempfile::tempdir(),
        dir => tempfile::tempdir_in(dir),
    };
    let dir = dir.expect("a directory");
    let settings = Settings { sync: options.sync, max_size: ByteSize::mib(64 << 10), ..Settings::default() };
    let mut journal = Journal::open(dir.path(), settings.clone()).expect("opens").journal;
    let payload = noise(options.round * 2);
    let each = options.round / options.spread as usize;
    let rounds = (options.gb * 1e9) as u64 / options.round as u64;
    let keep = (options.keep * 1e9) as u64 / options.round as u64 * options.spread / options.groups;

    let (start, before) = (Instant::now(), cpu());
    let mut slowest = 0.0_f64;
    for at in 0..rounds {
        let mut round = Round::new();
        for part in 0..options.spread {
            let group = GroupId(1 + (at * options.spread + part) % options.groups);
            let from = (at as usize * 64 + part as usize * 8) % options.round;
            round.entry(group, journal.last_index(group) + 1, 1, 0, payload.slice(from..from + each));
        }
        let began = Instant::now();
        journal.append(round).expect("appends");
        slowest = slowest.max(began.elapsed().as_secs_f64());
        if keep > 0 && at % 128 == 0 {
            for group in (1..=options.groups).map(GroupId) {
                journal.compact(group, journal.last_index(group).saturating_sub(keep));
            }
        }
    }
    let (wall, used) = (start.elapsed().as_secs_f64(), cpu() - before);
    let stats = journal.stats();
    let gb = stats.written as f64 / 1e9;
    println!(
        "append: {gb:.2} GB in {rounds} rounds of {} entries, sync {}: {:.0} MB/s, {:.2} CPU-s/GB, slowest round {:.0} ms, {} syncs, {} segments begun",
        options.spread,
        options.sync,
        gb * 1000.0 / wall,
        used / gb,
        slowest * 1e3,
        stats.syncs,
        stats.rolls
    );
    drop(journal);

    let start = Instant::now();
    let opened = Journal::open(dir.path(), settings).expect("opens");
    let stats = opened.journal.stats();
    println!(
        "open: {:.1} ms, {} segments of {}, {} entries",
        start.elapsed().as_secs_f64() * 1e3,
        stats.segments,
        ByteSize(stats.bytes),
        stats.entries
    );

    let reads = 20_000;
    let (start, before, mut bytes, mut state) = (Instant::now(), cpu(), 0, 88_172_645_463_325_252_u64);
    for _ in 0..reads {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let group = GroupId(1 + state % options.groups);
        let log = &opened.groups[&group];
        let index = log.first + (state >> 20) % (log.last + 1 - log.first);
        bytes += opened.journal.read(group, index).expect("reads").payload.len();
    }
    let wall = start.elapsed().as_secs_f64();
    println!(
        "random read: {:.0} reads/s of {}, {:.0} MB/s, {:.2} CPU-s/GB",
        f64::from(reads) / wall,
        ByteSize(each as u64),
        bytes as f64 / 1e6 / wall,
        (cpu() - before) / (bytes as f64 / 1e9)
    );
}
