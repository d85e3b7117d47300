//! The answer as a stream of frames (`prometheus.ChunkedReadResponse`), series by series in the order of their labels.
//!
//! A frame is the length of its message as a varint, the CRC32C of the message, highest byte first, and the message.

use super::chunks::chunks;
use super::{Query, failed};
use crate::engine::{self, Asked, Context};
use crate::error::QueryError;
use crate::querier::Querier;
use axum::body::{Body, Bytes};
use eval::source::SeriesSource;
use futures::StreamExt;
use futures::stream;
use model::{Labels, Reason, Signal, labels::METRIC_NAME};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use tenancy::{Admitted, Read};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::SendTimeoutError};
use wire::prometheus::write::put_labels;
use wire::protobuf::{put_bytes, put_uint, put_varint};

pub const TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// Chunks are added to a frame until it has so many bytes, as in Prometheus.
const FRAME: usize = 1 << 20;
/// Frames that wait for the client.
const WAITING: usize = 4;
/// How often it is looked whether a client that takes nothing still has time.
const LOOK: Duration = Duration::from_millis(500);

/// The answer's frames, made as they are taken. An error that comes before the first frame is given back; after that, one
/// breaks the stream off. The work ends with the body.
pub async fn body(
    querier: Querier,
    admitted: Vec<Admitted<Read>>,
    asked: Asked,
    queries: Vec<Query>,
) -> Result<Body, QueryError> {
    let (sender, mut frames) = mpsc::channel::<Bytes>(WAITING);
    let runtime = Handle::current();
    let work = async move {
        engine::run(&querier, admitted, asked, move |context| {
            let mut send = |frame: Vec<u8>| send(&sender, frame.into(), context, &runtime);
            (0..).zip(&queries).try_for_each(|(number, query)| answer(context, query, number, &mut send))
        })
        .await
    };
    let mut work = Box::pin(work);
    let first = tokio::select! {
        biased;
        frame = frames.recv() => frame,
        done = &mut work => {
            done?;
            let mut rest = Vec::new();
            while let Some(frame) = frames.recv().await {
                rest.push(Ok::<_, QueryError>(frame));
            }
            return Ok(Body::from_stream(stream::iter(rest)));
        }
    };
    let rest = stream::unfold((frames, Some(work)), |(mut frames, work)| async move {
        let Some(mut work) = work else { return frames.recv().await.map(|frame| (Ok(frame), (frames, None))) };
        tokio::select! {
            biased;
            Some(frame) = frames.recv() => Some((Ok(frame), (frames, Some(work)))),
            done = &mut work => match done {
                Ok(_) => frames.recv().await.map(|frame| (Ok(frame), (frames, None))),
                Err(error) => Some((Err(error), (frames, None))),
            },
        }
    });
    Ok(Body::from_stream(stream::iter(first.map(Ok)).chain(rest)))
}

/// Waits until the client takes something, as long as the query may take.
fn send(sender: &mpsc::Sender<Bytes>, frame: Bytes, context: &Context, runtime: &Handle) -> Result<(), QueryError> {
    let mut frame = frame;
    loop {
        match runtime.block_on(sender.send_timeout(frame, LOOK)) {
            Ok(()) => return Ok(()),
            Err(SendTimeoutError::Timeout(same)) if !(context.cancelled)() => frame = same,
            Err(_) => return Err(QueryError::new(Reason::Timeout, "the client does not take its answer")),
        }
    }
}

type Send<'s> = &'s mut dyn FnMut(Vec<u8>) -> Result<(), QueryError>;

fn answer(context: &Context, query: &Query, number: u64, send: Send<'_>) -> Result<(), QueryError> {
    let order = Order::of(context, query)?;
    let mut waiting = Waiting { all: BTreeMap::new(), size: 0, last: None, number };
    let mut metric = String::new();
    for series in SeriesSource::select(&context.rows, &query.matchers, query.range).map_err(failed)? {
        if (context.cancelled)() {
            return Err(QueryError::new(Reason::Timeout, "the query was cancelled"));
        }
        let series = series.map_err(failed)?;
        let labels = series.labels();
        if order != Order::Unknown && metric != labels.metric_name() {
            waiting.send(send)?;
            metric = labels.metric_name().to_owned();
        }
        waiting.add(labels, chunks(&series, query.range));
        if !order.waits(&metric) {
            waiting.send(send)?;
        } else if waiting.size as u64 > context.limits.query_memory.0 {
            let limit = context.limits.query_memory;
            let text = format!("remote read would sort more than {limit} (limits.query_memory): narrow its matchers");
            return Err(QueryError::new(Reason::OverLimit, text));
        }
    }
    waiting.send(send)
}

