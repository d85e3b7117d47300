//! Work on several threads, each with a run of what there is.

use std::panic::resume_unwind;
use std::thread;

/// Lends one more thread until what it gives is dropped, if one is idle.
pub type Spare = dyn Fn() -> Option<Box<dyn Send>> + Send + Sync;

/// One query takes no more threads than this beside its own.
const MOST: usize = 15;

/// Works with each of the runs that `split` makes, at most as many as it is told, on as many threads as are idle; what came of
/// them is in their order.
///
/// # Errors
/// Those of `split`.
pub fn on_runs<R: Send, T: Send, E>(
    spare: &Spare,
    split: impl FnOnce(usize) -> Result<Vec<R>, E>,
    work: impl Fn(R) -> T + Sync,
) -> Result<Vec<T>, E> {
    let work = &work;
    let mut threads: Vec<_> = std::iter::from_fn(spare).take(MOST).collect();
    let mut runs = split(1 + threads.len())?.into_iter();
    let Some(first) = runs.next() else { return Ok(Vec::new()) };
    threads.truncate(runs.len());
    Ok(thread::scope(|scope| {
        let others: Vec<_> = runs.map(|run| scope.spawn(move || work(run))).collect();
        let first = work(first);
        let others = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        std::iter::once(first).chain(others).collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn runs_are_as_many_as_threads_are_lent_and_these_are_given_back() {
        let lent = Arc::new(AtomicUsize::new(0));
        struct Lent(Arc<AtomicUsize>);
        impl Drop for Lent {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Relaxed);
            }
        }
        let count = lent.clone();
        let spare = move || {
            let is_idle = count.fetch_update(Relaxed, Relaxed, |lent| (lent < 3).then_some(lent + 1)).is_ok();
            is_idle.then(|| Box::new(Lent(count.clone())) as Box<dyn Send>)
        };
        let all = on_runs(&spare, |ways| Ok::<_, ()>((0..ways).collect()), |run| (run, lent.load(Relaxed)));
        assert_eq!(all, Ok(vec![(0, 3), (1, 3), (2, 3), (3, 3)]));
        // What is not used is given back before the work begins.
        assert_eq!(on_runs(&spare, |_| Ok::<_, ()>(vec![7, 8]), |_| lent.load(Relaxed)), Ok(vec![1, 1]));
        assert_eq!(on_runs(&spare, |_| Ok::<Vec<()>, ()>(Vec::new()), |()| ()), Ok(Vec::new()));
        assert_eq!(on_runs(&spare, |_| Err::<Vec<()>, _>("no"), |()| ()), Err("no"));
        assert_eq!(lent.load(Relaxed), 0);
    }
}
