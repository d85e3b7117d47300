//! Which series a head knows: from the bytes that name one in a body to its number, its labels and its newest time.
//!
//! All tenants share these maps; a series costs its entry, its packed symbol numbers and a few bytes in four tables.

use crate::bytes_io::{Cursor, put_varint};
use crate::symbols::Symbols;
use hashbrown::{HashMap, HashTable};
use model::labels::METRIC_NAME;
use model::{Labels, TenantId};
use std::sync::atomic::{AtomicI64, Ordering};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The tenant of an entry that is free.
const NOBODY: u32 = u32::MAX;
/// More other names than this, beside one a series, are forgotten: a sender that shuffles labels gains nothing.
const SPARE_ALIASES: usize = 4096;

#[derive(Default)]
pub struct Registry {
    tenants: HashMap<TenantId, u32>,
    tenant_names: Vec<TenantId>,
    /// By tenant: how many series it has.
    counts: Vec<u64>,
    symbols: Symbols,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// By tenant and key: the entries.
    keys: HashTable<u32>,
    /// Further keys of series that are sent in several ways.
    aliases: HashMap<(u32, u128), u32>,
    /// By tenant and labels: the entries.
    canonical: HashTable<u32>,
    /// By tenant: the symbols of its metric names.
    names: HashMap<u32, Vec<u32>>,
    /// By tenant and metric name: the series.
    series: HashMap<(u32, u32), Vec<u32>>,
    /// Counts the sweeps that freed something: after one, a number may mean another series.
    epoch: u64,
    label_bytes: usize,
}

struct Entry {
    key: [u64; 2],
    /// Symbol numbers of names and values in turn, as varints, in order of the names.
    labels: Box<[u8]>,
    /// The time of the newest sample ever.
    newest: AtomicI64,
    tenant: u32,
}

fn split(key: u128) -> [u64; 2] {
    [key as u64, (key >> 64) as u64]
}

