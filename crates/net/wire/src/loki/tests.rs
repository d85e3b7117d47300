//! Push bodies, good and bad.

use super::*;
use crate::protobuf::{put_bytes, put_uint};
use proptest::prelude::*;

type Row = (i64, String, Vec<(String, String)>);
type Push = Vec<(String, Vec<Row>)>;

/// Writes a body as a sender does, apart from `Builder`; `late_labels` puts the label text after the entries.
fn encode(push: &Push, late_labels: bool) -> Vec<u8> {
    let mut body = Vec::new();
    for (labels, rows) in push {
        let mut stream = Vec::new();
        if !late_labels {
            put_bytes(&mut stream, 1, labels.as_bytes());
        }
        for (time, line, metadata) in rows {
            let (mut stamp, mut entry) = (Vec::new(), Vec::new());
            put_uint(&mut stamp, 1, time.div_euclid(1_000_000_000) as u64);
            put_uint(&mut stamp, 2, time.rem_euclid(1_000_000_000) as u64);
            put_bytes(&mut entry, 1, &stamp);
            put_bytes(&mut entry, 2, line.as_bytes());
            for (name, value) in metadata {
                let mut pair = Vec::new();
                put_bytes(&mut pair, 1, name.as_bytes());
                put_bytes(&mut pair, 2, value.as_bytes());
                put_bytes(&mut entry, 3, &pair);
            }
            put_bytes(&mut stream, 2, &entry);
        }
        if late_labels {
            put_bytes(&mut stream, 1, labels.as_bytes());
        }
        put_uint(&mut stream, 3, 99);
        put_bytes(&mut body, 1, &stream);
    }
    body
}

fn decode(body: &[u8]) -> Result<Push, DecodeError> {
    let row = |entry: Result<Entry<'_>, DecodeError>| {
        let entry = entry?;
        let metadata: Result<Vec<_>, _> = entry.metadata().map(|m| m.map(|(n, v)| (n.into(), v.into()))).collect();
        let metadata = metadata?;
        assert_eq!(entry.has_metadata(), !metadata.is_empty());
        Ok((entry.time, entry.line.to_owned(), metadata))
    };
    let stream = |stream: Result<Stream<'_>, DecodeError>| {
        let stream = stream?;
        Ok((stream.labels.to_owned(), stream.entries().map(row).collect::<Result<_, DecodeError>>()?))
    };
    streams(body).map(stream).collect()
}

fn sample() -> Push {
    vec![
        (
            r#"{app="web"}"#.into(),
            vec![
                (1_700_000_000_123_456_789, "GET /".into(), vec![("trace".into(), "abc".into())]),
                (-1, "before 1970".into(), vec![]),
            ],
        ),
        ("{}".into(), vec![]),
        ("".into(), vec![(0, "".into(), vec![])]),
    ]
}

#[test]
fn every_cut_is_an_error_or_whole_streams() {
    let body = encode(&sample(), false);
    for len in 0..body.len() {
        match decode(&body[..len]) {
            Err(_) => {}
            Ok(push) => assert_eq!(push[..], sample()[..push.len()], "cut at {len}"),
        }
    }
}

#[test]
fn every_flip_is_survived() {
    let body = encode(&sample(), false);
    for at in 0..body.len() {
        for bit in 0..8 {
            let mut body = body.clone();
            body[at] ^= 1 << bit;
            let _ = decode(&body);
            let _ = sanitize(&body);
        }
    }
}

#[test]
fn an_error_is_the_last_item() {
    let mut body = encode(&sample(), false);
    body.extend([0x0b, 0x0a, 0]);
    let items: Vec<bool> = streams(&body).map(|s| s.is_ok()).collect();
    assert_eq!(items, [true, true, true, false]);
}

