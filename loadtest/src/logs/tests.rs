//! Bodies are decoded by the project's own decoder and compared with the rows that are expected back.

use super::*;

fn place(tenant: u32, lane: u32, number: u32) -> Place {
    Place { tenant, lane, number }
}

/// Decodes a body into (labels, time, line).
fn decoded(body: &Body) -> Vec<(String, i64, String)> {
    let raw = wire::snappy::decompress(&body.payload, 1 << 26).expect("is snappy");
    assert_eq!(raw.len(), body.raw_len);
    let mut rows = Vec::new();
    for stream in wire::loki::streams(&raw) {
        let stream = stream.expect("is a stream");
        for entry in stream.entries() {
            let entry = entry.expect("is an entry");
            rows.push((stream.labels.to_owned(), entry.time, entry.line.to_owned()));
        }
    }
    rows
}

#[test]
fn a_body_decodes_to_the_rows_that_are_expected_back() {
    let logs = Logs::new(7, 40, 3, 200, 2);
    let mut last = None;
    for number in 0..5 {
        for (tenant, lane) in [(0, 0), (9, 2)] {
            let place = place(tenant, lane, number);
            let base = logs.base(1_764_000_000_123_456_789, last);
            last = Some(base);
            let body = logs.body(place, base);
            let rows = decoded(&body);
            assert_eq!((rows.len(), body.rows), (200, 200));
            for (row, (labels, time, line)) in rows.iter().enumerate() {
                let want = logs.row(place, row as u32, base).expect("is a row");
                assert_eq!((labels.as_str(), *time, line), (want.stream.text(), want.time, &want.line));
                let origin = logs.origin(line).expect("has an id");
                let found = (u32::from(origin.tenant), u32::from(origin.lane), origin.number, usize::from(origin.row));
                assert_eq!(found, (tenant, lane, number, row));
                let parsed = wire::loki::parse_labels(labels).expect("are labels");
                let parsed = parsed.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                assert_eq!(want.stream.labels, parsed);
            }
        }
    }
}

#[test]
fn bodies_follow_from_the_seed() {
    let body = |seed, tenant, number| {
        Logs::new(seed, 40, 2, 50, 2).body(place(tenant, 1, number), 1_764_000_000_500_000_000).payload
    };
    assert_eq!(body(7, 0, 0), body(7, 0, 0));
    assert_ne!(body(7, 0, 0), body(8, 0, 0));
    assert_ne!(body(7, 0, 0), body(7, 1, 0));
    assert_ne!(body(7, 0, 0), body(7, 0, 2), "the same template, other ids");
}

#[test]
fn times_never_pass_the_clock_and_always_take_five_bytes() {
    let logs = Logs::new(7, 40, 2, 500, 1);
    let (mut rng, mut last, mut now) = (Rng::new(&[1]), None, 1_764_000_000_000_000_000i64);
    for _ in 0..20_000 {
        now += rng.below(3_000_000) as i64;
        let base = logs.base(now, last);
        if let Some(last) = last {
            assert!(base > last + logs.span());
        }
        assert!(base.rem_euclid(SECOND) >= FIVE_BYTES && base.rem_euclid(SECOND) + logs.span() < SECOND, "{base}");
        assert!(base < now + 50_000_000 && base > now - 310_000_000, "{}", base - now);
        last = Some(base);
    }
}

#[test]
fn streams_are_many_and_all_different() {
    let logs = Logs::new(7, 200, 8, 500, 4);
    let texts: std::collections::BTreeSet<&str> =
        logs.lanes.iter().flat_map(|lane| lane.streams.iter().map(Stream::text)).collect();
    assert_eq!(texts.len(), 200);
    let access = texts.iter().filter(|text| text.contains("request_host")).count();
    assert!((40..120).contains(&access), "{access}");
    let used: usize =
        logs.lanes[0].bodies.iter().map(|plan| plan.ends.windows(2).filter(|pair| pair[0] < pair[1]).count()).sum();
    assert!(used > 60, "{used}");
}

#[test]
fn lines_are_what_they_claim_to_be() {
    let logs = Logs::new(7, 200, 8, 500, 1);
    let mut tracebacks = 0;
    for lane in 0..8 {
        for row in 0..500 {
            let row = logs.row(place(0, lane, 0), row, 1_795_318_081_987_654_321).expect("is a row");
            tracebacks += usize::from(row.line.contains("Traceback"));
            if row.line.starts_with('{') {
                let json: serde_json::Value = serde_json::from_str(&row.line).expect(&row.line);
                assert_eq!(
                    json.get("time").or(json.get("timestamp")).and_then(|time| time.as_str()).map(|time| &time[..19]),
                    Some("2026-11-22T03:28:01")
                );
            } else {
                assert!(row.line.starts_with("[2026-11-22 03:28:01,98"), "{}", row.line);
            }
        }
    }
    assert!(tracebacks > 10);
}
