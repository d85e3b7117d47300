//! One request, and how far it is.

use model::{Signal, TimeRange};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The catalog's version that took it: no two have the same.
    pub version: u64,
    pub signal: Signal,
    /// A selector as the signal's language writes it; of logs also with line filters.
    pub query: String,
    /// In the signal's unit, both included.
    pub start: i64,
    pub end: i64,
    /// Unix milliseconds.
    pub created: i64,
    pub progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Readers hide what it names.
    Received,
    /// … and some of it was rewritten without these rows.
    Begun,
    /// Nothing has such rows since this version of the catalog.
    Processed(u64),
}

impl Request {
    /// Its name in the APIs.
    pub fn id(&self) -> String {
        format!("{:08x}", self.version)
    }

    /// The version in a name; `None` if it is none.
    pub fn version_of(id: &str) -> Option<u64> {
        let is_name = (8..=16).contains(&id.len()) && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_name.then(|| u64::from_str_radix(id, 16).ok()).flatten()
    }

    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.start, self.end)
    }

    /// Whether it is not processed yet.
    pub fn is_open(&self) -> bool {
        !matches!(self.progress, Progress::Processed(_))
    }
}
