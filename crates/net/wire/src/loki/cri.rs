//! Takes lines apart that container runtimes wrote (`2026-11-30T22:31:58.123456789Z stdout F message`) and that an agent
//! sent as they are.
//!
//! `<RFC 3339 time> <stdout|stderr> <P|F>[:<tag>…] <message>`, from the description of the logs of Kubernetes' container
//! runtime interface. `P` says that the message goes on with the next line of the same output.

use super::discovered::with_service;
use super::{Builder, Entry, Stream, label_text, parse_labels, streams};
use crate::error::DecodeError;
use std::borrow::Cow;
use tenancy::Limits;

/// The label that says which output of its process a line is of. Loki's agents call it so. It has two values, so a stream
/// becomes three at most: one for each output, and one of what is not of this form.
const STREAM: &str = "stream";

/// A line, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts<'a> {
    /// Unix nanoseconds.
    time: i64,
    /// `stdout` or `stderr`.
    output: &'a str,
    /// Whether the message goes on.
    goes_on: bool,
    message: &'a str,
}

/// `None` if the line is not of this form.
fn parse(line: &str) -> Option<Parts<'_>> {
    // Most other lines are told apart without reading a time.
    if line.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let (time, rest) = line.split_once(' ')?;
    let (output, rest) = rest.split_once(' ')?;
    let (tags, message) = rest.split_once(' ').unwrap_or((rest, ""));
    let goes_on = match tags.split(':').next()? {
        "P" => true,
        "F" => false,
        _ => return None,
    };
    if !matches!(output, "stdout" | "stderr") {
        return None;
    }
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(Parts { time: i64::try_from(time.as_nanosecond()).ok()?, output, goes_on, message })
}

/// A line as it is stored.
struct Line<'a> {
    time: i64,
    output: &'a str,
    text: Cow<'a, str>,
    /// Its metadata are those of this entry, the first if there are several.
    entry: Entry<'a>,
}

/// The lines of a stream.
#[derive(Default)]
struct Unwrapped<'a> {
    lines: Vec<Line<'a>>,
    /// Entries of another form.
    others: Vec<Entry<'a>>,
}

/// The same body with such lines taken apart: their time is the entry's time, their output the label `stream`, or metadata
/// of that name where the stream has such a label or cannot have one more. Messages in several lines are joined, up to the
/// tenant's longest line, if they come in one stream of this body. Other lines stay as they are; `None` if all do.
///
/// The error is that of the body, or that of one which became too large (`limits.max_push_inflated`).
pub fn unwrap_cri(body: &[u8], limits: &Limits) -> Result<Option<Vec<u8>>, DecodeError> {
    if !has_any(body)? {
        return Ok(None);
    }
    let limit = limits.max_push_inflated.as_usize();
    let mut builder = Builder::new();
    for stream in streams(body) {
        let stream = stream?;
        let unwrapped = unwrap(&stream, limits.max_line_size.as_usize())?;
        if unwrapped.lines.is_empty() {
            builder.copy_stream(&stream);
        } else {
            write(&mut builder, &stream, &unwrapped, limits)?;
        }
        if builder.len() > limit {
            return Err(DecodeError::TooLarge { len: builder.len(), limit });
        }
    }
    Ok(Some(builder.finish()))
}

