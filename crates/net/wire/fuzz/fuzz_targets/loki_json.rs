//! Reads any bytes as a JSON push; what is read makes a body whose labels and lines can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::loki::{from_json, streams};

fuzz_target!(|json: &[u8]| {
    let Ok(body) = from_json(json) else { return };
    for stream in streams(&body) {
        let stream = stream.expect("built by the crate");
        stream.entries().for_each(|entry| {
            let entry = entry.expect("built by the crate");
            entry.metadata().for_each(|pair| assert!(pair.is_ok()));
        });
    }
});
