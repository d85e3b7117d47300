//! Pushes one body until there is a definite answer.

use crate::args::Reading;
use crate::corpus::Body;
use crate::meter::Meter;
use crate::state::Outcome;
use crate::urls::Urls;
use anyhow::Context;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The name of the header that says whose rows they are.
pub const TENANT: &str = "x-scope-orgid";

pub const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub const LONGEST_PAUSE: Duration = Duration::from_secs(5);
pub const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// Pushes bodies to the target.
pub struct Sender {
    pub client: Client,
    pub urls: Urls,
    pub path: &'static str,
    pub headers: HeaderMap,
    pub meter: Arc<Meter>,
    pub in_flight: Semaphore,
    pub give_up: Duration,
    /// Whether the target must say how many samples it wrote (remote write 2.0).
    pub counted: bool,
}

/// One try.
enum Try {
    Done(Outcome),
    Again { pause: Option<Duration>, certain: bool },
}

impl Sender {
    /// Sends the same bytes again, as agents do, while the target is away, busy or refuses for the moment.
    pub async fn send(&self, tenant: &HeaderValue, body: &Body) -> Outcome {
        let (mut first_failure, mut pause, mut all_certain) = (None, FIRST_PAUSE, true);
        let outcome = loop {
            let (asked, certain) = match self.attempt(tenant, body).await {
                Try::Done(outcome) => break outcome,
                Try::Again { pause, certain } => (pause, certain),
            };
            if first_failure.is_none() {
                self.meter.waiting.fetch_add(1, Relaxed);
            }
            all_certain &= certain;
            let since = first_failure.get_or_insert_with(Instant::now).elapsed();
            let next = asked.unwrap_or(pause).clamp(SHORTEST_PAUSE, LONGEST_ASKED);
            if since + next > self.give_up {
                self.meter.failed("given up", &format!("after {} s", since.as_secs()));
                break if all_certain { Outcome::Refused } else { Outcome::Maybe };
            }
            tokio::time::sleep(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        if first_failure.is_some() {
            self.meter.waiting.fetch_sub(1, Relaxed);
        }
        match outcome {
            // A try without an answer may have left rows behind, whatever was said to a later one.
            Outcome::Refused if !all_certain => Outcome::Maybe,
            outcome => outcome,
        }
    }

    async fn attempt(&self, tenant: &HeaderValue, body: &Body) -> Try {
        let Ok(_permit) = self.in_flight.acquire().await else { return Try::Done(Outcome::Refused) };
        let url = format!("{}{}", self.urls.next(), self.path);
        let request = self.client.post(url).headers(self.headers.clone()).header(TENANT, tenant.clone());
        let start = Instant::now();
        match request.body(body.payload.clone()).send().await {
            Ok(response) if response.status().is_success() => self.accepted(response, body, start).await,
            Ok(response) => self.refused(response).await,
            Err(error) => {
                self.meter.failed(failure_kind(&error), &chain(&error));
                // Nobody who can't be reached has stored anything.
                Try::Again { pause: None, certain: error.is_connect() }
            }
        }
    }

    async fn accepted(&self, response: Response, body: &Body, start: Instant) -> Try {
        let written = response.headers().get("x-prometheus-remote-write-samples-written").cloned();
        if let Err(error) = response.bytes().await {
            self.meter.failed(failure_kind(&error), &chain(&error));
            return Try::Again { pause: None, certain: false };
        }
        self.meter.pushed(body.rows, body.raw_len, body.payload.len(), start.elapsed());
        let written = written.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        match written.as_deref().map(str::parse::<u32>) {
            Some(Ok(written)) if written == body.rows => Try::Done(Outcome::Acked),
            None if !self.counted => Try::Done(Outcome::Acked),
            _ => {
                let said = written.unwrap_or_else(|| "nothing".into());
                self.meter.failed("samples written", &format!("sent {}, the answer says {said}", body.rows));
                Try::Done(if said == "nothing" { Outcome::Acked } else { Outcome::Maybe })
            }
        }
    }

    async fn refused(&self, response: Response) -> Try {
        let status = response.status();
        let pause = retry_after(response.headers());
        let text = response.text().await.unwrap_or_default();
        self.meter.failed(&status.as_u16().to_string(), &text);
        match status {
            StatusCode::TOO_MANY_REQUESTS => Try::Again { pause, certain: true },
            status if status.is_server_error() => Try::Again { pause, certain: false },
            // The good rows of such a push may have been stored.
            StatusCode::BAD_REQUEST => Try::Done(Outcome::Maybe),
            _ => Try::Done(Outcome::Refused),
        }
    }
}

/// What the target asks for, in whole seconds.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get("retry-after")?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A client with the certificates and headers of the command line.
pub fn client(reading: &Reading, timeout: Duration) -> anyhow::Result<Client> {
    let mut headers = HeaderMap::new();
    for header in &reading.headers {
        let (name, value) = header.split_once(':').with_context(|| format!("header {header:?} has no colon"))?;
        headers.append(name.trim().parse::<HeaderName>()?, value.trim().parse()?);
    }
    let mut builder = Client::builder().default_headers(headers).timeout(timeout).connect_timeout(timeout);
    if let Some(path) = &reading.ca {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?);
    }
    Ok(builder.build()?)
}

/// Names what went wrong on the way.
pub fn failure_kind(error: &reqwest::Error) -> &'static str {
    match error {
        error if error.is_timeout() => "time-out",
        error if error.is_connect() => "cannot connect",
        _ => "connection lost",
    }
}

/// An error and its causes, without the URL.
pub fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(if text.is_empty() { "" } else { ": " });
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}
