//! One tenant's rows for the engines: heads and segments together, each row exactly once.
//!
//! The heads are asked first. Each says where it begins (`flushed`) and which version of the catalog knows the
//! segments before that. With a catalog at least that new, the segments of a shard that start before its `flushed`, and
//! all blocks, have exactly the rows that its head does not have; a block that has rows of a head means that the head
//! was asked too long ago, and all are asked again. The same catalog says which rows are hidden because they are to be
//! deleted ([`crate::deletes`]).

use crate::closed::Closed;
use crate::deletes;
use crate::error::QueryError;
use crate::heads::{HeadRows, Question};
use crate::kept::Kept;
use crate::partial::Partial;
use crate::querier::Parts;
use crate::reading::{Charge, Reading};
use crate::runs;
use crate::segments::within;
use crate::slices;
use crate::tail::Begun;
use catalog::{Catalog, Overtaken};
use eval::source::{Delegated, Done, Said, SeriesIter, SeriesSource, SourceError};
use hidden::Hidden;
use model::{Exemplar, Labels, Matcher, Metadata, Packed, Reason, Series, ShardId, Signal, TenantId, TimeRange};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tenancy::Limits;
use tokio::runtime::Handle;
use transport::{rows, v1::What, v1::select_reply::Reply};

/// Reads block: it is used on the pool for reads only. Cheap to clone.
#[derive(Clone)]
pub struct TenantRows {
    pub parts: Arc<Parts>,
    pub tenant: TenantId,
    pub kept: Kept,
    pub reading: Arc<Reading>,
    pub partial: Arc<Partial>,
    pub runtime: Handle,
    /// Only rows of a time that is closed are asked for.
    pub closed: Option<Arc<Closed>>,
    /// Whoever reads on from here wants to know where that is.
    pub begun: Option<Arc<Begun>>,
    pub limits: Arc<Limits>,
    /// Whether each line is to have a level.
    pub levels: bool,
}

/// How often heads are asked again because a block has rows of theirs, and how long to wait in between: as long as it
/// takes to log that a flush is in the catalog.
pub(crate) const ATTEMPTS: usize = 20;
/// What a label set takes beside its text.
const LABELS: usize = 48;
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// The heads' rows, and the names of the objects that have the rest, oldest first.
pub(crate) struct Snapshot {
    pub heads: Replies,
    pub objects: Vec<String>,
    catalog: Arc<Catalog>,
    /// What of all these rows may not be shown.
    pub hidden: Arc<Hidden>,
}

impl Snapshot {
    /// Of which times an object has a tenant's rows.
    pub(crate) fn times(&self, name: &str, tenant: &TenantId) -> TimeRange {
        let segment = self.catalog.segment(name).and_then(|segment| segment.tenant(tenant));
        let block = self.catalog.block(name).map(|block| TimeRange::new(block.min, block.max));
        segment.map(|entry| TimeRange::new(entry.min, entry.max)).or(block).unwrap_or(TimeRange::ALL)
    }
}

/// Values of a label, each of which is held once.
struct Values<'r> {
    label: &'r str,
    all: HashSet<Box<str>>,
    reading: &'r Reading,
}

impl Values<'_> {
    /// Takes what a series has.
    fn add(&mut self, labels: Packed<'_>) -> Result<(), QueryError> {
        match labels.get(self.label) {
            Some(value) => self.keep(value),
            None if self.label.is_empty() => labels.iter().try_for_each(|(name, _)| self.keep(name)),
            None => Ok(()),
        }
    }

    fn keep(&mut self, value: &str) -> Result<(), QueryError> {
        if self.all.contains(value) {
            return Ok(());
        }
        self.all.insert(value.into());
        self.reading.keep(value.len() + LABELS)
    }

    fn sorted(self) -> Vec<Box<str>> {
        let mut all: Vec<_> = self.all.into_iter().collect();
        all.sort_unstable();
        all
    }
}

/// What heads answer, message by message: never all of it in memory. Blocks.
pub(crate) struct Replies {
    pub heads: Vec<HeadRows>,
    partial: Arc<Partial>,
    runtime: Handle,
    reading: Arc<Reading>,
}

