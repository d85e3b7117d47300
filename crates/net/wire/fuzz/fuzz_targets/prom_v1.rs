//! Walks any bytes as remote write 1.0; what can be walked survives being cut and split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::prometheus::{Kind, Refused, Version, split, verify, without};

const VERSION: Version = Version::V1;

fuzz_target!(|body: &[u8]| {
    let good = verify(body, VERSION).is_ok();
    let refused = [
        Refused { series: 1, kind: Kind::Series, sample: 0 },
        Refused { series: 0, kind: Kind::Float, sample: 0 },
        Refused { series: 2, kind: Kind::Histogram, sample: 1 },
    ];
    let cut = without(body, VERSION, &refused);
    let parts = split(body, VERSION, 3, |series| series % 4);
    if good {
        assert_eq!(without(body, VERSION, &[]), body);
        assert_eq!(verify(&cut, VERSION), Ok(()));
        parts.iter().for_each(|part| assert_eq!(verify(part, VERSION), Ok(())));
    }
});
