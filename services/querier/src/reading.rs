//! What one query reads, what it holds of that, and whether anybody still waits for it.

use crate::error::QueryError;
use block::Sections;
use bytes::Bytes;
use model::{ByteSize, Reason};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often a query that waits for others asks whether it should end.
const LOOK: Duration = Duration::from_millis(100);

/// Shared by all that reads for one query.
pub struct Reading {
    limit: ByteSize,
    used: AtomicU64,
    /// The most bytes that it may read, and how many it has.
    most: ByteSize,
    read: AtomicU64,
    cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Reading {
    /// For a query that may hold `limit` bytes and read `most`.
    pub fn new(limit: ByteSize, most: ByteSize, cancelled: Arc<dyn Fn() -> bool + Send + Sync>) -> Arc<Reading> {
        Arc::new(Reading { limit, used: AtomicU64::new(0), most, read: AtomicU64::new(0), cancelled })
    }

    /// The most bytes that may be held.
    pub fn limit(&self) -> u64 {
        self.limit.0
    }

    /// The bytes that are held now.
    #[cfg(test)]
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// The bytes that were read.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// The bytes that may still be read.
    pub fn left(&self) -> u64 {
        self.most.0.saturating_sub(self.read())
    }

    /// Bytes were read, here or by others for this query.
    pub fn count(&self, bytes: u64) {
        self.read.fetch_add(bytes, Relaxed);
    }

    /// An error once the query should end.
    pub fn check(&self) -> Result<(), QueryError> {
        if (self.cancelled)() {
            return Err(QueryError::new(Reason::Timeout, "the query was cancelled or took longer than its deadline"));
        }
        if self.read() > self.most.0 {
            let text = format!(
                "the query reads more than {} of segments, blocks and recent lines (limits.query_bytes): narrow its selectors or \
                 its time range",
                self.most
            );
            return Err(QueryError::new(Reason::Unprocessable, text));
        }
        Ok(())
    }

    /// Counts what is read of a part for this query.
    pub fn of(self: &Arc<Reading>, sections: Arc<dyn Sections>) -> Arc<dyn Sections> {
        Arc::new(Counted { sections, reading: self.clone() })
    }

    /// Waits for others, and ends once the query should.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(LOOK) => self.check()?,
            }
        }
    }

    /// Takes bytes that are held until the query ends.
    pub fn keep(&self, bytes: usize) -> Result<(), QueryError> {
        let used = self.used.fetch_add(bytes as u64, Relaxed).saturating_add(bytes as u64);
        if used <= self.limit.0 {
            return Ok(());
        }
        self.used.fetch_sub(bytes as u64, Relaxed);
        let text = format!(
            "the query holds more than {} of recent rows, labels and pages (limits.query_memory): narrow its selectors or its time \
             range",
            self.limit
        );
        Err(QueryError::new(Reason::Unprocessable, text))
    }

    /// For bytes that are given back earlier.
    pub fn charge(self: &Arc<Reading>) -> Charge {
        Charge { reading: self.clone(), bytes: 0 }
    }

    /// Ends with an error at the first item after the query was cancelled: nothing more is read then.
    pub fn watched<'a, T, E: From<QueryError> + 'a>(
        &'a self,
        mut items: impl Iterator<Item = Result<T, E>> + 'a,
    ) -> impl Iterator<Item = Result<T, E>> + 'a {
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            match self.check() {
                Ok(()) => items.next(),
                Err(error) => {
                    ended = true;
                    Some(Err(error.into()))
                }
            }
        })
    }
}

struct Counted {
    sections: Arc<dyn Sections>,
    reading: Arc<Reading>,
}

impl Sections for Counted {
    fn read(&self, kind: u8, range: Range<u64>) -> Result<Bytes, block::Error> {
        self.reading.count(range.end.saturating_sub(range.start));
        self.sections.read(kind, range)
    }

    fn len(&self, kind: u8) -> Option<u64> {
        self.sections.len(kind)
    }

