//! Pushes the past: all series of a corpus of metrics from long ago until now, so that stores can be asked about it.
//!
//! Half an hour of every series goes before the next half hour of any, as a store that takes samples in the order of
//! their times needs it.

use crate::args::HistoryCommand;
use crate::drive::now;
use crate::metrics::Metrics;
use crate::send::TENANT;
use anyhow::{Context, ensure};
use reqwest::Client;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// All series are so far and no further apart (ms).
const PART: i64 = 30 * 60 * 1000;
/// The most samples of a series in one body.
const MOST_SCRAPES: i64 = 30;
/// How often, and with which pause, a push is repeated that the target cannot take now.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(200);

/// Says at the end how long it took. An error if a push is refused for good.
pub async fn push(command: &HistoryCommand) -> anyhow::Result<ExitCode> {
    let step = i64::try_from(command.step.as_millis()).unwrap_or(0);
    ensure!(step > 0, "--step is less than a millisecond");
    let end = command.end.map_or(now() / 1_000_000, |seconds| seconds * 1000) / step * step;
    let scrapes = (PART / step).clamp(1, MOST_SCRAPES) as u32;
    let parts = (command.span.as_millis() as i64 / step / i64::from(scrapes)).max(1) as u32;
    let begin = end - step * (i64::from(scrapes) * i64::from(parts) - 1);
    let metrics = Arc::new(Metrics::with_targets(command.seed, command.series, command.targets, 0.0, false));
    let templates: Vec<_> = (0..metrics.lanes()).map(|lane| metrics.past_template(lane, scrapes)).collect();
    let templates = Arc::new(templates);
    let client = Client::builder().build()?;
    let (started, mut said, mut rows) = (Instant::now(), Instant::now(), 0u64);
    for part in 0..parts {
        let base = begin + step * i64::from(scrapes) * i64::from(part);
        let mut pushes = JoinSet::new();
        for lane in 0..metrics.lanes() {
            if pushes.len() >= command.in_flight as usize
                && let Some(done) = pushes.join_next().await
            {
                rows += done??;
            }
            let (metrics, templates, client) = (metrics.clone(), templates.clone(), client.clone());
            let (url, tenant) = (format!("{}{}", command.target, command.path), command.tenant.clone());
            pushes.spawn(async move {
                let template = &templates[lane as usize];
                let body = metrics.past(template, lane, scrapes, part * scrapes, base, step);
                send(&client, &url, &tenant, body.payload).await.map(|()| u64::from(body.rows))
            });
        }
        while let Some(done) = pushes.join_next().await {
            rows += done??;
        }
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            eprintln!("{rows} samples, {} of {parts} parts", part + 1);
        }
    }
    println!("{rows} samples of {} series in {:.1} s", command.series, started.elapsed().as_secs_f64());
    println!("from {begin} to {end}");
    Ok(ExitCode::SUCCESS)
}

async fn send(client: &Client, url: &str, tenant: &str, body: bytes::Bytes) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let request = client.post(url).header(TENANT, tenant).header("content-encoding", "snappy");
        let request = request.header("content-type", "application/x-protobuf");
        let request = request.header("x-prometheus-remote-write-version", "0.1.0");
        let answer = request.body(body.clone()).send().await.with_context(|| format!("cannot reach {url}"))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = answer.text().await.unwrap_or_default();
        ensure!(status.as_u16() == 429 || status.is_server_error(), "{url} answered {status}: {text}");
        tokio::time::sleep(PAUSE).await;
    }
    anyhow::bail!("{url} took nothing for {:?}", PAUSE * TRIES)
}
