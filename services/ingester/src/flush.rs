//! Writes heads to the object store, in the order that makes every row appear once.
//!
//! Cut the head at an applied index; write one segment; have the catalog take it, which it does only where the shard's
//! last segment ended; log that it is flushed, which drops the cut rows and lets every replica cut its log. A crash
//! between any two steps leaves an orphan object or a flush to repeat; `fail` points stand between all of them.

use crate::append::REPLAY;
use crate::control::Control;
use crate::error::Error;
use crate::select::CONFIRM;
use crate::settings::FlushSettings;
use crate::shard::{Cut, Shard};
use crate::signal::Head;
use crate::snapshot::Flushed;
use block::{Directory, SegmentMeta};
use bytes::Bytes;
use catalog::{Command, Name, Reply, SegmentEntry, TenantEntry};
use node::{Compute, Pool, Stopping};
use objects::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use wire::batch::Entry;

/// What flushes need, shared by those of all shards.
#[derive(Clone)]
pub struct Flusher {
    pub control: Control,
    pub store: Store,
    pub compute: Compute,
    pub settings: FlushSettings,
    pub counts: Arc<Counts>,
    /// Why the object store cannot be reached, and since when.
    pub away: watch::Sender<Option<Away>>,
}

/// How long whoever wants a flush waits for it; it goes on.
const PATIENCE: Duration = Duration::from_secs(45);

#[derive(Debug, Clone)]
pub struct Away {
    pub since: SystemTime,
    pub why: String,
}

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub segments: AtomicU64,
    pub rows: AtomicU64,
    pub raw_bytes: AtomicU64,
    pub bytes: AtomicU64,
    pub failures: AtomicU64,
}

impl Flusher {
    /// Flushes a shard whenever it is due, as long as this node leads it, until it is closed or the process stops.
    pub async fn keep<H: Head>(self, shard: Arc<Shard<H>>, mut stopping: Stopping) {
        let mut closed = shard.closed.subscribe();
        loop {
            let wanted = tokio::select! {
                () = stopping.wait() => return,
                _ = closed.wait_for(|closed| *closed) => return,
                () = tokio::time::sleep(self.settings.check) => false,
                () = shard.wanted.notified() => true,
            };
            if !(wanted || self.is_due(&shard)) {
                continue;
            }
            tokio::select! {
                // What was not flushed stays in the log.
                () = stopping.wait() => return,
                _ = closed.wait_for(|closed| *closed) => return,
                result = self.flush_through(&shard, shard.rows_through()) => if let Err(error) = result {
                    tracing::error!(shard = %shard.id, %error, "the flush failed; its rows stay in the log and it will be tried again");
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                },
            }
        }
    }

    fn is_due<H: Head>(&self, shard: &Shard<H>) -> bool {
        let stats = shard.stats();
        let limits = &self.settings;
        let is_over = stats.rows > 0
            && (stats.raw_bytes >= limits.bytes.0
                || stats.rows >= limits.rows
                || stats.memory_bytes >= limits.memory.0
                || shard.since().is_some_and(|since| Instant::now() - since >= limits.age));
        is_over || shard.is_cut()
    }

    /// Flushes until everything up to a log index is in the object store: a cut that an earlier try left behind goes
    /// first, and may not reach so far.
    async fn flush_through<H: Head>(&self, shard: &Arc<Shard<H>>, through: u64) -> Result<(), Error> {
        loop {
            let before = *shard.progress.borrow();
            self.flush(shard).await?;
            let after = *shard.progress.borrow();
            if after >= through || after == before {
                return Ok(());
            }
        }
    }

    /// Flushes what was applied so far. Waits for the object store as long as it takes.
    pub async fn flush<H: Head>(&self, shard: &Arc<Shard<H>>) -> Result<(), Error> {
        let Some(term) = *shard.led.borrow() else { return Ok(()) };
        let Some(cut) = shard.cut()? else { return Ok(()) };
        fail::fail_point!("flush::after_cut");
        let known = self.control.catalog().shard(shard.id);
        if known.through >= cut.through {
            // An earlier try got as far as the catalog.
            return self.log_flushed(shard, known.through, known.version).await;
        }
        let (entry, data) = self.encode(shard, cut, term).await?;
        fail::fail_point!("flush::after_encode");
        self.upload(&entry.name, data).await;
        fail::fail_point!("flush::after_upload");
        self.publish(shard, entry).await
    }

    /// Encodes on the pool that lets one flush at a time use memory.
    async fn encode<H: Head>(
        &self,
        shard: &Shard<H>,
        cut: Arc<Cut<H>>,
        term: u64,
    ) -> Result<(SegmentEntry, Bytes), Error> {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        let (after, through) = (cut.after, cut.through);
        let meta = SegmentMeta { shard: shard.id, level: 0, after, through, term, created };
        self.compute
            .run(Pool::Flushes, move || {
                let (data, directory) = block::write(meta, H::encode(&cut.frozen)?);
                Ok((describe(meta, &directory, data.len() as u64), data))
            })
            .await
    }

