//! Tells Alertmanagers, each by a queue and a task of its own: `POST /api/v2/alerts`.
//!
//! A try that fails is not repeated by itself: what fires, and what was resolved lately, is told again anyway.

use crate::error::Error;
use crate::settings::AlertmanagerSettings;
use node::{Node, Stopping};
use reqwest::{Certificate, Client, Url};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use telemetry::Exposition;
use tokio::sync::Notify;

/// Alerts of one request.
const BATCH: usize = 64;
const CONNECT: Duration = Duration::from_secs(5);

/// An alert as Alertmanager reads it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub starts_at: String,
    pub ends_at: String,
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
}

/// All Alertmanagers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Notifier {
    all: Arc<Vec<Arc<Alertmanager>>>,
}

struct Alertmanager {
    settings: AlertmanagerSettings,
    url: Url,
    client: Client,
    queue: Mutex<VecDeque<Told>>,
    filled: Notify,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Notifier {
    pub fn new(settings: &[AlertmanagerSettings]) -> Result<Notifier, Error> {
        let all = settings.iter().map(|one| Alertmanager::new(one.clone()).map(Arc::new));
        Ok(Notifier { all: Arc::new(all.collect::<Result<_, _>>()?) })
    }

    /// Begins to send, until the process stops.
    pub fn start(&self, node: &Node) {
        for one in self.all.iter() {
            node.spawn(format!("ruler: {}", one.url), one.clone().run(node.stopping()));
        }
    }

    /// Every Alertmanager will be told. Where too many wait, the oldest are dropped.
    pub fn tell(&self, alerts: &[Told]) {
        for one in self.all.iter().filter(|_| !alerts.is_empty()) {
            let mut queue = one.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.extend(alerts.iter().cloned());
            let beyond = queue.len().saturating_sub(one.settings.queue);
            queue.drain(..beyond);
            one.dropped.fetch_add(beyond as u64, Ordering::Relaxed);
            one.filled.notify_one();
        }
    }

    pub fn meters(&self, out: &mut Exposition) {
        for one in self.all.iter() {
            let url = one.url.as_str();
            let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
            for (outcome, count) in [("sent", &one.sent), ("failed", &one.failed), ("dropped", &one.dropped)] {
                let labels = [("alertmanager", url), ("outcome", outcome)];
                out.counter("ouro_notifications_total", "Alerts for an Alertmanager.", &labels, load(count));
            }
            let waiting = one.queue.lock().unwrap_or_else(PoisonError::into_inner).len() as f64;
            out.gauge("ouro_notifications_waiting", "Alerts to be sent.", &[("alertmanager", url)], waiting);
        }
    }
}

impl Alertmanager {
    fn new(settings: AlertmanagerSettings) -> Result<Alertmanager, Error> {
        let bad = |why: String| Error::Alertmanager { url: settings.url.clone(), why };
        let mut url = Url::parse(&settings.url).map_err(|e| bad(e.to_string()))?;
        url.set_path(&format!("{}/api/v2/alerts", url.path().trim_end_matches('/')));
        let mut builder = Client::builder().connect_timeout(CONNECT).timeout(settings.timeout);
        if !settings.ca.as_os_str().is_empty() {
            let unread = |error| Error::Secret { path: settings.ca.clone(), error };
            let pem = std::fs::read(&settings.ca).map_err(unread)?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|e| bad(e.to_string()))?;
            builder = builder.tls_certs_only(authorities);
        } else if url.scheme() == "http" {
            // An image from scratch has no authorities, and this needs none.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|e| bad(causes(&e)))?;
        let (queue, filled) = Default::default();
        let (sent, failed, dropped) = Default::default();
        Ok(Alertmanager { settings, url, client, queue, filled, sent, failed, dropped })
    }

    async fn run(self: Arc<Self>, mut stopping: Stopping) {
        loop {
            let next: Vec<Told> = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let count = queue.len().min(BATCH);
                queue.drain(..count).collect()
            };
            if next.is_empty() {
                tokio::select! {
                    () = stopping.wait() => return,
                    () = self.filled.notified() => continue,
                }
            }
            let count = match self.send(&next).await {
                Ok(()) => &self.sent,
                Err(why) => {
                    tracing::warn!(url = %self.url, alerts = next.len(), why, "an Alertmanager was not told");
                    &self.failed
                }
            };
            count.fetch_add(next.len() as u64, Ordering::Relaxed);
        }
    }

    async fn send(&self, alerts: &[Told]) -> Result<(), String> {
        let body = serde_json::to_vec(alerts).map_err(|e| e.to_string())?;
        let mut request = self.client.post(self.url.clone()).header("content-type", "application/json").body(body);
        if !self.settings.user.is_empty() {
            // Read each time: passwords change.
            let path = &self.settings.password_file;
            let password = tokio::fs::read_to_string(path).await.map_err(|e| format!("{}: {e}", path.display()))?;
            request = request.basic_auth(&self.settings.user, Some(password.trim_end()));
        }
        let answer = request.send().await.map_err(|e| causes(&e))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = answer.text().await.unwrap_or_default();
        Err(format!("it answered {status}: {}", text.chars().take(300).collect::<String>()))
    }
}

/// The error with what is behind it: reqwest's own text says only that a request failed.
fn causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", causes(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(n: usize) -> Told {
        let labels = BTreeMap::from([("n".to_owned(), n.to_string())]);
        let (starts_at, ends_at, generator_url) = Default::default();
        Told { labels, annotations: BTreeMap::new(), starts_at, ends_at, generator_url }
    }

    #[test]
    fn queues_are_bounded_and_keep_the_newest() {
        let settings = AlertmanagerSettings { url: "http://127.0.0.1:1/".into(), queue: 3, ..Default::default() };
        let notifier = Notifier::new(&[settings.clone(), settings]).expect("settings");
        notifier.tell(&(0..5).map(told).collect::<Vec<_>>());
        for one in notifier.all.iter() {
            let queue = one.queue.lock().expect("not poisoned");
            assert_eq!(queue.iter().collect::<Vec<_>>(), [&told(2), &told(3), &told(4)]);
            assert_eq!(one.dropped.load(Ordering::Relaxed), 2);
            assert_eq!(one.url.as_str(), "http://127.0.0.1:1/api/v2/alerts");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_at_the_start() {
        for (url, ca) in [("http://", ""), ("http://h", "/nowhere/ca.crt")] {
            let settings = AlertmanagerSettings { url: url.into(), ca: ca.into(), ..Default::default() };
            assert!(Notifier::new(&[settings]).is_err(), "{url} {ca}");
        }
    }
}
