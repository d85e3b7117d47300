//! What one query holds of what it reads, and whether anybody still waits for it.

use crate::error::QueryError;
use model::{ByteSize, Reason};
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
    cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Reading {
    pub fn new(limit: ByteSize, cancelled: Arc<dyn Fn() -> bool + Send + Sync>) -> Arc<Reading> {
        Arc::new(Reading { limit, used: AtomicU64::new(0), cancelled })
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

    /// An error once the query should end.
    pub fn check(&self) -> Result<(), QueryError> {
        match (self.cancelled)() {
            true => Err(QueryError::new(Reason::Timeout, "the query was cancelled or took longer than its deadline")),
            false => Ok(()),
        }
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
        let reading = Reading::new(ByteSize(100), Arc::new(|| false));
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
        let reading = Reading::new(ByteSize(100), Arc::new(|| false));
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
    fn nothing_is_read_for_nobody() {
        let gone = Arc::new(AtomicBool::new(false));
        let flag = gone.clone();
        let reading = Reading::new(ByteSize(100), Arc::new(move || flag.load(Relaxed)));
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
