//! `ouro tail`: lines as they come, over one connection, and over the next one when that breaks.

use crate::args::Tail;
use crate::client::answer::{Names, local_time, series_name};
use crate::client::http::Client;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATH: &str = "/loki/api/v1/tail";
/// The pause before a broken connection is made anew; it doubles up to the second one while that fails.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Lines may arrive a little later than they are dated: a new connection asks for those from so far back on, in nanoseconds.
const OVERLAP: i64 = 5_000_000_000;
/// The most lines that are there already and are told at once.
const LIMIT: u32 = 5000;
/// The longest row that is read, in bytes.
const LONGEST: usize = 256 << 20;

/// A row of the server's answer.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Row {
    Line {
        time: String,
        labels: Names,
        line: String,
    },
    /// So many lines were left out before the next one.
    Dropped {
        dropped: u64,
    },
}

/// What is shown.
#[derive(Debug, PartialEq)]
enum Shown {
    /// Unix nanoseconds, labels, line.
    Line(i64, String, String),
    Dropped(u64),
    /// There were so many lines while there was no connection that not all of them were given.
    Gap,
    /// Why there is no connection.
    Broken(String),
}

pub async fn tail(args: Tail) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let since = settings::duration::parse(&args.since).context("--since")?;
    let since = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    let json = args.json;
    follow(&client, &args.query, now_ns().saturating_sub(since), PAUSES, |shown| show(&shown, json)).await
}

/// Shows lines from a time on, until something cannot be mended.
async fn follow(
    client: &Client,
    query: &str,
    from: i64,
    (pause, longest_pause): (Duration, Duration),
    mut show: impl FnMut(Shown) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut told, mut next_pause, mut is_first) = (Told::new(from), pause, true);
    loop {
        let params = [("query", query.to_owned()), ("start", told.start().to_string()), ("limit", LIMIT.to_string())];
        let why = match client.open(PATH, &params, "application/x-ndjson").await {
            Err(error) if is_first || !error.again => return Err(error.why),
            Err(error) => format!("{:#}", error.why),
            Ok(mut response) => {
                is_first = false;
                let mut rows = Rows::default();
                loop {
                    match response.chunk().await {
                        Ok(Some(chunk)) => {
                            for row in rows.take(&chunk)? {
                                told.take(row)?.into_iter().try_for_each(&mut show)?;
                            }
                            next_pause = pause;
                        }
                        Ok(None) => break "the server ended it".to_owned(),
                        Err(error) => break format!("{:#}", anyhow::Error::from(error)),
                    }
                }
            }
        };
        show(Shown::Broken(why))?;
        told.resume();
        tokio::time::sleep(next_pause).await;
        next_pause = (next_pause * 2).min(longest_pause);
    }
}

/// Cuts what comes into rows.
#[derive(Default)]
struct Rows {
    /// The beginning of the next row.
    rest: Vec<u8>,
}

impl Rows {
    fn take(&mut self, chunk: &[u8]) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            if self.rest.len() > LONGEST {
                bail!("a row of the answer has over {LONGEST} bytes");
            }
            if part.ends_with(b"\n") {
                rows.push(serde_json::from_slice(&self.rest).context("the answer cannot be read")?);
                self.rest.clear();
            }
        }
        Ok(rows)
    }
}

/// What was shown, so that the next connection goes on there.
struct Told {
    /// Unix nanoseconds.
    from: i64,
    newest: Option<i64>,
    /// Times and hashes of the newest lines.
    lines: BTreeSet<(i64, u64)>,
    /// On a connection that is not the first: the newest time when it was made.
    resumed: Option<i64>,
    /// Whether a line of it came already.
    begun: bool,
}

impl Told {
    fn new(from: i64) -> Told {
        Told { from, newest: None, lines: BTreeSet::new(), resumed: None, begun: false }
    }

    /// From when on lines are to be given.
    fn start(&self) -> i64 {
        self.newest.map_or(self.from, |newest| newest.saturating_sub(OVERLAP).max(self.from))
    }

    /// The next row is the first one of another connection.
    fn resume(&mut self) {
        self.resumed = self.newest;
        self.begun = false;
    }

    /// What is to be shown of a row: nothing of a line that was shown before.
    fn take(&mut self, row: Row) -> anyhow::Result<Vec<Shown>> {
        let (time, labels, line) = match row {
            Row::Dropped { dropped } => return Ok(vec![Shown::Dropped(dropped)]),
            Row::Line { time, labels, line } => (time, series_name(&labels), line),
        };
        let time: i64 = time.parse().with_context(|| format!("the answer has a line of the time {time:?}"))?;
        let mut shown = Vec::new();
        // The oldest come first: of a whole answer, one that was shown before.
        if !std::mem::replace(&mut self.begun, true) && self.resumed.is_some_and(|resumed| time > resumed) {
            shown.push(Shown::Gap);
        }
        let mut hasher = DefaultHasher::new();
        (&labels, &line).hash(&mut hasher);
        let is_new = self.lines.insert((time, hasher.finish()));
        // On one connection each line comes once: two that are the same are two.
        if is_new || self.resumed.is_none_or(|resumed| time > resumed) {
            shown.push(Shown::Line(time, labels, line));
        }
        if self.newest.is_none_or(|newest| time > newest) {
            self.newest = Some(time);
            let oldest = time.saturating_sub(OVERLAP);
            while self.lines.first().is_some_and(|(time, _)| *time < oldest) {
                self.lines.pop_first();
            }
        }
        Ok(shown)
    }
}

fn show(shown: &Shown, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match shown {
        Shown::Line(time, labels, line) if json => {
            writeln!(out, "{}", serde_json::json!({"time": time.to_string(), "labels": labels, "line": line}))?;
        }
        Shown::Line(time, labels, line) => writeln!(out, "{}  {labels}  {line}", local_time(*time))?,
        Shown::Dropped(count) => eprintln!("ouro: {count} lines were left out: they came faster than they were read"),
        Shown::Gap => eprintln!("ouro: only the newest {LIMIT} lines since the connection broke follow"),
        Shown::Broken(why) => eprintln!("ouro: the connection broke, trying again: {why}"),
    }
    out.flush()?;
    Ok(())
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64
}

#[cfg(test)]
mod tests;
