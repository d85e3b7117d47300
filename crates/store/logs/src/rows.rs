//! The rows of a row group: gathered from batches, or taken from pages; sorted by stream, then time.

use crate::error::Error;
use crate::head::{BatchIndex, Streams};
use model::{Labels, LogPage, TimeRange};
use wire::loki;

/// Rows of one row group, and the buffers that the next one will use again.
#[derive(Default)]
pub struct Rows {
    /// Bodies, one after the other; lines are slices of it.
    pub text: Vec<u8>,
    /// Sorted by stream, then time; rows of one stream and time keep the order in which they came.
    pub rows: Vec<Row>,
    /// One for each stream that has rows, in the order of the rows.
    pub runs: Vec<Run>,
    /// Structured metadata as text, see `render`.
    pub metadata: Vec<u8>,
    unsorted: Vec<Row>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub time: i64,
    /// The line in `Rows::text`.
    pub start: u32,
    pub end: u32,
    /// The metadata in `Rows::metadata`.
    pub meta_start: u32,
    pub meta_end: u32,
}

/// Neighbouring rows of one stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// The place of the stream in the sorted list of streams.
    pub stream: u32,
    pub rows: u32,
    pub times: TimeRange,
}

/// Rows of one stream in one batch.
struct Piece {
    rank: u32,
    start: u32,
    end: u32,
}

impl Rows {
    /// Reads the batches of one row group. `ranks` has for each stream number its place in the sorted list.
    pub fn gather<'a>(
        &mut self,
        batches: impl Iterator<Item = &'a BatchIndex>,
        streams: &Streams,
        ranks: &[u32],
    ) -> Result<(), Error> {
        self.text.clear();
        self.metadata.clear();
        self.unsorted.clear();
        self.pieces.clear();
        for batch in batches {
            self.add(batch, streams, ranks)?;
        }
        self.sort();
        Ok(())
    }

    /// Forgets all rows and keeps the room.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
        self.runs.clear();
        self.metadata.clear();
    }

    /// Appends rows of a page, which come after all that are here, until there are `max_bytes` or `max_rows`; at least
    /// one. Returns how many it took.
    pub fn append(
        &mut self,
        stream: u32,
        page: &LogPage,
        rows: std::ops::Range<usize>,
        max_bytes: usize,
        max_rows: usize,
    ) -> usize {
        let first = self.rows.len();
        for place in rows {
            if self.rows.len() > first && self.is_full(max_bytes, max_rows) {
                break;
            }
            let (start, meta_start) = (self.text.len() as u32, self.metadata.len() as u32);
            self.text.extend_from_slice(page.line(place).as_bytes());
            if let Some(metadata) = page.metadata(place) {
                render(metadata, &mut self.metadata);
            }
            let (end, meta_end) = (self.text.len() as u32, self.metadata.len() as u32);
            self.rows.push(Row { time: page.times[place], start, end, meta_start, meta_end });
        }
        let taken = &self.rows[first..];
        if let (Some(oldest), Some(newest)) = (taken.first(), taken.last()) {
            let (rows, times) = (taken.len() as u32, TimeRange::new(oldest.time, newest.time));
            match self.runs.last_mut().filter(|run| run.stream == stream) {
                Some(run) => *run = Run { stream, rows: run.rows + rows, times: run.times.union(times) },
                None => self.runs.push(Run { stream, rows, times }),
            }
        }
        taken.len()
    }

    pub fn is_full(&self, max_bytes: usize, max_rows: usize) -> bool {
        self.text.len() + self.metadata.len() >= max_bytes || self.rows.len() >= max_rows
    }

    pub fn line(&self, row: &Row) -> &[u8] {
        &self.text[row.start as usize..row.end as usize]
    }

    pub fn metadata(&self, row: &Row) -> &[u8] {
        &self.metadata[row.meta_start as usize..row.meta_end as usize]
    }

    /// Bytes of lines and metadata.
    pub fn raw_bytes(&self) -> u64 {
        self.rows.iter().map(|r| u64::from(r.end - r.start) + u64::from(r.meta_end - r.meta_start)).sum()
    }

    fn add(&mut self, batch: &BatchIndex, streams: &Streams, ranks: &[u32]) -> Result<(), Error> {
        let base = self.text.len();
        let end = base + batch.body_len as usize;
        if u32::try_from(end).is_err() {
            return Err(Error::Encode { what: "a row group", why: "its bodies have more than 4 GiB".to_owned() });
        }
        self.text.resize(end, 0);
        inflate_into(batch, &mut self.text[base..])?;
        let body = &self.text[base..];
        let error = |source| Error::Body { index: batch.index, source };
        for stream in loki::streams(body) {
            let stream = stream.map_err(error)?;
            let id = streams.id(loki::key(stream.labels)).ok_or_else(|| Error::Labels {
                index: batch.index,
                why: "the body has a stream that the header does not name".to_owned(),
            })?;
            let start = self.unsorted.len() as u32;
            for entry in stream.entries() {
                let entry = entry.map_err(error)?;
                // The line is a slice of the body, unless it is empty.
                let at = match entry.line.is_empty() {
                    true => base,
                    false => base + (entry.line.as_ptr() as usize - body.as_ptr() as usize),
                };
                let meta_start = self.metadata.len() as u32;
                if entry.has_metadata() {
                    render(&metadata(batch.index, &entry)?, &mut self.metadata);
                }
                self.unsorted.push(Row {
                    time: entry.time,
                    start: at as u32,
                    end: (at + entry.line.len()) as u32,
                    meta_start,
                    meta_end: self.metadata.len() as u32,
                });
            }
            let end = self.unsorted.len() as u32;
            if start < end {
                self.pieces.push(Piece { rank: ranks[id as usize], start, end });
            }
        }
        Ok(())
    }

    fn sort(&mut self) {
        self.rows.clear();
        self.runs.clear();
        self.rows.reserve(self.unsorted.len());
        self.pieces.sort_by_key(|piece| piece.rank); // stable: batches keep their order
        for same in self.pieces.chunk_by(|a, b| a.rank == b.rank) {
            let start = self.rows.len();
            for piece in same {
                self.rows.extend_from_slice(&self.unsorted[piece.start as usize..piece.end as usize]);
            }
            let rows = &mut self.rows[start..];
            if !rows.is_sorted_by_key(|row| row.time) {
                rows.sort_by_key(|row| row.time);
            }
            self.runs.push(Run {
                stream: same[0].rank,
                rows: rows.len() as u32,
                times: TimeRange::new(rows[0].time, rows[rows.len() - 1].time),
            });
        }
    }
}

