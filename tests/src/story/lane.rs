//! Those who push without end, and those who count what is there.

use super::pulse::Pulse;
use crate::client::Client;
use crate::doors::Doors;
use crate::ledger::{Ledger, Push, Sender};
use model::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How long an agent waits before it sends again what failed.
const AGAIN: Duration = Duration::from_millis(100);

/// A tenant, and how many rows of each signal were sent and acked so far.
pub struct Tenant {
    sender: Sender,
    name: String,
    sent: [AtomicUsize; 2],
    acked: [AtomicUsize; 2],
}

impl Tenant {
    pub fn new(name: &str) -> Tenant {
        Tenant { sender: Sender::new(name), name: name.to_owned(), sent: Default::default(), acked: Default::default() }
    }
}

fn at(signal: Signal) -> usize {
    match signal {
        Signal::Logs => 0,
        Signal::Metrics => 1,
    }
}

pub struct Sending {
    pub tenant: Arc<Tenant>,
    pub lane: usize,
    pub doors: Doors,
    pub pace: Duration,
}

impl Sending {
    /// Sends one push after the other, each until it is acked, as agents do.
    pub async fn run(self, pulse: Arc<Pulse>, stop: Arc<AtomicBool>) -> Ledger {
        let mut book = Ledger::default();
        while !stop.load(SeqCst) {
            let push = self.tenant.sender.push();
            let n = usize::from(!push.is_logs());
            self.tenant.sent[n].fetch_add(push.rows.len(), SeqCst);
            while !self.send(&push, &mut book, &pulse).await {
                if stop.load(SeqCst) {
                    return book;
                }
                tokio::time::sleep(AGAIN).await;
            }
            self.tenant.acked[n].fetch_add(push.rows.len(), SeqCst);
            tokio::time::sleep(self.pace).await;
        }
        book
    }

    async fn send(&self, push: &Push, book: &mut Ledger, pulse: &Pulse) -> bool {
        let begun = Instant::now();
        let Some((door, client)) = self.doors.pick() else {
            pulse.push_failed("no distributor is ready".to_owned());
            return false;
        };
        match push.send(client).await {
            Ok(answer) if answer.status == 204 => {
                book.acked(push);
                pulse.acked(self.lane, begun);
                return true;
            }
            Ok(answer) if answer.status >= 500 || answer.status == 429 => {
                pulse.push_failed(format!("{door}: {}: {}", answer.status, answer.text));
            }
            Ok(answer) => pulse.untrue(format!("{door} refused a good push: {}: {}", answer.status, answer.text)),
            Err(gone) => pulse.push_failed(format!("{door}: {gone:?}")),
        }
        book.unsure(push);
        false
    }
}

pub struct Reading {
    pub tenants: Vec<Arc<Tenant>>,
    pub signal: Signal,
    pub doors: Doors,
    pub pace: Duration,
    /// Success and failure count, not only the truth.
    pub measured: bool,
}

impl Reading {
    /// Counts the rows of one tenant after the other. An answer that says of itself that it is whole has all that were
    /// acked when it was asked for, and none twice.
    pub async fn run(self, pulse: Arc<Pulse>, stop: Arc<AtomicBool>) {
        for tenant in self.tenants.iter().cycle() {
            if stop.load(SeqCst) {
                return;
            }
            let begun = Instant::now();
            let failed = match self.doors.pick() {
                None => Some("no querier is ready".to_owned()),
                Some((door, client)) => self.read(tenant, client, door, &pulse).await.err(),
            };
            match failed {
                None if self.measured => pulse.read(at(self.signal), begun),
                Some(why) if self.measured => pulse.query_failed(why),
                _ => {}
            }
            tokio::time::sleep(self.pace).await;
        }
    }

    async fn read(&self, tenant: &Tenant, client: &Client, door: &str, pulse: &Pulse) -> Result<(), String> {
        match self.count(client, tenant, false).await {
            Ok(Count { untrue: None, .. }) => Ok(()),
            Ok(Count { untrue: Some(why), .. }) => {
                let again = self.look_again(client, tenant).await;
                pulse.untrue(format!("{door}: {why}; then {again:?}"));
                Ok(())
            }
            Err(why) => {
                // Who wants what is there gets that, or is told what it lacks.
                if let Ok(Count { untrue: Some(why), partial: false }) = self.count(client, tenant, true).await {
                    pulse.untrue(format!("{door}, where an answer may be partial: {why}"));
                }
                tokio::time::sleep(AGAIN).await;
                Err(format!("{door}: {why}"))
            }
        }
    }

    /// Whether what was wrong stays so.
    async fn look_again(&self, client: &Client, tenant: &Tenant) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..3 {
            tokio::time::sleep(AGAIN).await;
            seen.push(match self.count(client, tenant, false).await {
                Ok(Count { untrue, .. }) => untrue.unwrap_or_else(|| "well".to_owned()),
                Err(why) => why,
            });
        }
        seen
    }

    /// Errors are of requests that may be made again.
    async fn count(&self, client: &Client, tenant: &Tenant, may_be_partial: bool) -> Result<Count, String> {
        let (path, query) = match self.signal {
            Signal::Logs => ("/loki/api/v1/query", "sum(count_over_time({job=\"story\"}[2h]))"),
            Signal::Metrics => ("/prometheus/api/v1/query", "sum(count_over_time(story_value{job=\"story\"}[2h]))"),
        };
        let acked = tenant.acked[at(self.signal)].load(SeqCst);
        let parameters = [("query", query), ("partial_response", if may_be_partial { "true" } else { "false" })];
        let answer = client.ask(&tenant.name, path, &parameters).await.map_err(|gone| format!("{gone:?}"))?;
        let sent = tenant.sent[at(self.signal)].load(SeqCst);
        let (name, text) = (&tenant.name, &answer.text);
        match answer.status {
            200 => {}
            429 | 500.. => return Err(format!("{}: {text}", answer.status)),
            status => {
                let untrue = Some(format!("a good query is answered by {status}: {text}"));
                return Ok(Count { untrue, partial: false });
            }
        }
        let json: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        let result = json["data"]["result"].as_array().ok_or_else(|| format!("no result: {text}"))?;
        let count = match result.first() {
            None => 0,
            Some(one) => {
                one["value"][1].as_str().and_then(|n| n.parse().ok()).ok_or_else(|| format!("no count: {text}"))?
            }
        };
        let wrong = !(acked..=sent).contains(&count);
        let signal = self.signal;
        let untrue =
            wrong.then(|| format!("{name} has {count} rows of {signal}, {acked} were acked and {sent} sent: {text}"));
        Ok(Count { untrue, partial: json["warnings"].as_array().is_some_and(|texts| !texts.is_empty()) })
    }
}

struct Count {
    /// What is wrong with the answer.
    untrue: Option<String>,
    /// The answer says that it lacks something.
    partial: bool,
}
