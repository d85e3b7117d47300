//! Where an engine gets its rows: two small traits that the querier implements over heads and segments, and tests
//! over vectors.

use model::{LogPage, Matcher, Reason, Series, TimeRange};

/// Why rows could not be read. The text is for the user who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SourceError {
    pub reason: Reason,
    pub text: String,
}

/// Metric samples of one tenant.
pub trait SeriesSource {
    /// Each series that meets all matchers and has samples within `range` (milliseconds), once, in any order; its
    /// samples merged, sorted and unique in time.
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError>;
}

pub type SeriesIter<'a> = Box<dyn Iterator<Item = Result<Series, SourceError>> + 'a>;

/// Log lines of one tenant.
pub trait PageSource {
    /// The rows that `selection` asks for, as pages of one stream each, in any order; a stream may come in many
    /// pages, and the rows of a page need not be sorted.
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError>;
}

pub type PageIter<'a> = Box<dyn Iterator<Item = Result<LogPage, SourceError>> + 'a>;

/// Which lines a query needs.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSelection {
    pub matchers: Vec<Matcher>,
    /// Nanoseconds.
    pub range: TimeRange,
    /// Every line that the query can use contains all of these texts. A source may leave out lines that do not, or
    /// give them all the same: the engine filters again.
    pub contains: Vec<String>,
    /// Whether the query looks at the text of lines. Without it a source may give empty lines.
    pub lines: bool,
    pub order: Order,
    /// The query needs only this many lines in `order`. A source may give more.
    pub limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Forward,
    Backward,
}
