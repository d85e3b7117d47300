//! Where the query ends with which a tail begins: the places in all logs, and the rows that it has met: a merge may bring any of
//! them together with rows that are still to come.

use super::Seen;
use crate::kept::Kept;
use eval::source::PageIter;
use model::{LogPage, ShardId, Signal, TimeRange};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub struct Begun(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    places: BTreeMap<ShardId, u64>,
    seen: Seen,
    limit: Option<usize>,
}

impl Begun {
    /// The heads have answered with all up to these places.
    pub fn at(&self, places: impl Iterator<Item = (ShardId, u64)>) {
        self.lock().places = places.collect();
    }

    /// Notes all rows, of which the newest `limit` of each head and object were enough.
    pub fn noting<'a>(self: &std::sync::Arc<Begun>, pages: PageIter<'a>, limit: Option<usize>) -> PageIter<'a> {
        let begun = self.clone();
        begun.lock().limit = limit;
        Box::new(pages.inspect(move |page| {
            if let Ok(page) = page {
                begun.note(page);
            }
        }))
    }

    fn note(&self, page: &LogPage) {
        self.lock().seen.note(page);
    }

    /// What was noted by a query of the newest rows since `start`.
    pub fn end(&self, start: i64, kept: Kept) -> (BTreeMap<ShardId, u64>, Seen) {
        let Noted { places, mut seen, limit } = std::mem::take(&mut *self.lock());
        if let Some(limit) = limit {
            seen.keep_newest(limit);
        }
        seen.forget_before(kept.of(Signal::Logs, TimeRange::new(start, i64::MAX)).min);
        (places, seen)
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
