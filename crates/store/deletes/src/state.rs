//! All requests, by tenant.

use crate::command::{Command, Reply};
use crate::request::{Progress, Request};
use model::{Signal, TenantId, TimeRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of a request's selector.
pub const MAX_QUERY: usize = 2048;
/// Open requests of a tenant: every query of the tenant looks at them.
pub const MAX_OPEN: usize = 100;
/// Processed ones that are still listed; older ones go.
const MAX_DONE: usize = 100;
/// Requests of all tenants, open or not: a few megabytes, which every reader of the catalog fetches.
const MAX_ALL: usize = 2000;

/// Clones share the requests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Deletes {
    /// The catalog's version of the last change.
    changed: u64,
    /// Oldest first.
    tenants: BTreeMap<TenantId, Vec<Arc<Request>>>,
}

impl Deletes {
    /// The catalog's version of the last change: who knows less may show rows that should be hidden.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// A tenant's requests, oldest first.
    pub fn of(&self, tenant: &TenantId) -> &[Arc<Request>] {
        self.tenants.get(tenant).map_or(&[], Vec::as_slice)
    }

    /// All requests that are not processed.
    pub fn open(&self) -> impl Iterator<Item = (&TenantId, &Arc<Request>)> {
        let all = self.tenants.iter().flat_map(|(tenant, own)| own.iter().map(move |request| (tenant, request)));
        all.filter(|(_, request)| request.is_open())
    }

    /// What a reader must hide who asked a head when the catalog had the version `asked`: a request may be processed
    /// since, and the head's answer still has its rows.
    pub fn hiding<'a>(
        &'a self,
        tenant: &TenantId,
        signal: Signal,
        range: TimeRange,
        asked: u64,
    ) -> impl Iterator<Item = &'a Arc<Request>> {
        self.of(tenant).iter().filter(move |request| {
            let hides = match request.progress {
                Progress::Received | Progress::Begun => true,
                Progress::Processed(version) => asked < version,
            };
            hides && request.signal == signal && request.range().overlaps(range)
        })
    }

    /// Applies a command; `version` is that of the catalog if this changes it.
    pub fn apply(&mut self, command: Command, version: u64) -> Reply {
        let reply = match command {
            Command::Ask { tenant, signal, query, start, end, created } => {
                let progress = Progress::Received;
                self.ask(tenant, Request { version, signal, query, start, end, created, progress })
            }
            Command::Cancel { tenant, signal, request, force } => self.cancel(&tenant, signal, request, force),
            Command::Finish { done } => {
                for (tenant, request) in done {
                    self.step(&tenant, request, Progress::Processed(version));
                    self.forget_done(&tenant);
                }
                Reply::Done
            }
        };
        let is_new = match &reply {
            Reply::Taken { request } => request.version == version,
            other => *other == Reply::Done,
        };
        if is_new {
            self.changed = version;
        }
        reply
    }

    fn ask(&mut self, tenant: TenantId, asked: Request) -> Reply {
        if asked.query.len() > MAX_QUERY {
            return Reply::Refused { why: format!("a delete request's selector has at most {MAX_QUERY} bytes") };
        }
        if asked.end < asked.start {
            return Reply::Refused { why: "a delete request ends before it begins".into() };
        }
        let own = self.of(&tenant);
        let is_same = |other: &&Arc<Request>| {
            let of = |r: &Request| (r.signal, r.start, r.end);
            other.is_open() && of(other) == of(&asked) && other.query == asked.query
        };
        if let Some(same) = own.iter().find(is_same) {
            return Reply::Taken { request: same.clone() };
        }
        let open = own.iter().filter(|request| request.is_open()).count();
        if open >= MAX_OPEN {
            return Reply::Full { open: open as u64, limit: MAX_OPEN as u64 };
        }
        if self.tenants.values().map(Vec::len).sum::<usize>() >= MAX_ALL && !self.forget_oldest() {
            return Reply::Refused { why: format!("{MAX_ALL} delete requests are open, which is the limit") };
        }
        let request = Arc::new(asked);
        self.tenants.entry(tenant).or_default().push(request.clone());
        Reply::Taken { request }
    }

    fn cancel(&mut self, tenant: &TenantId, signal: Signal, version: u64, force: bool) -> Reply {
        let Some(own) = self.tenants.get_mut(tenant) else { return Reply::Unknown };
        let Some(at) = own.iter().position(|r| r.version == version && r.signal == signal) else {
            return Reply::Unknown;
        };
        match own[at].progress {
            Progress::Processed(_) => return Reply::Processed,
            Progress::Begun if !force => return Reply::Begun,
            Progress::Begun | Progress::Received => drop(own.remove(at)),
        }
        if own.is_empty() {
            self.tenants.remove(tenant);
        }
        Reply::Done
    }

    /// Whether all of these can still be rewritten for.
    pub fn are_open(&self, requests: &[(TenantId, u64)]) -> bool {
        let is_open = |(tenant, version): &(TenantId, u64)| {
            self.of(tenant).iter().any(|request| request.version == *version && request.is_open())
        };
        requests.iter().all(is_open)
    }

    /// Something was rewritten without the rows of these.
    pub fn begin(&mut self, requests: &[(TenantId, u64)], version: u64) {
        for (tenant, request) in requests {
            if self.step(tenant, *request, Progress::Begun) {
                self.changed = version;
            }
        }
    }

    /// Whether it was not so far yet.
    fn step(&mut self, tenant: &TenantId, version: u64, progress: Progress) -> bool {
        let own = self.tenants.get_mut(tenant).map_or(&mut [][..], Vec::as_mut_slice);
        let found = own.iter_mut().find(|r| r.version == version && r.is_open() && r.progress != progress);
        found.map(|request| Arc::make_mut(request).progress = progress).is_some()
    }

    /// Makes room for another one; false if all are open.
    fn forget_oldest(&mut self) -> bool {
        let done = self.tenants.values().flatten().filter(|request| !request.is_open());
        let Some(oldest) = done.map(|request| request.version).min() else { return false };
        self.tenants.values_mut().for_each(|own| own.retain(|request| request.version != oldest));
        self.tenants.retain(|_, own| !own.is_empty());
        true
    }

    fn forget_done(&mut self, tenant: &TenantId) {
        let Some(own) = self.tenants.get_mut(tenant) else { return };
        let mut over = own.iter().filter(|request| !request.is_open()).count().saturating_sub(MAX_DONE);
        own.retain(|request| {
            let goes = over > 0 && !request.is_open();
            over -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests;
