//! A head as it was at one moment, to be read at leisure.

use crate::generation::{Copied, Generation};
use crate::head::Shared;
use crate::registry::{Registry, asked_metric};
use hashbrown::HashMap;
use model::{Exemplar, Labels, Matcher, Metadata, Series, TenantId, TimeRange};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many series are matched, copied or named under one lock.
const AT_ONCE: usize = 512;
/// From so many series on, a thread of their own pays.
const WORTH: usize = 4 * AT_ONCE;

/// Sees the rows of all generations that were not dropped when it was taken, each once, for as long as it lives.
/// Rows that are applied later may or may not show.
pub struct View {
    pub(crate) shared: Arc<Shared>,
    /// Oldest first.
    pub(crate) generations: Vec<Arc<Generation>>,
    pub(crate) dropped_through: u64,
}

/// The series that matchers choose.
struct Chosen {
    tenant: u32,
    series: Vec<u32>,
    epoch: u64,
}

impl View {
    /// Log entries up to this index are in the object store, and not in this view.
    pub fn dropped_through(&self) -> u64 {
        self.dropped_through
    }

    /// Each series that meets all matchers and has samples within `range` (milliseconds), once, in no order.
    pub fn select(&self, tenant: &TenantId, matchers: &[Matcher], range: TimeRange) -> Select<'_> {
        self.run(self.choose(tenant, matchers, range), matchers, range)
    }

    /// As `select`, in up to `ways` runs for as many threads. Fewer runs, but at least one, where there is too little to
    /// share.
    pub fn split(&self, tenant: &TenantId, matchers: &[Matcher], range: TimeRange, ways: usize) -> Vec<Select<'_>> {
        let Chosen { tenant, series, epoch } = self.choose(tenant, matchers, range);
        let runs = ways.min(series.len() / WORTH).max(1);
        let of = |series: &[u32]| self.run(Chosen { tenant, series: series.to_vec(), epoch }, matchers, range);
        series.chunks(series.len().div_ceil(runs).max(1)).map(of).collect()
    }

    fn run(&self, chosen: Chosen, matchers: &[Matcher], range: TimeRange) -> Select<'_> {
        let (matchers, ready, copied) = (matchers.to_vec(), Vec::new(), Copied::default());
        Select { view: self, matchers, range, chosen, next: 0, ready, copied }
    }

    /// The labels of each series that meets all matchers and whose samples, from first to last, meet `range`.
    pub fn series(&self, tenant: &TenantId, matchers: &[Matcher], range: TimeRange) -> Vec<Labels> {
        let chosen = self.choose(tenant, matchers, range);
        let mut all = Vec::with_capacity(chosen.series.len());
        for numbers in chosen.series.chunks(AT_ONCE) {
            let registry = self.shared.registry();
            all.extend(numbers.iter().filter_map(|&series| chosen.labels(&registry, series, matchers)));
        }
        all
    }

    /// When the oldest of the tenant's samples was taken, as far as generations with samples around `range` have it.
    /// `None` proves that nothing of the tenant is within the range; so does a time after it.
    pub fn oldest(&self, tenant: &TenantId, range: TimeRange) -> Option<i64> {
        let around: Vec<_> = self.generations.iter().filter(|g| g.counts.times().overlaps(range)).collect();
        if around.is_empty() {
            return None;
        }
        let chosen = self.choose(tenant, &[], TimeRange::ALL);
        let first = |&series: &u32| {
            around
                .iter()
                .filter_map(move |g| g.read(Generation::stripe_of(series)).times(series).map(|times| times.min))
        };
        chosen.series.iter().flat_map(first).min()
    }

    /// What is known of the tenant's metric families; of two statements on one, the newer.
    pub fn metadata(&self, tenant: &TenantId) -> Vec<Metadata> {
        let Some(tenant) = self.shared.registry().tenant(tenant) else { return Vec::new() };
        let all = self.generations.iter().flat_map(|generation| generation.metadata(tenant));
        all.map(|m| (m.family.clone(), m)).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// The exemplars within `range` of the series that meet all matchers, sorted by time.
    pub fn exemplars(&self, tenant: &TenantId, matchers: &[Matcher], range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
        let chosen = self.choose(tenant, matchers, TimeRange::ALL);
        let mut all = Vec::new();
        for &series in &chosen.series {
            let mut found: Vec<Exemplar> = Vec::new();
            for generation in &self.generations {
                let stripe = generation.read(Generation::stripe_of(series));
                found.extend(stripe.exemplars(series).iter().filter(|e| range.contains(e.time)).cloned());
            }
            found.sort_by_key(|exemplar| exemplar.time);
            if let Some(labels) =
                (!found.is_empty()).then(|| chosen.labels(&self.shared.registry(), series, matchers)).flatten()
            {
                all.push((labels, found));
            }
        }
        all
    }

    fn choose(&self, tenant: &TenantId, matchers: &[Matcher], range: TimeRange) -> Chosen {
        let registry = self.shared.registry();
        let mut chosen = Chosen { tenant: 0, series: Vec::new(), epoch: registry.epoch() };
        let Some(number) = registry.tenant(tenant) else { return chosen };
        chosen.tenant = number;
        let lists = registry.lists(number, asked_metric(matchers));
        drop(registry);
        let mut tests: Vec<Test<'_>> = matchers.iter().map(Test::new).collect();
        for (name, len) in lists {
            let mut from = 0;
            while from < len {
                // The lock is taken anew for each piece, so that a scan of many series does not hold up new ones.
                let registry = self.shared.registry();
                if registry.epoch() != chosen.epoch {
                    drop(registry);
                    return self.choose(tenant, matchers, range); // a sweep moved the lists
                }
                tests.iter_mut().for_each(|test| test.name = registry.symbols().find(&test.matcher.name));
                let list = registry.list(number, name);
                let piece = &list[from..list.len().min(from + AT_ONCE)];
                chosen
                    .series
                    .extend(piece.iter().filter(|&&series| tests.iter_mut().all(|t| t.meets(&registry, series))));
                from += AT_ONCE;
            }
        }
        self.keep_present(&mut chosen.series, range);
        chosen
    }

    /// Leaves those that have anything here, and for a real range, samples that may be within.
    fn keep_present(&self, series: &mut Vec<u32>, range: TimeRange) {
        let any = range == TimeRange::ALL;
        let mut present = vec![false; series.len()];
        for generation in &self.generations {
            if !any && !generation.counts.times().overlaps(range) {
                continue;
            }
            for (present, &series) in present.iter_mut().zip(series.iter()) {
                if !*present {
                    let stripe = generation.read(Generation::stripe_of(series));
                    *present = if any { stripe.has(series) } else { stripe.may_have(series, range) };
                }
            }
        }
        let mut flags = present.iter();
        series.retain(|_| flags.next().copied().unwrap_or(false));
    }
}

