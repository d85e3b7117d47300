//! Any text is read or refused, and a canonical text is read as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(expr) = logql::parse(text) {
        let canonical = expr.to_string();
        if let Ok(again) = logql::parse(&canonical) {
            assert_eq!(again.to_string(), canonical);
        }
    }
});