    fn stride(&self) -> u64 {
        self.sections.stride()
    }
}

/// Bytes that are held as long as this lives.
pub struct Charge {
    reading: Arc<Reading>,
    bytes: u64,
}

impl Charge {
    pub fn add(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.reading.keep(bytes)?;
        self.bytes += bytes as u64;
        Ok(())
    }

    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// For other bytes of the same query.
    pub fn another(&self) -> Charge {
        self.reading.charge()
    }

    /// Holds so many bytes from now on, more or less than before.
    pub fn set(&mut self, bytes: usize) -> Result<(), QueryError> {
        let less = self.bytes.saturating_sub(bytes as u64);
        self.bytes -= less;
        self.reading.used.fetch_sub(less, Relaxed);
        self.add(bytes.saturating_sub(self.bytes as usize))
    }

    /// Gives all of it back.
    pub fn release(&mut self) {
        self.reading.used.fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
    }

    /// Is held as long as these items are taken, or others that it is held for.
    pub fn during<T>(self: Arc<Charge>, items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        items.inspect(move |_| {
            let _held = &self;
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let reading = Reading::new(ByteSize(100), ByteSize(u64::MAX), Arc::new(|| false));
        reading.keep(30).expect("there is room");
        let mut charge = reading.charge();
        charge.add(70).expect("there is room");
        let error = charge.add(1).expect_err("too much");
        assert_eq!(error.reason, Reason::Unprocessable);
        assert!(error.text.contains("limits.query_memory") && error.text.contains("narrow"), "{}", error.text);
        let mut items = Arc::new(charge).during([1, 2].into_iter());
        assert_eq!(items.next(), Some(1));
        assert!(reading.keep(1).is_err());
        drop(items);
        reading.keep(70).expect("given back");
    }

    #[test]
    fn what_is_held_grows_and_shrinks() {
        let reading = Reading::new(ByteSize(100), ByteSize(u64::MAX), Arc::new(|| false));
        let (mut one, mut other) = (reading.charge(), reading.charge());
        one.set(60).expect("there is room");
        assert!(other.set(41).is_err());
        one.set(10).expect("less");
        other.set(90).expect("there is room now");
        assert!(one.set(11).is_err());
        other.release();
        drop(one);
        assert_eq!(reading.used(), 0);
    }

    #[test]
    fn what_is_read_is_bounded() {
        let reading = Reading::new(ByteSize(100), ByteSize(1000), Arc::new(|| false));
        let counted = reading.of(Arc::new(block::MemorySections(vec![(7, Bytes::from(vec![0; 2000]))])));
        assert_eq!((counted.len(7), counted.len(8)), (Some(2000), None));
        counted.read(7, 0..900).expect("bytes");
        assert_eq!((reading.read(), reading.left(), reading.check()), (900, 100, Ok(())));
        counted.read(7, 900..1001).expect("bytes");
        let error = reading.check().expect_err("too much");
        assert_eq!((error.reason, reading.left()), (Reason::Unprocessable, 0));
        assert!(error.text.contains("more than 1000 B") && error.text.contains("limits.query_bytes"), "{}", error.text);
    }

    #[test]
    fn nothing_is_read_for_nobody() {
        let gone = Arc::new(AtomicBool::new(false));
        let flag = gone.clone();
        let reading = Reading::new(ByteSize(100), ByteSize(u64::MAX), Arc::new(move || flag.load(Relaxed)));
        let read = Cell::new(0);
        let mut items = reading.watched((0..1000).map(|item| {
            read.set(read.get() + 1);
            Ok::<_, QueryError>(item)
        }));
        assert_eq!(items.by_ref().take(10).filter(Result::is_ok).count(), 10);
        gone.store(true, Relaxed);
        let error = items.next().expect("an item").expect_err("cancelled");
        assert_eq!((error.reason, read.get()), (Reason::Timeout, 10));
        assert!(items.next().is_none());
    }
}
