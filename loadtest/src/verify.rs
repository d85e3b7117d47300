//! Reads back what was acknowledged, and holds each row against what was sent.

mod logs;
mod metrics;
mod tally;

use crate::args::Reading;
use crate::corpus::Corpus;
use crate::meter::Meter;
use crate::send::{LONGEST_ASKED, LONGEST_PAUSE, SHORTEST_PAUSE, TENANT, chain, client, failure_kind, retry_after};
use crate::state::{LaneState, State};
use crate::urls::Urls;
use anyhow::bail;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Client;
use std::time::Duration;
pub use tally::{Findings, Tally};
use tokio::time::Instant;

/// How long the target may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A cluster that lacks a part for the moment is to say so, instead of leaving out rows with a warning.
const WHOLE: [(&str, &str); 1] = [("partial_response", "false")];

/// Reads every row of a run. Errors are about reading; what is wrong with the rows is in the findings.
pub async fn verify(corpus: &Corpus, state: &State, reading: &Reading) -> anyhow::Result<Findings> {
    tokio::time::sleep(reading.settle).await;
    let reader = Reader {
        client: client(reading, TIMEOUT)?,
        urls: Urls::new(&reading.query, reading.target.as_ref(), "--query")?,
        give_up: reading.give_up,
        meter: Meter::default(),
    };
    let lanes = state.lanes.iter().filter(|lane| !lane.bases.is_empty());
    let bar = ProgressBar::new(lanes.clone().count() as u64);
    bar.set_style(ProgressStyle::with_template("reading back {wide_bar} {pos}/{len} lanes, {elapsed_precise}")?);
    let read = lanes.map(|lane| {
        let (reader, bar) = (&reader, &bar);
        async move {
            let tenant = state.workload.tenant(lane.tenant);
            let mut tally = Tally::new(lane, corpus.rows(lane.lane), &tenant);
            match corpus {
                Corpus::Logs(logs) => logs::read(logs, lane, reader, reading, &tenant, &mut tally).await?,
                Corpus::Metrics(metrics) => metrics::read(metrics, lane, reader, reading, &tenant, &mut tally).await?,
            }
            bar.inc(1);
            anyhow::Ok(tally.finish())
        }
    });
    // Collected first: the borrow checker can't see through a lazy stream of closures that borrow.
    let read: Vec<_> = read.collect();
    let all = futures::stream::iter(read).buffer_unordered(reading.width as usize);
    let mut findings: Findings = all.try_fold(Findings::default(), async |sum, lane| Ok(sum.with(lane))).await?;
    bar.finish_and_clear();
    findings.read_errors = reader.meter.errors();
    Ok(findings)
}

/// Asks the target, again while it is away.
pub struct Reader {
    client: Client,
    urls: Urls,
    give_up: Duration,
    meter: Meter,
}

impl Reader {
    /// GETs a path with these parameters as a tenant.
    pub async fn get(&self, tenant: &str, path: &str, query: &[(&str, String)]) -> anyhow::Result<Bytes> {
        let (start, mut pause) = (Instant::now(), Duration::from_millis(100));
        loop {
            let url = format!("{}{path}", self.urls.next());
            let sent = self.client.get(&url).query(query).query(&WHOLE).header(TENANT, tenant).send().await;
            let (text, asked) = match sent {
                Ok(response) if response.status().is_success() => match response.bytes().await {
                    Ok(bytes) => return Ok(bytes),
                    Err(error) => (self.failed(&error), None),
                },
                Ok(response) => {
                    let (status, asked) = (response.status(), retry_after(response.headers()));
                    let text = response.text().await.unwrap_or_default();
                    self.meter.failed(status.as_str(), &text);
                    if status.is_client_error() && status.as_u16() != 429 {
                        bail!("{tenant}: {path} {query:?} answers {status}: {}", text.trim());
                    }
                    (format!("{status}: {}", text.trim()), asked)
                }
                Err(error) => (self.failed(&error), None),
            };
            let next = asked.unwrap_or(pause).clamp(SHORTEST_PAUSE, LONGEST_ASKED);
            if start.elapsed() + next > self.give_up {
                bail!("{tenant}: {path} {query:?} gave no answer for {} s: {text}", start.elapsed().as_secs());
            }
            tokio::time::sleep(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn failed(&self, error: &reqwest::Error) -> String {
        let text = chain(error);
        self.meter.failed(failure_kind(error), &text);
        format!("{}: {text}", failure_kind(error))
    }
}

/// Cuts a lane's bodies into runs that hold at most `rows` rows (or one body).
fn slices(lane: &LaneState, rows_of_body: u32, rows: u32) -> impl Iterator<Item = std::ops::Range<usize>> {
    let (len, step) = (lane.bases.len(), (rows / rows_of_body.max(1)).max(1) as usize);
    (0..len).step_by(step).map(move |from| from..(from + step).min(len))
}
