//! Shares out aggregations over closed times among the queriers: each does a slice of the series, from some labels on to
//! others, in all objects. What is closed does not change, so the names of the objects say all that there is to read.
//!
//! A querier that is busy, gone or of another version costs the one that asked it that slice's work.

use crate::closed::Closed;
use crate::error::QueryError;
use crate::others::{Others, Replies, listen};
use crate::querier::{Parts, Querier};
use crate::reading::Reading;
use crate::runs::{self, Object, Objects};
use crate::source::TenantRows;
use bytes::Bytes;
use catalog::Name;
use eval::source::{Delegated, Done, SeriesIter, SeriesSource, SourceError};
use model::{ByteSize, Labels, Matcher, TenantId, TimeRange};
use promql::Options;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use transport::v1::slices_client::SlicesClient;
use transport::v1::slices_server::{Slices, SlicesServer};
use transport::v1::{FoldLinesRequest, FoldReply, FoldRequest};
use transport::{link::MAX_MESSAGE, rows};

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
        let mut others = Others::none();
        for (number, (from, (name, link))) in bounds.iter().zip(peers).enumerate() {
            let before = bounds.get(number + 1);
            let slice = match before {
                Some(before) => runs::take_before(&mut rest, before)?,
                None => std::mem::take(&mut rest),
            };
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
                max_read: self.reading.left(),
            };
            let reading = self.reading.clone();
            others.ask(self, name, slice, async move {
                let mut client = SlicesClient::new(link).max_decoding_message_size(MAX_MESSAGE);
                listen(client.fold(request).await?.into_inner(), &reading).await
            });
        }
        let elsewhere = move || {
            let (said, left) = others.done(self)?;
            let mut done: Vec<_> = said.into_iter().map(Done::Said).collect();
            for slice in left {
                done.extend(runs::split(slice, Vec::new(), range, 1)?.into_iter().map(Done::Left));
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
        let reading = Reading::new(ByteSize(request.max_bytes), ByteSize(request.max_read), gone.clone());
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
        promql::fold(&slice, &request.work, &options, &mut |message| replies.say(message))?;
        Ok(replies.send(FoldReply { read: reading.read(), ..FoldReply::default() })?)
    }
}

#[tonic::async_trait]
impl Slices for Querier {
    type FoldStream = ReceiverStream<Result<FoldReply, Status>>;

    async fn fold(&self, request: Request<FoldRequest>) -> Result<Response<Self::FoldStream>, Status> {
        self.give(move |querier, replies| querier.answer_slice(request.into_inner(), replies))
    }

    type FoldLinesStream = Self::FoldStream;

    async fn fold_lines(&self, request: Request<FoldLinesRequest>) -> Result<Response<Self::FoldStream>, Status> {
        self.give(move |querier, replies| querier.answer_lines(request.into_inner(), replies))
    }
}
