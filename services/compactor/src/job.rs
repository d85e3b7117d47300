//! Merges the inputs of a job: tenant by tenant, part by part, each written before the catalog hears of any.

use crate::control::Control;
use crate::error::Error;
use crate::lease::Held;
use crate::plan::Job;
use crate::progress::{Begun, Progress};
use crate::settings::Settings;
use block::{BlockMeta, Part, Segment};
use bytes::Bytes;
use catalog::{BlockEntry, Command, Name, Place, Reply};
use deletes::Request;
use hidden::Hidden;
use model::{Signal, TenantId, TimeRange};
use node::{Compute, Pool};
use objects::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tenancy::LimitTable;

/// Parts of up to so many bytes are read as a whole.
const READ_WHOLE: u64 = 4 << 20;

/// What merging needs.
pub struct Merger {
    pub settings: Arc<Settings>,
    pub control: Control,
    pub store: Store,
    pub limits: Arc<LimitTable>,
    pub compute: Compute,
    /// Of the next block; never the same twice under one epoch.
    pub serial: AtomicU32,
    pub progress: Progress,
}

/// What a job did.
#[derive(Debug, Default)]
pub struct Done {
    pub inputs: usize,
    pub blocks: usize,
    pub rows: u64,
    pub raw_bytes: u64,
    pub bytes: u64,
}

impl Merger {
    /// Does a job as a whole, or leaves nothing but objects that will be swept. `now` in Unix milliseconds.
    pub async fn run(&self, job: &Job, now: i64, held: &Held) -> Result<Done, Error> {
        let begun = self.progress.begin(job);
        let inputs = Arc::new(self.open(job).await?);
        let (mut added, mut without) = (Vec::new(), Vec::new());
        for tenant in job.inputs.tenants() {
            let oldest = self.limits.of(tenant).retention.oldest(job.signal, now);
            begun.turn_to(tenant);
            self.merge(job, &inputs, tenant, oldest, (held, &begun), &mut added).await?;
            let left_out = job.due.within(&job.inputs, job.signal, tenant);
            without.extend(left_out.iter().map(|request| (tenant.clone(), request.version)));
        }
        let done = Done {
            inputs: inputs.len(),
            blocks: added.len(),
            rows: added.iter().map(|block| block.rows).sum(),
            raw_bytes: added.iter().map(|block| block.raw_bytes).sum(),
            bytes: added.iter().map(|block| block.bytes).sum(),
        };
        fail::fail_point!("compact::before_replace");
        held.check()?;
        let replace = Command::Replace { epoch: held.epoch, removed: job.names(), added, without };
        let reply = self.control.propose(&replace).await;
        fail::fail_point!("compact::after_replace");
        match reply {
            Ok(Reply::Done { .. }) => Ok(done),
            Ok(Reply::Fenced { .. }) => Err(Error::Lost { epoch: held.epoch }),
            Ok(Reply::Withdrawn) => Err(Error::Withdrawn),
            Ok(other) => Err(Error::Refused(format!("{other:?}"))),
            Err(error) => {
                // It may still be done, at any time. Under another epoch, these blocks are named by then or never.
                tracing::warn!(%error, "whether blocks took the place of their inputs is not known");
                Err(Error::Lost { epoch: held.epoch })
            }
        }
    }

    /// The inputs, oldest rows first.
    async fn open(&self, job: &Job) -> Result<Vec<Segment>, Error> {
        let segments = job.inputs.segments.iter().map(|s| (s.place(), &s.name));
        let mut names: Vec<(Place, &String)> =
            segments.chain(job.inputs.blocks.iter().map(|b| (b.place, &b.name))).collect();
        names.sort();
        let objects: Vec<_> = names.into_iter().map(|(_, name)| self.store.object(name)).collect();
        let open = move || objects.into_iter().map(Segment::open).collect::<Result<Vec<_>, _>>();
        Ok(self.compute.run(Pool::Compactions, open).await?)
    }