#[test]
fn what_is_no_push_is_refused() {
    let stream = |fields: &dyn Fn(&mut Vec<u8>)| {
        let (mut stream, mut body) = (Vec::new(), Vec::new());
        fields(&mut stream);
        put_bytes(&mut body, 1, &stream);
        decode(&body).expect_err("refused").to_string()
    };
    let twice = stream(&|s| {
        put_bytes(s, 1, b"{}");
        put_bytes(s, 1, b"{a=\"1\"}");
    });
    assert!(twice.contains("two label texts"), "{twice}");
    assert!(stream(&|s| put_bytes(s, 1, b"\xff")).contains("UTF-8"));
    assert!(stream(&|s| put_bytes(s, 2, b"\x12\x01\xff")).contains("UTF-8"));
    assert!(stream(&|s| put_uint(s, 2, 1)).contains("wire type"));
    let far = stream(&|s| {
        let (mut stamp, mut entry) = (Vec::new(), Vec::new());
        put_uint(&mut stamp, 1, 1 << 40);
        put_bytes(&mut entry, 1, &stamp);
        put_bytes(s, 2, &entry);
    });
    assert!(far.contains("1678"), "{far}");
}

#[test]
fn bytes_that_are_no_text_are_replaced_where_loki_takes_them() {
    let (mut entry, mut stream, mut body) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(&mut entry, 2, b"a\xffb");
    put_bytes(&mut entry, 3, b"\x0a\x01n\x12\x01\xfe");
    put_bytes(&mut stream, 1, b"{}");
    put_bytes(&mut stream, 2, &entry);
    put_bytes(&mut body, 1, &stream);
    let clean = decode(&sanitize(&body).expect("can be read")).expect("is clean");
    assert_eq!(clean, [("{}".into(), vec![(0, "a\u{fffd}b".into(), vec![("n".into(), "\u{fffd}".into())])])]);
}

