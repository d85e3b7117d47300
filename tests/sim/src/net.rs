//! The network: who can reach whom, what gets lost on the way, comes late or comes twice.

use crate::chance::Chance;
use crate::trace::Trace;
use bytes::Bytes;
use cluster::Membership;
use consensus::{Host, Transport};
use http_body_util::BodyExt;
use node::Gate;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;
use transport::{Link, link};

/// How long it takes until a connection over which nothing comes is given up.
const SILENCE: Duration = Duration::from_secs(4);

/// Cheap to clone.
#[derive(Clone)]
pub struct Net {
    pub chance: Chance,
    pub trace: Trace,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Processes that run, by their address.
    ends: BTreeMap<String, End>,
    /// Pairs of which the second hears nothing of the first.
    cut: BTreeSet<(String, String)>,
    weather: Weather,
}

/// How well the network does, in thousandths and milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub lost: u64,
    pub twice: u64,
    pub late: u64,
    /// The longest that something is on its way which is not late.
    pub delay: u64,
}

impl Default for Weather {
    fn default() -> Weather {
        Weather { lost: 0, twice: 0, late: 0, delay: 3 }
    }
}

/// A process that others can reach.
#[derive(Clone)]
pub struct End {
    pub id: u64,
    pub membership: Membership,
    pub services: Option<(Host, Routes)>,
    pub gate: Gate,
    /// Says when it is gone.
    pub gone: watch::Receiver<bool>,
}

impl Net {
    pub fn new(chance: Chance, trace: Trace) -> Net {
        Net { chance, trace, state: Arc::default() }
    }

    pub fn open(&self, address: &str, end: End) {
        self.lock().ends.insert(address.to_owned(), end);
    }

    pub fn close(&self, address: &str) {
        self.lock().ends.remove(address);
    }

    pub fn cut(&self, from: &str, to: &str) {
        self.lock().cut.insert((from.to_owned(), to.to_owned()));
    }

    pub fn heal(&self) {
        self.lock().cut.clear();
    }

    pub fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// What becomes of a packet: how long it takes, if it arrives.
    fn fate(&self, from: &str, to: &str) -> Option<Duration> {
        let (cut, weather) = {
            let state = self.lock();
            (state.cut.contains(&(from.to_owned(), to.to_owned())), state.weather)
        };
        if cut || self.chance.happens(weather.lost) {
            self.trace.count(if cut { "packets cut off" } else { "packets lost" }, 0);
            return None;
        }
        let late = self.chance.happens(weather.late);
        if late {
            self.trace.count("packets late", 0);
        }
        Some(self.chance.pause(if late { 20..3000 } else { 0..weather.delay + 1 }))
    }

    fn end(&self, address: &str) -> Option<End> {
        self.lock().ends.get(address).cloned()
    }

    /// Where a node of Raft is, while it runs.
    fn address(&self, id: u64) -> Option<String> {
        self.lock().ends.iter().find(|(_, end)| end.id == id).map(|(address, _)| address.clone())
    }

    /// Has a packet arrive, some time, once or twice.
    fn send(&self, from: &str, to: &str, size: usize, arrive: impl Fn(&End) + Send + Sync + 'static) {
        let arrive = Arc::new(arrive);
        let twice = self.chance.happens(self.lock().weather.twice);
        if twice {
            self.trace.count("packets twice", 0);
        }
        for _ in 0..if twice { 2 } else { 1 } {
            self.trace.count("packets", size as u64);
            let Some(delay) = self.fate(from, to) else { continue };
            let (net, to, arrive) = (self.clone(), to.to_owned(), arrive.clone());
            tokio::spawn(async move {
                sleep(delay).await;
                let Some(end) = net.end(&to) else { return };
                end.gate.through(std::future::ready(())).await;
                arrive(&end);
            });
        }
    }

    /// A packet of the gossip.
    pub fn tell(&self, from: &str, to: &str, packet: Bytes) {
        let size = packet.len();
        self.send(from, to, size, move |end| end.membership.receive(packet.clone()));
    }

    /// The way of requests from one process to another.
    pub fn link(&self, from: &str, to: &str) -> Link {
        let (net, from, to) = (self.clone(), from.to_owned(), to.to_owned());
        link::in_memory(tower::service_fn(move |request| {
            let (net, from, to) = (net.clone(), from.clone(), to.clone());
            async move { net.request(&from, &to, request).await }
        }))
    }

    async fn request(&self, from: &str, to: &str, request: http::Request<Body>) -> io::Result<http::Response<Body>> {
        self.trace.count("requests", 0);
        let Some(delay) = self.fate(from, to) else { return self.silence("the request").await };
        sleep(delay).await;
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, format!("nobody is at {to}"));
        let end = self.end(to).ok_or_else(refused)?;
        let (_, services) = end.services.ok_or_else(refused)?;
        let mut gone = end.gone;
        // The answer is whole before it leaves, so that a process which dies meanwhile gives none.
        let call = end.gate.through(async move {
            let (head, body) = services.oneshot(request).await.map_err(io::Error::other)?.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(http::Response::from_parts(head, Body::new(body)))
        });
        let answer = tokio::select! {
            biased;
            _ = gone.wait_for(|gone| *gone) => return Err(io::ErrorKind::ConnectionReset.into()),
            answer = call => answer?,
        };
        let Some(delay) = self.fate(to, from) else { return self.silence("the answer").await };
        sleep(delay).await;
        Ok(answer)
    }

    async fn silence<T>(&self, what: &str) -> io::Result<T> {
        sleep(SILENCE).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} did not arrive")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries Raft's messages of one node.
pub struct Wire {
    pub net: Net,
    pub id: consensus::Node,
    pub address: String,
}

impl Transport for Wire {
    fn send(&self, to: consensus::Node, messages: Bytes) {
        let Some(address) = self.net.address(to.0) else { return };
        let (from, size) = (self.id, messages.len());
        self.net.send(&self.address, &address, size, move |end| {
            if let Some((host, _)) = end.services.as_ref().filter(|_| end.id == to.0) {
                host.receive(from, messages.clone());
            }
        });
    }
}