impl Replies {
    fn of(heads: Vec<HeadRows>, rows: &TenantRows) -> Replies {
        let TenantRows { partial, runtime, reading, .. } = rows.clone();
        Replies { heads, partial, runtime, reading }
    }
}

impl Replies {
    /// Wants no more of the head that answered last.
    pub fn leave(&mut self) {
        self.heads.pop();
    }

    /// So many bytes of rows came.
    pub fn came(&self, bytes: usize) {
        self.reading.count(bytes as u64);
    }
}

impl Iterator for Replies {
    type Item = Result<Reply, QueryError>;

    fn next(&mut self) -> Option<Result<Reply, QueryError>> {
        self.next_of().map(|(_, reply)| reply)
    }
}

impl Replies {
    /// The next message, and whose it is.
    fn next_of(&mut self) -> Option<(ShardId, Result<Reply, QueryError>)> {
        loop {
            let head = self.heads.last_mut()?;
            let shard = head.shard;
            if let Err(error) = self.reading.check() {
                self.heads.clear();
                return Some((shard, Err(error)));
            }
            match self.runtime.block_on(head.next()) {
                Ok(Some(reply)) => return Some((shard, Ok(reply))),
                Ok(None) => drop(self.heads.pop()),
                Err(error) => {
                    // It went while it answered: what it said is true, and not all.
                    if let Err(error) = self.partial.without(shard, error) {
                        self.heads.clear();
                        return Some((shard, Err(error)));
                    }
                    self.heads.pop();
                }
            }
        }
    }
}

impl TenantRows {
    /// A question to the heads, without conditions on lines.
    pub(crate) fn question<'a>(&'a self, what: What, matchers: &'a [Matcher], range: TimeRange) -> Question<'a> {
        let (tenant, max_bytes) = (&self.tenant, self.reading.limit());
        let (signal, limit, newest) = (Signal::Metrics, None, false);
        Question { tenant, signal, what, matchers, range, contains: &[], limit, newest, after: 0, max_bytes, work: &[] }
    }

    pub(crate) fn snapshot(&self, question: &Question<'_>) -> Result<Snapshot, QueryError> {
        self.runtime.block_on(async {
            for _ in 1..ATTEMPTS {
                if let Ok(snapshot) = self.try_snapshot(question).await? {
                    return Ok(snapshot);
                }
                tokio::time::sleep(PAUSE).await;
            }
            let last = self.try_snapshot(question).await?;
            last.map_err(|overtaken| QueryError::new(Reason::Unavailable, overtaken.to_string()))
        })
    }

    pub(crate) async fn try_snapshot(
        &self,
        question: &Question<'_>,
    ) -> Result<Result<Snapshot, Overtaken>, QueryError> {
        let Question { tenant, signal, range, .. } = *question;
        if let Some(objects) = self.closed.as_ref().and_then(|closed| closed.objects(tenant, range)) {
            let requests = self.closed.iter().flat_map(|closed| closed.hiding(tenant, range));
            let requests = requests.chain(self.kept.hiding(signal, range));
            let hidden = Arc::new(Hidden::of(requests.map(|request| &**request))?);
            return Ok(Ok(Snapshot { heads: Replies::of(Vec::new(), self), objects, catalog: Arc::default(), hidden }));
        }
        let heads = self.parts.heads.ask(question, &self.partial).await?;
        let version = heads.iter().map(|head| head.version).max().unwrap_or(0);
        let catalog = self.parts.catalog.at_least(version).await?;
        // Without a head, nothing that is in segments could come twice.
        let missing = self.partial.shards().into_iter().map(|shard| (shard, u64::MAX));
        let flushed: Vec<_> = heads.iter().map(|head| (head.shard, head.flushed)).chain(missing).collect();
        let objects = catalog.objects(signal, tenant, range, &flushed);
        if let Some(begun) = &self.begun {
            begun.at(heads.iter().map(|head| (head.shard, head.applied)));
        }
        let asked = heads.iter().map(|head| head.version).min().unwrap_or(0);
        let requests = catalog.deletes().hiding(tenant, signal, range, asked).chain(self.kept.hiding(signal, range));
        let hidden = Arc::new(Hidden::of(requests.map(|request| &**request))?);
        Ok(objects.map(|objects| Snapshot { heads: Replies::of(heads, self), objects, catalog, hidden }))
    }