fn has_any(body: &[u8]) -> Result<bool, DecodeError> {
    for stream in streams(body) {
        for entry in stream?.entries() {
            if parse(entry?.line).is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn unwrap<'a>(stream: &Stream<'a>, max_line: usize) -> Result<Unwrapped<'a>, DecodeError> {
    let mut unwrapped = Unwrapped::default();
    // Of each output, the line that goes on.
    let mut open: Vec<Line<'a>> = Vec::new();
    for entry in stream.entries() {
        let entry = entry?;
        let Some(parts) = parse(entry.line) else {
            unwrapped.others.push(entry);
            continue;
        };
        let before = open.iter().position(|line| line.output == parts.output).map(|at| open.swap_remove(at));
        let line = match before {
            Some(mut line) if line.text.len() + parts.message.len() <= max_line => {
                line.text.to_mut().push_str(parts.message);
                line
            }
            before => {
                unwrapped.lines.extend(before);
                Line { time: parts.time, output: parts.output, text: Cow::Borrowed(parts.message), entry }
            }
        };
        if parts.goes_on { &mut open } else { &mut unwrapped.lines }.push(line);
    }
    unwrapped.lines.append(&mut open);
    Ok(unwrapped)
}

fn write(
    builder: &mut Builder,
    stream: &Stream<'_>,
    unwrapped: &Unwrapped<'_>,
    limits: &Limits,
) -> Result<(), DecodeError> {
    let Ok(labels) = parse_labels(stream.labels) else {
        // A mistake, to be told by the check.
        builder.copy_stream(stream);
        return Ok(());
    };
    for output in ["stdout", "stderr"] {
        let mut lines = unwrapped.lines.iter().filter(|line| line.output == output).peekable();
        if lines.peek().is_none() {
            continue;
        }
        let with_output = labels.with(STREAM, output);
        let most = limits.max_label_names as usize;
        let has_room = with_service(with_output.clone(), &limits.discover).len() <= most;
        let is_label = !labels.is_empty() && labels.get(STREAM).is_none() && has_room;
        match is_label {
            true => builder.stream(&label_text(with_output.iter())),
            false => builder.stream(stream.labels),
        };
        for line in lines {
            builder.start(line.time, &line.text);
            for pair in line.entry.metadata() {
                let (name, value) = pair?;
                builder.add_metadata(name, value);
            }
            if !is_label {
                builder.add_metadata(STREAM, output);
            }
            builder.end();
        }
    }
    if !unwrapped.others.is_empty() {
        builder.stream(stream.labels);
        for entry in &unwrapped.others {
            builder.copy_entry(entry);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ByteSize;
    use proptest::prelude::*;

    /// 2026-11-30T22:31:58Z
    const SECOND: i64 = 1_796_077_918_000_000_000;

    #[test]
    fn lines_are_taken_apart() {
        let parts = |nanos, output, goes_on, message| Some(Parts { time: SECOND + nanos, output, goes_on, message });
        for (line, want) in [
            ("2026-11-30T22:31:58.123456789Z stdout F a message", parts(123_456_789, "stdout", false, "a message")),
            ("2026-11-30T23:31:58.5+01:00 stderr P half", parts(500_000_000, "stderr", true, "half")),
            ("2026-11-30T22:31:58Z stdout F  two  spaces ", parts(0, "stdout", false, " two  spaces ")),
            ("2026-11-30T22:31:58Z stdout P:x:y é", parts(0, "stdout", true, "é")),
            ("2026-11-30T22:31:58Z stdout F ", parts(0, "stdout", false, "")),
            ("2026-11-30T22:31:58Z stdout F", parts(0, "stdout", false, "")),
            ("2026-11-30T22:31:58Z stdout F a\nb", parts(0, "stdout", false, "a\nb")),
            // None of these is one.
            ("", None),
            ("2026-11-30T22:31:58Z", None),
            ("2026-11-30T22:31:58Z stdout", None),
            ("2026-11-30T22:31:58Z stdout ", None),
            ("2026-11-30T22:31:58Z stdout message", None),
            ("2026-11-30T22:31:58Z stdout Full message", None),
            ("2026-11-30T22:31:58Z stdin F message", None),
            ("2026-11-30T22:31:58Z  stdout F message", None),
            ("2026-11-30T22:31:58 stdout F without a zone", None),
            ("2026-11-31T22:31:58Z stdout F no such day", None),
            ("9999-11-30T22:31:58Z stdout F beyond the times of rows", None),
            (" 2026-11-30T22:31:58Z stdout F message", None),
            ("yesterday, Tuesday stdout F message", None),
        ] {
            assert_eq!(parse(line), want, "{line:?}");
        }
    }

    fn limits() -> Limits {
        Limits { max_line_size: ByteSize(20), max_label_names: 4, ..Limits::default() }
    }

    /// Each line as `labels seconds line metadata`.
    fn read(body: &[u8]) -> Vec<String> {
        let all = streams(body).map(|stream| stream.expect("reads")).flat_map(|stream| {
            stream.entries().map(move |entry| {
                let entry = entry.expect("reads");
                let metadata: Vec<String> = entry
                    .metadata()
                    .map(|pair| pair.expect("reads"))
                    .map(|(name, value)| format!(" {name}={value}"))
                    .collect();
                format!("{} {} {:?}{}", stream.labels, entry.time / 1_000_000_000, entry.line, metadata.concat())
            })
        });
        all.collect()
    }

    /// Pushes lines at 1 s, 2 s, … with their number as metadata. `T5` is the time of 5 s.
    fn check(labels: &str, lines: &[&str], want: &[&str]) {
        let mut builder = Builder::new();
        builder.stream(labels);
        for (line, n) in lines.iter().zip(1i64..) {
            let line = match line.strip_prefix('T') {
                Some(rest) => format!("1970-01-01T00:00:0{rest}").replacen(' ', "Z ", 1),
                None => (*line).to_owned(),
            };
            builder.entry(n * 1_000_000_000, &line, [("n", n.to_string().as_str())]);
        }
        let body = builder.finish();
        let got = unwrap_cri(&body, &limits()).expect("a good body");
        assert_eq!(got.as_deref().map(read).unwrap_or_default(), want, "{labels} {lines:?}");
    }

    #[test]
    fn outputs_become_streams() {
        check(
            r#"{a="b"}"#,
            &["T5 stdout F one", "T6 stderr F two", "plain", "T4 stdout F three"],
            &[
                r#"{a="b", stream="stdout"} 5 "one" n=1"#,
                r#"{a="b", stream="stdout"} 4 "three" n=4"#,
                r#"{a="b", stream="stderr"} 6 "two" n=2"#,
                r#"{a="b"} 3 "plain" n=3"#,
            ],
        );
        check(r#"{a="b"}"#, &["plain", "2026 stdout F not one"], &[]);
        check(r#"{a="b"}"#, &[], &[]);
    }

    #[test]
    fn a_stream_that_cannot_have_the_label_has_metadata() {
        let one = &["T5 stdout F one"];
        check(r#"{a="b", stream="x"}"#, one, &[r#"{a="b", stream="x"} 5 "one" n=1 stream=stdout"#]);
        // A service's name would be the fifth label.
        check(r#"{a="b", c="d", e="f"}"#, one, &[r#"{a="b", c="d", e="f"} 5 "one" n=1 stream=stdout"#]);
        check(r#"{a="b", c="d"}"#, one, &[r#"{a="b", c="d", stream="stdout"} 5 "one" n=1"#]);
        // The check will say what is wrong with these.
        check("{}", one, &[r#"{} 5 "one" n=1 stream=stdout"#]);
        check("{a=", one, &[r#"{a= 1 "1970-01-01T00:00:05Z stdout F one" n=1"#]);
    }

    #[test]
    fn messages_in_several_lines_are_joined() {
        let labels = r#"{a="b"}"#;
        check(
            labels,
            &[
                "T1 stdout P one ",
                "T2 stderr P err",
                "plain",
                "T3 stdout P two ",
                "T4 stdout F three",
                "T5 stderr F or",
            ],
            &[
                r#"{a="b", stream="stdout"} 1 "one two three" n=1"#,
                r#"{a="b", stream="stderr"} 2 "error" n=2"#,
                r#"{a="b"} 3 "plain" n=3"#,
            ],
        );
        // What comes in another push, or never, is not waited for.
        check(labels, &["T1 stdout P one"], &[r#"{a="b", stream="stdout"} 1 "one" n=1"#]);
        // A line has 20 bytes at most, unless it came longer.
        check(
            labels,
            &["T1 stdout P 0123456789", "T2 stdout P 0123456789", "T3 stdout P x", "T4 stdout F y", "T5 stdout F z"],
            &[
                r#"{a="b", stream="stdout"} 1 "01234567890123456789" n=1"#,
                r#"{a="b", stream="stdout"} 3 "xy" n=3"#,
                r#"{a="b", stream="stdout"} 5 "z" n=5"#,
            ],
        );
        check(
            labels,
            &["T1 stdout P 0123456789012345678901234", "T2 stdout F x"],
            &[r#"{a="b", stream="stdout"} 1 "0123456789012345678901234" n=1"#, r#"{a="b", stream="stdout"} 2 "x" n=2"#],
        );
    }

    #[test]
    fn a_body_that_grows_is_held_to_the_limit() {
        let mut builder = Builder::new();
        builder.stream(r#"{a="b"}"#).entry(1, "1970-01-01T00:00:05Z stdout F x", []);
        let limits = Limits { max_push_inflated: ByteSize(10), ..limits() };
        let error = unwrap_cri(&builder.finish(), &limits).expect_err("too large");
        assert!(matches!(error, DecodeError::TooLarge { limit: 10, .. }), "{error:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body: Vec<u8>) {
            let _ = unwrap_cri(&body, &limits());
        }

        #[test]
        fn no_byte_of_a_message_is_lost(
            lines in prop::collection::vec(("(stdout|stderr)", "[PF]", "[a-zé ]{0,12}"), 0..20),
            plain in "[a-z ]{0,10}",
        ) {
            let mut builder = Builder::new();
            builder.stream(r#"{a="b"}"#).entry(1, &plain, []);
            for (output, tag, message) in &lines {
                builder.entry(1, &format!("1970-01-01T00:00:05Z {output} {tag} {message}"), []);
            }
            let body = builder.finish();
            let Some(made) = unwrap_cri(&body, &limits()).expect("a good body") else {
                prop_assert!(lines.is_empty());
                return Ok(());
            };
            for output in ["stdout", "stderr"] {
                let label = format!("stream=\"{output}\"");
                let of_output = streams(&made).map(|stream| stream.expect("reads")).filter(|s| s.labels.contains(&label));
                let texts = of_output.flat_map(|stream| stream.entries().map(|entry| entry.expect("reads").line).collect::<Vec<_>>());
                let got: Vec<&str> = texts.collect();
                let want: String = lines.iter().filter(|(o, ..)| o == output).map(|(_, _, message)| message.as_str()).collect();
                prop_assert_eq!(got.concat(), want);
                prop_assert!(got.iter().all(|line| line.len() <= 24));
            }
        }
    }
}
