//! The answer in one piece (`prometheus.ReadResponse`, snappy), which every client takes.

use super::{Query, failed};
use crate::engine::Context;
use crate::error::QueryError;
use eval::source::SeriesSource;
use model::{Reason, Series, TimeRange};
use wire::prometheus::write::{put_histogram, put_labels, put_sample};
use wire::protobuf::put_bytes;
use wire::snappy;

/// The results of all queries. Holds all of it.
pub fn answer(context: &Context, queries: &[Query]) -> Result<Vec<u8>, QueryError> {
    let mut out = Vec::new();
    for query in queries {
        put_bytes(&mut out, 1, &result(context, query)?);
    }
    Ok(snappy::compress(&out))
}

fn result(context: &Context, query: &Query) -> Result<Vec<u8>, QueryError> {
    let mut series = Vec::new();
    let mut size = 0;
    for one in SeriesSource::select(&context.rows, &query.matchers, query.range).map_err(failed)? {
        if (context.cancelled)() {
            return Err(QueryError::new(Reason::Timeout, "the query was cancelled"));
        }
        let one = one.map_err(failed)?;
        size += one.size();
        let limit = context.limits.query_memory;
        if size as u64 > limit.0 {
            let text = format!("remote read would answer more than {limit} (limits.query_memory)");
            return Err(QueryError::new(Reason::OverLimit, text));
        }
        let message = encode(&one, query.range);
        series.push((one.labels(), message));
    }
    // Clients merge series in order of their labels.
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = Vec::new();
    series.iter().for_each(|(_, message)| put_bytes(&mut out, 1, message));
    Ok(out)
}

/// `prometheus.TimeSeries` of the samples within the range.
fn encode(series: &Series, range: TimeRange) -> Vec<u8> {
    let mut out = Vec::new();
    put_labels(&mut out, &series.labels());
    for (time, value) in series.times.iter().zip(&series.values).filter(|(time, _)| range.contains(**time)) {
        put_sample(&mut out, *time, *value);
    }
    for sample in series.histograms.iter().filter(|sample| range.contains(sample.time)) {
        put_histogram(&mut out, sample.time, &sample.value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;
    use wire::protobuf::Fields;

    #[test]
    fn samples_outside_of_the_range_are_left_out() {
        let series = Series {
            times: vec![1, 2, 3].into(),
            values: vec![0.5, 1.5, 2.5],
            ..Series::new(Labels::from_pairs([("a", "b")]))
        };
        let encoded = encode(&series, TimeRange::new(2, 2));
        let fields: Vec<_> = Fields::new(&encoded).map(|field| field.expect("a field")).collect();
        assert_eq!(fields.iter().map(|field| field.number).collect::<Vec<_>>(), [1, 2]);
        let sample: Vec<_> = fields[1].message().expect("a sample").map(|field| field.expect("a field")).collect();
        assert_eq!((sample[0].double(), sample[1].int()), (Ok(1.5), Ok(2)));
    }
}
