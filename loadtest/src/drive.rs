//! Runs the lanes: paces them, shows how it goes, and lets them finish what they have begun.

use crate::args::{Load, Reading};
use crate::corpus::{Corpus, Place, Workload};
use crate::meter::Meter;
use crate::report::Report;
use crate::send::{Sender, client};
use crate::state::LaneState;
use crate::urls::Urls;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A lane that is this far behind its pace lets the lost pushes be.
const MOST_BEHIND: Duration = Duration::from_secs(5);

/// Pushes until the time is over or somebody interrupts, then waits for what is under way.
pub async fn drive(
    corpus: Arc<Corpus>,
    workload: &Workload,
    load: &Load,
    reading: &Reading,
) -> anyhow::Result<(Report, Vec<LaneState>)> {
    let meter = Arc::new(Meter::default());
    let mut headers = HeaderMap::new();
    for (name, value) in corpus.headers() {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let sender = Arc::new(Sender {
        client: client(reading, load.timeout)?,
        urls: Urls::new(&reading.push, reading.target.as_ref(), "--push")?,
        path: corpus.path(),
        headers,
        meter: Arc::clone(&meter),
        in_flight: Semaphore::new(load.in_flight as usize),
        give_up: reading.give_up,
        counted: matches!(&*corpus, Corpus::Metrics(metrics) if metrics.rw2()),
    });
    let (stop, stopped) = watch::channel(false);
    let start = Instant::now();
    let mut lanes = JoinSet::new();
    for tenant in 0..workload.tenants {
        let header = HeaderValue::from_str(&workload.tenant(tenant))?;
        for number in 0..corpus.lanes() {
            let lane = Lane {
                corpus: Arc::clone(&corpus),
                sender: Arc::clone(&sender),
                tenant: header.clone(),
                state: LaneState::new(tenant, number),
                pace: pace(&corpus, workload, load, tenant, number),
            };
            lanes.spawn(lane.run(stopped.clone()));
        }
    }
    let progress = tokio::spawn(show(Arc::clone(&meter), load.period, stopped));
    let period = tokio::time::sleep(load.period);
    tokio::select! {
        () = period => {}
        _ = tokio::signal::ctrl_c() => eprintln!("interrupted: waiting for pushes under way, once more to leave them"),
    }
    stop.send_replace(true);
    let elapsed = start.elapsed();
    let in_time = (meter.rows.load(Relaxed), meter.raw_bytes.load(Relaxed));
    let mut states = Vec::new();
    loop {
        tokio::select! {
            joined = lanes.join_next() => match joined {
                Some(state) => states.push(state?),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted before all pushes had an answer"),
        }
    }
    progress.abort();
    states.sort_by_key(|state| (state.tenant, state.lane));
    Ok((Report::new(corpus.path(), &sender.urls.text(), elapsed, in_time, &meter), states))
}

/// The time between two pushes of a lane, and when its first one is due; `None` with --max.
fn pace(corpus: &Corpus, workload: &Workload, load: &Load, tenant: u32, lane: u32) -> Option<(Duration, Duration)> {
    let all: u64 = (0..corpus.lanes()).map(|lane| u64::from(corpus.rows(lane))).sum();
    let interval = (all * u64::from(workload.tenants)) as f64 / load.rate;
    // Spread over the interval, so that the load is even.
    let place = f64::from(tenant * corpus.lanes() + lane) / f64::from(workload.tenants * corpus.lanes());
    let seconds = |seconds: f64| Duration::from_secs_f64(seconds.min(1e9));
    (!load.max).then(|| (seconds(interval), seconds(interval * place)))
}

struct Lane {
    corpus: Arc<Corpus>,
    sender: Arc<Sender>,
    tenant: HeaderValue,
    state: LaneState,
    pace: Option<(Duration, Duration)>,
}

impl Lane {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> LaneState {
        let mut due = Instant::now() + self.pace.map_or(Duration::ZERO, |(_, first)| first);
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return self.state,
                () = tokio::time::sleep_until(due), if self.pace.is_some() => {}
                () = std::future::ready(()), if self.pace.is_none() => {}
            }
            self.push().await;
            let Some((interval, _)) = self.pace else {
                tokio::task::yield_now().await;
                continue;
            };
            due += interval;
            if due.elapsed() > MOST_BEHIND {
                due = Instant::now();
            }
        }
    }

    async fn push(&mut self) {
        let number = self.state.bases.len() as u32;
        let place = Place { tenant: self.state.tenant, lane: self.state.lane, number };
        let base = self.corpus.base(now(), self.state.bases.last().copied());
        let body = self.corpus.body(place, base);
        let outcome = self.sender.send(&self.tenant, &body).await;
        self.state.push(base, outcome);
    }
}

/// Unix ns.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Shows rows/s, MB/s, errors and what it waits for, four times a second on a terminal and every 10 s in a log.
async fn show(meter: Arc<Meter>, period: Duration, stopped: watch::Receiver<bool>) {
    let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let every = if bar.is_hidden() { Duration::from_secs(10) } else { Duration::from_millis(250) };
    let (start, mut last, mut before) = (Instant::now(), Instant::now(), (0u64, 0u64));
    loop {
        tokio::time::sleep(every).await;
        let now = (meter.rows.load(Relaxed), meter.raw_bytes.load(Relaxed));
        let seconds = last.elapsed().as_secs_f64();
        let rates = ((now.0 - before.0) as f64 / seconds, (now.1 - before.1) as f64 / seconds / 1e6);
        let errors: u64 = meter.errors().values().map(|error| error.count).sum();
        let waiting = match meter.waiting.load(Relaxed) {
            0 => String::new(),
            lanes => format!(", {lanes} lanes wait for the target"),
        };
        let phase = match *stopped.borrow() {
            true => "finishing what is under way".to_owned(),
            false => format!("{} of {} s", start.elapsed().as_secs(), period.as_secs()),
        };
        let text =
            format!("{:.0} rows/s, {:.1} MB/s, {} rows, {errors} errors{waiting}; {phase}", rates.0, rates.1, now.0);
        if bar.is_hidden() {
            eprintln!("{text}")
        } else {
            bar.set_message(text)
        }
        (last, before) = (Instant::now(), now);
    }
}