/// How series come from the store, against the order of labels.
#[derive(Debug, PartialEq)]
enum Order {
    /// Metric by metric; within one of these metrics, in another order: they have a bound `le`, which sorts by its number.
    Metrics(HashSet<String>),
    /// Some labels sort before the metric's name, or there are several tenants.
    Unknown,
}

impl Order {
    fn of(context: &Context, query: &Query) -> Result<Order, QueryError> {
        if context.rows.tenants().nth(1).is_some() {
            return Ok(Order::Unknown);
        }
        let found = context.rows.series(Signal::Metrics, &query.matchers, query.range)?;
        if found.iter().any(|labels| labels.iter().next().is_some_and(|(name, _)| name < METRIC_NAME)) {
            return Ok(Order::Unknown);
        }
        let bounded = found.iter().filter(|labels| labels.get(metrics::BUCKET).is_some());
        Ok(Order::Metrics(bounded.map(|labels| labels.metric_name().to_owned()).collect()))
    }

    fn waits(&self, metric: &str) -> bool {
        match self {
            Order::Metrics(bounded) => bounded.contains(metric),
            Order::Unknown => true,
        }
    }
}

/// Series, made into chunks, that others may still come before.
struct Waiting {
    all: BTreeMap<Labels, Vec<Vec<u8>>>,
    /// Bytes of these.
    size: usize,
    /// The last that was sent.
    last: Option<Labels>,
    number: u64,
}

impl Waiting {
    fn add(&mut self, labels: Labels, chunks: Vec<Vec<u8>>) {
        self.size += labels.packed().len() + 64 + chunks.iter().map(|chunk| chunk.len() + 24).sum::<usize>();
        self.all.insert(labels, chunks);
    }

    fn send(&mut self, send: Send<'_>) -> Result<(), QueryError> {
        self.size = 0;
        for (labels, chunks) in std::mem::take(&mut self.all) {
            if self.last.as_ref().is_some_and(|last| *last >= labels) {
                let text = format!("{labels} came up while the answer was on its way: ask again");
                return Err(QueryError::new(Reason::Unavailable, text));
            }
            frames(&labels, &chunks, self.number, send)?;
            self.last = Some(labels);
        }
        Ok(())
    }
}

/// One series in as many frames as it needs; every one says its labels.
fn frames(labels: &Labels, chunks: &[Vec<u8>], number: u64, send: Send<'_>) -> Result<(), QueryError> {
    let mut rest = chunks;
    while !rest.is_empty() {
        let mut series = Vec::new();
        put_labels(&mut series, labels);
        let mut taken = 0;
        while let Some(chunk) = rest.get(taken).filter(|chunk| taken == 0 || series.len() + chunk.len() + 32 < FRAME) {
            put_bytes(&mut series, 2, chunk);
            taken += 1;
        }
        rest = &rest[taken..];
        let mut message = Vec::with_capacity(series.len() + 16);
        put_bytes(&mut message, 1, &series);
        put_uint(&mut message, 2, number);
        let mut frame = Vec::with_capacity(message.len() + 16);
        put_varint(&mut frame, message.len() as u64);
        frame.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
        frame.extend_from_slice(&message);
        send(frame)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::protobuf::{Fields, varint};

    #[test]
    fn a_series_is_cut_into_frames() {
        let labels = Labels::from_pairs([(METRIC_NAME, "m"), ("a", "b")]);
        let chunks: Vec<Vec<u8>> = (0..30u8).map(|n| vec![n; 100_000]).collect();
        let mut sent: Vec<Vec<u8>> = Vec::new();
        frames(&labels, &chunks, 3, &mut |frame| {
            sent.push(frame);
            Ok(())
        })
        .expect("sent");
        let mut found = Vec::new();
        for frame in &sent {
            assert!(frame.len() <= FRAME);
            let mut rest = &frame[..];
            let len = varint(&mut rest).expect("a length");
            let (crc, message) = rest.split_at(4);
            assert_eq!(message.len() as u64, len);
            assert_eq!(crc, crc32c::crc32c(message).to_be_bytes());
            let fields: Vec<_> = Fields::new(message).map(|field| field.expect("a field")).collect();
            assert_eq!(fields[1].varint(), Ok(3));
            let series: Vec<_> = fields[0].message().expect("a series").map(|field| field.expect("a field")).collect();
            assert_eq!(series.iter().filter(|field| field.number == 1).count(), 2);
            found.extend(series.iter().filter(|f| f.number == 2).map(|f| f.bytes().expect("a chunk").to_vec()));
        }
        assert_eq!((found, sent.len()), (chunks, 3));
        // CRC32C's own check value.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }
}
