//! Checks a push of logs: labels, sizes and times. Bad lines and streams are left out, and long lines cut where the tenant
//! wants that (`limits.line_truncate`); the rest stays as it came.

use crate::checked::{Checked, Refusals, Rules, Written, shorten};
use crate::discard::Discard;
use crate::error::PushError;
use crate::known::Scope;
use crate::labels::check_stream;
use crate::meters::add;
use bytes::Bytes;
use model::TimeRange;
use tenancy::Limits;
use wire::batch::{Format, StreamHeader};
use wire::error::DecodeError;
use wire::loki::{Builder, Entry, Stream, key, sanitize, streams};

/// What is left out of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    stream: u32,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// This line.
    Entry(u32),
    /// The end of this line.
    End(u32),
}

/// Checks an uncompressed body. `payload` is the body as it came, if that was snappy.
pub fn check(body: Vec<u8>, payload: Option<Bytes>, rules: &Rules<'_>) -> Result<Checked, PushError> {
    let max_line = rules.admitted.limits().max_line_size.as_usize();
    match walk(&body, rules) {
        // Agents on Linux read files of any bytes, and nothing on their side checks them.
        Err(DecodeError::Utf8) => {
            let body = sanitize(&body).map_err(PushError::Body)?;
            let walked = walk(&body, rules).map_err(PushError::Body)?;
            finish(body, None, walked, max_line)
        }
        walked => finish(body, payload, walked.map_err(PushError::Body)?, max_line),
    }
}

#[derive(Default)]
struct Walked {
    streams: Vec<StreamHeader>,
    cuts: Vec<Cut>,
    refused: Refusals,
    /// Lines that are cut.
    truncated: u64,
}

/// What a line is held to, in numbers at hand.
struct LineRules<'a> {
    limits: &'a Limits,
    max_line: usize,
    times: TimeRange,
}

fn walk(body: &[u8], rules: &Rules<'_>) -> Result<Walked, DecodeError> {
    let limits = rules.admitted.limits();
    let scope = Scope::new(rules.admitted.tenant(), limits);
    let line_rules = LineRules { limits, max_line: limits.max_line_size.as_usize(), times: rules.times };
    let mut walked = Walked::default();
    for (at, stream) in streams(body).enumerate() {
        let stream = stream?;
        let key = key(stream.labels);
        if !rules.known.contains(scope, key) {
            add(&rules.meters.labels_checked, 1);
            if let Some((discard, text)) = check_stream(stream.labels, limits) {
                let lines = stream.entries().try_fold(0, |lines, entry| entry.map(|_| lines + 1))?;
                walked.cuts.push(Cut { stream: at as u32, part: Part::All });
                walked.refused.series += 1;
                walked.refused.add(discard, lines, || text);
                continue;
            }
            rules.known.insert(scope, key);
        }
        let header = walk_stream(&stream, at as u32, key, &line_rules, &mut walked)?;
        walked.streams.push(header);
    }
    add(&rules.meters.lines_truncated, walked.truncated);
    Ok(walked)
}

#[inline]
fn walk_stream(
    stream: &Stream<'_>,
    at: u32,
    key: u128,
    rules: &LineRules<'_>,
    walked: &mut Walked,
) -> Result<StreamHeader, DecodeError> {
    let mut header = StreamHeader { key, rows: 0, times: TimeRange::EMPTY };
    for (place, entry) in stream.entries().enumerate() {
        let entry = entry?;
        let is_long = entry.line.len() > rules.max_line;
        let fits = (!is_long || rules.limits.line_truncate) && rules.times.contains(entry.time);
        if fits && (!entry.has_metadata() || metadata_size(&entry)? <= rules.limits.max_metadata_size.as_usize()) {
            header.rows += 1;
            header.times.include(entry.time);
            if is_long {
                walked.cuts.push(Cut { stream: at, part: Part::End(place as u32) });
                walked.truncated += 1;
            }
        } else {
            walked.cuts.push(Cut { stream: at, part: Part::Entry(place as u32) });
            walked.refused.add(reason(&entry, rules), 1, || complain(&entry, stream.labels, rules));
        }
    }
    Ok(header)
}

