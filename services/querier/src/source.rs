//! One tenant's rows for the engines: heads and segments together, each row exactly once.
//!
//! The heads are asked first. Each says where it begins (`flushed`) and which version of the catalog knows the
//! segments before that. With a catalog at least that new, the segments of a shard that start before its `flushed`
//! have exactly the rows that its head does not have.

use crate::error::QueryError;
use crate::heads::{HeadRows, Question};
use crate::merge::Merge;
use crate::querier::Parts;
use catalog::SegmentEntry;
use eval::source::{LogSelection, Order, PageIter, PageSource, SeriesIter, SeriesSource, SourceError};
use model::{Exemplar, Labels, LogPage, Matcher, Metadata, Series, Signal, TenantId, TimeRange};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::runtime::Handle;
use transport::{rows, v1::What, v1::select_reply::Reply};

/// Reads block: it is used on the pool for reads only.
pub struct TenantRows {
    pub parts: Arc<Parts>,
    pub tenant: TenantId,
    /// The most bytes that may come from heads.
    pub max_bytes: u64,
    pub runtime: Handle,
}

/// The heads' rows, and the segments that have the rest, oldest first.
struct Snapshot {
    heads: Vec<Reply>,
    segments: Vec<Arc<SegmentEntry>>,
}

impl TenantRows {
    fn snapshot(
        &self,
        signal: Signal,
        what: What,
        matchers: &[Matcher],
        range: TimeRange,
        contains: &[String],
    ) -> Result<Snapshot, QueryError> {
        let tenant = &self.tenant;
        let question = Question { tenant, signal, what, matchers, range, contains, max_bytes: self.max_bytes };
        self.runtime.block_on(async {
            let heads = self.parts.heads.ask(&question).await?;
            let version = heads.iter().map(|head| head.version).max().unwrap_or(0);
            let catalog = self.parts.catalog.at_least(version).await?;
            let before_head = |segment: &SegmentEntry| {
                heads.iter().any(|head: &HeadRows| head.shard == segment.shard && segment.after < head.flushed)
            };
            let mut segments: Vec<_> = catalog
                .segments()
                .filter(|segment| segment.shard.signal == signal && segment.holds(tenant, range))
                .filter(|segment| before_head(segment))
                .cloned()
                .collect();
            segments.sort_by_key(|segment| (segment.after, segment.shard));
            Ok(Snapshot { heads: heads.into_iter().flat_map(|head| head.rows).collect(), segments })
        })
    }

    /// The label sets that have rows within the range.
    pub fn series(&self, signal: Signal, matchers: &[Matcher], range: TimeRange) -> Result<BTreeSet<Labels>, QueryError> {
        let snapshot = self.snapshot(signal, What::Series, matchers, range, &[])?;
        let mut all = BTreeSet::new();
        for reply in snapshot.heads {
            if let Reply::Labels(packed) = reply {
                all.insert(rows::labels(&packed)?);
            }
        }
        for segment in &snapshot.segments {
            let found = match signal {
                Signal::Logs => match self.parts.segments.logs(&segment.name, &self.tenant)? {
                    Some(reader) => reader.series(matchers, range)?,
                    None => Vec::new(),
                },
                Signal::Metrics => match self.parts.segments.metrics(&segment.name, &self.tenant)? {
                    Some(reader) => reader.series(matchers, range)?,
                    None => Vec::new(),
                },
            };
            all.extend(found);
        }
        Ok(all)
    }

