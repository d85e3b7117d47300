//! Looks through catalog and bucket again and again, while it has the lease.

use crate::control::Control;
use crate::deletes::{self, Due};
use crate::error::Error;
use crate::heads;
use crate::job::Merger;
use crate::lease::{self, Held};
use crate::meters::Counts;
use crate::orphans::{self, Unnamed};
use crate::plan::{Job, Planner};
use crate::progress::Merge;
use crate::retention;
use crate::settings::Settings;
use catalog::{Catalog, Command, Reply, name::FOLDERS};
use mesh::Directory;
use model::{Reason, TenantId};
use node::{Compute, Stopping};
use objects::Store;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};
use telemetry::Exposition;
use tenancy::{LimitTable, RetentionSettings};
use tokio::time::Instant;

/// Cheap to clone.
#[derive(Clone)]
pub struct Compactor {
    merger: Arc<Merger>,
    directory: Directory,
    counts: Arc<Counts>,
}

/// What is remembered from one look to the next.
#[derive(Default)]
struct Memory {
    unnamed: Unnamed,
    /// What could not be merged: it is left alone until the next start, so that it hinders nothing else.
    broken: HashSet<String>,
}

impl Compactor {
    pub fn new(
        settings: Settings,
        directory: Directory,
        store: Store,
        limits: Arc<LimitTable>,
        compute: Compute,
    ) -> Compactor {
        let (settings, control, serial) = (Arc::new(settings), Control::new(directory.control()), Default::default());
        let merger = Merger { settings, control, store, limits, compute, serial, progress: Default::default() };
        Compactor { merger: Arc::new(merger), directory, counts: Arc::default() }
    }

    /// Works until the process stops, whenever no other compactor does. Begins after one interval: what has just started
    /// has better things to do, and one that restarts again and again disturbs nobody.
    pub async fn run(self, mut stopping: Stopping) {
        let mut memory = Memory::default();
        tokio::select! {
            () = stopping.wait() => return,
            () = tokio::time::sleep(self.merger.settings.interval) => {}
        }
        loop {
            let held = tokio::select! {
                () = stopping.wait() => return,
                held = lease::wait(&self.merger.control, self.merger.settings.lease) => held,
            };
            tracing::info!(epoch = held.epoch, "this compactor has the lease");
            self.counts.leads.store(1, Ordering::Relaxed);
            // Work is dropped where it stands: it leaves nothing but objects that nothing names.
            let is_lost = tokio::select! {
                () = stopping.wait() => false,
                () = held.keep() => true,
                () = self.work(&held, &mut memory) => true,
            };
            self.counts.leads.store(0, Ordering::Relaxed);
            if !is_lost {
                held.give_back().await;
                return;
            }
            tracing::warn!(epoch = held.epoch, "the lease is lost: nothing is done until it is granted again");
        }
    }