fn key_hash(tenant: u32, key: [u64; 2]) -> u64 {
    key[0] ^ u64::from(tenant).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn labels_hash(tenant: u32, labels: &[u8]) -> u64 {
    xxh3_64_with_seed(labels, u64::from(tenant))
}

impl Registry {
    pub fn tenant(&self, tenant: &TenantId) -> Option<u32> {
        self.tenants.get(tenant).copied()
    }

    pub fn tenant_name(&self, number: u32) -> &TenantId {
        &self.tenant_names[number as usize]
    }

    pub fn add_tenant(&mut self, tenant: &TenantId) -> u32 {
        if let Some(number) = self.tenant(tenant) {
            return number;
        }
        let number = self.tenant_names.len() as u32;
        self.tenant_names.push(tenant.clone());
        self.counts.push(0);
        self.tenants.insert(tenant.clone(), number);
        number
    }

    /// The series that this key names.
    pub fn find(&self, tenant: u32, key: u128) -> Option<u32> {
        let parts = split(key);
        let same = |&at: &u32| {
            let entry = &self.entries[at as usize];
            entry.key == parts && entry.tenant == tenant
        };
        let found = self.keys.find(key_hash(tenant, parts), same).copied();
        if found.is_none() && !self.aliases.is_empty() {
            return self.aliases.get(&(tenant, key)).copied();
        }
        found
    }

    /// The series with these labels, under whichever key it is known.
    pub fn find_labels(&self, tenant: u32, labels: &Labels) -> Option<u32> {
        let mut packed = Vec::with_capacity(96);
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            put_varint(&mut packed, u64::from(self.symbols.find(text)?));
        }
        let same = |&at: &u32| {
            let entry = &self.entries[at as usize];
            *entry.labels == *packed && entry.tenant == tenant
        };
        self.canonical.find(labels_hash(tenant, &packed), same).copied()
    }

    /// The series with these labels, new or known under another key. Says whether it is new.
    pub fn learn(&mut self, tenant: u32, key: u128, labels: &Labels) -> (u32, bool) {
        let packed = self.acquire(labels);
        let hash = labels_hash(tenant, &packed);
        let same = |&at: &u32| {
            let entry = &self.entries[at as usize];
            *entry.labels == *packed && entry.tenant == tenant
        };
        if let Some(&known) = self.canonical.find(hash, same) {
            self.release(&packed);
            if self.aliases.len() >= SPARE_ALIASES + self.entries.len() {
                self.aliases.clear();
            }
            self.aliases.insert((tenant, key), known);
            return (known, false);
        }
        self.label_bytes += packed.len();
        self.counts[tenant as usize] += 1;
        let entry = Entry { key: split(key), labels: packed, newest: AtomicI64::new(i64::MIN), tenant };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        let entries = &self.entries;
        let by_key = |&at: &u32| key_hash(entries[at as usize].tenant, entries[at as usize].key);
        self.keys.insert_unique(key_hash(tenant, split(key)), at, by_key);
        let by_labels = |&at: &u32| labels_hash(entries[at as usize].tenant, &entries[at as usize].labels);
        self.canonical.insert_unique(hash, at, by_labels);
        self.add_to_lists(tenant, at, labels.metric_name());
        (at, true)
    }

    fn acquire(&mut self, labels: &Labels) -> Box<[u8]> {
        let mut packed = Vec::with_capacity(96);
        for (name, value) in labels {
            put_varint(&mut packed, u64::from(self.symbols.acquire(name)));
            put_varint(&mut packed, u64::from(self.symbols.acquire(value)));
        }
        packed.into()
    }

    fn release(&mut self, packed: &[u8]) {
        Numbers(Cursor::new(packed)).for_each(|(name, value)| {
            self.symbols.release(name);
            self.symbols.release(value);
        });
    }

    fn add_to_lists(&mut self, tenant: u32, at: u32, metric: &str) {
        // A list holds its symbol too: a series without a name has none of its own.
        let name = self.symbols.acquire(metric);
        let list = self.series.entry((tenant, name)).or_default();
        if list.is_empty() {
            self.names.entry(tenant).or_default().push(name);
        } else {
            self.symbols.release(name);
        }
        list.push(at);
    }

    /// How many series a tenant has.
    pub fn count(&self, tenant: u32) -> u64 {
        self.counts.get(tenant as usize).copied().unwrap_or(0)
    }

    /// How many of them have this metric name.
    pub fn count_of(&self, tenant: u32, metric: &str) -> u64 {
        self.symbols.find(metric).map_or(0, |name| self.list(tenant, name).len() as u64)
    }

    pub fn newest(&self, series: u32) -> i64 {
        self.entries[series as usize].newest.load(Ordering::Relaxed)
    }

    /// Raises the newest time. Only one thread at a time applies batches.
    pub fn raise_newest(&self, series: u32, time: i64) {
        let newest = &self.entries[series as usize].newest;
        if newest.load(Ordering::Relaxed) < time {
            newest.store(time, Ordering::Relaxed);
        }
    }

    pub fn tenant_of(&self, series: u32) -> u32 {
        self.entries[series as usize].tenant
    }

    /// Symbol numbers of a series' names and values.
    pub fn numbers(&self, series: u32) -> Numbers<'_> {
        Numbers(Cursor::new(&self.entries[series as usize].labels))
    }

    pub fn labels(&self, series: u32) -> Labels {
        let texts = self.numbers(series).map(|(name, value)| (self.symbols.text(name), self.symbols.text(value)));
        Labels::from_sorted(texts).unwrap_or_else(Labels::empty)
    }

    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The series of a tenant, as lists of one metric name each; with `metric`, only that one's.
    pub fn lists(&self, tenant: u32, metric: Option<&str>) -> Vec<(u32, usize)> {
        let names: Vec<u32> = match metric {
            Some(metric) => self.symbols.find(metric).into_iter().collect(),
            None => self.names.get(&tenant).cloned().unwrap_or_default(),
        };
        let sized = |name: u32| Some((name, self.series.get(&(tenant, name))?.len()));
        names.into_iter().filter_map(sized).collect()
    }

    /// A piece of the list of a tenant and metric name.
    pub fn list(&self, tenant: u32, name: u32) -> &[u32] {
        self.series.get(&(tenant, name)).map_or(&[], |list| list.as_slice())
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Forgets the series that got nothing since `idle_before` and that nothing else holds. Returns how many.
    pub fn sweep(&mut self, idle_before: i64, held: impl Fn(u32) -> bool) -> usize {
        let idle = |at: u32, entry: &Entry| {
            entry.tenant != NOBODY && entry.newest.load(Ordering::Relaxed) < idle_before && !held(at)
        };
        let gone: Vec<u32> =
            (0u32..).zip(&self.entries).filter(|(at, entry)| idle(*at, entry)).map(|(at, _)| at).collect();
        if gone.is_empty() {
            return 0;
        }
        self.epoch += 1;
        for &at in &gone {
            self.forget(at);
        }
        let entries = &self.entries;
        self.aliases.retain(|_, at| entries[*at as usize].tenant != NOBODY);
        self.aliases.shrink_to_fit();
        let mut empty = Vec::new();
        for (&(tenant, name), list) in &mut self.series {
            list.retain(|&at| entries[at as usize].tenant != NOBODY);
            if list.is_empty() {
                empty.push((tenant, name));
            }
        }
        for (tenant, name) in empty {
            self.series.remove(&(tenant, name));
            self.symbols.release(name);
            if let Some(names) = self.names.get_mut(&tenant) {
                names.retain(|&n| n != name);
                if names.is_empty() {
                    self.names.remove(&tenant);
                }
            }
        }
        // Freed numbers are handed out only now, when no list has them.
        self.free.extend(gone.iter().rev());
        gone.len()
    }

    fn forget(&mut self, at: u32) {
        let entry = &mut self.entries[at as usize];
        let (tenant, key) = (entry.tenant, entry.key);
        let labels = std::mem::take(&mut entry.labels);
        entry.tenant = NOBODY;
        self.counts[tenant as usize] -= 1;
        self.label_bytes -= labels.len();
        if let Ok(found) = self.keys.find_entry(key_hash(tenant, key), |&other| other == at) {
            found.remove();
        }
        if let Ok(found) = self.canonical.find_entry(labels_hash(tenant, &labels), |&other| other == at) {
            found.remove();
        }
        self.release(&labels);
    }

    pub fn memory_bytes(&self) -> usize {
        let lists: usize = self.series.values().map(|list| list.capacity() * 4 + 48).sum();
        self.symbols.memory_bytes()
            + self.entries.capacity() * size_of::<Entry>()
            + self.label_bytes
            + self.len() * 12
            + (self.keys.capacity() + self.canonical.capacity()) * 6
            + self.aliases.capacity() * 40
            + lists
            + self.names.len() * 64
            + self.tenant_names.len() * 128
    }
}

