//! Shares out aggregations over closed times among the queriers: each does a slice of the series, from some labels on to
//! others, in all objects. What is closed does not change, so the names of the objects say all that there is to read.
//!
//! A querier that is busy, gone or of another version costs the one that asked it that slice's work.

use crate::closed::Closed;
use crate::error::QueryError;
use crate::querier::{Parts, Querier};
use crate::reading::Reading;
use crate::runs::{self, Object, Objects};
use crate::source::TenantRows;
use bytes::Bytes;
use catalog::Name;
use eval::EvalError;
use eval::source::{Delegated, Done, SeriesIter, SeriesSource, SourceError};
use model::{ByteSize, Labels, Matcher, Reason, TenantId, TimeRange};
use node::Pool;
use promql::Options;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use telemetry::Exposition;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use transport::v1::slices_client::SlicesClient;
use transport::v1::slices_server::{Slices, SlicesServer};
use transport::v1::{FoldReply, FoldRequest};
use transport::{Link, link::MAX_MESSAGE, rows, status};

/// One that fails after so long is not asked for anything for a while. One that says at once that it is busy, or does not
/// know how, may still be asked for ranges.
const LONG: Duration = Duration::from_secs(1);
/// Messages that wait for who asked.
const WAITING: usize = 8;

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub asked: AtomicU64,
    pub taken_back: AtomicU64,
    given: AtomicU64,
    pub folded: AtomicU64,
}

impl Counts {
    pub fn meters(&self, out: &mut Exposition) {
        for (name, help, count) in [
            ("ouro_querier_slices_asked_total", "Parts of queries that other queriers were asked to do.", &self.asked),
            ("ouro_querier_slices_failed_total", "Those that they did not do.", &self.taken_back),
            ("ouro_querier_slices_given_total", "Parts of queries that were done for other queriers.", &self.given),
            ("ouro_querier_folded_total", "Parts of queries that the leaders of shards did.", &self.folded),
        ] {
            out.counter(name, help, &[], count.load(Relaxed));
        }
    }
}

impl TenantRows {
    /// Has other queriers do their slices; `None` where there are none, or it does not pay.
    pub(crate) fn sliced(
        &self,
        closed: &Closed,
        matchers: &[Matcher],
        range: TimeRange,
        work: &[u8],
    ) -> Result<Option<Delegated<'_>>, QueryError> {
        let peers = self.parts.peers.all();
        let hides = closed.hiding(&self.tenant, range).next().is_some();
        let Some(objects) = closed.objects(&self.tenant, range).filter(|_| !peers.is_empty() && !hides) else {
            return Ok(None);
        };
        let mut rest = find(&self.parts, &self.tenant, &objects, matchers, &self.reading)?;
        let bounds = runs::bounds(&rest, &[], 1 + peers.len())?;
        let Some(first) = bounds.first() else { return Ok(None) };
        let own = runs::take_before(&mut rest, first)?;
        let (counts, mut tasks, mut slices) = (&self.parts.slices, JoinSet::new(), Vec::with_capacity(bounds.len()));
        for (number, (from, peer)) in bounds.iter().zip(peers).enumerate() {
            let before = bounds.get(number + 1);
            slices.push(match before {
                Some(before) => runs::take_before(&mut rest, before)?,
                None => std::mem::take(&mut rest),
            });
            let packed = |labels: &Labels| Bytes::copy_from_slice(labels.packed());
            let request = FoldRequest {
                tenant: self.tenant.to_string(),
                objects: objects.clone(),
                matchers: rows::matchers(matchers),
                min_time: range.min,
                max_time: range.max,
                from: Some(packed(from)),
                before: before.map(packed),
                work: Bytes::copy_from_slice(work),
                max_bytes: self.reading.limit(),
            };
            counts.asked.fetch_add(1, Relaxed);
            let (name, link) = peer;
            let reading = self.reading.clone();
            let (begun, ask) = (Instant::now(), async move { ask(link, request, &reading).await });
            tasks.spawn_on(async move { (number, name, ask.await, begun.elapsed()) }, &self.runtime);
        }
        let elsewhere = move || {
            let mut done = Vec::with_capacity(slices.len());
            let mut slices: BTreeMap<usize, Objects> = slices.into_iter().enumerate().collect();
            while let Some(answer) =
                self.runtime.block_on(self.reading.during(async { Ok(tasks.join_next().await) }))?
            {
                let Ok((number, name, answer, took)) = answer else { continue };
                match answer {
                    Ok(messages) => {
                        slices.remove(&number);
                        done.push(Done::Said(messages));
                    }
                    Err(error) if matches!(error.reason, Reason::Unprocessable | Reason::OverLimit) => {
                        return Err(error.into());
                    }
                    Err(error) => {
                        tracing::debug!(peer = name, %error, "a querier did not do its part of a query");
                        if took > LONG {
                            self.parts.peers.avoid(name);
                        }
                    }
                }
            }
            for left in slices.into_values() {
                counts.taken_back.fetch_add(1, Relaxed);
                done.extend(runs::split(left, Vec::new(), range, 1)?.into_iter().map(Done::Left));
            }
            Ok(done)
        };
        let here = move |ways| Ok(runs::split(own, Vec::new(), range, ways)?);
        Ok(Some(Delegated { here: Some(Box::new(here)), elsewhere: Box::new(elsewhere) }))
    }
}