impl Chosen {
    /// The labels of a chosen series; none when the series was swept since and its number given to another.
    fn labels(&self, registry: &Registry, series: u32, matchers: &[Matcher]) -> Option<Labels> {
        let labels = registry.labels(series);
        if registry.epoch() == self.epoch {
            return Some(labels);
        }
        (registry.tenant_of(series) == self.tenant && Matcher::all(matchers, &labels)).then_some(labels)
    }
}

/// A matcher over symbol numbers: each value is tried once.
struct Test<'a> {
    matcher: &'a Matcher,
    name: Option<u32>,
    absent: bool,
    known: HashMap<u32, bool>,
}

impl<'a> Test<'a> {
    fn new(matcher: &'a Matcher) -> Test<'a> {
        Test { matcher, name: None, absent: matcher.matches_absent(), known: HashMap::new() }
    }

    fn meets(&mut self, registry: &Registry, series: u32) -> bool {
        let Some(name) = self.name else { return self.absent };
        match registry.numbers(series).find(|(n, _)| *n == name) {
            None => self.absent,
            Some((_, value)) => {
                *self.known.entry(value).or_insert_with(|| self.matcher.matches(registry.symbols().text(value)))
            }
        }
    }
}

/// Series by series; labels and samples are copied a few hundred series at a time.
pub struct Select<'a> {
    view: &'a View,
    matchers: Vec<Matcher>,
    range: TimeRange,
    chosen: Chosen,
    next: usize,
    ready: Vec<Series>,
    copied: Copied,
}

impl Select<'_> {
    fn fill(&mut self) {
        let to = self.chosen.series.len().min(self.next + AT_ONCE);
        let numbers = &self.chosen.series[self.next..to];
        self.next = to;
        let mut batch: Vec<Series> = vec![Series::default(); numbers.len()];
        for generation in &self.view.generations {
            if !generation.counts.times().overlaps(self.range) {
                continue;
            }
            for (out, &series) in batch.iter_mut().zip(numbers) {
                let found = generation.read(Generation::stripe_of(series)).copy(series, &mut self.copied);
                if found {
                    self.copied.add_to(out, self.range);
                }
            }
        }
        let registry = self.view.shared.registry();
        for (mut out, &series) in batch.into_iter().zip(numbers).rev() {
            if out.is_empty() {
                continue;
            }
            if let Some(labels) = self.chosen.labels(&registry, series, &self.matchers) {
                out.labels = Some(labels);
                self.ready.push(out);
            }
        }
    }
}

impl Iterator for Select<'_> {
    type Item = Series;

    fn next(&mut self) -> Option<Series> {
        while self.ready.is_empty() && self.next < self.chosen.series.len() {
            self.fill();
        }
        self.ready.pop()
    }
}
