//! The rows of one or several tenants as one source, which also counts what it gives.
//!
//! Of several tenants, every row says whose it is: by the label `__tenant_id__`, which matchers may select on. A label
//! that has that name already becomes `original___tenant_id__`, as in Mimir. Only tenants for which the request was
//! admitted are ever asked, and one that the matchers rule out is not.

use crate::closed::Closed;
use crate::error::QueryError;
use crate::looked::Looked;
use crate::reading::Reading;
use crate::side_by_side::{SideBySide, Taker, WIDTH};
use crate::source::TenantRows;
use eval::source::{
    Delegated, Done, LogSelection, PageIter, PageSource, SeriesIter, SeriesSource, SourceError, Split, Visit, visit,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use model::{Exemplar, Labels, LabelsBuilder, Matcher, Metadata, Signal, TenantId, TimeRange};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use tenancy::{Admitted, Limits, Read};
use tokio::runtime::Handle;

/// The label that says whose a row is.
const TENANT: &str = "__tenant_id__";
/// What a row's own label of that name becomes.
const ORIGINAL: &str = "original___tenant_id__";

/// What one query may read. One tenant's rows are as they are.
#[derive(Clone)]
pub struct Rows {
    tenants: Vec<TenantRows>,
    pub looked: Arc<Looked>,
    runtime: Handle,
    reading: Arc<Reading>,
}

/// What of a selector the store answers, and what is held against the labels that are added here.
struct Conditions {
    stored: Vec<Matcher>,
    added: Vec<Matcher>,
}

impl Conditions {
    fn of(matchers: &[Matcher]) -> Conditions {
        let is_added = |m: &&Matcher| m.name == TENANT || m.name == ORIGINAL;
        let (added, stored) = matchers.iter().partition::<Vec<&Matcher>, _>(is_added);
        let owned = |all: Vec<&Matcher>| all.into_iter().cloned().collect();
        Conditions { stored: owned(stored), added: owned(added) }
    }

    fn may_be(&self, tenant: &TenantId) -> bool {
        self.added.iter().filter(|m| m.name == TENANT).all(|m| m.matches(tenant.as_str()))
    }

    /// The labels with their tenant, if they meet the conditions on what was added.
    fn labelled(&self, labels: &Labels, tenant: &TenantId) -> Option<Labels> {
        let labels = labelled(labels, tenant);
        Matcher::all(&self.added, &labels).then_some(labels)
    }

    /// Whether rows of a tenant that it may be can still fail the conditions.
    fn looks_at_rows(&self) -> bool {
        self.added.iter().any(|m| m.name == ORIGINAL)
    }
}

fn labelled(labels: &Labels, tenant: &TenantId) -> Labels {
    let mut builder = LabelsBuilder::from(labels);
    if let Some(own) = labels.get(TENANT) {
        builder.set(ORIGINAL, own);
    }
    builder.set(TENANT, tenant.as_str());
    builder.build()
}

/// The limits of a query of all these tenants: of each, that of the tenant that may do least.
pub fn combined(admitted: &[Admitted<Read>]) -> Arc<Limits> {
    let all = || admitted.iter().map(|admitted| &**admitted.limits());
    let (Some(first), true) = (admitted.first(), admitted.len() > 1) else {
        return admitted.first().map(|only| only.limits().clone()).unwrap_or_default();
    };
    let mut limits = (**first.limits()).clone();
    for other in all() {
        limits.query_memory = limits.query_memory.min(other.query_memory);
        limits.query_bytes = limits.query_bytes.min(other.query_bytes);
        limits.query_timeout = limits.query_timeout.min(other.query_timeout);
        limits.max_query_range = limits.max_query_range.into_iter().chain(other.max_query_range).min();
        limits.max_log_rows = limits.max_log_rows.min(other.max_log_rows);
    }
    limits.promql_experimental = all().all(|limits| limits.promql_experimental);
    limits.delayed_name_removal = all().all(|limits| limits.delayed_name_removal);
    Arc::new(limits)
}

impl Rows {
    /// To be called within the runtime.
    pub fn new(tenants: Vec<TenantRows>, reading: Arc<Reading>) -> Rows {
        Rows { tenants, looked: Arc::default(), runtime: Handle::current(), reading }
    }

    /// These rows with a level for each line that has none.
    pub fn levelled(&self) -> Rows {
        let mut rows = self.clone();
        rows.tenants.iter_mut().for_each(|rows| rows.levels = true);
        rows
    }

    /// All tenants, as a request names them.
    pub fn names(&self) -> String {
        self.tenants.iter().map(|rows| rows.tenant.as_str()).collect::<Vec<_>>().join("|")
    }

    pub fn tenants(&self) -> impl Iterator<Item = &TenantRows> {
        self.tenants.iter()
    }

    /// These rows, as far as they are closed within a range; `None` when a tenant's cannot be asked for. Blocks.
    pub fn closed(&self, range: TimeRange) -> Result<Option<Rows>, QueryError> {
        let asked = stream::iter(&self.tenants).map(|rows| rows.closed(range)).buffered(WIDTH);
        let found: Vec<Option<Closed>> = self.runtime.block_on(asked.try_collect())?;
        let mut tenants = Vec::with_capacity(self.tenants.len());
        for (rows, closed) in self.tenants.iter().zip(found) {
            let Some(closed) = closed else { return Ok(None) };
            tenants.push(TenantRows { closed: Some(Arc::new(closed)), ..rows.clone() });
        }
        let (looked, runtime, reading) = (self.looked.clone(), self.runtime.clone(), self.reading.clone());
        Ok(Some(Rows { tenants, looked, runtime, reading }))
    }

    /// The only tenant, whose rows need no label.
    fn only(&self) -> Option<&TenantRows> {
        match &*self.tenants {
            [only] => Some(only),
            _ => None,
        }
    }

    fn asked(&self, split: &Conditions) -> Vec<&TenantRows> {
        self.tenants.iter().filter(|rows| split.may_be(&rows.tenant)).collect()
    }

    fn counted<'a>(&'a self, series: SeriesIter<'a>) -> SeriesIter<'a> {
        Box::new(self.reading.watched(series).inspect(|series| self.looked.at_series(series)))
    }

    fn counting<'a>(&'a self, runs: Vec<Visit<'a>>) -> Vec<Visit<'a>> {
        runs.into_iter().map(|run| self.looked.counting(run, &self.reading)).collect()
    }

    /// What `read` takes from each of some tenants, who are read at the same time.
    fn beside<T: Send + 'static>(
        &self,
        tenants: Vec<&TenantRows>,
        read: impl Fn(&TenantRows, &Taker<T>) + Send + Sync + 'static,
    ) -> SideBySide<TenantRows, T> {
        let runtime = self.runtime.clone();
        SideBySide::new(runtime, tenants.into_iter().cloned(), read)
    }

    /// What `read` answers of each of some tenants.
    fn each<T: Send + 'static>(
        &self,
        tenants: Vec<&TenantRows>,
        read: impl Fn(&TenantRows) -> Result<T, QueryError> + Send + Sync + 'static,
    ) -> SideBySide<TenantRows, T> {
        self.beside(tenants, move |rows, taker| {
            taker.take(read(rows));
        })
    }

    /// The label sets that any of the selectors matches and that have rows within the range; without selectors, all.
    pub fn matching(
        &self,
        signal: Signal,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<HashSet<Labels>, QueryError> {
        let all: &[Vec<Matcher>] = if selectors.is_empty() { &[Vec::new()] } else { selectors };
        let mut found = HashSet::new();
        for matchers in all {
            found.extend(self.series(signal, matchers, range)?);
        }
        Ok(found)
    }

    /// The label sets that have rows within the range.
    pub fn series(
        &self,
        signal: Signal,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<HashSet<Labels>, QueryError> {
        if let Some(only) = self.only() {
            return only.series(signal, matchers, range);
        }
        let split = Conditions::of(matchers);
        let stored = split.stored.clone();
        let mut all = HashSet::new();
        for found in self.each(self.asked(&split), move |rows| rows.series(signal, &stored, range)) {
            let (rows, found) = found?;
            all.extend(found.iter().filter_map(|labels| split.labelled(labels, &rows.tenant)));
        }
        Ok(all)
    }

    /// The values of a label in series that meet all matchers of any of some selectors, sorted; without selectors, of all. Of
    /// the label without a name, the names of all labels.
    pub fn label_values(
        &self,
        signal: Signal,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<Box<str>>, QueryError> {
        let selectors = if selectors.is_empty() { &[Vec::new()][..] } else { selectors };
        let all = selectors.iter().map(|matchers| self.values_of(signal, name, matchers, range));
        Ok(merged(all.collect::<Result<_, _>>()?))
    }

    fn values_of(
        &self,
        signal: Signal,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Box<str>>, QueryError> {
        if let Some(only) = self.only() {
            return only.label_values(signal, name, matchers, range);
        }
        let split = Conditions::of(matchers);
        if name.is_empty() {
            let found = self.series(signal, matchers, range)?;
            return Ok(merged(vec![found.iter().flat_map(Labels::iter).map(|(name, _)| name.into()).collect()]));
        }
        if name == TENANT || name == ORIGINAL || split.looks_at_rows() {
            let found = self.series(signal, matchers, range)?;
            return Ok(merged(vec![found.iter().filter_map(|labels| labels.get(name).map(Box::from)).collect()]));
        }
        let (name, stored) = (name.to_owned(), split.stored.clone());
        let found = self.each(self.asked(&split), move |rows| rows.label_values(signal, &name, &stored, range));
        Ok(merged(found.map(|found| found.map(|(_, values)| values)).collect::<Result<_, _>>()?))
    }

    /// What the metric families are, as any of the tenants has it.
    pub fn metadata(&self) -> Result<BTreeMap<String, BTreeSet<Metadata>>, QueryError> {
        let mut all: BTreeMap<String, BTreeSet<Metadata>> = BTreeMap::new();
        for found in self.each(self.tenants.iter().collect(), TenantRows::metadata) {
            for (family, entries) in found?.1 {
                all.entry(family).or_default().extend(entries);
            }
        }
        Ok(all)
    }

    pub fn exemplars(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<BTreeMap<Labels, Vec<Exemplar>>, QueryError> {
        if let Some(only) = self.only() {
            return only.exemplars(matchers, range);
        }
        let split = Conditions::of(matchers);
        let stored = split.stored.clone();
        let mut all = BTreeMap::new();
        for found in self.each(self.asked(&split), move |rows| rows.exemplars(&stored, range)) {
            let (rows, found) = found?;
            all.extend(found.into_iter().filter_map(|(labels, of)| Some((split.labelled(&labels, &rows.tenant)?, of))));
        }
        Ok(all)
    }
}

/// All values, sorted, each once.
fn merged(mut lists: Vec<Vec<Box<str>>>) -> Vec<Box<str>> {
    let mut all = lists.pop().unwrap_or_default();
    lists.into_iter().for_each(|list| all.extend(list));
    all.sort_unstable();
    all.dedup();
    all
}

/// Gives one tenant's rows until nobody wants more.
fn give<T>(rows: Result<impl Iterator<Item = Result<T, SourceError>>, SourceError>, taker: &Taker<T>) {
    let failed = |e: SourceError| QueryError::new(e.reason, e.text);
    match rows {
        Err(error) => taker.take(Err(failed(error))),
        Ok(mut rows) => rows.all(|row| taker.take(row.map_err(failed))),
    };
}

impl SeriesSource for Rows {
    fn delegate(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        work: &[u8],
    ) -> Result<Option<Delegated<'_>>, SourceError> {
        // Of several tenants, labels are added here.
        let Some(only) = self.only() else { return Ok(None) };
        SeriesSource::delegate(only, matchers, range, work)
    }

    fn delegates_from(&self, range: TimeRange) -> Option<i64> {
        self.only()?.delegates_from(range)
    }

    fn split(&self, matchers: &[Matcher], range: TimeRange, ways: usize) -> Result<Vec<SeriesIter<'_>>, SourceError> {
        let Some(only) = self.only() else { return Ok(vec![SeriesSource::select(self, matchers, range)?]) };
        Ok(only.split(matchers, range, ways)?.into_iter().map(|run| self.counted(run)).collect())
    }

    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        let series: SeriesIter<'_> = match self.only() {
            Some(only) => SeriesSource::select(only, matchers, range)?,
            None => {
                let split = Conditions::of(matchers);
                let stored = split.stored.clone();
                let tenants = self.beside(self.asked(&split), move |rows, taker| {
                    give(SeriesSource::select(rows, &stored, range), taker);
                });
                Box::new(tenants.filter_map(move |found| match found {
                    Ok((rows, mut series)) => {
                        series.labels = Some(split.labelled(&series.labels(), &rows.tenant)?);
                        Some(Ok(series))
                    }
                    Err(error) => Some(Err(error.into())),
                }))
            }
        };
        Ok(self.counted(series))
    }
}

