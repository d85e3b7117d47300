//! Gossip under bad networks, crashes, restarts, pauses and partitions, in virtual time. `--nocapture` shows how long
//! agreement took; a failing story names the seed that repeats it alone.

mod chaos;
mod crowd;
mod stories;
mod world;

use std::time::Duration;

/// In the order of size.
pub fn summary(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len() - 1)).copied().unwrap_or_default();
    println!("{name}: {} runs, half within {:?}, 9 in 10 {:?}, all {:?}", times.len(), at(50), at(90), at(100));
}
