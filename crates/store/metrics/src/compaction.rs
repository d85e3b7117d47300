//! Makes one part of a tenant out of several: series in order, of two samples at one time the one of the older part.
//!
//! In memory are one page of samples of each input, one series as it is merged, what each input has beside samples, and
//! the encoded part.

use crate::error::Error;
use crate::merge::Merge;
use crate::order::order;
use crate::part::encoder::{Encoder, Tools};
use crate::part::reader::{Reader, Select};
use crate::settings::Settings;
use block::Part;
use model::{Exemplar, Labels, Metadata, Series, TenantId, TimeRange};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

/// A part ends when it takes so many bytes, however well or badly its samples compress.
const MAX_ENCODED: usize = 128 << 20;

/// Takes samples and exemplars out of a series that are not to be kept.
pub type Keep = Box<dyn Fn(&mut Series, &mut Vec<Exemplar>) + Send>;

/// The parts that a merge makes, each encoded when it is asked for. After an error there are no more.
pub struct Compaction {
    tenant: TenantId,
    settings: Settings,
    part_bytes: u64,
    series: Peekable<Merge<Select<Arc<Reader>>, Error>>,
    /// In the order of series.
    exemplars: Peekable<IntoIter<(Labels, Vec<Exemplar>)>>,
    /// All of it is in the first part.
    metadata: BTreeSet<Metadata>,
    keep: Option<Keep>,
    tools: Option<Tools>,
}

impl Compaction {
    /// `inputs` come oldest first; samples and exemplars outside of the range are dropped. A part has about
    /// `part_bytes` of raw samples at most.
    pub fn new(
        tenant: TenantId,
        inputs: &[Arc<Reader>],
        range: TimeRange,
        part_bytes: u64,
        settings: &Settings,
    ) -> Result<Compaction, Error> {
        let (mut sources, mut exemplars, mut metadata) = (Vec::new(), Vec::new(), BTreeSet::new());
        for reader in inputs {
            sources.push(reader.find(&[])?.read(range));
            exemplars.extend(reader.exemplars(&[], range)?);
            metadata.extend(reader.metadata()?);
        }
        exemplars.sort_by(|a, b| order(&a.0, &b.0)); // stable: the older input's come first
        exemplars.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                first.1.append(&mut later.1);
            }
            same
        });
        Ok(Compaction {
            tenant,
            settings: *settings,
            part_bytes,
            series: Merge::new(sources).peekable(),
            exemplars: exemplars.into_iter().peekable(),
            metadata,
            keep: None,
            tools: Some(Tools::new(settings)?),
        })
    }

    /// Every series goes through `keep` once it is merged.
    pub fn keeping(self, keep: Keep) -> Compaction {
        Compaction { keep: Some(keep), ..self }
    }

    fn is_done(&mut self) -> bool {
        self.metadata.is_empty() && self.series.peek().is_none() && self.exemplars.peek().is_none()
    }

    /// `None` if nothing was kept.
    fn part(&mut self, tools: Tools) -> Result<Option<Part>, Error> {
        let mut encoder = Encoder::with(tools, &self.settings);
        let mut is_empty = self.metadata.is_empty();
        std::mem::take(&mut self.metadata).into_iter().for_each(|metadata| encoder.push_metadata(metadata));
        while encoder.raw_bytes() < self.part_bytes && encoder.bytes() < MAX_ENCODED {
            let Some((mut series, mut exemplars)) = self.next_series()? else { break };
            if let Some(keep) = &self.keep {
                keep(&mut series, &mut exemplars);
                if series.is_empty() && exemplars.is_empty() {
                    continue;
                }
            }
            is_empty = false;
            encoder.push(&series, &exemplars)?;
        }
        let (part, tools) = encoder.finish_and_keep(self.tenant.clone())?;
        self.tools = Some(tools);
        Ok((!is_empty).then_some(part))
    }

    /// The next series with its exemplars; some have nothing else.
    fn next_series(&mut self) -> Result<Option<(Series, Vec<Exemplar>)>, Error> {
        let next = match (self.series.peek(), self.exemplars.peek()) {
            (Some(Ok(series)), Some((labels, _))) => order(&series.labels(), labels),
            (Some(_), _) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(None),
        };
        let series = if next.is_le() { self.series.next().transpose()? } else { None };
        let (labels, exemplars) = if next.is_ge() { self.exemplars.next().unzip() } else { (None, None) };
        let series = series.unwrap_or(Series { labels, ..Series::default() });
        Ok(Some((series, exemplars.unwrap_or_default())))
    }
}

impl Iterator for Compaction {
    type Item = Result<Part, Error>;

    fn next(&mut self) -> Option<Result<Part, Error>> {
        if self.is_done() {
            return None;
        }
        let tools = self.tools.take()?;
        self.part(tools).transpose()
    }
}

#[cfg(test)]
mod tests;
