//! The groups that wait for one apply thread.

use crate::slot::Slot;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Holds each group at most once.
#[derive(Default)]
pub(crate) struct Lane {
    slots: Mutex<VecDeque<Arc<Slot>>>,
    bell: Condvar,
    stopping: AtomicBool,
}

impl Lane {
    pub(crate) fn push(&self, slot: Arc<Slot>) {
        self.slots().push_back(slot);
        self.bell.notify_one();
    }

    /// The next group; None when there is none and the lane was stopped.
    pub(crate) fn next(&self) -> Option<Arc<Slot>> {
        let mut slots = self.slots();
        loop {
            match slots.pop_front() {
                None if self.is_stopping() => return None,
                None => slots = self.bell.wait(slots).unwrap_or_else(PoisonError::into_inner),
                slot => return slot,
            }
        }
    }

    /// The next group, if one waits.
    pub(crate) fn try_next(&self) -> Option<Arc<Slot>> {
        self.slots().pop_front()
    }

    pub(crate) fn stop(&self) {
        // Under the lock, or a thread that is about to wait would miss it.
        let slots = self.slots();
        self.stopping.store(true, Relaxed);
        drop(slots);
        self.bell.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    fn slots(&self) -> MutexGuard<'_, VecDeque<Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