#[test]
fn json_pushes_become_bodies() {
    let check = |json: &str, want: Push| {
        let body = from_json(json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}"));
        assert_eq!(decode(&body), Ok(want), "{json}");
    };
    let row = |time, line: &str| (time, line.to_owned(), vec![]);
    for empty in [r#"{"streams":[]}"#, r#"{"streams":null}"#, r#"{"strooms":[{}]}"#, "{}"] {
        check(empty, vec![]);
    }
    check(
        r#"{"streams": [{"stream": {"b": "2", "a": "1\"x"}, "values": [["12", "line\n"], ["-3", ""]]}]}"#,
        vec![(r#"{a="1\"x", b="2"}"#.into(), vec![row(12, "line\n"), row(-3, "")])],
    );
    check(
        r#"{"more": [1, {}], "streams": [{"values": [["1", "x", {"k": "v", "l": ""}]], "x": null, "stream": {}}]}"#,
        vec![("{}".into(), vec![(1, "x".into(), vec![("k".into(), "v".into()), ("l".into(), "".into())])])],
    );
    check(
        r#"{"streams":[{"stream":{"a":"b"},"values":[["1","x",null],["2","\ud83d\ude00"]]},{"stream":{"c":"d"}}]}"#,
        vec![(r#"{a="b"}"#.into(), vec![row(1, "x"), row(2, "😀")]), (r#"{c="d"}"#.into(), vec![])],
    );
    let body = from_json(b"{\"streams\":[{\"stream\":{},\"values\":[[\"1\",\"a\xffb\"]]}]}").expect("replaced");
    assert_eq!(decode(&body), Ok(vec![("{}".into(), vec![row(1, "a\u{fffd}b")])]));
}

#[test]
fn json_mistakes_are_named_with_their_place() {
    let check = |json: &str, words: &[&str]| {
        let error = from_json(json.as_bytes()).expect_err(json).to_string();
        for word in words {
            assert!(error.contains(word), "{json}: {word:?} is not in {error:?}");
        }
    };
    let values = |values: &str| format!(r#"{{"streams":[{{"stream":{{}},"values":{values}}}]}}"#);
    check("", &["EOF", "line 1"]);
    check("[]", &["an object with \"streams\""]);
    check(r#"{"streams":[]} x"#, &["trailing", "column 16"]);
    check(r#"{"streams":{}}"#, &["streams: an array"]);
    check(r#"{"streams":[{"stream":{}},3]}"#, &["streams[1]: an object"]);
    check(r#"{"streams":[{"values":[]}]}"#, &["streams[0] has no \"stream\""]);
    check(r#"{"streams":[{"stream":{"a":1}}]}"#, &["streams[0].stream", "a string"]);
    check(&values("3"), &["streams[0].values: an array"]);
    check(&values(r#"[["1","x"],"y"]"#), &["streams[0].values[1]: an array"]);
    check(&values(r#"[["1","x"],[]]"#), &["streams[0].values[1]: there is no timestamp"]);
    check(&values(r#"[["1"]]"#), &["streams[0].values[0]: there is no line"]);
    check(&values(r#"[[1,"x"]]"#), &["streams[0].values[0][0]", "a string"]);
    check(&values(r#"[["1.5","x"]]"#), &["streams[0].values[0][0]", "1.5", "Unix ns"]);
    check(&values(r#"[["99999999999999999999","x"]]"#), &["streams[0].values[0][0]"]);
    check(&values(r#"[["1",2]]"#), &["streams[0].values[0][1]", "a string"]);
    check(&values(r#"[["1","x",{"a":{}}]]"#), &["streams[0].values[0][2]", "a string"]);
    check(&values(r#"[["1","x",[]]]"#), &["streams[0].values[0][2]", "an object of strings"]);
    check(&values(r#"[["1","x",{},4]]"#), &["streams[0].values[0]: there are more than three"]);
    let whole = values(r#"[["1","x",{"a":"b"}]]"#);
    (0..whole.len()).for_each(|len| assert!(from_json(&whole.as_bytes()[..len]).is_err(), "cut at {len}"));
}

fn pushes() -> impl Strategy<Value = Push> {
    let pair = (".{0,5}", ".{0,5}");
    let row = (any::<i64>(), ".{0,40}", prop::collection::vec(pair, 0..3));
    // The last seconds of the range have no whole number of seconds before them.
    let row = row.prop_map(|(time, line, metadata)| (time.max(i64::MIN + 1_000_000_000), line, metadata));
    prop::collection::vec((".{0,20}", prop::collection::vec(row, 0..5)), 0..4)
}

proptest! {
    #[test]
    fn bodies_are_read_as_written(push in pushes(), late_labels: bool) {
        prop_assert_eq!(decode(&encode(&push, late_labels)), Ok(push));
    }

    #[test]
    fn built_and_copied_bodies_are_the_same(push in pushes()) {
        let (mut builder, mut copy) = (Builder::new(), Builder::new());
        for (labels, rows) in &push {
            builder.stream(labels);
            for (time, line, metadata) in rows {
                builder.entry(*time, line, metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            }
        }
        let body = builder.finish();
        prop_assert_eq!(decode(&body), Ok(push.clone()));
        prop_assert_eq!(sanitize(&body), Ok(body.clone()));
        for (at, stream) in streams(&body).enumerate() {
            let stream = stream.expect("reads");
            if at % 2 == 0 {
                copy.copy_stream(&stream);
            } else {
                copy.stream(stream.labels);
                for entry in stream.entries() {
                    copy.copy_entry(&entry.expect("reads"));
                }
            }
        }
        prop_assert_eq!(copy.finish(), body);
    }

    #[test]
    fn lines_are_cut_at_letters(line: String, metadata in prop::collection::vec(("..?", ".?"), 0..3), most in 0usize..20) {
        let pairs = metadata.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let mut builder = Builder::new();
        builder.stream("{a=\"b\"}").entry(7, &line, pairs.clone());
        let body = builder.finish();
        let entry = streams(&body).flatten().flat_map(|stream| stream.entries().flatten().next()).next().expect("one");
        let mut cut = Builder::new();
        cut.stream("{a=\"b\"}").copy_entry_cut(&entry, most).expect("reads");
        let cut = cut.finish();
        let entry = streams(&cut).flatten().flat_map(|stream| stream.entries().flatten().next()).next().expect("one");
        prop_assert!(line.starts_with(entry.line) && entry.line.len() <= most);
        prop_assert!(entry.line.len() + 4 > most.min(line.len()));
        let len = line.len().to_string();
        let want: Vec<(&str, &str)> = pairs.chain([(TRUNCATED_FROM, &*len)]).collect();
        prop_assert_eq!(entry.metadata().flatten().collect::<Vec<_>>(), want);
        prop_assert_eq!(entry.time, 7);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) {
        let _ = decode(&bytes);
        let _ = sanitize(&bytes);
        let _ = from_json(&bytes);
    }
}
