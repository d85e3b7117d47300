//! Whatever is asked and whatever lines hold, there is an answer or an error.

#[path = "source/memory.rs"]
mod memory;

use eval::source::Order;
use memory::Memory;
use ouro_logql::{Options, entries, instant, parse};
use proptest::prelude::*;
use std::collections::BTreeMap;

const WORDS: [&str; 62] = [
    "{a=\"b\"}",
    "{",
    "}",
    "(",
    ")",
    "[5m]",
    "[",
    "]",
    "|",
    "|=",
    "!=",
    "|~",
    "!~",
    "|>",
    "=",
    "==",
    "=~",
    ">",
    "<=",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "and",
    "or",
    "unless",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "by",
    "without",
    "offset",
    "sum",
    "topk",
    "rate",
    "count_over_time",
    "quantile_over_time",
    "vector",
    "label_replace",
    "json",
    "logfmt",
    "--strict",
    "regexp",
    "pattern",
    "unpack",
    "line_format",
    "label_format",
    "unwrap",
    "drop",
    "keep",
    "decolorize",
    "ip",
    "\"x\"",
    "`<a>{{.b}}`",
    "foo",
    "1.5",
    "5m",
    "2KB",
];

const STAGES: [&str; 14] = [
    "| json",
    "| json x=\"a.b[0][\\\"c\\\"]\"",
    "| logfmt",
    "| logfmt --strict --keep-empty",
    "| logfmt x=\"a\"",
    "| unpack",
    "| decolorize",
    "| pattern \"<a> <_>b<c>\"",
    "| regexp \"(?P<a>.)\\\\w*(?P<b>x)?\"",
    "|= ip(\"10.0.0.0/8\")",
    "|= ip(\"::/0\")",
    "|> \"a<_>b\"",
    "| json | logfmt | unpack | line_format \"{{.}}{{__line__ | fromJson}}\"",
    "| logfmt | a > 1s or a > 1KB or a > 1 or a = ip(\"::1\")",
];

fn line() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\\u12".to_owned()),
        Just("\\ud83d".to_owned()),
        Just(":".to_owned()),
        Just(",".to_owned()),
        Just("\"a\":".to_owned()),
        Just("a=".to_owned()),
        Just("_entry".to_owned()),
        Just("null".to_owned()),
        Just("1.5e3".to_owned()),
        Just("\u{1b}[31m".to_owned()),
        Just("10.0.0.1".to_owned()),
        Just("::1".to_owned()),
        Just("é\u{fffd}".to_owned()),
        Just(" ".to_owned()),
        ".{0,6}",
    ];
    proptest::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}") {
        drop(parse(&text));
        drop(parse(&format!("{{a=\"b\"}} | line_format `{text}`")));
        drop(parse(&format!("{{a=\"b\"}} |~ `{text}` | pattern `{text}`")));
        drop(parse(&format!("{{a=\"b\"}} | json x=`{text}`")));
    }

    #[test]
    fn any_row_of_words_is_read_or_refused(words in proptest::collection::vec(0..WORDS.len(), 0..24), glue in prop_oneof![Just(" "), Just("")]) {
        let text = words.iter().map(|at| WORDS[*at]).collect::<Vec<_>>().join(glue);
        if let Ok(expr) = parse(&text) {
            let canonical = expr.to_string();
            let again = parse(&canonical).map(|expr| expr.to_string());
            prop_assert_eq!(again, Ok(canonical));
        }
    }

    #[test]
    fn any_line_goes_through_any_stage(line in line(), stage in 0..STAGES.len()) {
        let mut memory = Memory::default();
        memory.push(&BTreeMap::from([("app".to_owned(), "x".to_owned())]), 1, &line, &BTreeMap::from([("a".to_owned(), line.clone())]));
        let expr = parse(&format!("{{app=\"x\"}} {}", STAGES[stage])).expect("a good query");
        let answer = entries(&memory, &expr, 0, 10, 10, Order::Forward, &Options::default());
        prop_assert!(answer.is_ok());
        let expr = parse(&format!("sum by (a) (bytes_over_time({{app=\"x\"}} {} [1m]))", STAGES[stage])).expect("a good query");
        drop(instant(&memory, &expr, 5, &Options::default()));
    }

    #[test]
    fn any_template_runs_or_fails(text in "(\\{\\{-? ?(\\.a|\\.|if|else|end|range|with|printf|add|index|substr|trunc|date|\"%d%5.1f\"|-1|3|\\||\\(|\\)| )*-? ?\\}\\}|x){0,6}") {
        let mut memory = Memory::default();
        memory.push(&BTreeMap::from([("a".to_owned(), "x".to_owned())]), 1, "é {\"b\":[1]}", &BTreeMap::new());
        if let Ok(expr) = parse(&format!("{{a=\"x\"}} | line_format `{text}`")) {
            prop_assert!(entries(&memory, &expr, 0, 10, 10, Order::Forward, &Options::default()).is_ok());
        }
    }
}
