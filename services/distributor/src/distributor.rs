//! The way of a push, from its bytes to the answer of the shards.

use crate::append::{Append, AppendError, Appended, Lanes};
use crate::body::{Content, Encoding, inflate, read, stated_len, unframe};
use crate::budget::{Budget, Claim};
use crate::checked::{Checked, Refusals, Rules, Written};
use crate::discard::Discard;
use crate::elected::{Elector, Replica, Verdict};
use crate::error::PushError;
use crate::known::Known;
use crate::meters::{Meters, add};
use crate::settings::Settings;
use crate::tenants::{Tenant, Tenants};
use crate::translate::{Kind, Translated, translate};
use crate::{loki, remote_write, route};
use axum::body::{Body, Bytes};
use futures::future::join_all;
use http::HeaderMap;
use model::{ByteSize, ShardId, Signal, TimeRange};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::Exposition;
use tenancy::{Admitted, LimitTable, Write};
use tokio::sync::Semaphore;
use transport::Link;
use wire::batch::Batch;
use wire::prometheus::{first_with, series, strip};

/// Takes pushes and has them stored. Shared by all connections.
pub struct Distributor {
    settings: Settings,
    limits: Arc<LimitTable>,
    lanes: Arc<Lanes>,
    budget: Arc<Budget>,
    tenants: Tenants,
    elector: Elector,
    known: Known,
    /// One for each large body that may be checked at a time.
    threads: Semaphore,
    meters: Arc<Meters>,
}

/// What became of a push of which something was stored, or nothing needed to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    pub written: Written,
    /// Why not all of it is stored.
    pub refused: Option<String>,
    /// How many rows are not.
    pub refused_rows: u64,
    /// Nothing is stored, and nothing is wrong: another replica is, and this says which.
    pub left: Option<String>,
}

/// A push as it came.
pub struct Push {
    pub content: Content,
    pub encoding: Encoding,
    pub headers: HeaderMap,
    pub body: Body,
}

/// How far a push got without asking anybody.
enum Step {
    Ready(Claim, Prepared),
    /// It must be asked whose samples are stored.
    Undecided(Claim, Translated),
    /// Another replica is stored.
    Left(Pushed),
}

/// A push that is ready for the shards.
struct Prepared {
    batches: Vec<(ShardId, Batch)>,
    signal: Signal,
    rows: u64,
    written: Written,
    refused: Refusals,
}

impl Distributor {
    /// `control` leads to any ingester, for the elections of replicas; `follow` has to run for them.
    pub fn new(settings: Settings, limits: Arc<LimitTable>, append: Arc<dyn Append>, control: Link) -> Distributor {
        let meters = Arc::new(Meters::default());
        Distributor {
            lanes: Arc::new(Lanes::new(&settings, append, Arc::clone(&meters))),
            budget: Arc::new(Budget::new(settings.inflight)),
            tenants: Tenants::default(),
            elector: Elector::new(control),
            known: Known::new(settings.known_series),
            threads: Semaphore::new(std::thread::available_parallelism().map_or(1, |cores| cores.get())),
            settings,
            limits,
            meters,
        }
    }

    /// Follows the elections of replicas.
    pub async fn follow(self: Arc<Self>, stopping: impl Future<Output = ()>) {
        self.elector.follow(&self.limits, stopping).await;
    }

    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Writes this distributor's meters.
    pub fn write_meters(&self, out: &mut Exposition) {
        self.meters.write(out);
        let inflight = self.budget.used() as f64;
        out.gauge("ouro_push_inflight_bytes", "Bytes of pushes on their way.", &[], inflight);
        let limit = self.settings.inflight.0 as f64;
        out.gauge("ouro_push_inflight_limit_bytes", "What they may be (distributor.inflight).", &[], limit);
    }

