//! Any text is a query or an error, never a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = ouro_promql::parse(text);
    let _ = ouro_promql::parse_selector(text);
});