    /// Writes the blocks of one tenant.
    async fn merge(
        &self,
        job: &Job,
        inputs: &Arc<Vec<Segment>>,
        tenant: &TenantId,
        oldest: i64,
        (held, begun): (&Held, &Begun<'_>),
        added: &mut Vec<BlockEntry>,
    ) -> Result<(), Error> {
        let without = job.due.within(&job.inputs, job.signal, tenant);
        let passed = job.due.passed_within(&job.inputs, job.signal, tenant);
        let begin = {
            let (inputs, settings, tenant, signal) =
                (inputs.clone(), self.settings.clone(), tenant.clone(), job.signal);
            let without: Vec<Arc<Request>> = without.iter().chain(&passed).cloned().collect();
            move || Parts::begin(&inputs, signal, &tenant, oldest, &without, &settings)
        };
        let mut parts = Some(self.compute.run(Pool::Compactions, begin).await?);
        let (mut found, first) = (0, added.len());
        while let Some(mut rest) = parts.take() {
            let next = move || (rest.next(), rest);
            let (part, rest) = self.compute.run(Pool::Compactions, next).await;
            let Some(part) = part.transpose()? else {
                rest.check(found)?;
                break;
            };
            found += part.rows;
            let (entry, data) = self.block(job, part, (&without, &passed), held.epoch);
            fail::fail_point!("compact::before_upload");
            held.check()?;
            self.store.put(&entry.name, data).await?;
            fail::fail_point!("compact::after_upload");
            begun.did(entry.raw_bytes);
            added.push(entry);
            parts = Some(rest);
        }
        tracing::debug!(%tenant, signal = %job.signal, rows = found, blocks = added.len() - first, "merged");
        Ok(())
    }

    /// A block, and its entry: it has no rows of these requests, nor of what has passed a shorter retention.
    fn block(
        &self,
        job: &Job,
        part: Part,
        (without, passed): (&[Arc<Request>], &[Arc<Request>]),
        epoch: u64,
    ) -> (BlockEntry, Bytes) {
        let (inputs, signal) = (&job.inputs, job.signal);
        let (level, created, flushed) = (inputs.level(), inputs.created(), inputs.flushed());
        let place = inputs.place().unwrap_or(Place { order: 0, after: 0, shard: model::ShardId::new(signal, 0) });
        let meta = BlockMeta {
            signal,
            level,
            epoch,
            created,
            order: place.order,
            after: place.after,
            shard: place.shard.index,
            flushed: flushed.iter().map(|(shard, through)| (shard.index, *through)).collect(),
        };
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let (tenant, rows, raw_bytes, times) = (part.tenant.clone(), part.rows, part.raw_bytes, part.times);
        let name = Name::block(&tenant, signal, epoch, serial).to_string();
        let (data, _) = block::write_block(meta, part);
        let (min, max, bytes) = (times.min, times.max, data.len() as u64);
        let without = without.iter().map(|request| request.version).collect();
        let shortened = passed.iter().filter(|passed| max <= passed.end).map(|passed| passed.version).collect();
        let entry = BlockEntry {
            name,
            signal,
            tenant,
            level,
            place,
            created,
            rows,
            raw_bytes,
            bytes,
            min,
            max,
            flushed,
            without,
            shortened,
        };
        (entry, data)
    }
}

/// The parts of one tenant's blocks, each merged when it is asked for. Blocks.
struct Parts {
    tenant: TenantId,
    merge: Merge,
    /// How many rows there must be in the end, where that is known: lines of which none is dropped.
    rows: Option<u64>,
}

enum Merge {
    Logs(Box<logs::Merge>),
    Metrics(Box<metrics::Compaction>),
}

impl Parts {
    fn begin(
        inputs: &[Segment],
        signal: Signal,
        tenant: &TenantId,
        oldest: i64,
        without: &[Arc<Request>],
        settings: &Settings,
    ) -> Result<Parts, Error> {
        let range = TimeRange::new(oldest, i64::MAX);
        let entries: Vec<_> = inputs.iter().filter_map(|input| input.directory().part(tenant)).collect();
        // Blocks of like size, rather than full ones and a rest.
        let raw: u64 = entries.iter().map(|part| part.raw_bytes).sum();
        let most = settings.block_bytes.0.max(1);
        let part_bytes = raw.div_ceil(raw.div_ceil(most).max(1)).max(1);
        let is_whole = entries.iter().all(|part| oldest <= part.times.min);
        let rows = (signal == Signal::Logs && is_whole && without.is_empty())
            .then(|| entries.iter().map(|part| part.rows).sum());
        let sections = inputs.iter().map(|input| input.load(tenant, READ_WHOLE));
        let sections: Vec<_> = sections.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let hidden = Hidden::of(without.iter().map(|request| &**request));
        let hidden = hidden.map_err(|source| Error::Delete { tenant: tenant.clone(), source })?;
        let merge = match signal {
            Signal::Logs => {
                let failed = |source| Error::Logs { tenant: tenant.clone(), source };
                let readers = sections.into_iter().map(logs::Reader::open).collect::<Result<Vec<_>, _>>();
                let readers = readers.map_err(failed)?;
                let merge = logs::Merge::new(tenant.clone(), &readers, range, part_bytes, &settings.logs);
                let mut merge = merge.map_err(failed)?;
                if !hidden.is_empty() {
                    merge = merge.keeping(Box::new(move |page| hidden.shown(page)));
                }
                Merge::Logs(Box::new(merge))
            }
            Signal::Metrics => {
                let failed = |source| Error::Metrics { tenant: tenant.clone(), source };
                let open = |sections| metrics::Reader::open(sections).map(Arc::new);
                let readers = sections.into_iter().map(open).collect::<Result<Vec<_>, _>>().map_err(failed)?;
                let merge = metrics::Compaction::new(tenant.clone(), &readers, range, part_bytes, &settings.metrics);
                let mut merge = merge.map_err(failed)?;
                if !hidden.is_empty() {
                    merge = merge.keeping(Box::new(move |series, exemplars| {
                        hidden.take_exemplars(&series.labels(), exemplars);
                        hidden.take_from(series);
                    }));
                }
                Merge::Metrics(Box::new(merge))
            }
        };
        Ok(Parts { tenant: tenant.clone(), merge, rows })
    }

    fn next(&mut self) -> Option<Result<Part, Error>> {
        let tenant = &self.tenant;
        match &mut self.merge {
            Merge::Logs(merge) => Some(merge.next()?.map_err(|source| Error::Logs { tenant: tenant.clone(), source })),
            Merge::Metrics(merge) => {
                Some(merge.next()?.map_err(|source| Error::Metrics { tenant: tenant.clone(), source }))
            }
        }
    }

    /// Compares what was merged with what there was.
    fn check(&self, found: u64) -> Result<(), Error> {
        match self.rows {
            Some(rows) if rows != found => Err(Error::Rows { tenant: self.tenant.clone(), rows, found }),
            _ => Ok(()),
        }
    }
}
