//! Bodies are decoded by the project's own decoder and compared with the samples that are expected back.

use super::*;
use wire::prometheus::Version;

fn place(tenant: u32, lane: u32, number: u32) -> Place {
    Place { tenant, lane, number }
}

/// Decodes a body into (canonical labels, time, value bits).
fn decoded(body: &Body, version: Version) -> Vec<(String, i64, u64)> {
    let raw = wire::snappy::decompress(&body.payload, 1 << 26).expect("is snappy");
    assert_eq!(raw.len(), body.raw_len);
    let mut rows = Vec::new();
    for series in wire::prometheus::series(&raw, version) {
        let series = series.expect("is a series");
        let labels: Vec<(&str, &str)> = series.labels().map(|label| label.expect("is a label")).collect();
        assert!(labels.is_sorted());
        for sample in series.samples() {
            let sample = sample.expect("is a sample");
            rows.push((canonical(labels.iter().copied()), sample.time, sample.value.to_bits()));
        }
    }
    rows
}

fn check(churn: f64, rw2: bool) {
    let metrics = Metrics::new(7, 2500, churn, rw2);
    assert_eq!((0..metrics.lanes()).map(|lane| metrics.series(lane)).sum::<u32>(), 2500);
    let (mut last, mut generations) = (None, 0);
    for number in [0, 1, 2, 50] {
        for (tenant, lane) in [(0, 0), (3, 2), (1, 1)] {
            let (place, base) = (place(tenant, lane, number), metrics.base(1_764_000_000_123_000_000, last));
            last = Some(base);
            let body = metrics.body(place, base);
            let rows = decoded(&body, if rw2 { Version::V2 } else { Version::V1 });
            let known = metrics.known(lane, number, number);
            assert_eq!((rows.len(), body.rows as usize), (known.len(), known.len()));
            for (at, (labels, time, bits)) in rows.iter().enumerate() {
                let (series, generation) = known[labels];
                assert_eq!((series as usize, *time), (at, base));
                assert_eq!(metrics.expected(place, series, generation).map(f64::to_bits), Some(*bits));
                assert_eq!(metrics.expected(place, series, generation + 1), None);
                generations = generations.max(generation);
            }
        }
    }
    assert_eq!(generations > 0, churn > 0.0);
}

#[test]
fn a_body_decodes_to_the_samples_that_are_expected_back() {
    check(0.0, false);
    check(0.1, false);
    check(0.1, true);
    check(1.0, true);
}

#[test]
fn bodies_follow_from_the_seed() {
    let body = |seed, tenant, number| {
        Metrics::new(seed, 500, 0.1, false).body(place(tenant, 0, number), 1_764_000_000_500).payload
    };
    assert_eq!(body(7, 0, 0), body(7, 0, 0));
    assert_ne!(body(7, 0, 0), body(8, 0, 0));
    assert_ne!(body(7, 0, 0), body(7, 1, 0));
    assert_ne!(body(7, 0, 0), body(7, 0, 1));
}

#[test]
fn counters_grow_while_their_pod_lives() {
    let metrics = Metrics::new(7, 1000, 0.05, false);
    let target = &metrics.targets[0];
    for series in target.series.iter().filter(|series| series.name.ends_with("_total")) {
        let mut last = (0, f64::MIN);
        for number in 0..300 {
            let now = (metrics.generation(series, number), metrics.value(place(0, 0, number), series));
            assert!(now.0 > last.0 || now.1 >= last.1, "{} at {number}: {now:?} after {last:?}", series.name);
            last = now;
        }
        assert!(last.0 >= 14);
    }
}
