//! A source of which some series are with others, who compute their parts of queries.

use eval::source::{Delegated, Done, Said, SeriesIter, SeriesSource, SourceError};
use model::{Matcher, Series, TimeRange};
use ouro_promql::{EvalError, Options, fold};

/// Series go to two others and to who asks, in turn.
pub struct Elsewhere<'s>(pub &'s dyn SeriesSource);

/// The series of one of them.
struct Part(Vec<Series>);

impl SeriesSource for Part {
    fn select(&self, _: &[Matcher], _: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        Ok(Box::new(self.0.iter().cloned().map(Ok)))
    }
}

/// What somebody with these series says of a task.
pub fn said(series: Vec<Series>, task: &[u8]) -> Result<Vec<Vec<u8>>, EvalError> {
    let mut messages = Vec::new();
    fold(&Part(series), task, &Options { max_memory: 1 << 24, ..Options::default() }, &mut |message| {
        messages.push(message);
        Ok(())
    })?;
    Ok(messages)
}

impl SeriesSource for Elsewhere<'_> {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        self.0.select(matchers, range)
    }

    fn delegate(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        work: &[u8],
    ) -> Result<Option<Delegated<'_>>, SourceError> {
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for (at, series) in self.0.select(matchers, range)?.enumerate() {
            parts[at % 3].push(series?);
        }
        let [first, second, left] = parts;
        let said = |part| said(part, work).map(|messages| Done::Said(Said { messages, ..Said::default() }));
        let failed = |error: EvalError| SourceError { reason: error.reason(), text: error.to_string() };
        let done: Vec<Done<SeriesIter<'_>>> = vec![
            said(first).map_err(failed)?,
            Done::Left(Box::new(left.into_iter().map(Ok))),
            said(second).map_err(failed)?,
        ];
        Ok(Some(Delegated { here: None, elsewhere: Box::new(|| Ok(done)) }))
    }
}
