//! Keeps a bounded copy of recent log lines for whoever stores them.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{Layer, layer::Context};

/// How many lines wait at most; older ones are dropped, for the log must never block or fill the memory.
const WAITING: usize = 4096;

/// A line of Ouro's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Unix nanoseconds.
    pub time: i64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// The crate and module that said it.
    pub target: String,
    /// logfmt: `msg="…" key=value …`.
    pub text: String,
}

/// The lines that wait. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Captured(Arc<Mutex<VecDeque<Line>>>);

impl Captured {
    /// Takes all lines that wait.
    pub fn take(&self) -> Vec<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    fn put(&self, line: Line) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING {
            waiting.pop_front();
        }
        waiting.push_back(line);
    }
}

pub(crate) struct Capture(Captured);

impl Capture {
    pub(crate) fn new() -> (Capture, Captured) {
        let captured = Captured::default();
        (Capture(captured.clone()), captured)
    }
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64);
        let text = format!("level={level} msg={:?}{}", fields.message, fields.rest);
        self.0.put(Line { time, level, target: metadata.target().to_owned(), text });
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => {
                let text = format!("{value:?}");
                match text.contains([' ', '=', '"']) && !text.starts_with('"') {
                    true => write!(self.rest, " {name}={text:?}"),
                    false => write!(self.rest, " {name}={text}"),
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn lines_are_kept_as_logfmt_and_never_too_many() {
        let (layer, captured) = Capture::new();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(shard = %"logs-1", rows = 3, "flushed a head");
            assert_eq!(captured.take()[0].text, "level=info msg=\"flushed a head\" shard=logs-1 rows=3");
            (0..WAITING + 5).for_each(|n| tracing::warn!(n, "many"));
        });
        let lines = captured.take();
        assert_eq!(lines.len(), WAITING);
        assert!(lines[0].text.ends_with("n=5"), "{}", lines[0].text);
        assert_eq!(lines[0].level, "warn");
    }
}