    /// Bytes of pushes on their way.
    pub fn inflight(&self) -> ByteSize {
        ByteSize(self.budget.used())
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn limits(&self) -> &LimitTable {
        &self.limits
    }

    /// Reads, checks and stores a push, and answers when what was good in it can be read.
    pub(crate) async fn push(self: &Arc<Self>, admitted: Admitted<Write>, push: Push) -> Result<Pushed, PushError> {
        let tenant = self.tenants.of(admitted.tenant(), admitted.limits().ingestion_burst.0);
        let mut claim = Claim::new(Arc::clone(&self.budget), admitted.tenant().clone(), Arc::clone(&tenant));
        let Push { content, encoding, headers, body } = push;
        let body = read(&headers, body, &admitted, &mut claim, self.settings.read_timeout).await?;
        add(&self.meters.bytes_received, body.len() as u64);
        let (body, encoding) = match content {
            Content::OtlpGrpc { .. } => unframe(body, encoding)?,
            _ => (body, encoding),
        };
        let received = body.len() as u64;
        // Where only decompressing tells, text is taken to shrink to an eighth.
        let len = stated_len(encoding, &content, &body).unwrap_or(8 * received);
        let offload = received + len >= self.settings.offload.0;
        let (this, admits) = (Arc::clone(self), admitted.clone());
        let work = move || this.prepare(&admits, &tenant, content, encoding, body, claim);
        match self.work(offload, work).await? {
            Step::Ready(claim, prepared) => self.store(claim, prepared).await,
            Step::Left(pushed) => Ok(pushed),
            Step::Undecided(claim, translated) => {
                if let Verdict::Leave { elected } = self.elect(&admitted, &translated).await? {
                    return self.leave(translated, elected);
                }
                let this = Arc::clone(self);
                let work = move || this.pack(&admitted, without_replica(translated, &admitted)?, claim);
                let (claim, prepared) = self.work(offload, work).await?;
                self.store(claim, prepared).await
            }
        }
    }

    /// Does what takes about a millisecond a megabyte, here or on a thread of its own.
    async fn work<T: Send + 'static>(
        &self,
        offload: bool,
        work: impl FnOnce() -> Result<T, PushError> + Send + 'static,
    ) -> Result<T, PushError> {
        if !offload {
            return work();
        }
        // The semaphore is never closed; without a permit the work would only be less bounded.
        let _permit = self.threads.acquire().await.ok();
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| PushError::Internal("checking the push failed"))?
    }

    /// Decompresses and checks a body, and makes batches of it, as far as it is known whether it is stored.
    fn prepare(
        &self,
        admitted: &Admitted<Write>,
        tenant: &Tenant,
        content: Content,
        encoding: Encoding,
        body: Bytes,
        mut claim: Claim,
    ) -> Result<Step, PushError> {
        let received = body.len() as u64;
        // By what the body states, so that a refusal costs no decompression.
        let stated = stated_len(encoding, &content, &body).filter(|len| *len <= admitted.limits().max_push_inflated.0);
        if let Some(len) = stated {
            self.hold_to_rate(admitted, tenant, len)?;
            claim.grow_to(received + len)?;
        }
        let inflated = inflate(encoding, &content, body, admitted)?;
        let len = inflated.body.len() as u64;
        if stated.is_none() {
            self.hold_to_rate(admitted, tenant, len)?;
            claim.grow_to(received + len)?;
        }
        add(&self.meters.bytes_inflated, len);
        let mut translated = translate(content, inflated, admitted)?;
        if translated.is_new {
            claim.grow_to(received + len + translated.body.len() as u64)?;
        }
        if let Some(from) = replica(&translated, admitted)? {
            match self.elector.known(admitted.tenant(), from, &admitted.limits().ha) {
                Some(Verdict::Store) => translated = without_replica(translated, admitted)?,
                Some(Verdict::Leave { elected }) => return self.leave(translated, elected).map(Step::Left),
                None => return Ok(Step::Undecided(claim, translated)),
            }
        }
        self.pack(admitted, translated, claim).map(|(claim, prepared)| Step::Ready(claim, prepared))
    }

    /// Asks whose samples are stored.
    async fn elect(&self, admitted: &Admitted<Write>, translated: &Translated) -> Result<Verdict, PushError> {
        let Some(from) = replica(translated, admitted)? else { return Ok(Verdict::Store) };
        self.elector.decide(admitted.tenant(), from, &admitted.limits().ha).await
    }

    /// Answers a push of a replica that is not elected.
    fn leave(&self, translated: Translated, elected: String) -> Result<Pushed, PushError> {
        let Kind::RemoteWrite(version) = translated.kind else { return Ok(Pushed::default()) };
        // A sender of 2.0 takes an answer that nothing was written for a failure.
        let mut written = Written::default();
        for series in series(&translated.body, version) {
            let series = series.map_err(PushError::Body)?;
            written.samples += series.samples().count() as u64;
            written.histograms += series.histograms().count() as u64;
            written.exemplars += series.exemplars().count() as u64;
        }
        self.meters.discarded.count_quietly(Discard::ReplicaNotElected, written.samples + written.histograms);
        let left =
            format!("samples of replica {elected:?} are stored, not these [{}]", Discard::ReplicaNotElected.name());
        Ok(Pushed { written, left: Some(left), ..Pushed::default() })
    }

    /// Checks a body and makes batches of it.
    fn pack(
        &self,
        admitted: &Admitted<Write>,
        translated: Translated,
        mut claim: Claim,
    ) -> Result<(Claim, Prepared), PushError> {
        let checked = self.check(admitted, translated)?;
        // Other labels may be longer.
        claim.grow_to(checked.body.len() as u64)?;
        let (signal, rows, written) = (checked.format.signal(), u64::from(checked.rows), checked.written);
        let refused = checked.refused.clone();
        let batches = match checked.empty {
            true => Vec::new(),
            false => {
                let total = self.lanes.shards().of(signal);
                if total == 0 {
                    return Err(PushError::NoShards { signal });
                }
                let shards = ring::shards_of(admitted.tenant(), signal, total, admitted.limits().shards);
                route::batches(admitted, &shards, checked)?
            }
        };
        claim.shrink_to(batches.iter().map(|(_, batch)| batch.payload.len() as u64).sum());
        Ok((claim, Prepared { batches, signal, rows, written, refused }))
    }

    fn hold_to_rate(&self, admitted: &Admitted<Write>, tenant: &Tenant, len: u64) -> Result<(), PushError> {
        let limits = admitted.limits();
        let Some(rate) = limits.ingestion_rate else { return Ok(()) };
        let burst = limits.ingestion_burst;
        tenant.bucket.take(len, rate.0, burst.0).map_err(|retry_after| PushError::Rate {
            tenant: admitted.tenant().clone(),
            rate,
            burst,
            len: ByteSize(len),
            retry_after,
        })
    }

    fn check(
        &self,
        admitted: &Admitted<Write>,
        Translated { kind, body, payload, refused, .. }: Translated,
    ) -> Result<Checked, PushError> {
        let signal = if matches!(kind, Kind::RemoteWrite(_)) { Signal::Metrics } else { Signal::Logs };
        let times = times(admitted, signal);
        let rules = Rules { admitted, known: &self.known, meters: &self.meters, times };
        let mut checked = match kind {
            Kind::NoLines => Checked::nothing(),
            Kind::Loki => loki::check(body, payload, &rules)?,
            Kind::RemoteWrite(version) => remote_write::check(body, payload, version, &rules)?,
        };
        checked.refused.after(refused);
        Ok(checked)
    }

    /// Appends all batches at once. A push of which one shard has stored its part and another has not fails; when its
    /// agent sends it again, the first one knows its part by the batch's id.
    async fn store(&self, claim: Claim, prepared: Prepared) -> Result<Pushed, PushError> {
        let Prepared { batches, signal, mut rows, mut written, mut refused } = prepared;
        let claim = Arc::new(claim);
        let append = |(shard, batch)| self.lanes.append(shard, batch, Arc::clone(&claim));
        let answers: Vec<Result<Appended, AppendError>> = match <[_; 1]>::try_from(batches) {
            Ok([one]) => vec![append(one).await],
            Err(several) => join_all(several.into_iter().map(append)).await,
        };
        for answer in answers {
            for refusal in answer.map_err(PushError::Append)?.refused {
                let count = u64::from(refusal.count);
                rows = rows.saturating_sub(count);
                // A leader does not say of which kind: floats by far outnumber histograms.
                let floats = count.min(written.samples);
                written.samples -= floats;
                written.histograms = written.histograms.saturating_sub(count - floats);
                refused.add(Discard::of_shard(&refusal.reason), count, || refusal.text);
            }
        }
        let count = refused.rows.rows();
        add(&self.meters.rows_refused, count);
        self.meters.discarded.count(&refused.rows);
        self.meters.discarded.count_quietly(Discard::Relabeled, refused.left_out);
        let stored = if signal == Signal::Logs { &self.meters.lines } else { &self.meters.samples };
        add(stored, rows);
        let Refusals { first, .. } = refused;
        let all = rows + count;
        let refused =
            first.map(|first| if all > 1 { format!("{first} ({count} of {all} rows refused)") } else { first });
        Ok(Pushed { written, refused, refused_rows: count, left: None })
    }
}

