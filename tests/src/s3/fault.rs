//! Which requests fail, and how.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// 503 `SlowDown`: the request was not looked at.
    SlowDown,
    /// 503 `ServiceUnavailable`: the request was not looked at.
    Unavailable,
    /// 500 `InternalError`: the request was not looked at.
    Internal,
    /// Answers after this time, correctly.
    Latency(Duration),
    /// Never does anything and never answers.
    Hang,
    /// Does what is asked, and never answers.
    DoneThenHang,
    /// Does what is asked, and answers by 500 `InternalError`.
    DoneThenInternal,
    /// Does what is asked, and cuts the connection before the answer.
    DoneThenCut,
    /// Cuts the connection after this many bytes of the answer's body, whose length is stated correctly.
    Truncate(usize),
}

/// A fault for some requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    fault: Fault,
    /// `None` fits all.
    method: Option<String>,
    /// What the path and query must contain.
    contains: String,
    /// How many fitting requests to let through first.
    skip: u32,
    /// How many requests to spoil after that; `None` is all.
    times: Option<u32>,
}

/// A request as it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub method: String,
    /// Bucket and key, percent-encoded as they came: `/ouro/a/b`.
    pub path: String,
    pub query: String,
    /// The `Range` header, or nothing.
    pub range: String,
}

impl Rule {
    /// A fault for all requests with a method.
    pub fn on(method: &str, fault: Fault) -> Rule {
        Rule { method: Some(method.to_owned()), ..Rule::always(fault) }
    }

    pub fn always(fault: Fault) -> Rule {
        Rule { fault, method: None, contains: String::new(), skip: 0, times: None }
    }

    /// Only requests whose path and query contain `text`, for instance `uploadId=`.
    pub fn where_contains(mut self, text: &str) -> Rule {
        self.contains = text.to_owned();
        self
    }

    /// Only after this many fitting requests.
    pub fn after(mut self, requests: u32) -> Rule {
        self.skip = requests;
        self
    }

    /// Only this many times.
    pub fn times(mut self, times: u32) -> Rule {
        self.times = Some(times);
        self
    }

    fn fits(&self, request: &Request) -> bool {
        let place = format!("{}?{}", request.path, request.query);
        self.method.as_ref().is_none_or(|method| *method == request.method) && place.contains(&self.contains)
    }
}

/// The faults of one server.
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    away: watch::Sender<bool>,
    requests: Mutex<Vec<Request>>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { rules: Mutex::default(), away: watch::Sender::new(false), requests: Mutex::default() }
    }
}

impl Faults {
    pub fn inject(&self, rule: Rule) {
        lock(&self.rules).push(rule);
    }

    pub fn heal(&self) {
        lock(&self.rules).clear();
        self.set_away(false);
    }

    pub fn set_away(&self, away: bool) {
        self.away.send_replace(away);
    }

    pub fn away(&self) -> watch::Receiver<bool> {
        self.away.subscribe()
    }

    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.requests))
    }

    /// Notes the request and says how it fails, if it does.
    pub fn meet(&self, request: Request) -> Option<Fault> {
        let fault = self.fault(&request);
        lock(&self.requests).push(request);
        fault
    }

    fn fault(&self, request: &Request) -> Option<Fault> {
        let mut rules = lock(&self.rules);
        for rule in rules.iter_mut().filter(|rule| rule.fits(request)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            match &mut rule.times {
                Some(0) => continue,
                Some(times) => *times -= 1,
                None => {}
            }
            return Some(rule.fault);
        }
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
