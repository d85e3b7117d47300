//! What an answer lacks, when shards have no leader: said to whoever asked, or a reason to give no answer.

use crate::error::QueryError;
use model::ShardId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shards that one query did without.
#[derive(Debug, Default)]
pub struct Partial {
    /// Who asked wants an error rather than an answer that lacks something.
    pub refused: bool,
    missing: Mutex<BTreeMap<ShardId, String>>,
}

impl Partial {
    pub fn new(refused: bool) -> Partial {
        Partial { refused, missing: Mutex::default() }
    }

    /// Goes on without a shard whose leader cannot be asked; gives back the error where that is not wanted, or where
    /// it is of another kind.
    pub fn without(&self, shard: ShardId, error: QueryError) -> Result<(), QueryError> {
        if self.refused || !error.is_passing() {
            return Err(error);
        }
        self.missing().insert(shard, error.text);
        Ok(())
    }

    /// The shards that it did without.
    pub fn shards(&self) -> Vec<ShardId> {
        self.missing().keys().copied().collect()
    }

    /// A warning for each shard.
    pub fn warnings(&self) -> Vec<String> {
        let warning = |(shard, why): (&ShardId, &String)| {
            format!("the answer is partial: rows of shard {shard} that are not flushed yet are missing: {why}")
        };
        self.missing().iter().map(warning).collect()
    }

    fn missing(&self) -> MutexGuard<'_, BTreeMap<ShardId, String>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Reason, Signal};

    #[test]
    fn a_shard_is_named_and_only_what_is_away_may_be_missing() {
        let (shard, away) = (ShardId::new(Signal::Logs, 3), QueryError::new(Reason::Unavailable, "no leader"));
        let partial = Partial::new(false);
        assert_eq!(partial.warnings(), [""; 0]);
        partial.without(shard, away.clone()).expect("goes on");
        partial.without(shard, away.clone()).expect("goes on");
        let warnings = partial.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("logs-3") && warnings[0].contains("no leader"));
        assert!(partial.without(shard, QueryError::bad("too much")).is_err());
        assert_eq!(Partial::new(true).without(shard, away.clone()), Err(away));
    }
}
