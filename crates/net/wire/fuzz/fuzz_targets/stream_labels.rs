//! Parses any text as a stream's labels; what is parsed is the same after being written and parsed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::loki::{parse_labels, quote};

fuzz_target!(|raw: &str| {
    let Ok(labels) = parse_labels(raw) else { return };
    let mut text = String::from("{");
    for (name, value) in &labels {
        text.push_str(name);
        text.push('=');
        quote(&mut text, value);
        text.push(',');
    }
    text.push('}');
    assert_eq!(parse_labels(&text), Ok(labels));
});
