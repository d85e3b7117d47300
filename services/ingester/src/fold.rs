//! Computes a part of a query with the series of a head, so that only what comes of it travels.

use crate::error::Error;
use crate::signal::{Emit, Means, Question, Reply};
use eval::EvalError;
use eval::source::{SeriesIter, SeriesSource, SourceError};
use metrics::View;
use model::{Matcher, TenantId, TimeRange};
use promql::Options;
use std::sync::{Mutex, PoisonError};
use transport::v1::Folded;

/// A tenant's series in a head; notes which were read.
struct Series<'v> {
    view: &'v View,
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

/// Gives what comes of the question's work, and which series went into it.
pub fn answer(view: &View, question: &Question, means: &Means, emit: Emit<'_>) -> Result<(), Error> {
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
    emit(Reply::Folded(Folded { series }), size);
    Ok(())
}
