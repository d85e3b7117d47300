//! Reads several sources at once, and gives what they have in their order.

use crate::error::QueryError;
use model::Reason;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::runtime::Handle;

/// How many are read at a time.
pub const WIDTH: usize = 4;
/// How much of each waits to be taken: reading stops there.
const WAITING: usize = 16;

/// What a reader has: an item, or that there are no more.
type Message<T> = Option<Result<T, QueryError>>;

/// Takes items of a reader; false when nobody wants more.
pub struct Taker<T>(SyncSender<Message<T>>);

impl<T> Taker<T> {
    pub fn take(&self, item: Result<T, QueryError>) -> bool {
        self.0.send(Some(item)).is_ok()
    }
}

type Read<S, T> = Arc<dyn Fn(&S, &Taker<T>) + Send + Sync>;

/// The items of all sources, one source after the other, while the next ones are read already. Ends at the first error.
/// Blocks.
pub struct SideBySide<S, T> {
    waiting: VecDeque<Arc<S>>,
    running: VecDeque<(Arc<S>, Receiver<Message<T>>)>,
    read: Read<S, T>,
    runtime: Handle,
}

impl<S: Send + Sync + 'static, T: Send + 'static> SideBySide<S, T> {
    pub fn new(
        runtime: Handle,
        sources: impl IntoIterator<Item = S>,
        read: impl Fn(&S, &Taker<T>) + Send + Sync + 'static,
    ) -> SideBySide<S, T> {
        let waiting = sources.into_iter().map(Arc::new).collect();
        SideBySide { waiting, running: VecDeque::new(), read: Arc::new(read), runtime }
    }

    fn begin(&self, source: Arc<S>) -> (Arc<S>, Receiver<Message<T>>) {
        let (sender, receiver) = sync_channel(WAITING);
        let (read, of) = (self.read.clone(), source.clone());
        self.runtime.spawn_blocking(move || {
            let taker = Taker(sender);
            read(&of, &taker);
            // Whoever went away does not need to know.
            let _ = taker.0.send(None);
        });
        (source, receiver)
    }
}

impl<S: Send + Sync + 'static, T: Send + 'static> Iterator for SideBySide<S, T> {
    type Item = Result<(Arc<S>, T), QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.running.len() < WIDTH
                && let Some(source) = self.waiting.pop_front()
            {
                let begun = self.begin(source);
                self.running.push_back(begun);
            }
            let (source, receiver) = self.running.front()?;
            let failed = match receiver.recv() {
                Ok(Some(Ok(item))) => return Some(Ok((source.clone(), item))),
                Ok(None) => {
                    self.running.pop_front();
                    continue;
                }
                Ok(Some(Err(error))) => error,
                Err(_) => QueryError::new(Reason::Internal, "a reader ended before it had given all"),
            };
            self.waiting.clear();
            self.running.clear();
            return Some(Err(failed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[tokio::test(flavor = "multi_thread")]
    async fn sources_are_read_at_once_and_come_in_order() {
        let (runtime, at_once) = (Handle::current(), Arc::new(Barrier::new(WIDTH)));
        let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        let all = SideBySide::new(runtime, 0..2 * WIDTH, move |source, taker| {
            seen.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            // Nobody passes before so many are here: one after the other, this would never end.
            at_once.wait();
            now.fetch_sub(1, SeqCst);
            assert!((0..100).all(|item| taker.take(Ok(1000 * source + item))));
        });
        let found = tokio::task::spawn_blocking(|| all.map(|item| item.expect("an item").1).collect::<Vec<_>>());
        let want: Vec<usize> =
            (0..2 * WIDTH).flat_map(|source| (0..100).map(move |item| 1000 * source + item)).collect();
        assert_eq!(found.await.expect("ended"), want);
        assert_eq!(most.load(SeqCst), WIDTH);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_fails_ends_all_and_nobody_reads_on_for_nobody() {
        let (runtime, given) = (Handle::current(), Arc::new(AtomicUsize::new(0)));
        let count = given.clone();
        let mut all = SideBySide::new(runtime.clone(), 0..3usize, move |source, taker| match source {
            0 => assert!(taker.take(Ok(7))),
            1 => panic!("on purpose"),
            _ => {
                while taker.take(Ok(8)) {
                    count.fetch_add(1, SeqCst);
                }
            }
        });
        tokio::task::spawn_blocking(move || {
            assert!(matches!(all.next(), Some(Ok((_, 7)))));
            let error = all.next().expect("an item").expect_err("a reader panicked");
            assert_eq!(error.reason, Reason::Internal);
            assert!(all.next().is_none());
        })
        .await
        .expect("ended");
        assert!(given.load(SeqCst) <= WAITING);
    }
}
