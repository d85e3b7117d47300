//! Rows that were flushed before a tail asked for them: in objects, among others that it may have given already.

use super::Seen;
use crate::error::QueryError;
use crate::querier::Querier;
use crate::segments::within;
use crate::source::TenantRows;
use catalog::Catalog;
use model::{Labels, LogPage, Matcher, ShardId, Signal, TimeRange};
use node::Pool;

/// Rows of a gap that are read at once; of what is beyond, only labels and times are told.
const MOST_BYTES: usize = 32 << 20;

/// Entries `after < index <= through` of a shard's log, in objects that the catalog knows since `version`.
pub struct Gap {
    pub shard: ShardId,
    pub after: u64,
    pub through: u64,
    pub version: u64,
}

#[derive(Default)]
pub struct Found {
    pub pages: Vec<LogPage>,
    pub lost: Vec<(Labels, i64)>,
}

impl Gap {
    /// The rows that are certainly new.
    pub async fn read(
        &self,
        rows: &TenantRows,
        matchers: &[Matcher],
        contains: &[String],
        seen: &mut Seen,
        querier: &Querier,
    ) -> Result<Found, QueryError> {
        let range = rows.kept.of(Signal::Logs, TimeRange::new(seen.floor(), i64::MAX));
        let catalog = rows.parts.catalog.at_least(self.version).await?;
        let objects = self.objects(&catalog, rows, range);
        let (matchers, contains) = (matchers.to_vec(), contains.to_vec());
        let selection = logs::Selection { matchers, range, contains, lines: true };
        let (reader, mut noted) = (rows.clone(), std::mem::take(seen));
        let work = move || {
            let found = read(&reader, &objects, &selection, &mut noted);
            (found, noted)
        };
        let (found, noted) = querier.inner.compute.run(Pool::Reads, work).await;
        *seen = noted;
        found
    }

    fn objects(&self, catalog: &Catalog, rows: &TenantRows, range: TimeRange) -> Vec<String> {
        let tenant = &rows.tenant;
        let segments = catalog.segments().filter(|segment| {
            let is_of_gap = segment.after < self.through && segment.through > self.after;
            segment.shard == self.shard && is_of_gap && segment.holds(tenant, range)
        });
        let blocks = catalog.blocks().filter(|block| {
            let is_of_gap = block.flushed.iter().any(|(shard, through)| *shard == self.shard && *through > self.after);
            block.signal == Signal::Logs && is_of_gap && block.holds(tenant, range)
        });
        segments.map(|segment| segment.name.clone()).chain(blocks.map(|block| block.name.clone())).collect()
    }
}

/// Blocks.
fn read(
    rows: &TenantRows,
    objects: &[String],
    selection: &logs::Selection,
    seen: &mut Seen,
) -> Result<Found, QueryError> {
    let (mut found, mut bytes) = (Found::default(), 0);
    for name in objects {
        let Some(reader) = rows.parts.segments.logs(name, &rows.tenant)? else { continue };
        for page in reader.pages(selection) {
            rows.reading.check()?;
            let page = page.map_err(within(name))?;
            let mut new = LogPage::new(page.labels.clone());
            for row in (0..page.len()).filter(|row| seen.is_new(&page, *row)) {
                new.push(page.times[row], page.line(row), page.metadata(row).cloned().unwrap_or_else(Labels::empty));
            }
            if new.is_empty() {
                continue;
            }
            seen.note(&new);
            bytes += new.size();
            match bytes <= MOST_BYTES {
                true => found.pages.push(new),
                false => found.lost.extend(new.times.iter().map(|time| (new.labels.clone(), *time))),
            }
        }
    }
    Ok(found)
}
