//! Where an engine gets its rows: two small traits that the querier implements over heads and segments, and tests
//! over vectors.

use model::{Coded, Horizon, Labels, LogPage, Matcher, Reason, Series, Shape, TimeRange};
use std::ops::ControlFlow;

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

    /// As `select`, in up to `ways` runs for as many threads: one run after the other they are what `select` gives.
    /// Fewer runs, but at least one, where there is too little to share.
    fn split(&self, matchers: &[Matcher], range: TimeRange, ways: usize) -> Result<Vec<SeriesIter<'_>>, SourceError> {
        debug_assert!(ways > 0);
        Ok(vec![self.select(matchers, range)?])
    }

    /// Has others do a part of a query where they have the rows: `work` in the words of the language, with the series
    /// of `select`. `None` where nobody else is to.
    fn delegate(
        &self,
        _matchers: &[Matcher],
        _range: TimeRange,
        _work: &[u8],
    ) -> Result<Option<Delegated<'_>>, SourceError> {
        Ok(None)
    }

    /// From which time on, within the range, others may have all the rows and `delegate` may be worth trying.
    fn delegates_from(&self, _range: TimeRange) -> Option<i64> {
        None
    }
}

/// Work that was shared out: each series, or line, is with one. `R` reads some of them.
pub struct Delegated<'a, R = SeriesIter<'a>> {
    /// Reads those that are left for who asked, in up to so many runs.
    pub here: Option<Split<'a, R>>,
    /// Waits for the others.
    pub elsewhere: Box<dyn FnOnce() -> Result<Vec<Done<R>>, SourceError> + 'a>,
}

pub type Split<'a, R> = Box<dyn FnOnce(usize) -> Result<Vec<R>, SourceError> + 'a>;

/// What one of the others did.
pub enum Done<R> {
    Said(Said),
    /// Nothing: these are its rows.
    Left(R),
}

/// What one who did a part of a query says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// In the words of the language.
    pub messages: Vec<Vec<u8>>,
    /// Of logs, what it looked at.
    pub pages: u64,
    pub lines: u64,
    pub bytes: u64,
}

pub type SeriesIter<'a> = Box<dyn Iterator<Item = Result<Series, SourceError>> + Send + 'a>;

/// Log lines of one tenant.
pub trait PageSource {
    /// The rows that `selection` asks for, as pages of one stream each, in any order; a stream may come in many
    /// pages, and the rows of a page need not be sorted.
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError>;

    /// As `select`, but the rows are handed over; with `apart`, those that are kept taken apart as such, so that a query which
    /// needs only some fields of them costs no more than those. In up to `ways` runs, but at least one, for as many threads:
    /// one after the other they are all rows, whatever limit and horizon the selection has.
    fn visits(&self, selection: &LogSelection, apart: bool, ways: usize) -> Result<Vec<Visit<'_>>, SourceError> {
        debug_assert!(ways > 0, "apart: {apart}");
        Ok(vec![visit(self.select(selection)?)])
    }

    /// As `visits`, but has others do a part of a query with the rows that they have: `work`, in the words of the language.
    /// `None` where nobody else is to.
    fn delegate(
        &self,
        _selection: &LogSelection,
        _apart: bool,
        _work: &[u8],
    ) -> Result<Option<Delegated<'_, Visit<'_>>>, SourceError> {
        Ok(None)
    }
}

/// Hands rows over until no more are wanted.
pub type Visit<'a> = Box<dyn FnOnce(Take<'_>) -> Result<(), SourceError> + Send + 'a>;

/// Hands over pages.
pub fn visit(pages: PageIter<'_>) -> Visit<'_> {
    Box::new(move |take| {
        for page in pages {
            if take(Rows::Lines(page?)).is_break() {
                break;
            }
        }
        Ok(())
    })
}

/// One run after the other, until no more rows are wanted.
pub fn chained(runs: Vec<Visit<'_>>) -> Visit<'_> {
    Box::new(move |take| {
        let mut flow = ControlFlow::Continue(());
        for run in runs {
            run(&mut |rows| {
                flow = take(rows);
                flow
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    })
}

pub type Take<'t> = &'t mut dyn FnMut(Rows<'_>) -> ControlFlow<()>;

/// Some rows of one stream.
pub enum Rows<'r> {
    Lines(LogPage),
    Shredded(&'r mut dyn Shredded),
}

/// Some rows of one stream, whose lines are kept as shapes and columns. No row has structured metadata.
pub trait Shredded {
    fn labels(&self) -> &Labels;

    /// One a row, in nanoseconds; sorted.
    fn times(&self) -> &[i64];

    /// Shapes and columns have the same numbers in all rows of a group.
    fn group(&self) -> u64;

    /// The shape of each row.
    fn shapes(&self) -> &[u32];

    fn shape(&self, number: u32) -> Result<Shape, SourceError>;

    /// The values of a column.
    fn column(&mut self, column: u32) -> Result<Coded, SourceError>;

    /// The values of a column as numbers, one a row, if each value is the shortest way to write its number without an
    /// exponent: then it is the number nearest to its text. NaN where a row has none.
    fn numbers(&mut self, column: u32) -> Result<Option<Vec<f64>>, SourceError>;

    /// Whether each value of a column that is not a plain decimal number passes a test: in these rows at least, or in
    /// the whole group.
    fn check(&mut self, column: u32, test: &dyn Fn(&str) -> bool) -> Result<Checked, SourceError>;

    /// The whole lines of some rows, given in order.
    fn lines(&mut self, rows: &[usize]) -> Result<LogPage, SourceError>;
}

/// What a test found, and for which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    Group(bool),
    Rows(bool),
}

pub type PageIter<'a> = Box<dyn Iterator<Item = Result<LogPage, SourceError>> + Send + 'a>;

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
    /// Draws nearer while the query takes rows: a source may leave out what is beyond it.
    pub horizon: Option<Horizon>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Forward,
    Backward,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chained_runs_end_with_the_first_break() {
        let page = |name: &str| {
            let mut page = LogPage::new(Labels::from_pairs([("run", name)]));
            page.push(1, "a line", Labels::empty());
            Ok(page)
        };
        let runs = || ["a", "b", "c"].map(|name| visit(Box::new([page(name), page(name)].into_iter())));
        for most in 1..8 {
            let mut taken = 0;
            let mut take = |_: Rows<'_>| {
                taken += 1;
                if taken < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            chained(runs().into())(&mut take).expect("rows");
            assert_eq!(taken, most.min(6));
        }
        let failing = visit(Box::new([Err(SourceError { reason: Reason::Internal, text: "no".into() })].into_iter()));
        let [first, ..] = runs();
        assert!(chained(vec![first, failing])(&mut |_| ControlFlow::Continue(())).is_err());
    }
}
