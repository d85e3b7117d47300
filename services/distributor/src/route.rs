//! Makes batches for shards of what is left of a push.

use crate::checked::Checked;
use crate::error::PushError;
use bytes::Bytes;
use model::labels::content_id;
use model::{ShardId, TimeRange};
use tenancy::{Admitted, Write};
use wire::batch::{Batch, Format, Header, StreamHeader};
use wire::loki::{Builder, streams};
use wire::prometheus::{Version, split};
use wire::snappy;

/// One batch for each of the tenant's `shards` that gets any of the push. Where all of it belongs to one shard and
/// nothing was left out, the batch carries the very bytes that came.
pub fn batches(
    admitted: &Admitted<Write>,
    shards: &[u32],
    mut checked: Checked,
) -> Result<Vec<(ShardId, Batch)>, PushError> {
    let keys: Vec<u128> = match checked.format {
        Format::LokiPush => checked.streams.iter().map(|stream| stream.key).collect(),
        Format::PromV1 | Format::PromV2 => checked.series.iter().map(|series| series.key).collect(),
    };
    let first = *shards.first().ok_or(PushError::Internal("there are no shards (shards.logs, shards.metrics)"))?;
    let shard_of = |key: &u128| ring::shard_of(*key, shards).unwrap_or(first);
    let whole = shards.len() == 1 || keys.windows(2).all(|two| shard_of(&two[0]) == shard_of(&two[1]));
    if whole {
        let shard = keys.first().map_or(first, shard_of);
        let payload = checked.payload.take().unwrap_or_else(|| snappy::compress(&checked.body).into());
        let parts = (checked.rows, checked.times, std::mem::take(&mut checked.streams));
        let batch = batch(admitted, checked.format, checked.body.len(), payload, parts)?;
        return Ok(vec![(ShardId::new(checked.format.signal(), shard), batch)]);
    }
    let part_of: Vec<usize> =
        keys.iter().map(|key| shards.iter().position(|shard| *shard == shard_of(key)).unwrap_or(0)).collect();
    let bodies = match checked.format {
        Format::LokiPush => split_streams(&checked.body, shards.len(), &part_of)?,
        Format::PromV1 => split(&checked.body, Version::V1, shards.len(), |at| part_of.get(at).copied().unwrap_or(0)),
        Format::PromV2 => split(&checked.body, Version::V2, shards.len(), |at| part_of.get(at).copied().unwrap_or(0)),
    };
    let mut batches = Vec::new();
    for (part, body) in bodies.into_iter().enumerate() {
        let (used, rows, times, streams) = part_header(&checked, &part_of, part);
        // The first part has the metadata of 1.0.
        if used || (part == 0 && checked.format == Format::PromV1 && !body.is_empty()) {
            let payload = snappy::compress(&body).into();
            let batch = batch(admitted, checked.format, body.len(), payload, (rows, times, streams))?;
            batches.push((ShardId::new(checked.format.signal(), shards[part]), batch));
        }
    }
    Ok(batches)
}

fn batch(
    admitted: &Admitted<Write>,
    format: Format,
    body_len: usize,
    payload: Bytes,
    (rows, times, streams): (u32, TimeRange, Vec<StreamHeader>),
) -> Result<Batch, PushError> {
    let tenant = admitted.tenant().clone();
    let id = content_id(tenant.as_str(), &payload);
    let body_len = u32::try_from(body_len).map_err(|_| PushError::Internal("a body of over 4 GiB cannot be stored"))?;
    Ok(Batch { header: Header { id, tenant, format, rows, body_len, times, streams }, payload })
}

fn split_streams(body: &[u8], parts: usize, part_of: &[usize]) -> Result<Vec<Vec<u8>>, PushError> {
    let mut builders: Vec<Builder> = (0..parts).map(|_| Builder::new()).collect();
    for (stream, part) in streams(body).zip(part_of) {
        let stream = stream.map_err(PushError::Body)?;
        if let Some(builder) = builders.get_mut(*part) {
            builder.copy_stream(&stream);
        }
    }
    Ok(builders.into_iter().map(Builder::finish).collect())
}

/// Whether anything goes to a part, and its rows, times and streams.
fn part_header(checked: &Checked, part_of: &[usize], part: usize) -> (bool, u32, TimeRange, Vec<StreamHeader>) {
    let mine = |at: &usize| part_of[*at] == part;
    let (mut rows, mut times) = (0u32, TimeRange::EMPTY);
    let mut add = |more: u32, range: TimeRange| {
        rows = rows.saturating_add(more);
        times = times.union(range);
    };
    let here: Vec<usize> = (0..part_of.len()).filter(mine).collect();
    let mut streams = Vec::new();
    for at in &here {
        if let Some(stream) = checked.streams.get(*at) {
            add(stream.rows, stream.times);
            streams.push(*stream);
        } else if let Some(series) = checked.series.get(*at) {
            add(series.rows, series.times);
        }
    }
    (!here.is_empty(), rows, times, streams)
}
