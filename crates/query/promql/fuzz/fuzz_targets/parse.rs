//! Any text is a query or an error, never a panic; and a query that is written again is read as the same.
#![no_main]

use ouro_promql::print::pretty;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = ouro_promql::parse_selector(text);
    if let Ok(expr) = ouro_promql::parse(text) {
        let written = pretty(&expr);
        let again = ouro_promql::parse(&written).map(|expr| pretty(&expr));
        assert_eq!(again, Ok(written));
    }
});
