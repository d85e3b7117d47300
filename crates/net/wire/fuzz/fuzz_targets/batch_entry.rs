//! Decodes any bytes as a log entry; what is decoded is encoded to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::batch::Entry;

fuzz_target!(|data: Vec<u8>| {
    let Ok(entry) = Entry::decode(data.clone().into()) else { return };
    assert_eq!(entry.encode(), data);
    if let Entry::Batches(batches) = entry {
        batches.iter().for_each(|batch| drop(batch.body()));
    }
});