    /// The label sets that have rows within the range.
    pub fn series(
        &self,
        signal: Signal,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<HashSet<Labels>, QueryError> {
        let range = self.kept.of(signal, range);
        let snapshot = self.snapshot(&Question { signal, ..self.question(What::Series, matchers, range) })?;
        let hidden = snapshot.hidden.clone();
        let mut all = HashSet::new();
        let mut add = |labels: Labels| {
            let bytes = labels.packed().len() + LABELS;
            if all.insert(labels) { self.reading.keep(bytes) } else { Ok(()) }
        };
        for reply in snapshot.heads {
            if let Reply::Labels(packed) = reply? {
                add(rows::labels(&packed)?)?;
            }
        }
        for object in &snapshot.objects {
            self.reading.check()?;
            let found = match signal {
                Signal::Logs => match self.parts.segments.logs(object, &self.tenant)? {
                    Some(reader) => reader.series(matchers, range),
                    None => Vec::new(),
                },
                Signal::Metrics => match self.parts.segments.metrics(object, &self.tenant)? {
                    Some(reader) => reader.series(matchers, range).map_err(within(object))?,
                    None => Vec::new(),
                },
            };
            found.into_iter().try_for_each(&mut add)?;
        }
        self.without_hidden(signal, matchers, range, &hidden, all)
    }

    /// The values of a label, sorted; of the label without a name, the names of all labels. Without matchers, segments of
    /// metrics answer from their label index alone.
    pub fn label_values(
        &self,
        signal: Signal,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Box<str>>, QueryError> {
        let range = self.kept.of(signal, range);
        let question = self.question(What::Values, matchers, range);
        let mut snapshot = self.snapshot(&Question { signal, work: name.as_bytes(), ..question })?;
        let mut values = Values { label: name, all: HashSet::new(), reading: &self.reading };
        let mut answers: HashSet<ShardId> = HashSet::new();
        let asked: HashSet<ShardId> = snapshot.heads.heads.iter().map(|head| head.shard).collect();
        while let Some((shard, reply)) = snapshot.heads.next_of() {
            if let Reply::Values(of) = reply? {
                answers.insert(shard);
                of.values.iter().try_for_each(|value| values.keep(value))?;
            }
        }
        let missing = asked.difference(&answers).any(|shard| !self.partial.shards().contains(shard));
        if missing || !snapshot.hidden.is_empty() {
            // A leader of an older version does not know the question; and what is hidden is known of whole series, while
            // these values may be of hidden ones.
            values.all.clear();
            let series = self.series(signal, matchers, range)?;
            series.iter().try_for_each(|labels| values.add(labels.into()))?;
            return Ok(values.sorted());
        }
        for object in &snapshot.objects {
            self.reading.check()?;
            match signal {
                Signal::Logs => {
                    let Some(reader) = self.parts.segments.logs(object, &self.tenant)? else { continue };
                    reader.each_series(matchers, range).try_for_each(|labels| values.add(labels))?;
                }
                Signal::Metrics => {
                    let Some(reader) = self.parts.segments.metrics(object, &self.tenant)? else { continue };
                    if matchers.is_empty() && !name.is_empty() {
                        reader.label_values(name)?.iter().try_for_each(|value| values.keep(value))?;
                    } else {
                        let series = reader.series(matchers, range).map_err(within(object))?;
                        series.iter().try_for_each(|labels| values.add(labels.into()))?;
                    }
                }
            }
        }
        Ok(values.sorted())
    }

    /// What the tenant's metric families are; the newest of each.
    pub fn metadata(&self) -> Result<BTreeMap<String, BTreeSet<Metadata>>, QueryError> {
        let snapshot = self.snapshot(&self.question(What::Metadata, &[], TimeRange::ALL))?;
        let mut all: BTreeMap<String, BTreeSet<Metadata>> = BTreeMap::new();
        let mut add = |metadata: Metadata| {
            all.entry(metadata.family.clone()).or_default().insert(metadata);
        };
        for object in &snapshot.objects {
            if let Some(reader) = self.parts.segments.metrics(object, &self.tenant)? {
                reader.metadata().map_err(within(object))?.into_iter().for_each(&mut add);
            }
        }
        for reply in snapshot.heads {
            if let Reply::Metadata(metadata) = reply? {
                add(rows::read_metadata(metadata));
            }
        }
        Ok(all)
    }

    pub fn exemplars(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<BTreeMap<Labels, Vec<Exemplar>>, QueryError> {
        let range = self.kept.of(Signal::Metrics, range);
        let snapshot = self.snapshot(&self.question(What::Exemplars, matchers, range))?;
        let hidden = snapshot.hidden.clone();
        let mut all: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for object in &snapshot.objects {
            if let Some(reader) = self.parts.segments.metrics(object, &self.tenant)? {
                for (labels, exemplars) in reader.exemplars(matchers, range).map_err(within(object))? {
                    all.entry(labels).or_default().extend(exemplars);
                }
            }
        }
        for reply in snapshot.heads {
            if let Reply::Exemplars(message) = reply? {
                let (labels, exemplars) = rows::read_exemplar_rows(message)?;
                all.entry(labels).or_default().extend(exemplars);
            }
        }
        all.retain(|labels, exemplars| {
            hidden.take_exemplars(labels, exemplars);
            !exemplars.is_empty()
        });
        let sizes = all.iter().map(|(labels, of)| labels.packed().len() + of.len() * size_of::<Exemplar>());
        self.reading.keep(sizes.sum())?;
        all.values_mut().for_each(|exemplars| exemplars.sort_by_key(|e| e.time));
        Ok(all)
    }

    /// The series of heads in the order of segments, so that they can be merged, and what they are charged as.
    fn series_of_heads(heads: Replies) -> Result<(Vec<Series>, Charge), QueryError> {
        let (mut all, mut charge) = (Vec::new(), heads.reading.charge());
        for reply in heads {
            if let Reply::Series(message) = reply? {
                let series = rows::read_series_rows(message)?;
                charge.add(series.size())?;
                all.push(series);
            }
        }
        all.sort_by(|a, b| metrics::order(&a.labels(), &b.labels()));
        Ok((all, charge))
    }
}

impl SeriesSource for TenantRows {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        let mut runs = self.split(matchers, range, 1)?;
        Ok(runs.pop().unwrap_or_else(|| Box::new(std::iter::empty())))
    }

    fn split(&self, matchers: &[Matcher], range: TimeRange, ways: usize) -> Result<Vec<SeriesIter<'_>>, SourceError> {
        let range = self.kept.of(Signal::Metrics, range);
        let snapshot = self.snapshot(&self.question(What::Rows, matchers, range))?;
        let found = slices::find(&self.parts, &self.tenant, &snapshot.objects, matchers, &self.reading)?;
        let (heads, charge) = TenantRows::series_of_heads(snapshot.heads)?;
        let charge = Arc::new(charge);
        let charged = |run| Box::new(charge.clone().during(run)) as SeriesIter<'_>;
        let runs = runs::split(found, heads, range, ways)?.into_iter().map(charged);
        Ok(runs.map(|run| deletes::series(snapshot.hidden.clone(), run)).collect())
    }

    fn delegate(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        work: &[u8],
    ) -> Result<Option<Delegated<'_>>, SourceError> {
        let range = self.kept.of(Signal::Metrics, range);
        if let Some(closed) = &self.closed {
            return Ok(self.sliced(closed, matchers, range, work)?);
        }
        let said = self.runtime.block_on(self.reading.during(self.folded(matchers, range, work)))?;
        let elsewhere = |said: Vec<Said>| Box::new(|| Ok(said.into_iter().map(Done::Said).collect()));
        Ok(said.map(|said| Delegated { here: None, elsewhere: elsewhere(said) }))
    }

    fn delegates_from(&self, range: TimeRange) -> Option<i64> {
        let range = self.kept.of(Signal::Metrics, range);
        let newest = || self.parts.catalog.known().newest(Signal::Metrics, &self.tenant, range);
        // Others that do what is closed have all of it.
        if self.closed.is_some() { None } else { Some(newest().map_or(range.min, |newest| newest.saturating_add(1))) }
    }
}

#[cfg(test)]
mod tests;
