//! What checking makes of a push, and the words it shares between the signals.

use crate::discard::{Discard, Discarded};
use crate::known::Known;
use crate::meters::Meters;
use bytes::Bytes;
use model::TimeRange;
use tenancy::{Admitted, Write};
use wire::batch::{Format, StreamHeader};

/// A push without its bad rows.
#[derive(Debug)]
pub struct Checked {
    pub format: Format,
    /// Uncompressed.
    pub body: Vec<u8>,
    /// The body as it came, compressed by snappy, if it holds just what `body` does.
    pub payload: Option<Bytes>,
    /// Of all that is left, in the signal's unit.
    pub times: TimeRange,
    pub rows: u32,
    /// Logs: the streams in the order of the body.
    pub streams: Vec<StreamHeader>,
    /// Metrics: the series in the order of the body.
    pub series: Vec<SeriesRows>,
    pub written: Written,
    /// Whether there is something to store, be it metadata alone.
    pub empty: bool,
    pub refused: Refusals,
}

impl Checked {
    /// A push of logs without lines.
    pub fn nothing() -> Checked {
        Checked {
            format: Format::LokiPush,
            body: Vec::new(),
            payload: None,
            times: TimeRange::EMPTY,
            rows: 0,
            streams: Vec::new(),
            series: Vec::new(),
            written: Written::default(),
            empty: true,
            refused: Refusals::default(),
        }
    }
}

/// What is stored of a push. Lines count as nothing here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

/// What routing needs of one series.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRows {
    pub key: u128,
    pub rows: u32,
    pub times: TimeRange,
}

/// How many rows are refused, and why the first of them is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    pub rows: Discarded,
    /// Series of which nothing is stored.
    pub series: u64,
    /// Rows that rules leave out (`limits.relabel`): nothing is wrong with them.
    pub left_out: u64,
    pub first: Option<String>,
}

impl Refusals {
    /// The text of the first gets the word of its reason.
    pub fn add(&mut self, discard: Discard, rows: u64, text: impl FnOnce() -> String) {
        self.rows.add(discard, rows);
        self.first.get_or_insert_with(|| format!("{} [{}]", text(), discard.name()));
    }

    /// Adds what another part of the same push was refused before.
    pub fn after(&mut self, earlier: Refusals) {
        self.rows.merge(&earlier.rows);
        self.series += earlier.series;
        self.left_out += earlier.left_out;
        self.first = earlier.first.or(self.first.take());
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

/// What a push is checked against.
pub struct Rules<'a> {
    pub admitted: &'a Admitted<Write>,
    pub known: &'a Known,
    pub meters: &'a Meters,
    /// Times that rows may have, in the signal's unit.
    pub times: TimeRange,
}

/// Enough of a text to recognize it by, for errors.
pub fn shorten(text: &str) -> String {
    const MOST: usize = 300;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}