/// Reads and inflates the body of a batch.
pub fn read_body(batch: &BatchIndex) -> Result<Vec<u8>, Error> {
    let payload = batch.rest.read().map_err(|source| Error::Payload { index: batch.index, source })?;
    inflate(batch.index, &payload, batch.body_len)
}

pub fn inflate(index: u64, payload: &[u8], body_len: u32) -> Result<Vec<u8>, Error> {
    let error = |source| Error::Body { index, source };
    let body = wire::snappy::decompress(payload, body_len as usize).map_err(error)?;
    if body.len() != body_len as usize {
        let stated = body_len as usize;
        return Err(error(wire::error::DecodeError::BodyLength { stated, found: body.len() }));
    }
    Ok(body)
}

fn inflate_into(batch: &BatchIndex, body: &mut [u8]) -> Result<(), Error> {
    let index = batch.index;
    let payload = batch.rest.read().map_err(|source| Error::Payload { index, source })?;
    let error = |why: String| Error::Body { index, source: wire::error::DecodeError::Snappy { why } };
    let stated = snap::raw::decompress_len(&payload).map_err(|e| error(e.to_string()))?;
    if stated != body.len() {
        let source = wire::error::DecodeError::BodyLength { stated: body.len(), found: stated };
        return Err(Error::Body { index, source });
    }
    snap::raw::Decoder::new().decompress(&payload, body).map_err(|e| error(e.to_string()))?;
    Ok(())
}

/// The structured metadata of a row. Of two pairs with one name the later wins, and empty values mean absent.
pub fn metadata(index: u64, entry: &loki::Entry<'_>) -> Result<Labels, Error> {
    if !entry.has_metadata() {
        return Ok(Labels::empty());
    }
    let pairs = entry.metadata().collect::<Result<Vec<_>, _>>().map_err(|source| Error::Body { index, source })?;
    Ok(Labels::from_pairs(pairs))
}

/// Writes metadata as `{"name":"value","name":"value"}` with `"` and `\` escaped by `\`, so that it can be shredded as
/// a line is. No metadata is no text.
pub fn render(metadata: &Labels, out: &mut Vec<u8>) {
    if metadata.is_empty() {
        return;
    }
    for (at, (name, value)) in metadata.iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        render_text(name, out);
        out.push(b':');
        render_text(value, out);
    }
    out.push(b'}');
}

fn render_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Reads what `render` wrote.
pub fn parse(text: &str) -> Result<Labels, Error> {
    const BAD: Error = Error::Corrupt { why: "structured metadata is not written as it should be" };
    if text.is_empty() {
        return Ok(Labels::empty());
    }
    let mut rest = text.chars();
    let mut pairs: Vec<(String, String)> = Vec::new();
    if rest.next() != Some('{') {
        return Err(BAD);
    }
    loop {
        let name = parse_text(&mut rest).ok_or(BAD)?;
        if rest.next() != Some(':') {
            return Err(BAD);
        }
        pairs.push((name, parse_text(&mut rest).ok_or(BAD)?));
        match rest.next() {
            Some(',') => {}
            Some('}') if rest.as_str().is_empty() => break,
            _ => return Err(BAD),
        }
    }
    let sorted = Labels::from_sorted(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    sorted.ok_or(BAD)
}

fn parse_text(rest: &mut std::str::Chars<'_>) -> Option<String> {
    let mut text = String::new();
    if rest.next()? != '"' {
        return None;
    }
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => text.push(rest.next()?),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_back() {
        for pairs in
            [vec![], vec![("a", "b")], vec![("trace_id", "\"quoted\\\""), ("x", "line\nbreak"), ("é", "{\",\":}")]]
        {
            let labels = Labels::from_pairs(pairs);
            let mut text = Vec::new();
            render(&labels, &mut text);
            assert_eq!(parse(std::str::from_utf8(&text).expect("utf-8")).ok(), Some(labels));
        }
        for bad in ["{", "{}", "{\"a\":\"b\"", "{\"a\":\"b\"}x", "{\"a\"\"b\"}", "{\"b\":\"1\",\"a\":\"2\"}", "x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
