//! Whatever a line is, its template and values give it back.

use super::*;
use proptest::prelude::*;

/// Lines as rebuilt from templates and spans, without columns.
fn rebuild(lines: &[&str]) -> Vec<String> {
    let mut shredder = Shredder::new();
    shredder.begin();
    let mut out = Vec::new();
    for line in lines {
        let line = line.as_bytes();
        let found = shredder.predict(line).or_else(|| shredder.inspect(line));
        let Some(at) = found else {
            out.push(String::from_utf8(line.to_vec()).expect("utf-8"));
            continue;
        };
        let template = &shredder.templates[at as usize];
        let mut text = Vec::new();
        for (place, literal) in template.literals().enumerate() {
            text.extend_from_slice(literal);
            if let Some((start, end)) = shredder.spans.get(place) {
                text.extend_from_slice(&line[*start as usize..*end as usize]);
            }
        }
        out.push(String::from_utf8(text).expect("utf-8"));
    }
    out
}

/// Row group after row group of ever new shapes, each of them in some lines.
#[test]
fn shapes_that_are_too_many_are_forgotten() {
    let (mut shredder, mut pool) = (Shredder::new(), Pool::default());
    for group in 0..6 {
        shredder.begin();
        let mut raw = String::new();
        let mut ends = Vec::new();
        for line in 0..6000 {
            raw.push_str(&format!(r#"{{"g{group}s{}":{line},"n":1}}"#, line / 6));
            ends.push(raw.len() as u32);
        }
        let mut start = 0;
        for end in ends {
            shredder.row(raw.as_bytes(), start, end, &mut pool);
            start = end;
        }
        shredder.end_page(raw.as_bytes(), &mut pool);
        let apart = shredder.rows().iter().filter(|template| **template > 0).count();
        assert!(apart > 3000, "only {apart} lines of group {group} were taken apart");
        assert!(shredder.templates.len() <= 2 * MAX_TEMPLATES, "{}", shredder.templates.len());
    }
}

fn templates(lines: &[&str]) -> Vec<u32> {
    let raw: String = lines.concat();
    let (mut shredder, mut pool) = (Shredder::new(), Pool::default());
    shredder.begin();
    let mut start = 0;
    for line in lines {
        shredder.row(raw.as_bytes(), start, start + line.len() as u32, &mut pool);
        start += line.len() as u32;
    }
    shredder.rows().to_vec()
}

#[test]
fn lines_of_one_shape_share_a_template_from_the_third_on() {
    let json = [
        r#"{"a":1,"b":"x","c":{"d":[1,2,{"e":"]"}],"f":null}}"#,
        r#"{"a":-2.5,"b":"y\"z","c":{"d":[],"f":true}}"#,
        r#"{"a":1e5,"b":"","c":{"d":["\\"],"f":0}}"#,
        r#"{"a":"1","b":"","c":{"d":[],"f":0}}"#,
        r#"{"a":7,"b":"","c":{"d":[],"f":0}}"#,
    ];
    assert_eq!(templates(&json), [0, 0, 1, 0, 1]);
    let ids: Vec<String> =
        (0..300).map(|n| format!(r#"{{"user":"{:08x}-17b5-42bc-9a51-3cd422cab7a1","n":{n}}}"#, n * 7919)).collect();
    assert_eq!(templates(&ids.iter().map(String::as_str).collect::<Vec<_>>())[2..], [1; 298]);
    let text = [
        "[2026-11-22 02:12:14,573] INFO worker: request id=5 took 10.3ms",
        "[2026-11-22 02:12:14,574] INFO worker: request id=6 took 10.4ms",
        "[2026-11-22 02:12:14,575] INFO worker: request id=7 took 10.5ms",
        "[2026-11-22 02:12:14,576] WARN worker: request id=8 took 10.6ms",
    ];
    assert_eq!(templates(&text), [0, 0, 1, 0]);
}

#[test]
fn words_that_vary_become_slots() {
    let lines: Vec<String> = (0..60u8)
        .map(|n| {
            let name: String = [n / 10, n % 10].iter().map(|d| char::from(b'a' + d)).collect();
            format!("user {name} logged in")
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let templates = templates(&lines);
    assert_eq!(templates[0], 0);
    assert!(templates[40..].iter().all(|t| *t == 1), "{templates:?}");
}

#[test]
fn odd_lines_come_back() {
    let lines = [
        "",
        "{",
        "{}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1}x",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":[",
        " ",
        "\n",
        "{ \"a\" : 1 , \"b\" : [ ] }\n",
        "é",
        "a=1 b=\"c d\"",
        "[",
        "]",
        "{\"a\":1,\"a\":2}",
        "{\"\":0}",
    ];
    for line in lines {
        assert_eq!(rebuild(&[line; 5]), [line; 5]);
    }
    assert_eq!(rebuild(&lines.repeat(4)), lines.repeat(4));
}

proptest! {
    #[test]
    fn any_lines_come_back(lines in prop::collection::vec("\\PC{0,30}|[{}\":,\\\\a1 \\[\\]]{0,24}", 1..40)) {
        let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        lines.extend(lines.clone());
        lines.extend(lines.clone());
        prop_assert_eq!(rebuild(&lines), lines);
    }
}
