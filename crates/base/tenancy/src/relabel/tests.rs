//! Rules, with the examples of Prometheus's documentation and the cases of its own tests.

use super::*;
use proptest::prelude::*;

fn rules(yaml: &str) -> Result<Relabel, String> {
    serde_json::from_str(yaml).map_err(|error| error.to_string())
}

fn pairs(text: &str) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = text.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
    pairs.sort_unstable();
    pairs
}

/// `labels` and `want` as `name=value …`; `want` is empty for a series that is left out.
#[track_caller]
fn check(rules_json: &str, labels: &str, want: &str) {
    let given = pairs(labels);
    let text = match rules(rules_json).expect("good rules").apply(&given) {
        Relabeled::Same => given.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" "),
        Relabeled::Changed(now) => {
            assert!(now.windows(2).all(|two| two[0].0 < two[1].0), "{now:?}");
            now.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
        }
        Relabeled::Dropped => String::new(),
    };
    let want = pairs(want).iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ");
    assert_eq!(text, want, "{rules_json} on {labels}");
}

#[test]
fn labels_are_set() {
    let abc = "a=foo b=bar c=baz";
    for (rule, labels, want) in [
        (
            r#"[{"source_labels":["a"],"regex":"f(.*)","target_label":"d","replacement":"ch${1}-ch${1}"}]"#,
            abc,
            "a=foo b=bar c=baz d=choo-choo",
        ),
        (
            r#"[{"source_labels":["a","b"],"regex":"f(.*);(.*)r","target_label":"a","replacement":"b${1}${2}m"},
                {"source_labels":["c","a"],"regex":"(b).*b(.*)ba(.*)","target_label":"d","replacement":"$1$2$2$3"}]"#,
            abc,
            "a=boobam b=bar c=baz d=boooom",
        ),
        // No match changes nothing; an expression is anchored.
        (r#"[{"source_labels":["a"],"regex":"o","target_label":"b","replacement":"x"}]"#, abc, abc),
        (r#"[{"source_labels":["a"],"regex":"foo|xyz","target_label":"b"}]"#, abc, "a=foo c=baz"),
        (r#"[{"source_labels":["a"],"regex":"(foo|xyz)","target_label":"b"}]"#, abc, "a=foo b=foo c=baz"),
        // An empty replacement removes the label.
        (r#"[{"source_labels":["a"],"target_label":"a","replacement":""}]"#, abc, "b=bar c=baz"),
        // Without sources, the empty text matches.
        (r#"[{"target_label":"d","replacement":"always"}]"#, "a=1", "a=1 d=always"),
        (r#"[{"target_label":"d"}]"#, "a=1", "a=1"),
        // The target may be made of groups, unless it comes out empty.
        (
            r#"[{"source_labels":["x"],"regex":"(?:([^:]+):)?(.+)","target_label":"$1","replacement":"$2"}]"#,
            "x=name:value",
            "name=value x=name:value",
        ),
        (
            r#"[{"source_labels":["x"],"regex":"(?:([^:]+):)?(.+)","target_label":"$1","replacement":"$2"}]"#,
            "x=value",
            "x=value",
        ),
        (r#"[{"source_labels":["a"],"target_label":"d","replacement":"$1x<$$"}]"#, "a=1", "a=1 d=<$"),
        (
            r#"[{"source_labels":["a"],"regex":"(?P<word>.+)","target_label":"d","replacement":"<${word}>"}]"#,
            "a=1",
            "a=1 d=<1>",
        ),
        (r#"[{"source_labels":["b","a","x"],"separator":"/","target_label":"d"}]"#, "a=1 b=2", "a=1 b=2 d=2/1/"),
        (r#"[{"source_labels":["a"],"target_label":"d","action":"lowercase"}]"#, "a=FoO-ÄÉß", "a=FoO-ÄÉß d=foo-äéß"),
        (r#"[{"source_labels":["a"],"target_label":"a","action":"uppercase"}]"#, "a=foO-äß", "a=FOO-Äß"),
        (
            r#"[{"source_labels":["c"],"target_label":"d","action":"hashmod","modulus":1000}]"#,
            abc,
            "a=foo b=bar c=baz d=976",
        ),
    ] {
        check(rule, labels, want);
    }
    let hashed = r#"[{"source_labels":["a"],"target_label":"d","action":"hashmod","modulus":1000}]"#;
    let now = rules(hashed).expect("good").apply(&[("a", "foo\nbar")]);
    assert!(matches!(&now, Relabeled::Changed(now) if now[1].1 == "734"), "{now:?}");
}

#[test]
fn series_are_left_out() {
    let abc = "a=foo b=bar c=baz";
    let nothing = "";
    for (rule, want) in [
        (r#"[{"source_labels":["a"],"regex":".*o.*","action":"drop"}]"#, nothing),
        (r#"[{"source_labels":["a"],"regex":"f|o","action":"drop"}]"#, abc),
        (r#"[{"source_labels":["a"],"regex":"no-match","action":"drop"}]"#, abc),
        (r#"[{"source_labels":["a"],"regex":"no-match","action":"keep"}]"#, nothing),
        (r#"[{"source_labels":["a"],"regex":"f.*","action":"keep"}]"#, abc),
        (r#"[{"source_labels":["nobody"],"regex":"","action":"keep"}]"#, abc),
        (r#"[{"source_labels":["a"],"target_label":"b","action":"keepequal"}]"#, nothing),
        (r#"[{"source_labels":["a"],"target_label":"b","action":"dropequal"}]"#, abc),
        (
            r#"[{"source_labels":["a"],"target_label":"b"}, {"source_labels":["a"],"target_label":"b","action":"dropequal"}]"#,
            nothing,
        ),
        (
            r#"[{"source_labels":["a"],"target_label":"b"}, {"source_labels":["a"],"target_label":"b","action":"keepequal"}]"#,
            "a=foo b=foo c=baz",
        ),
        (r#"[{"regex":".*","action":"labeldrop"}]"#, nothing),
        // What comes after a rule that leaves the series out is not looked at.
        (r#"[{"source_labels":["a"],"regex":"foo","action":"drop"}, {"target_label":"d","replacement":"x"}]"#, nothing),
    ] {
        check(rule, abc, want);
    }
}

#[test]
fn names_are_mapped_dropped_and_kept() {
    for (rule, labels, want) in [
        (
            r#"[{"regex":"(b.*)","replacement":"bar_${1}","action":"labelmap"}]"#,
            "a=foo b1=bar b2=baz",
            "a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz",
        ),
        (
            r#"[{"regex":"__meta_(my_label)","action":"labelmap"}, {"regex":"__meta.*","action":"labeldrop"}]"#,
            "a=1 __meta_my_label=x",
            "a=1 my_label=x",
        ),
        (r#"[{"regex":"(b.*)","action":"labeldrop"}]"#, "a=foo b1=bar b2=baz", "a=foo"),
        (r#"[{"regex":"(b.*)","action":"labelkeep"}]"#, "a=foo b1=bar b2=baz", "b1=bar b2=baz"),
        (r#"[{"regex":"b","action":"labeldrop"}]"#, "a=foo b1=bar", "a=foo b1=bar"),
    ] {
        check(rule, labels, want);
    }
}

#[test]
fn a_series_that_stays_as_it_is_is_known_as_such() {
    let rules = rules(r#"[{"source_labels":["a"],"regex":"drop-me","action":"drop"}]"#).expect("good");
    assert_eq!(rules.apply(&[("a", "1"), ("b", "2")]), Relabeled::Same);
    assert_eq!(rules.apply(&[("a", "drop-me")]), Relabeled::Dropped);
    assert!(matches!(rules.apply(&[("a", "1"), ("b", "")]), Relabeled::Changed(now) if now.len() == 1));
    assert_eq!(Relabel::default().apply(&[("a", "1")]), Relabeled::Same);
}

#[test]
fn what_makes_no_sense_is_named() {
    for (json, words) in [
        (r#"[{"target_label":"x"}, {"action":"hashmod","target_label":"x"}]"#, &["rule 2 of relabel", "modulus"][..]),
        (r#"[{"source_labels":["a"]}]"#, &["replace needs a target_label"]),
        (r#"[{"action":"lowercase"}]"#, &["lowercase needs a target_label"]),
        (r#"[{"action":"uppercase","target_label":"x","replacement":"y"}]"#, &["uppercase takes no replacement"]),
        (r#"[{"action":"keepequal","target_label":"x","regex":"y"}]"#, &["keepequal takes source_labels"]),
        (r#"[{"action":"dropequal","target_label":"x","modulus":5}]"#, &["dropequal takes source_labels"]),
        (r#"[{"action":"labeldrop","source_labels":["x"]}]"#, &["labeldrop takes a regex"]),
        (r#"[{"action":"labelkeep","target_label":"x"}]"#, &["labelkeep takes a regex"]),
        (r#"[{"action":"labelmap","replacement":""}]"#, &["labelmap needs a replacement"]),
        (r#"[{"action":"remove"}]"#, &["remove", "labeldrop"]),
        (r#"[{"regexp":"x"}]"#, &["regexp"]),
        (r#"[{"action":"drop","regex":"("}]"#, &["rule 1", "regex \"(\""]),
        (r#"[{"action":"drop","regex":"(?:x{1000}){1000}"}]"#, &["rule 1", "size"]),
    ] {
        let error = rules(json).expect_err("refused");
        words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in {error:?}"));
    }
}

#[test]
fn rules_are_written_as_they_were_read() {
    let json = r#"[{"source_labels":["a"],"regex":"x","action":"drop"}]"#;
    let read = rules(json).expect("good");
    let again = rules(&serde_json::to_string(&read).expect("writes")).expect("good");
    assert_eq!((&read, read.fingerprint()), (&again, again.fingerprint()));
    assert_ne!(read.fingerprint(), rules(r#"[{"action":"drop"}]"#).expect("good").fingerprint());
    assert_eq!((Relabel::default().fingerprint(), rules("[]").expect("good").fingerprint()), (0, 0));
}

proptest! {
    /// Whatever is sent, and whatever rules do to it, labels stay a set in order.
    #[test]
    fn labels_stay_a_set(
        labels in prop::collection::btree_map("[a-d]{1,2}", "[a-cA-C;$ß]{0,3}", 0..6),
        picked in prop::collection::vec(0usize..10, 1..5),
    ) {
        const RULES: [&str; 10] = [
            r#"{"source_labels":["a","b"],"regex":"(.*);(.*)","target_label":"$2","replacement":"$1"}"#,
            r#"{"regex":"a(.*)","replacement":"d$1","action":"labelmap"}"#,
            r#"{"regex":"b.","action":"labeldrop"}"#,
            r#"{"regex":"[ab].*","action":"labelkeep"}"#,
            r#"{"source_labels":["a"],"target_label":"c","action":"uppercase"}"#,
            r#"{"source_labels":["c","a"],"target_label":"d","action":"lowercase"}"#,
            r#"{"source_labels":["a"],"target_label":"b","action":"hashmod","modulus":7}"#,
            r#"{"source_labels":["a"],"regex":".+","action":"drop"}"#,
            r#"{"source_labels":["a"],"target_label":"b","action":"dropequal"}"#,
            r#"{"regex":"(.*)","replacement":"$9","action":"labelmap"}"#,
        ];
        let json = format!("[{}]", picked.iter().map(|at| RULES[*at]).collect::<Vec<_>>().join(","));
        let given: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let is_set = match rules(&json).expect("good").apply(&given) {
            Relabeled::Changed(now) => {
                now.windows(2).all(|two| two[0].0 < two[1].0) && now.iter().all(|(n, v)| !n.is_empty() && !v.is_empty())
            }
            _ => true,
        };
        prop_assert!(is_set, "{}", json);
    }

    #[test]
    fn any_expression_is_taken_or_refused(regex: String, label: String) {
        let settings = RelabelSettings { regex, target_label: "x".into(), ..RelabelSettings::default() };
        if let Ok(rules) = Relabel::try_from(vec![settings]) {
            rules.apply(&[("a", &label)]);
        }
    }
}
