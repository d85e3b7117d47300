//! What a cut froze, encoded for a segment: one part a tenant, one series after the other.

use crate::error::Error;
use crate::generation::{Copied, Generation};
use crate::head::Shared;
use crate::order::{BUCKET, bounds};
use crate::part::encoder::{Encoder, Tools};
use crate::registry::Registry;
use block::Part;
use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::{Series, TenantId, TimeRange};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLockReadGuard};

/// The samples of a head up to a log index. They stay readable in the head until it drops them.
pub struct Frozen {
    pub(crate) shared: Arc<Shared>,
    pub(crate) generation: Arc<Generation>,
}

impl Frozen {
    /// The last log index that this has.
    pub fn through(&self) -> u64 {
        self.generation.through()
    }

    /// Samples, before late duplicates are left out.
    pub fn rows(&self) -> u64 {
        self.generation.counts.rows.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.rows() == 0 && self.generation.metadata_tenants().is_empty()
    }

    /// Unix milliseconds; empty when there are no samples.
    pub fn times(&self) -> TimeRange {
        self.generation.counts.times()
    }

    /// The tenants that have anything here, sorted by name.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.shares().into_iter().map(|share| share.tenant).collect()
    }

    /// The parts, sorted by tenant. In memory at once: a part's bytes, one page of samples, and a few numbers for
    /// each series of the tenant.
    pub fn encode(&self) -> Parts<'_> {
        Parts { frozen: self, shares: self.shares().into_iter(), tools: None }
    }

    fn shares(&self) -> Vec<Share> {
        let mut by_tenant: HashMap<u32, Vec<u32>> = HashMap::new();
        let registry = self.shared.registry();
        for series in self.generation.series() {
            by_tenant.entry(registry.tenant_of(series)).or_default().push(series);
        }
        for tenant in self.generation.metadata_tenants() {
            by_tenant.entry(tenant).or_default();
        }
        let share = |(number, series)| Share { tenant: registry.tenant_name(number).clone(), number, series };
        let mut shares: Vec<Share> = by_tenant.into_iter().map(share).collect();
        shares.sort_unstable_by(|a, b| a.tenant.cmp(&b.tenant));
        shares
    }

    fn encode_share(&self, mut share: Share, tools: Tools) -> Result<(Part, Tools), Error> {
        sort(self.shared.registry(), &mut share.series);
        let mut encoder = Encoder::with(tools, &self.shared.settings);
        let mut copied = Copied::default();
        for number in share.series {
            let mut series = Series::new(self.shared.registry().labels(number));
            let stripe = self.generation.read(Generation::stripe_of(number));
            let found = stripe.copy(number, &mut copied);
            let exemplars = stripe.exemplars(number).to_vec();
            drop(stripe);
            if found {
                copied.add_to(&mut series, TimeRange::ALL);
            }
            if !series.is_empty() || !exemplars.is_empty() {
                encoder.push(&series, &exemplars)?;
            }
        }
        self.generation.metadata(share.number).into_iter().for_each(|metadata| encoder.push_metadata(metadata));
        encoder.finish_and_keep(share.tenant)
    }
}

/// What one tenant has in a generation.
struct Share {
    tenant: TenantId,
    number: u32,
    series: Vec<u32>,
}

/// Encodes tenant after tenant.
pub struct Parts<'a> {
    frozen: &'a Frozen,
    shares: std::vec::IntoIter<Share>,
    tools: Option<Tools>,
}

impl Iterator for Parts<'_> {
    type Item = Result<Part, Error>;

    fn next(&mut self) -> Option<Result<Part, Error>> {
        let share = self.shares.next()?;
        let tools = match self.tools.take().map_or_else(|| Tools::new(&self.frozen.shared.settings), Ok) {
            Ok(tools) => tools,
            Err(error) => return Some(Err(error)),
        };
        Some(self.frozen.encode_share(share, tools).map(|(part, tools)| {
            self.tools = Some(tools);
            part
        }))
    }
}

/// Sorts series as `order::order` does, by the ranks of their symbols: each text is compared a few times, not with
/// every series that has it.
fn sort(registry: RwLockReadGuard<'_, Registry>, series: &mut Vec<u32>) {
    let symbols = registry.symbols();
    let mut used: HashMap<u32, u32> = HashMap::new();
    for &number in series.iter() {
        for (name, value) in registry.numbers(number) {
            used.insert(name, 0);
            used.insert(value, 0);
        }
    }
    let mut ranked: Vec<u32> = used.keys().copied().collect();
    ranked.sort_unstable_by(|a, b| symbols.text(*a).cmp(symbols.text(*b)));
    used.extend(ranked.iter().copied().zip(1u32..));
    let (metric, bucket) = (symbols.find(METRIC_NAME), symbols.find(BUCKET));
    let mut by_bound: Vec<u32> = Vec::new();
    for &number in series.iter() {
        by_bound.extend(registry.numbers(number).find(|(name, _)| Some(*name) == bucket).map(|(_, value)| value));
    }
    by_bound.sort_unstable();
    by_bound.dedup();
    by_bound.sort_by(|a, b| bounds(symbols.text(*a), symbols.text(*b)));
    let bound_ranks: HashMap<u32, u32> = by_bound.iter().copied().zip(1u32..).collect();
    let rank = |symbol: u32| used.get(&symbol).copied().unwrap_or(0);
    let mut flat: Vec<u32> = Vec::new();
    let mut keys: Vec<(u32, Range<usize>, u32, u32)> = Vec::with_capacity(series.len());
    for &number in series.iter() {
        let from = flat.len();
        let (mut own_metric, mut bound) = (0, 0);
        for (name, value) in registry.numbers(number) {
            if Some(name) == metric {
                own_metric = rank(value);
            } else if Some(name) == bucket {
                bound = bound_ranks.get(&value).copied().unwrap_or(0);
            } else {
                flat.extend([rank(name), rank(value)]);
            }
        }
        keys.push((own_metric, from..flat.len(), bound, number));
    }
    drop(registry); // what follows takes a while, and new series would wait for it
    keys.sort_unstable_by(|a, b| {
        let labels = || flat[a.1.clone()].cmp(&flat[b.1.clone()]);
        a.0.cmp(&b.0).then_with(labels).then_with(|| a.2.cmp(&b.2))
    });
    series.clear();
    series.extend(keys.into_iter().map(|(.., number)| number));
}
