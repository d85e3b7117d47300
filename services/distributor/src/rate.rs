//! Holds a tenant to bytes a second, with a burst.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A bucket of tokens that fills with the rate up to the burst. A push larger than the burst is let in when the
/// bucket is full and leaves it in debt: else its agent would try for ever, and over time the rate holds all the same.
#[derive(Debug)]
pub struct Bucket(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Below zero: debt.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Full at first.
    pub fn new(burst: u64) -> Bucket {
        Bucket(Mutex::new(State { tokens: burst as f64, at: Instant::now() }))
    }

    /// Takes `bytes`, or says after what time they could be taken. The rate and burst may be others each time.
    pub fn take(&self, bytes: u64, rate: u64, burst: u64) -> Result<(), Duration> {
        let (bytes, rate, burst) = (bytes as f64, (rate as f64).max(1e-3), burst as f64);
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.tokens = (state.tokens + rate * now.duration_since(state.at).as_secs_f64()).min(burst);
        state.at = now;
        let needed = bytes.min(burst);
        if state.tokens >= needed {
            state.tokens -= bytes;
            return Ok(());
        }
        // A day is as good as for ever.
        Err(Duration::from_secs_f64(((needed - state.tokens) / rate).min(86_400.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_over_time() {
        let bucket = Bucket::new(100);
        let take = |bytes| bucket.take(bytes, 10, 100);
        assert_eq!(take(60), Ok(()));
        assert_eq!(take(60), Err(Duration::from_secs(2)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(take(60), Ok(()));
        assert_eq!(take(200), Err(Duration::from_secs(10)), "larger than the burst: when it is full");
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(take(200), Ok(()));
        assert_eq!(take(1), Err(Duration::from_millis(10_100)), "and it is in debt then");
        assert_eq!(bucket.take(1, 0, 100), Err(Duration::from_secs(86_400)));
    }
}
