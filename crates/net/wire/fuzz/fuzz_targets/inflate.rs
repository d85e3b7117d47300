//! Inflates any bytes as snappy, gzip and deflate, and never over the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{gzip, snappy};

const LIMIT: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    for inflated in
        [snappy::decompress(data, LIMIT), gzip::decompress(data, LIMIT), gzip::decompress_deflate(data, LIMIT)]
    {
        assert!(inflated.map_or(0, |body| body.len()) <= LIMIT);
    }
    assert_eq!(snappy::decompress(&snappy::compress(data), data.len()).as_deref(), Ok(data));
});
