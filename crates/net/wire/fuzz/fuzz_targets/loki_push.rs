//! Walks any bytes as a Loki push; what can be walked survives being copied, cleaned and taken apart.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenancy::Limits;
use wire::error::DecodeError;
use wire::loki::{Builder, sanitize, streams, unwrap_cri};

fn walk(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut copy = Builder::new();
    for stream in streams(body) {
        let stream = stream?;
        copy.stream(stream.labels);
        for entry in stream.entries() {
            let entry = entry?;
            entry.metadata().try_for_each(|pair| pair.map(drop))?;
            copy.copy_entry(&entry);
        }
    }
    Ok(copy.finish())
}

fuzz_target!(|body: &[u8]| {
    if let Ok(copy) = walk(body) {
        assert_eq!(walk(&copy), Ok(copy));
    }
    if let Ok(clean) = sanitize(body) {
        assert!(walk(&clean).is_ok());
    }
    if let Ok(Some(apart)) = unwrap_cri(body, &Limits::default()) {
        assert!(walk(&apart).is_ok());
    }
});