/// Walks the symbol numbers of a series' labels.
#[derive(Clone)]
pub struct Numbers<'a>(Cursor<'a>);

impl Iterator for Numbers<'_> {
    type Item = (u32, u32);
    fn next(&mut self) -> Option<(u32, u32)> {
        if self.0.is_empty() {
            return None;
        }
        Some((self.0.varint().ok()? as u32, self.0.varint().ok()? as u32))
    }
}

/// The metric that matchers ask for by name, if one does.
pub fn asked_metric(matchers: &[model::Matcher]) -> Option<&str> {
    let equal = |m: &&model::Matcher| m.op == model::MatchOp::Equal && m.name == METRIC_NAME;
    matchers.iter().find(equal).map(|m| m.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn two_keys_may_name_one_series() {
        let mut registry = Registry::default();
        let tenant = registry.add_tenant(&TenantId::anonymous());
        let labels = set(&[(METRIC_NAME, "up"), ("job", "a")]);
        assert_eq!(registry.learn(tenant, 1, &labels), (0, true));
        assert_eq!(registry.learn(tenant, 2, &labels), (0, false));
        assert_eq!(
            (registry.find(tenant, 1), registry.find(tenant, 2), registry.find(tenant, 3)),
            (Some(0), Some(0), None)
        );
        assert_eq!(registry.labels(0), labels);
        assert_eq!(
            (registry.find_labels(tenant, &labels), registry.find_labels(tenant, &labels.with("x", "y"))),
            (Some(0), None)
        );
    }

    #[test]
    fn tenants_are_apart() {
        let mut registry = Registry::default();
        let a = registry.add_tenant(&TenantId::new("a").expect("a name"));
        let b = registry.add_tenant(&TenantId::new("b").expect("a name"));
        let labels = set(&[(METRIC_NAME, "up")]);
        registry.learn(a, 1, &labels);
        assert_eq!(registry.find(b, 1), None);
        assert_eq!(registry.learn(b, 1, &labels), (1, true));
        registry.learn(b, 2, &labels.with("job", "x"));
        registry.learn(b, 3, &labels);
        assert_eq!((registry.count(a), registry.count(b), registry.count_of(b, "up")), (1, 2, 2));
        assert_eq!((registry.count_of(b, "down"), registry.count(9)), (0, 0));
        assert_eq!(registry.lists(a, Some("up")).len(), 1);
        let name = registry.lists(a, None)[0].0;
        assert_eq!((registry.list(a, name), registry.list(b, name)), (&[0][..], &[1, 2][..]));
    }

    #[test]
    fn idle_series_leave_nothing_behind() {
        let mut registry = Registry::default();
        let tenant = registry.add_tenant(&TenantId::anonymous());
        for at in 0..1000u32 {
            let labels = set(&[(METRIC_NAME, &format!("m{}", at % 10)), ("n", &at.to_string())]);
            let (series, _) = registry.learn(tenant, u128::from(at), &labels);
            registry.learn(tenant, u128::from(at) + 5000, &labels);
            registry.raise_newest(series, i64::from(at));
        }
        assert_eq!(registry.sweep(500, |series| series == 7), 499);
        assert_eq!(registry.len(), 501);
        assert_eq!(
            (registry.find(tenant, 7), registry.find(tenant, 8), registry.find(tenant, 5008)),
            (Some(7), None, None)
        );
        assert_eq!(registry.sweep(i64::MAX, |_| false), 501);
        assert_eq!((registry.len(), registry.symbols().len(), registry.lists(tenant, None).len()), (0, 0, 0));
        assert_eq!((registry.count(tenant), registry.count_of(tenant, "m1")), (0, 0));
        registry.learn(tenant, 1, &set(&[(METRIC_NAME, "again")]));
        assert_eq!(registry.len(), 1);
    }
}