impl LineRules<'_> {
    fn refuses_len(&self, entry: &Entry<'_>) -> bool {
        !self.limits.line_truncate && entry.line.len() > self.max_line
    }
}

fn metadata_size(entry: &Entry<'_>) -> Result<usize, DecodeError> {
    entry.metadata().try_fold(0, |size, pair| pair.map(|(name, value)| size + name.len() + value.len()))
}

fn reason(entry: &Entry<'_>, rules: &LineRules<'_>) -> Discard {
    match entry {
        entry if rules.refuses_len(entry) => Discard::LineTooLong,
        entry if entry.time > rules.times.max => Discard::TooNew,
        entry if entry.time < rules.times.min => Discard::TooOld,
        _ => Discard::MetadataTooLarge,
    }
}

#[cold]
fn complain(entry: &Entry<'_>, labels: &str, rules: &LineRules<'_>) -> String {
    let (labels, len) = (shorten(labels), entry.line.len());
    if rules.refuses_len(entry) {
        let limit = rules.limits.max_line_size;
        return format!(
            "max entry size exceeded: a line of stream {labels} has {len} bytes, the limit is {limit} \
             (limits.max_line_size)"
        );
    }
    if entry.time > rules.times.max {
        let grace = rules.limits.creation_grace.unwrap_or_default().as_secs_f64();
        return format!(
            "entry of stream {labels} has a timestamp too new: {} ns is more than {grace} s from now \
             (limits.creation_grace)",
            entry.time
        );
    }
    if entry.time < rules.times.min {
        let age = rules.limits.reject_old.unwrap_or_default().as_secs_f64();
        return format!(
            "entry of stream {labels} has a timestamp too old: {} ns is more than {age} s ago (limits.reject_old)",
            entry.time
        );
    }
    let limit = rules.limits.max_metadata_size;
    format!(
        "structured metadata of a line of stream {labels} is too large, the limit is {limit} \
         (limits.max_metadata_size)"
    )
}

fn finish(body: Vec<u8>, payload: Option<Bytes>, walked: Walked, max_line: usize) -> Result<Checked, PushError> {
    if walked.streams.is_empty() && walked.cuts.is_empty() {
        return Err(PushError::NoStreams);
    }
    let (body, payload) = match walked.cuts.is_empty() {
        true => (body, payload),
        false => (without(&body, &walked.cuts, max_line).map_err(PushError::Body)?, None),
    };
    let rows: u64 = walked.streams.iter().map(|stream| u64::from(stream.rows)).sum();
    Ok(Checked {
        format: Format::LokiPush,
        body,
        payload,
        times: walked.streams.iter().fold(TimeRange::EMPTY, |times, stream| times.union(stream.times)),
        rows: u32::try_from(rows).unwrap_or(u32::MAX),
        streams: walked.streams,
        series: Vec::new(),
        written: Written::default(),
        empty: rows == 0,
        refused: walked.refused,
    })
}

/// The body without what is cut. `cuts` are in the order of the body.
fn without(body: &[u8], cuts: &[Cut], max_line: usize) -> Result<Vec<u8>, DecodeError> {
    let mut builder = Builder::new();
    let mut left = cuts.iter().peekable();
    for (at, stream) in streams(body).enumerate() {
        let stream = stream?;
        match left.peek() {
            Some(Cut { stream: next, .. }) if *next == at as u32 => {}
            _ => {
                builder.copy_stream(&stream);
                continue;
            }
        }
        if left.next_if_eq(&&Cut { stream: at as u32, part: Part::All }).is_some() {
            continue;
        }
        builder.stream(stream.labels);
        for (place, entry) in stream.entries().enumerate() {
            let entry = entry?;
            let is_cut = |part| move |cut: &&Cut| **cut == Cut { stream: at as u32, part };
            if left.next_if(is_cut(Part::End(place as u32))).is_some() {
                builder.copy_entry_cut(&entry, max_line)?;
            } else if left.next_if(is_cut(Part::Entry(place as u32))).is_none() {
                builder.copy_entry(&entry);
            }
        }
    }
    Ok(builder.finish())
}
