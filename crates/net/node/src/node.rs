//! Owns the tasks of a process: names them, tells them to stop, waits for them, and names those that did not end.

use crate::compute::Compute;
use crate::gate::Gate;
use settings::Sources;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The process. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<(String, JoinHandle<()>)>>,
    compute: Compute,
    sources: Sources,
    gate: Option<Gate>,
}

/// Resolves when the process should end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Waits until the process should end.
    pub async fn wait(&mut self) {
        // An error means that the node is gone, which is the same.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }
}

impl Node {
    /// `cores`: how many pieces of computing work of one kind may run at once.
    pub fn new(cores: usize) -> Node {
        Node::with_sources(cores, Sources::default())
    }

    /// … and where its settings came from.
    pub fn with_sources(cores: usize, sources: Sources) -> Node {
        Node::of(Compute::new(cores), sources, None)
    }

    /// A process of a simulation: what it computes is done at once on the caller's thread, and none of its tasks goes on
    /// while the gate is shut.
    #[doc(hidden)]
    pub fn simulated(gate: Gate) -> Node {
        Node::of(Compute::inline(), Sources::default(), Some(gate))
    }

    fn of(compute: Compute, sources: Sources, gate: Option<Gate>) -> Node {
        let (stop, tasks) = (watch::Sender::new(false), Mutex::default());
        Node { inner: Arc::new(Inner { stop, tasks, compute, sources, gate }) }
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.inner.sources
    }

    pub fn stopping(&self) -> Stopping {
        Stopping(self.inner.stop.subscribe())
    }

    pub fn compute(&self) -> &Compute {
        &self.inner.compute
    }

    /// Runs a task until it ends. One that panics is logged with its name and stops the process.
    pub fn spawn(&self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let name = name.into();
        let (named, stop) = (name.clone(), self.inner.stop.clone());
        let running = match &self.inner.gate {
            None => tokio::spawn(task),
            Some(gate) => tokio::spawn(gate.through(task)),
        };
        let watched = tokio::spawn(async move {
            let guard = AbortOnDrop(running);
            if let Err(error) = guard.join().await
                && let Ok(panic) = error.try_into_panic()
            {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("");
                tracing::error!(task = named, panic = text, "a task panicked: stopping");
                stop.send_replace(true);
            }
        });
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).push((name, watched));
    }

    /// Tells all tasks to stop.
    pub fn stop(&self) {
        self.inner.stop.send_replace(true);
    }

    /// Tells all tasks to stop and waits for them, the youngest first. Those that have not ended by the deadline
    /// are aborted, and their names returned.
    pub async fn drain(&self, deadline: Duration) -> Vec<String> {
        self.stop();
        let end = tokio::time::Instant::now() + deadline;
        let mut late = Vec::new();
        loop {
            let task = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((name, mut task)) = task else { return late };
            if tokio::time::timeout_at(end, &mut task).await.is_err() {
                task.abort();
                late.push(name);
            }
        }
    }
}

/// Ends the inner task when its watcher is aborted.
struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    async fn join(mut self) -> Result<(), tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tasks_are_told_to_stop_and_late_ones_are_named() {
        let node = Node::new(2);
        let mut stopping = node.stopping();
        node.spawn("obedient", async move { stopping.wait().await });
        node.spawn("deaf", std::future::pending());
        assert_eq!(node.drain(Duration::from_secs(5)).await, ["deaf"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_stops_the_process() {
        let node = Node::new(2);
        node.spawn("clumsy", async { panic!("on purpose") });
        node.stopping().wait().await;
        assert!(node.drain(Duration::from_secs(1)).await.is_empty());
    }
}