/// Which replica a push is of, for tenants that have some.
fn replica<'t>(translated: &'t Translated, admitted: &Admitted<Write>) -> Result<Option<Replica<'t>>, PushError> {
    let ha = &admitted.limits().ha;
    let (true, Kind::RemoteWrite(version)) = (ha.enabled, translated.kind) else { return Ok(None) };
    let found = first_with(&translated.body, version, [&ha.cluster_label, &ha.replica_label]);
    Ok(found.map_err(PushError::Body)?.map(|[cluster, replica]| Replica { cluster, replica }))
}

/// The push without the labels that tell replicas apart.
fn without_replica(translated: Translated, admitted: &Admitted<Write>) -> Result<Translated, PushError> {
    let Kind::RemoteWrite(version) = translated.kind else { return Ok(translated) };
    let body = strip(&translated.body, version, &admitted.limits().ha.replica_label).map_err(PushError::Body)?;
    Ok(Translated { body, payload: None, ..translated })
}

/// The times that a tenant's rows may have, in the signal's unit.
fn times(admitted: &Admitted<Write>, signal: Signal) -> TimeRange {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unit = |time: Duration| {
        let time = if signal == Signal::Logs { time.as_nanos() } else { time.as_millis() };
        i64::try_from(time).unwrap_or(i64::MAX)
    };
    let limits = admitted.limits();
    let newest = limits.creation_grace.map_or(i64::MAX, |grace| unit(now.saturating_add(grace)));
    let oldest = limits.reject_old.map_or(i64::MIN, |age| unit(now.saturating_sub(age)));
    TimeRange::new(oldest, newest)
}