impl PageSource for Rows {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        let pages: PageIter<'_> = match self.only() {
            Some(only) => PageSource::select(only, selection)?,
            None => {
                let split = Conditions::of(&selection.matchers);
                // Lines that are taken away here would be missing from a limit.
                let limit = selection.limit.filter(|_| !split.looks_at_rows());
                let stored = LogSelection { matchers: split.stored.clone(), limit, ..selection.clone() };
                let tenants = self.beside(self.asked(&split), move |rows, taker| {
                    give(PageSource::select(rows, &stored), taker);
                });
                Box::new(tenants.filter_map(move |found| match found {
                    Ok((rows, mut page)) => {
                        page.labels = split.labelled(&page.labels, &rows.tenant)?;
                        Some(Ok(page))
                    }
                    Err(error) => Some(Err(error.into())),
                }))
            }
        };
        Ok(Box::new(self.reading.watched(pages).inspect(|page| self.looked.at_page(page))))
    }

    /// Of one tenant as it keeps its rows, of several as lines.
    fn visits(&self, selection: &LogSelection, apart: bool, ways: usize) -> Result<Vec<Visit<'_>>, SourceError> {
        let Some(only) = self.only() else { return Ok(vec![visit(PageSource::select(self, selection)?)]) };
        Ok(self.counting(only.visits(selection, apart, ways)?))
    }

    fn delegate(
        &self,
        selection: &LogSelection,
        apart: bool,
        work: &[u8],
    ) -> Result<Option<Delegated<'_, Visit<'_>>>, SourceError> {
        let Some(only) = self.only() else { return Ok(None) };
        let Some(Delegated { here, elsewhere }) = PageSource::delegate(only, selection, apart, work)? else {
            return Ok(None);
        };
        let here = here.map(|here| Box::new(move |ways| Ok(self.counting(here(ways)?))) as Split<'_, Visit<'_>>);
        let elsewhere = move || {
            let done = elsewhere()?.into_iter().map(|done| match done {
                Done::Said(said) => {
                    self.looked.at_others(&said);
                    Done::Said(said)
                }
                Done::Left(left) => Done::Left(self.looked.counting(left, &self.reading)),
            });
            Ok(done.collect())
        };
        Ok(Some(Delegated { here, elsewhere: Box::new(elsewhere) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::MatchOp;
    use std::time::Duration;
    use tenancy::{LimitTable, Overrides};

    fn split(matchers: &[(&str, MatchOp, &str)]) -> Conditions {
        let made = matchers.iter().map(|(name, op, value)| Matcher::new(*name, *op, *value).expect("a matcher"));
        Conditions::of(&made.collect::<Vec<_>>())
    }

    #[test]
    fn a_rows_tenant_is_a_label_and_its_own_label_of_that_name_is_kept() {
        let tenant = TenantId::new("a").expect("a name");
        let check = |pairs: &[(&str, &str)], want: &str| {
            assert_eq!(labelled(&Labels::from_pairs(pairs.iter().copied()), &tenant).to_string(), want);
        };
        check(&[("job", "x")], r#"{__tenant_id__="a", job="x"}"#);
        check(&[(TENANT, "b")], r#"{__tenant_id__="a", original___tenant_id__="b"}"#);
        check(&[(TENANT, "b"), (ORIGINAL, "c")], r#"{__tenant_id__="a", original___tenant_id__="b"}"#);
        check(&[(ORIGINAL, "c")], r#"{__tenant_id__="a", original___tenant_id__="c"}"#);
    }

    #[test]
    fn matchers_choose_tenants() {
        let check = |matchers: &[(&str, MatchOp, &str)], want: [bool; 2]| {
            let split = split(matchers);
            let may = ["a", "b"].map(|name| split.may_be(&TenantId::new(name).expect("a name")));
            assert_eq!(may, want, "{matchers:?}");
        };
        check(&[("job", MatchOp::Equal, "x")], [true, true]);
        check(&[(TENANT, MatchOp::Equal, "a")], [true, false]);
        check(&[(TENANT, MatchOp::NotEqual, "a")], [false, true]);
        check(&[(TENANT, MatchOp::Regex, "a|b")], [true, true]);
        check(&[(TENANT, MatchOp::Equal, "")], [false, false]);
        check(&[(TENANT, MatchOp::Regex, "a.*"), (TENANT, MatchOp::NotRegex, ".*a")], [false, false]);
    }

    #[test]
    fn of_each_limit_the_strictest_holds() {
        let mut overrides = Overrides::default();
        for (name, own) in
            [("a", r#"{"max_log_rows": 10}"#), ("b", r#"{"max_query_range": "1h", "promql_experimental": true}"#)]
        {
            let tenant = TenantId::new(name).expect("a name");
            overrides.set(tenant, serde_json::from_str(own).expect("a map")).expect("limits");
        }
        let table = LimitTable::new(&overrides);
        let of = |org: &str| combined(&tenancy::admit_reads(&table, Some(org.as_bytes())).expect("admitted"));
        assert_eq!((of("a|b").max_log_rows, of("a|b").max_query_range), (10, Some(Duration::from_secs(3600))));
        assert!(of("b").promql_experimental && !of("a|b").promql_experimental);
        assert_eq!((of("b").max_log_rows, of("a").max_query_range), (Limits::default().max_log_rows, None));
    }

    #[test]
    fn conditions_on_added_labels_are_not_the_stores() {
        let split =
            split(&[("job", MatchOp::Equal, "x"), (TENANT, MatchOp::Equal, "a"), (ORIGINAL, MatchOp::Equal, "b")]);
        assert_eq!(split.stored, [Matcher::equal("job", "x")]);
        assert!(split.looks_at_rows());
        let tenant = TenantId::new("a").expect("a name");
        assert!(split.labelled(&Labels::from_pairs([(TENANT, "b")]), &tenant).is_some());
        assert!(split.labelled(&Labels::from_pairs([(TENANT, "c")]), &tenant).is_none());
    }
}
