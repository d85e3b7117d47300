//! Reads the samples of a lane by instant queries for a range, which give samples as they were stored.

use super::{Reader, Tally, slices};
use crate::args::Reading;
use crate::corpus::Place;
use crate::metrics::{Metrics, canonical};
use crate::state::LaneState;
use anyhow::{Context, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    metric: BTreeMap<String, String>,
    /// Unix seconds, and the value as text.
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Reads all samples from a lane's first scrape to its last.
pub async fn read(
    metrics: &Metrics,
    lane: &LaneState,
    reader: &Reader,
    reading: &Reading,
    tenant: &str,
    tally: &mut Tally<'_>,
) -> anyhow::Result<()> {
    for slice in slices(lane, metrics.series(lane.lane), reading.samples) {
        // A range leaves out its start (before Prometheus 3 it did not): no sample of ours lies there.
        let from = lane.bases[slice.start] - 1;
        let to = lane.bases.get(slice.end).map_or(lane.bases[slice.end - 1], |next| next - 1);
        let query = [
            ("query", format!("{}[{}ms]", metrics.selector(lane.lane), to - from)),
            ("time", format!("{}.{:03}", to / 1000, to % 1000)),
        ];
        let body = reader.get(tenant, &format!("{}/api/v1/query", reading.query_prefix), &query).await?;
        let answer: Answer = serde_json::from_slice(&body).context("the query gives no matrix")?;
        ensure!(answer.data.kind == "matrix", "the query for a range gives a {}", answer.data.kind);
        let known = metrics.known(lane.lane, slice.start as u32, slice.end as u32 - 1);
        answer.data.result.iter().for_each(|found| check(metrics, lane, &known, found, tally));
    }
    Ok(())
}

/// Holds the samples of one series against what was sent.
fn check(
    metrics: &Metrics,
    lane: &LaneState,
    known: &HashMap<String, (u32, u32)>,
    found: &Found,
    tally: &mut Tally<'_>,
) {
    let text = canonical(found.metric.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let Some((series, generation)) = known.get(&text) else {
        return tally.unexpected(&format!(
            "{} samples of a series that was not sent: {:?}",
            found.values.len(),
            found.metric
        ));
    };
    for (seconds, value) in &found.values {
        let millis = (seconds * 1000.0).round() as i64;
        let Ok(number) = lane.bases.binary_search(&millis) else {
            tally.unexpected(&format!("a sample at {millis} of series {series}, when it was not scraped"));
            continue;
        };
        let number = number as u32;
        let place = Place { tenant: lane.tenant, lane: lane.lane, number };
        match metrics.expected(place, *series, *generation) {
            None => tally.unexpected(&format!("a sample at {millis} of series {series}, whose pod was another then")),
            Some(sent) if value.parse().is_ok_and(|found: f64| found.to_bits() == sent.to_bits()) => {
                tally.found(number, *series)
            }
            Some(sent) => tally.changed(number, *series, "the value", value, &sent.to_string()),
        }
    }
}
