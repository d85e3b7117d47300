//! Hands Raft's warnings to `tracing`.

use slog::{Drain, Level, Logger, Never, OwnedKVList, Record, o};

struct Forward;

impl Drain for Forward {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        match record.level() {
            Level::Critical | Level::Error => tracing::error!("raft: {}", record.msg()),
            Level::Warning => tracing::warn!("raft: {}", record.msg()),
            _ => {}
        }
        Ok(())
    }

    /// The lower levels say what every message and election does.
    fn is_enabled(&self, level: Level) -> bool {
        level.is_at_least(Level::Warning)
    }
}

pub(crate) fn logger() -> Logger {
    Logger::root(Forward, o!())
}
