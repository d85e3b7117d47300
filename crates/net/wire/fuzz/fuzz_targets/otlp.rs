//! Translates any bytes as OTLP, protobuf and JSON; what comes out can be read, and is within the limit and one row.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenancy::{DiscoverySettings, OtlpSettings};
use wire::otlp::logs::{Mapping, translate};
use wire::otlp::{Request, from_json, metrics};
use wire::prometheus::Version;

const LIMIT: usize = 1 << 20;

fn logs(body: &[u8]) {
    let (otlp, discover) = (OtlpSettings::default(), DiscoverySettings::default());
    if let Ok(push) = translate(body, Mapping { otlp: &otlp, discover: &discover, now: 1, limit: LIMIT }) {
        assert!(wire::loki::streams(&push).all(|stream| stream.is_ok_and(|stream| stream.entries().all(|e| e.is_ok()))));
    }
}

fn write(body: &[u8]) {
    if let Ok(write) = metrics::translate(body, &OtlpSettings::default(), LIMIT) {
        assert!(wire::prometheus::series(&write.body, Version::V2).all(|series| series.is_ok()));
    }
}

fuzz_target!(|body: &[u8]| {
    logs(body);
    write(body);
    if let Ok(body) = from_json(body, Request::Logs) {
        logs(&body);
    }
    if let Ok(body) = from_json(body, Request::Metrics) {
        write(&body);
    }
});