    /// What the tenant's metric families are; the newest of each.
    pub fn metadata(&self) -> Result<BTreeMap<String, BTreeSet<Metadata>>, QueryError> {
        let snapshot = self.snapshot(Signal::Metrics, What::Metadata, &[], TimeRange::ALL, &[])?;
        let mut all: BTreeMap<String, BTreeSet<Metadata>> = BTreeMap::new();
        let mut add = |metadata: Metadata| drop(all.entry(metadata.family.clone()).or_default().insert(metadata));
        for segment in &snapshot.segments {
            if let Some(reader) = self.parts.segments.metrics(&segment.name, &self.tenant)? {
                reader.metadata()?.into_iter().for_each(&mut add);
            }
        }
        for reply in snapshot.heads {
            if let Reply::Metadata(metadata) = reply {
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
        let snapshot = self.snapshot(Signal::Metrics, What::Exemplars, matchers, range, &[])?;
        let mut all: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for segment in &snapshot.segments {
            if let Some(reader) = self.parts.segments.metrics(&segment.name, &self.tenant)? {
                for (labels, exemplars) in reader.exemplars(matchers, range)? {
                    all.entry(labels).or_default().extend(exemplars);
                }
            }
        }
        for reply in snapshot.heads {
            if let Reply::Exemplars(message) = reply {
                let (labels, exemplars) = rows::read_exemplar_rows(message)?;
                all.entry(labels).or_default().extend(exemplars);
            }
        }
        all.values_mut().for_each(|exemplars| exemplars.sort_by_key(|e| e.time));
        Ok(all)
    }

    fn series_of_heads(heads: Vec<Reply>) -> Result<Vec<Series>, QueryError> {
        let mut all = Vec::with_capacity(heads.len());
        for reply in heads {
            if let Reply::Series(message) = reply {
                all.push(rows::read_series_rows(message)?);
            }
        }
        all.sort_by(|a, b| metrics::order(&a.labels(), &b.labels()));
        Ok(all)
    }

    fn pages_of<'a>(
        &'a self,
        segment: &SegmentEntry,
        selection: &logs::Selection,
    ) -> Result<PageIter<'a>, QueryError> {
        match self.parts.segments.logs(&segment.name, &self.tenant)? {
            None => Ok(Box::new(std::iter::empty())),
            Some(reader) => {
                let pages = reader.pages(selection);
                Ok(Box::new(pages.map(|page| page.map_err(|e| QueryError::from(e).into()))))
            }
        }
    }
}

impl SeriesSource for TenantRows {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        let snapshot = self.snapshot(Signal::Metrics, What::Rows, matchers, range, &[])?;
        let mut sources: Vec<SeriesIter<'_>> = Vec::new();
        for segment in &snapshot.segments {
            let reader = self.parts.segments.metrics(&segment.name, &self.tenant)?;
            if let Some(reader) = reader {
                let series = reader.select_shared(matchers, range).map_err(QueryError::from)?;
                sources.push(Box::new(series.map(|s| s.map_err(|e| QueryError::from(e).into()))));
            }
        }
        let heads = TenantRows::series_of_heads(snapshot.heads)?;
        sources.push(Box::new(heads.into_iter().map(Ok)));
        Ok(Box::new(Merge::new(sources, metrics::order)))
    }
}

impl PageSource for TenantRows {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        let LogSelection { matchers, range, contains, order, .. } = selection;
        let mut snapshot = self.snapshot(Signal::Logs, What::Rows, matchers, *range, contains)?;
        let wanted = logs::Selection { matchers: matchers.clone(), range: *range, contains: contains.clone() };
        let pages: Result<Vec<LogPage>, _> = snapshot
            .heads
            .drain(..)
            .filter_map(|reply| match reply {
                Reply::Logs(message) => Some(rows::read_log_rows(message)),
                _ => None,
            })
            .collect();
        let heads: PageIter<'_> = Box::new(pages.map_err(QueryError::from)?.into_iter().map(Ok));
        if *order == Order::Backward {
            snapshot.segments.reverse();
        }
        // Segments are opened one by one, as the engine asks for more.
        let segments = snapshot.segments.into_iter().flat_map(move |segment| match self.pages_of(&segment, &wanted) {
            Ok(pages) => pages,
            Err(error) => Box::new(std::iter::once(Err(error.into()))) as PageIter<'_>,
        });
        Ok(match order {
            Order::Backward => Box::new(heads.chain(segments)),
            Order::Forward => Box::new(segments.chain(heads)),
        })
    }
}
