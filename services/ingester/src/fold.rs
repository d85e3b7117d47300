//! Computes a part of a query with the rows of a head, so that only what comes of it travels.

use crate::error::Error;
use crate::signal::{Emit, Means, Question, Reply};
use eval::EvalError;
use eval::source::{LogSelection, PageIter, PageSource, SeriesIter, SeriesSource, SourceError};
use model::{LogPage, Matcher, TenantId, TimeRange};
use promql::Options;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use transport::v1::Folded;

/// A tenant's series in a head; notes which were read.
struct Series<'v> {
    view: &'v metrics::View,
    tenant: &'v TenantId,
    /// As far as the tenant's rows are kept.
    range: TimeRange,
    ids: Mutex<Vec<u64>>,
}

impl Series<'_> {
    fn noted(&self, series: model::Series) -> model::Series {
        let id = series.labels().id().0 as u64;
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        series
    }
}

impl SeriesSource for Series<'_> {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        let series = self.view.select(self.tenant, matchers, range.intersect(self.range));
        Ok(Box::new(series.map(|series| Ok(self.noted(series)))))
    }

    fn split(&self, matchers: &[Matcher], range: TimeRange, ways: usize) -> Result<Vec<SeriesIter<'_>>, SourceError> {
        let runs = self.view.split(self.tenant, matchers, range.intersect(self.range), ways).into_iter();
        Ok(runs.map(|run| Box::new(run.map(|series| Ok(self.noted(series)))) as SeriesIter<'_>).collect())
    }
}

/// Gives what comes of the question's work with the series of a head, and which went into it.
pub fn metrics(view: &metrics::View, question: &Question, means: &Means, emit: Emit<'_>) -> Result<(), Error> {
    let source = Series { view, tenant: &question.tenant, range: question.range, ids: Mutex::default() };
    let max_memory = usize::try_from(question.max_bytes).unwrap_or(usize::MAX);
    let (cancelled, spare) = (means.gone.clone(), means.spare.clone());
    let options = Options { max_memory, cancelled, spare, ..Options::default() };
    promql::fold(&source, &question.work, &options, &mut |message| {
        let size = message.len();
        if emit(Reply::Said(message.into()), size) { Ok(()) } else { Err(EvalError::Cancelled) }
    })?;
    let series = source.ids.into_inner().unwrap_or_else(PoisonError::into_inner);
    let size = size_of::<u64>() * series.len();
    emit(Reply::Folded(Folded { series, ..Folded::default() }), size);
    Ok(())
}

/// A tenant's lines in a head; counts which were read.
struct Lines<'v> {
    view: &'v logs::View,
    tenant: &'v TenantId,
    /// As far as the tenant's rows are kept.
    range: TimeRange,
    /// Pages, lines, and bytes.
    looked: [AtomicU64; 3],
}

impl Lines<'_> {
    fn note(&self, page: &LogPage) {
        let metadata: usize = page.metadata.iter().map(|labels| labels.packed().len()).sum();
        let more = [1, page.len(), page.text.len() + metadata];
        for (count, more) in self.looked.iter().zip(more) {
            count.fetch_add(more as u64, Relaxed);
        }
    }
}

impl PageSource for Lines<'_> {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        let LogSelection { matchers, range, contains, lines, .. } = selection.clone();
        let selection = logs::Selection { matchers, range: range.intersect(self.range), contains, lines };
        let pages = self.view.pages(self.tenant, &selection);
        let failed = |error: logs::Error| SourceError { reason: error.reason(), text: error.to_string() };
        Ok(Box::new(pages.map(move |page| page.inspect(|page| self.note(page)).map_err(failed))))
    }
}

/// Gives what comes of the question's work with the lines of a head, and how many they were.
pub fn logs(view: &logs::View, question: &Question, means: &Means, emit: Emit<'_>) -> Result<(), Error> {
    let source = Lines { view, tenant: &question.tenant, range: question.range, looked: Default::default() };
    let max_memory = usize::try_from(question.max_bytes).unwrap_or(usize::MAX);
    let options = logql::Options { max_memory, cancelled: means.gone.clone(), ..logql::Options::default() };
    logql::fold(&source, &question.work, &options, &mut |message| {
        let size = message.len();
        if emit(Reply::Said(message.into()), size) { Ok(()) } else { Err(EvalError::Cancelled) }
    })?;
    let [pages, lines, bytes] = source.looked.map(AtomicU64::into_inner);
    emit(Reply::Folded(Folded { series: Vec::new(), pages, lines, bytes }), 0);
    Ok(())
}
