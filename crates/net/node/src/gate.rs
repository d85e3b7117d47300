//! Stops the tasks of a process for a while, as a machine that is suspended: they are not polled, and know nothing of it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Open at first. Cheap to clone.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    shut: bool,
    waiting: Vec<Waker>,
}

/// A future that goes on only while its gate is open.
pub struct Through<F> {
    gate: Gate,
    future: Pin<Box<F>>,
}

impl Gate {
    pub fn shut(&self) {
        self.lock().shut = true;
    }

    pub fn open(&self) {
        let mut state = self.lock();
        state.shut = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub fn through<F: Future>(&self, future: F) -> Through<F> {
        Through { gate: self.clone(), future: Box::pin(future) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future> Future for Through<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut state = self.gate.lock();
        if state.shut {
            state.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.future.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::{Instant, sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn what_is_behind_a_shut_gate_does_not_move() {
        let (gate, begun) = (Gate::default(), Instant::now());
        let mut nap = gate.through(sleep(Duration::from_secs(1)));
        gate.shut();
        assert!(timeout(Duration::from_secs(5), &mut nap).await.is_err(), "it slept on");
        gate.open();
        nap.await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
