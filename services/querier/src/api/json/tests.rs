//! Whatever is written is read back as the same.

use super::*;
use model::histogram::Span;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn written(write: impl Fn(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    out
}

#[test]
fn texts_are_escaped() {
    for text in ["", "plain", "q\"b\\s\n\r\t", "\u{0}\u{1f}", "ünï→😀", "\u{7f}"] {
        let json = written(|out| string(out, text));
        assert_eq!(serde_json::from_str::<String>(&json).expect("valid"), text);
    }
}

#[test]
fn numbers_look_as_in_prometheus() {
    for (value, want) in [
        (1.0, "1"),
        (0.1, "0.1"),
        (-0.0, "-0"),
        (1e21, "1000000000000000000000"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
        (5e-324, &format!("0.{}5", "0".repeat(323))),
    ] {
        assert_eq!(written(|out| float(out, value)), format!("\"{want}\""));
    }
    for (millis, want) in
        [(0, "0"), (1000, "1"), (1435781430781, "1435781430.781"), (-500, "-0.500"), (-1500, "-1.500"), (5, "0.005")]
    {
        assert_eq!(written(|out| seconds(out, millis)), want);
    }
}

#[test]
fn objects_say_what_they_lack() {
    for (object, warnings, want) in [
        ("{}", &[][..], "{}"),
        ("{}", &["a"], r#"{"warnings":["a"]}"#),
        (r#"{"streams":1}"#, &["a", "b\""], r#"{"streams":1,"warnings":["a","b\""]}"#),
    ] {
        let (mut object, warnings) = (object.to_owned(), warnings.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        warn(&mut object, &warnings);
        assert_eq!(object, want);
    }
}

#[test]
fn histograms_look_as_in_prometheus() {
    let span = || vec![Span { offset: 0, length: 2 }];
    let check = |zero: f64, positive: [f64; 2], want: &str| {
        let histogram = Histogram {
            zero_threshold: 0.5,
            zero_count: zero,
            count: 3.0,
            sum: 1.5,
            positive_spans: span(),
            positive: positive.to_vec(),
            negative_spans: span(),
            negative: vec![0.0, 1.0],
            ..Histogram::default()
        };
        let buckets = r#"{"count":"3","sum":"1.5","buckets":[[1,"-2","-1","1"]"#;
        assert_eq!(written(|out| super::histogram(out, &histogram)), format!("{buckets}{want}]}}"));
    };
    check(1.0, [0.0, 2.0], r#",[3,"-0.5","0.5","1"],[0,"1","2","2"]"#);
    check(0.0, [1.0, 0.0], r#",[0,"0.5","1","1"]"#);
    check(-1.0, [-1.0, 0.0], r#",[0,"0.5","1","-1"]"#);
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), prop::num::f64::ANY, (-9..9i64).prop_map(|n| n as f64 / 4.0)]
}

fn any_labels() -> impl Strategy<Value = Labels> {
    let text = || prop_oneof!["[a-z_]{1,8}", ".{0,12}", any::<String>()];
    prop::collection::btree_map(text(), text(), 0..6)
        .prop_map(|map| Labels::from_pairs(map.iter().map(|(n, v)| (n.as_str(), v.as_str()))))
}

proptest! {
    #[test]
    fn any_text_is_read_back(text: String) {
        prop_assert_eq!(serde_json::from_str::<String>(&written(|out| string(out, &text))).expect("valid"), text);
    }

    #[test]
    fn any_labels_are_read_back(set in any_labels()) {
        let read: BTreeMap<String, String> = serde_json::from_str(&written(|out| labels(out, &set))).expect("valid");
        prop_assert_eq!(Labels::from_pairs(read.iter().map(|(n, v)| (n.as_str(), v.as_str()))), set);
    }

    /// To the last bit, but for what kind of NaN it was.
    #[test]
    fn any_point_is_read_back(millis: i64, value in any_float()) {
        let (seconds, text): (serde_json::Number, String) =
            serde_json::from_str(&written(|out| point(out, millis, value))).expect("valid");
        let read: f64 = text.parse().expect("a number");
        prop_assert!(read.to_bits() == value.to_bits() || read.is_nan() && value.is_nan(), "{} is not {}", text, value);
        let seconds = seconds.as_f64().expect("a number");
        prop_assert!((seconds * 1e3 - millis as f64).abs() <= 1e-9 * seconds.abs() * 1e3 + 1e-6, "{}", seconds);
    }

    #[test]
    fn any_histogram_is_read_back(
        schema in prop_oneof![-4..9i32, Just(-53)], numbers in prop::collection::vec(any_float(), 4),
        offsets in prop::collection::vec((-40..40i32, 0..5u32), 0..4), counts in prop::collection::vec(any_float(), 0..12),
    ) {
        let spans: Vec<_> = offsets.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect();
        let most = spans.iter().map(|span| span.length as usize).sum::<usize>();
        let positive: Vec<f64> = counts.into_iter().chain(std::iter::repeat(1.0)).take(most).collect();
        let histogram = Histogram {
            schema,
            zero_threshold: numbers[0],
            zero_count: numbers[1],
            count: numbers[2],
            sum: numbers[3],
            positive_spans: spans,
            positive,
            ..Histogram::default()
        };
        let read: serde_json::Value = serde_json::from_str(&written(|out| super::histogram(out, &histogram))).expect("valid");
        let number = |value: &serde_json::Value| value.as_str().expect("a text").parse::<f64>().expect("a number");
        for (name, value) in [("count", histogram.count), ("sum", histogram.sum)] {
            let read = number(&read[name]);
            prop_assert!(read == value || read.is_nan() && value.is_nan());
        }
    }
}