/// The tenant's series in some objects that meet all matchers.
pub fn find(
    parts: &Parts,
    tenant: &TenantId,
    objects: &[String],
    matchers: &[Matcher],
    reading: &Arc<Reading>,
) -> Result<Objects, QueryError> {
    let mut found = Vec::with_capacity(objects.len());
    for name in objects {
        reading.check()?;
        if let Some(reader) = parts.segments.metrics(name, tenant)? {
            found.push(Object::find(&reader, name, matchers, reading)?);
        }
    }
    Ok(found)
}

async fn ask(link: Link, request: FoldRequest, reading: &Reading) -> Result<Vec<Vec<u8>>, QueryError> {
    let mut client = SlicesClient::new(link).max_decoding_message_size(MAX_MESSAGE);
    let mut replies = client.fold(request).await?.into_inner();
    let mut messages = Vec::new();
    while let Some(reply) = replies.message().await? {
        reading.keep(reply.said.len())?;
        messages.push(reply.said.into());
    }
    Ok(messages)
}

/// What another querier asked for, to be read once.
struct Slice {
    found: Mutex<Objects>,
    range: TimeRange,
}

impl SeriesSource for Slice {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        Ok(self.split(matchers, range, 1)?.pop().unwrap_or_else(|| Box::new(std::iter::empty())))
    }

    fn split(&self, _: &[Matcher], range: TimeRange, ways: usize) -> Result<Vec<SeriesIter<'_>>, SourceError> {
        let found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(runs::split(found, Vec::new(), range.intersect(self.range), ways)?)
    }
}

type Replies = mpsc::Sender<Result<FoldReply, Status>>;

impl Querier {
    /// What other queriers may have this one do.
    pub fn slices(&self) -> SlicesServer<Querier> {
        SlicesServer::new(self.clone())
    }

    fn answer_slice(&self, request: FoldRequest, replies: &Replies) -> Result<(), QueryError> {
        let bad = |why: &dyn std::fmt::Display| QueryError::bad(why.to_string());
        let tenant = TenantId::new(&request.tenant).map_err(|e| bad(&e))?;
        if let Some(strange) = request.objects.iter().find(|name| Name::parse(name).is_none()) {
            return Err(QueryError::bad(format!("{strange:?} is not the name of a segment or block")));
        }
        let matchers = rows::read_matchers(request.matchers)?;
        let channel = replies.clone();
        let gone: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(move || channel.is_closed());
        let reading = Reading::new(ByteSize(request.max_bytes), gone.clone());
        let mut found = find(&self.inner.parts, &tenant, &request.objects, &matchers, &reading)?;
        if let Some(from) = request.from {
            runs::take_before(&mut found, &rows::labels(&from)?)?;
        }
        if let Some(before) = request.before {
            found = runs::take_before(&mut found, &rows::labels(&before)?)?;
        }
        let options = Options {
            max_memory: usize::try_from(request.max_bytes).unwrap_or(usize::MAX),
            cancelled: gone,
            spare: self.inner.compute.lender(),
            ..Options::default()
        };
        let slice = Slice { found: Mutex::new(found), range: TimeRange::new(request.min_time, request.max_time) };
        promql::fold(&slice, &request.work, &options, &mut |message| {
            let reply = FoldReply { said: message.into() };
            replies.blocking_send(Ok(reply)).map_err(|_| EvalError::Cancelled)
        })?;
        Ok(())
    }
}

#[tonic::async_trait]
impl Slices for Querier {
    type FoldStream = ReceiverStream<Result<FoldReply, Status>>;

    /// Refused at once when there is no room: two queriers that waited for each other would do so for ever.
    async fn fold(&self, request: Request<FoldRequest>) -> Result<Response<Self::FoldStream>, Status> {
        let Some(room) = self.inner.compute.room(Pool::Reads) else {
            return Err(status::grpc(Reason::Unavailable, "this querier has as many queries as it can do".to_owned()));
        };
        let (querier, request) = (self.clone(), request.into_inner());
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::task::spawn_blocking(move || {
            let _room = room;
            if let Err(error) = querier.answer_slice(request, &sender) {
                // Nobody is there when this fails.
                let _ = sender.blocking_send(Err(status::grpc(error.reason, error.text)));
                return;
            }
            querier.inner.parts.slices.given.fetch_add(1, Relaxed);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