    /// Tries until it is done: the rows stay readable in the head, and writes go on, while the store is away.
    async fn upload(&self, name: &str, data: Bytes) {
        let mut pause = Duration::from_millis(200).min(self.settings.retry);
        while let Err(error) = self.store.put(name, data.clone()).await {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            let why = error.to_string();
            let known = self.away.send_if_modified(|away| match away {
                Some(away) => {
                    away.why = why.clone();
                    false
                }
                None => {
                    *away = Some(Away { since: SystemTime::now(), why: why.clone() });
                    true
                }
            });
            if known {
                tracing::warn!(error = why, "the object store is away: writes go on, flushes wait for it");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.settings.retry);
        }
        if self.away.send_replace(None).is_some() {
            tracing::info!("the object store is back: flushes catch up");
        }
    }

    /// Has the catalog take the segment, and logs that it did.
    async fn publish<H: Head>(&self, shard: &Shard<H>, entry: SegmentEntry) -> Result<(), Error> {
        let counted = (entry.rows, entry.raw_bytes, entry.bytes);
        let (name, own) = (entry.name.clone(), entry.through);
        let reply = self.control.propose(&Command::Add { segment: entry }).await?;
        fail::fail_point!("flush::after_catalog");
        let (through, version) = match reply {
            Reply::Done { version } => (own, version),
            // The object that was written for nothing is swept later.
            Reply::Taken { through, version } => {
                tracing::info!(shard = %shard.id, through, "another flush was first: its segment is adopted");
                (through, version)
            }
            Reply::Refused { why } => return Err(Error::Refused { shard: shard.id, why }),
            other => return Err(Error::Refused { shard: shard.id, why: format!("{other:?}") }),
        };
        self.log_flushed(shard, through, version).await?;
        let (rows, raw, bytes) = counted;
        self.counts.segments.fetch_add(1, Ordering::Relaxed);
        self.counts.rows.fetch_add(rows, Ordering::Relaxed);
        self.counts.raw_bytes.fetch_add(raw, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        tracing::info!(shard = %shard.id, rows, raw, bytes, segment = name, "flushed");
        Ok(())
    }

    /// Logs how far the shard is flushed, with what stands for all that came before: each replica cuts its log by it.
    async fn log_flushed<H: Head>(&self, shard: &Shard<H>, through: u64, version: u64) -> Result<(), Error> {
        let snapshot = shard.snapshot(Flushed { through, version });
        let entry = Entry::Flushed { through, version }.encode();
        let logged = shard.group()?.propose_cut(entry, through, snapshot).await;
        logged.map_err(|source| Error::Consensus { shard: shard.id, source })?;
        fail::fail_point!("flush::after_flushed");
        shard.head().forget_idle();
        Ok(())
    }
}

/// Has a shard that this node leads flushed now; with `wait`, returns once all its rows that were acked before are in
/// the catalog.
pub async fn now<H: Head>(
    shard: &Arc<Shard<H>>,
    wait: bool,
    away: &watch::Receiver<Option<Away>>,
) -> Result<(), Error> {
    shard.serving(REPLAY).await?;
    // Another node that leads by now may have acked rows that are not here.
    let confirmed = shard.group()?.read_index(Instant::now() + CONFIRM).await;
    confirmed.map_err(|source| Error::Consensus { shard: shard.id, source })?;
    let flushed = shard.wait_for_flush(shard.rows_through());
    shard.wanted.notify_one();
    if !wait {
        return Ok(());
    }
    match timeout(PATIENCE, flushed).await {
        Ok(flushed) => flushed,
        Err(_) => Err(match away.borrow().as_ref() {
            Some(away) => Error::StoreAway { waited: PATIENCE, why: away.why.clone() },
            None => Error::FlushLate { shard: shard.id, waited: PATIENCE },
        }),
    }
}

/// The catalog's entry for a segment. Its name says the shard, the log range and the term, so no other upload can
/// ever replace its bytes.
fn describe(meta: SegmentMeta, directory: &Directory, bytes: u64) -> SegmentEntry {
    let tenants = directory.parts.iter().map(|part| TenantEntry {
        tenant: part.tenant.clone(),
        rows: part.rows,
        min: part.times.min,
        max: part.times.max,
    });
    SegmentEntry {
        name: Name::Segment { shard: meta.shard, after: meta.after, through: meta.through, term: meta.term }
            .to_string(),
        shard: meta.shard,
        level: meta.level,
        after: meta.after,
        through: meta.through,
        term: meta.term,
        created: meta.created,
        order: 0,
        rows: directory.parts.iter().map(|p| p.rows).sum(),
        raw_bytes: directory.parts.iter().map(|p| p.raw_bytes).sum(),
        bytes,
        tenants: tenants.collect(),
    }
}
