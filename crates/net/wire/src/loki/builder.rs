//! Builds push bodies: from JSON, for parts of a push, and without bytes that are no text.

use super::{ENTRIES, Entry, LABELS, LINE, METADATA, NAME, RawEntry, STREAMS, Stream, TIMESTAMP, VALUE, read_pair};
use crate::error::DecodeError;
use crate::protobuf::{Fields, put_bytes, put_uint};

/// The metadata of a line that was cut: its length before, in bytes.
pub const TRUNCATED_FROM: &str = "truncated_from";

/// Collects streams and entries into an uncompressed push body.
#[derive(Debug, Default)]
pub struct Builder {
    body: Vec<u8>,
    open: bool,
    labels: String,
    entries: Vec<u8>,
    /// One entry while it is written.
    entry: Vec<u8>,
    pair: Vec<u8>,
}

impl Builder {
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Begins a stream; the entries that follow belong to it.
    pub fn stream(&mut self, labels: &str) -> &mut Builder {
        self.close();
        self.open = true;
        self.labels.push_str(labels);
        self
    }

    /// Gives the open stream its label text, for writers that learn it after the entries.
    pub(super) fn set_labels(&mut self, labels: &str) {
        self.labels.clear();
        self.labels.push_str(labels);
    }

    /// Adds a line at `time` (Unix nanoseconds) to the open stream.
    pub fn entry<'m>(
        &mut self,
        time: i64,
        line: &str,
        metadata: impl IntoIterator<Item = (&'m str, &'m str)>,
    ) -> &mut Builder {
        self.start(time, line);
        for (name, value) in metadata {
            self.add_metadata(name, value);
        }
        self.end();
        self
    }

    /// Begins an entry, to be followed by `add_metadata` and `end`.
    pub(crate) fn start(&mut self, time: i64, line: &str) {
        self.entry.clear();
        self.pair.clear();
        put_uint(&mut self.pair, 1, time.div_euclid(1_000_000_000) as u64);
        put_uint(&mut self.pair, 2, time.rem_euclid(1_000_000_000) as u64);
        put_bytes(&mut self.entry, TIMESTAMP, &self.pair);
        put_bytes(&mut self.entry, LINE, line.as_bytes());
    }

    pub(crate) fn add_metadata(&mut self, name: &str, value: &str) {
        self.pair.clear();
        put_bytes(&mut self.pair, NAME, name.as_bytes());
        put_bytes(&mut self.pair, VALUE, value.as_bytes());
        put_bytes(&mut self.entry, METADATA, &self.pair);
    }

    pub(crate) fn end(&mut self) {
        put_bytes(&mut self.entries, ENTRIES, &self.entry);
    }

    /// Adds an entry of another body, byte for byte.
    pub fn copy_entry(&mut self, entry: &Entry<'_>) -> &mut Builder {
        put_bytes(&mut self.entries, ENTRIES, entry.message());
        self
    }

    /// Adds an entry of another body with one more pair of metadata.
    pub(crate) fn copy_entry_with(&mut self, entry: &Entry<'_>, name: &str, value: &str) -> &mut Builder {
        self.entry.clear();
        self.entry.extend_from_slice(entry.message());
        self.add_metadata(name, value);
        self.end();
        self
    }

    /// Adds an entry of another body, whose line is cut so that it has `most` bytes or a few less, at the end of a letter.
    /// The metadata [`TRUNCATED_FROM`] says how many bytes it had.
    pub fn copy_entry_cut(&mut self, entry: &Entry<'_>, most: usize) -> Result<&mut Builder, DecodeError> {
        self.start(entry.time, &entry.line[..entry.line.floor_char_boundary(most)]);
        for pair in entry.metadata() {
            let (name, value) = pair?;
            self.add_metadata(name, value);
        }
        self.add_metadata(TRUNCATED_FROM, &entry.line.len().to_string());
        self.end();
        Ok(self)
    }

    /// Adds a whole stream of another body, byte for byte.
    pub fn copy_stream(&mut self, stream: &Stream<'_>) -> &mut Builder {
        self.close();
        put_bytes(&mut self.body, STREAMS, stream.message());
        self
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.body.len() + self.labels.len() + self.entries.len()
    }

    /// The uncompressed body.
    pub fn finish(mut self) -> Vec<u8> {
        self.close();
        self.body
    }

    fn close(&mut self) {
        if !self.open {
            return;
        }
        self.open = false;
        self.entry.clear();
        put_bytes(&mut self.entry, LABELS, self.labels.as_bytes());
        let len = self.entry.len() + self.entries.len();
        crate::protobuf::put_varint(&mut self.body, u64::from(STREAMS) << 3 | 2);
        crate::protobuf::put_varint(&mut self.body, len as u64);
        self.body.extend_from_slice(&self.entry);
        self.body.extend_from_slice(&self.entries);
        self.labels.clear();
        self.entries.clear();
    }
}

/// The same body with every byte of a line or of metadata that is not UTF-8 replaced by U+FFFD, as Go's senders do
/// not check it. Label texts must be UTF-8.
pub fn sanitize(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut builder = Builder::new();
    builder.body.reserve(body.len());
    for stream in super::streams(body) {
        let stream = stream?;
        builder.stream(stream.labels);
        let mut fields = Fields::new(stream.message());
        while let Some(field) = fields.read()? {
            if field.number == ENTRIES {
                sanitize_entry(&mut builder, field.bytes()?)?;
            }
        }
    }
    Ok(builder.finish())
}

fn sanitize_entry(builder: &mut Builder, message: &[u8]) -> Result<(), DecodeError> {
    let raw = RawEntry::read(message)?;
    builder.start(raw.time, &String::from_utf8_lossy(raw.line));
    let mut fields = Fields::new(message);
    while let Some(field) = fields.read()? {
        if field.number == METADATA {
            let (name, value) = read_pair(field.bytes()?)?;
            builder.add_metadata(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
        }
    }
    builder.end();
    Ok(())
}
