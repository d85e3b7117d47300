//! Reads the rows of a lane by `query_range`, a bounded slice of time after the other.

use super::{Reader, Tally, slices};
use crate::args::Reading;
use crate::corpus::Place;
use crate::logs::Logs;
use crate::state::LaneState;
use anyhow::{Context, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    stream: BTreeMap<String, String>,
    /// Unix ns as text, and the line.
    values: Vec<(String, String)>,
}

/// Reads all rows between a lane's first body and its last.
pub async fn read(
    logs: &Logs,
    lane: &LaneState,
    reader: &Reader,
    reading: &Reading,
    tenant: &str,
    tally: &mut Tally<'_>,
) -> anyhow::Result<()> {
    // One row less than the limit, so that an answer with `limit` rows says that there are more than were sent.
    for slice in slices(lane, logs.batch(), reading.limit - 1) {
        // No row lies at an edge, so it does not matter whether the target counts an edge in.
        let from = lane.bases[slice.start] - 1;
        let to = lane.bases.get(slice.end).map_or(lane.bases[slice.end - 1] + logs.span(), |next| next - 1);
        let mut open = vec![(from, to)];
        while let Some((from, to)) = open.pop() {
            let query = [
                ("query", logs.selector(lane.lane)),
                ("start", from.to_string()),
                ("end", to.to_string()),
                ("limit", reading.limit.to_string()),
                ("direction", "forward".to_owned()),
            ];
            let body = reader.get(tenant, "/loki/api/v1/query_range", &query).await?;
            let answer: Answer = serde_json::from_slice(&body).context("query_range gives no streams")?;
            let rows: usize = answer.data.result.iter().map(|found| found.values.len()).sum();
            if rows >= reading.limit as usize {
                // Halved at an instant between two rows of ours, or anywhere if there is none.
                ensure!(to - from > 2, "{tenant}: more than {} rows at {from}", reading.limit);
                let middle = split(logs, lane, from, to);
                open.extend([(middle, to), (from, middle)]);
                continue;
            }
            for found in &answer.data.result {
                for (time, line) in &found.values {
                    check(logs, lane, &found.stream, time, line, tally);
                }
            }
        }
    }
    Ok(())
}

/// An instant inside `(from, to)` at which there is no row of ours.
fn split(logs: &Logs, lane: &LaneState, from: i64, to: i64) -> i64 {
    let middle = from + (to - from) / 2;
    let number = lane.bases.partition_point(|base| *base <= middle).saturating_sub(1);
    let since = middle - lane.bases[number];
    let row = (0..logs.span()).contains(&since) && since % crate::logs::STEP == 0;
    if row && middle + 1 < to { middle + 1 } else { middle }
}

/// Holds one row against what was sent.
fn check(
    logs: &Logs,
    lane: &LaneState,
    stream: &BTreeMap<String, String>,
    time: &str,
    line: &str,
    tally: &mut Tally<'_>,
) {
    let short = || line.chars().take(200).collect::<String>();
    let Some(origin) = logs.origin(line) else {
        return tally.unexpected(&format!("a line at {time} has no id of this run: {}", short()));
    };
    if (u32::from(origin.tenant), u32::from(origin.lane)) != (lane.tenant, lane.lane) {
        return tally
            .unexpected(&format!("a line at {time} belongs to tenant {}, lane {}", origin.tenant, origin.lane));
    }
    let (number, row) = (origin.number, u32::from(origin.row));
    let place = Place { tenant: lane.tenant, lane: lane.lane, number };
    let sent = lane.bases.get(number as usize).and_then(|base| logs.row(place, row, *base));
    let Some(sent) = sent else {
        return tally.unexpected(&format!("row {row} of body {number} was never sent: {}", short()));
    };
    if sent.time.to_string() != time {
        tally.changed(number, row, "the time", time, &sent.time.to_string());
    } else if sent.line != line {
        tally.changed(number, row, "the line", line, &sent.line);
    } else if let Some((name, value)) = sent.stream.labels.iter().find(|(name, value)| stream.get(*name) != Some(value))
    {
        tally.changed(number, row, &format!("label {name}"), stream.get(name).map_or("", String::as_str), value);
    } else {
        tally.found(number, row);
    }
}