    /// Returns when the lease is lost.
    async fn work(&self, held: &Held, memory: &mut Memory) {
        loop {
            match self.look(held, memory).await {
                Ok(()) => {}
                Err(Error::Lost { .. }) => return,
                Err(error) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "the bucket was not looked through; it will be tried again");
                }
            }
            tokio::time::sleep(self.merger.settings.interval).await;
        }
    }

    /// One look: what has expired leaves the catalog, what is worth it is merged, and objects that nothing names leave
    /// the bucket. Last, since a shard that cannot be asked ends it: which delete requests are processed.
    async fn look(&self, held: &Held, memory: &mut Memory) -> Result<(), Error> {
        self.expire(held).await?;
        while let Some(job) = self.plan(held, memory).await? {
            self.merge(&job, held, memory).await?;
        }
        self.sweep(held, memory).await?;
        self.finish(held).await
    }

    async fn expire(&self, held: &Held) -> Result<(), Error> {
        let Merger { control, limits, .. } = &*self.merger;
        let names = retention::expired(&self.catalog(held).await?, now(), |tenant| limits.of(tenant).retention.clone());
        if names.is_empty() {
            return Ok(());
        }
        let count = names.len();
        match control.propose(&Command::Remove { names, epoch: Some(held.epoch) }).await? {
            Reply::Done { .. } => {
                tracing::info!(objects = count, "segments and blocks have passed their retention");
                self.counts.expired.fetch_add(count as u64, Ordering::Relaxed);
                Ok(())
            }
            Reply::Fenced { .. } => Err(Error::Lost { epoch: held.epoch }),
            other => Err(Error::Refused(format!("{other:?}"))),
        }
    }

    async fn plan(&self, held: &Held, memory: &Memory) -> Result<Option<Job>, Error> {
        let catalog = self.catalog(held).await?;
        let settings = &self.merger.settings;
        let due = Due::of(catalog.deletes(), now(), settings.delete_delay);
        let due = Arc::new(due.passing(&catalog, now(), |tenant| self.retention(tenant)));
        Ok(Planner { catalog: &catalog, settings, now: now(), broken: &memory.broken, due: &due }.next())
    }

    /// Does a job; one whose inputs cannot be read is not tried again.
    async fn merge(&self, job: &Job, held: &Held, memory: &mut Memory) -> Result<(), Error> {
        let (begun, signal, level) = (Instant::now(), job.signal, job.inputs.level());
        match self.merger.run(job, now(), held).await {
            Ok(done) => {
                self.counts.done(&done);
                let (inputs, blocks, rows, bytes) = (done.inputs, done.blocks, done.rows, done.bytes);
                let took = begun.elapsed();
                tracing::info!(%signal, level, inputs, blocks, rows, raw = done.raw_bytes, bytes, ?took, "merged");
                Ok(())
            }
            Err(error @ Error::Lost { .. }) => Err(error),
            Err(error) if matches!(error.reason(), Reason::Unavailable | Reason::Timeout) => Err(error),
            Err(error) => {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%signal, level, %error, "these segments or blocks cannot be merged and stay as they are");
                memory.broken.extend(job.names());
                Ok(())
            }
        }
    }

    /// Says of which requests nothing is left. Heads are asked first: what they have flushed is in the catalog then.
    async fn finish(&self, held: &Held) -> Result<(), Error> {
        let Merger { control, settings, .. } = &*self.merger;
        let catalog = self.catalog(held).await?;
        let due = Due::of(catalog.deletes(), now(), settings.delete_delay);
        let mut clear = Vec::new();
        for (tenant, request) in due.all() {
            // That costs nothing to see, so it is looked at before, too.
            if !deletes::is_left(&catalog, tenant, request)
                && heads::are_clear(&self.directory, tenant, request).await?
            {
                clear.push((tenant.clone(), request.clone()));
            }
        }
        let catalog = self.catalog(held).await?;
        clear.retain(|(tenant, request)| !deletes::is_left(&catalog, tenant, request));
        if clear.is_empty() {
            return Ok(());
        }
        let (count, epoch) = (clear.len(), Some(held.epoch));
        let done = clear.into_iter().map(|(tenant, request)| (tenant, request.version)).collect();
        match control.propose(&Command::Delete { command: ::deletes::Command::Finish { done }, epoch }).await? {
            Reply::Delete { .. } => {
                tracing::info!(requests = count, "rows of delete requests are gone");
                Ok(())
            }
            Reply::Fenced { .. } => Err(Error::Lost { epoch: held.epoch }),
            other => Err(Error::Refused(format!("{other:?}"))),
        }
    }

    async fn sweep(&self, held: &Held, memory: &mut Memory) -> Result<(), Error> {
        let Merger { store, settings, .. } = &*self.merger;
        // The listing comes first: what is added to the catalog after it is younger than the grace.
        let mut listed = Vec::new();
        for folder in FOLDERS {
            listed.extend(store.list(folder).await?);
        }
        let catalog = self.catalog(held).await?;
        self.counts.segments_now.store(catalog.segments().count() as u64, Ordering::Relaxed);
        self.counts.blocks_now.store(catalog.blocks().count() as u64, Ordering::Relaxed);
        let oldest = catalog.segments().map(|segment| segment.created.max(0) as u64).min();
        self.counts.oldest_segment.store(oldest.unwrap_or(0), Ordering::Relaxed);
        for object in memory.unnamed.see(&catalog, &listed, Instant::now(), settings.grace) {
            if !orphans::is_void(&catalog, &object.name, held.epoch) {
                continue;
            }
            held.check()?;
            store.delete(&object.name).await?;
            fail::fail_point!("compact::after_delete");
            tracing::info!(object = object.name, bytes = object.bytes, "swept an object that nothing names");
            self.counts.swept.fetch_add(1, Ordering::Relaxed);
            self.counts.swept_bytes.fetch_add(object.bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A catalog that is not older than this call: whoever answers may have an old one, so a version is asked of the
    /// control group first.
    async fn catalog(&self, held: &Held) -> Result<Catalog, Error> {
        self.merger.control.catalog(held.renew().await?).await
    }

    /// A catalog as somebody has it now.
    pub async fn seen_catalog(&self) -> Result<Catalog, Error> {
        self.merger.control.catalog(0).await
    }

    pub fn retention(&self, tenant: &TenantId) -> RetentionSettings {
        self.merger.limits.of(tenant).retention.clone()
    }

    /// The merge under way.
    pub fn merge_now(&self) -> Option<Merge> {
        self.merger.progress.now()
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Writes this compactor's meters.
    pub fn meters(&self, out: &mut Exposition) {
        self.counts.write(out);
    }
}

/// Unix milliseconds.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
