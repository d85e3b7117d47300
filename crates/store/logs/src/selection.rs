//! Which lines a reader wants.

use model::{Labels, Matcher, TimeRange};

/// Rows of the streams that meet all matchers, within a time range.
#[derive(Debug, Clone)]
pub struct Selection {
    pub matchers: Vec<Matcher>,
    /// Nanoseconds, both ends included.
    pub range: TimeRange,
    /// Every wanted line contains all of these texts. Rows that do not may be given all the same.
    pub contains: Vec<String>,
}

impl Selection {
    /// Every row of every stream.
    pub fn all() -> Selection {
        Selection { matchers: Vec::new(), range: TimeRange::ALL, contains: Vec::new() }
    }

    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        Matcher::all(&self.matchers, labels)
    }
}
