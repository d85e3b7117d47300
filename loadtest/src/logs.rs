//! Logs of a package index: Traefik's JSON access logs and Python applications with their tracebacks.
//!
//! A body is `PushRequest{streams=1{labels=1, entries=2{timestamp=1{seconds=1, nanos=2}, line=2}}}`. Each agent (lane)
//! has a node of its own, and a fixed set of bodies whose ids, times and durations are filled in at each push.

mod line;
mod stream;
mod words;

use crate::corpus::{Body, Place};
use crate::draft::{Draft, fill_varint};
use crate::seed::{Ids, Origin, Rng, hash};
use crate::template::Template;
use std::sync::OnceLock;
pub use stream::Stream;

/// Ns between two rows of a body.
pub const STEP: i64 = 1009;

/// The least nanosecond of a second that takes five bytes as a varint; see [`Logs::base`].
const FIVE_BYTES: i64 = 1 << 28;
const SECOND: i64 = 1_000_000_000;

/// What is filled in.
mod field {
    pub const STAMP: u8 = 0;
    pub const ID: u8 = 1;
    pub const TIME: u8 = 2;
    pub const START: u8 = 3;
    pub const DURATION: u8 = 4;
    pub const PYTHON_TIME: u8 = 5;
}

/// Makes bodies of logs.
pub struct Logs {
    seed: u64,
    ids: Ids,
    batch: u32,
    templates: u32,
    lanes: Vec<Lane>,
}

struct Lane {
    streams: Vec<Stream>,
    bodies: Vec<Plan>,
}

/// One of a lane's bodies: how many rows of each of its streams, and the compressed template once it is needed.
struct Plan {
    /// The first row after each stream's; the streams follow one another.
    ends: Vec<u32>,
    template: OnceLock<Template>,
}

/// A row as it must come back.
#[derive(Debug, PartialEq)]
pub struct Row<'a> {
    pub stream: &'a Stream,
    pub time: i64,
    pub line: String,
}

impl Logs {
    pub fn new(seed: u64, streams: u32, lanes: u32, batch: u32, templates: u32) -> Logs {
        let lanes = (0..lanes).map(|lane| {
            let own = (lane..streams).step_by(lanes as usize);
            let streams: Vec<Stream> = own.map(|number| Stream::new(seed, lane, number)).collect();
            let plan = |template| Plan::new(&mut Rng::new(&[seed, 2, lane.into(), template]), streams.len(), batch);
            let bodies = (0..u64::from(templates)).map(plan).collect();
            Lane { streams, bodies }
        });
        Logs { seed, ids: Ids::new(seed), batch, templates, lanes: lanes.collect() }
    }

    pub fn lanes(&self) -> u32 {
        self.lanes.len() as u32
    }

    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// Selects the streams of one lane.
    pub fn selector(&self, lane: u32) -> String {
        format!("{{node=\"{}\"}}", stream::node(lane))
    }

    /// The ns from a body's base to its last row.
    pub fn span(&self) -> i64 {
        i64::from(self.batch) * STEP
    }

    /// A base time near `now` and after the body of `last`.
    ///
    /// Holes have a fixed size, so seconds and nanoseconds must take the same number of bytes in every row: the part
    /// of a second in which nanoseconds are below 2^28 is left out by squeezing each second into its remainder. That
    /// puts times up to 0.3 s before their true value, and never after it.
    pub fn base(&self, now: i64, last: Option<i64>) -> i64 {
        let now = now - FIVE_BYTES;
        let usable = SECOND - FIVE_BYTES - self.span();
        let (second, fraction) = (now.div_euclid(SECOND), now.rem_euclid(SECOND));
        let squeezed =
            second * SECOND + FIVE_BYTES + (i128::from(fraction) * i128::from(usable) / i128::from(SECOND)) as i64;
        let Some(next) = last.map(|last| last + self.span() + 2) else { return squeezed };
        if squeezed >= next {
            squeezed
        } else if next.rem_euclid(SECOND) < FIVE_BYTES {
            next.div_euclid(SECOND) * SECOND + FIVE_BYTES
        } else if next.rem_euclid(SECOND) + self.span() >= SECOND {
            (next.div_euclid(SECOND) + 1) * SECOND + FIVE_BYTES
        } else {
            next
        }
    }

    pub fn body(&self, place: Place, base: i64) -> Body {
        let template = self.plan(place).template.get_or_init(|| Template::new(&self.draft(place)));
        let mut filling = self.filling(place, 0, base);
        let payload = template.fill(|hole, slot| {
            if filling.row != hole.row {
                filling = self.filling(place, hole.row, base);
            }
            filling.write(hole.field, slot);
        });
        Body { rows: self.batch, raw_len: template.raw_len, payload }
    }

    /// The row behind an id found in `line`, if this seed made it.
    pub fn origin(&self, line: &str) -> Option<Origin> {
        let marks = ["request_X-Request-Id\":\"", "request_id=", "request_id\": \""];
        let id = marks.iter().find_map(|mark| line.find(mark).and_then(|at| Ids::parse(&line[at + mark.len()..])))?;
        self.ids.decode(id)
    }

    /// A row of a body with this base time, as it must come back.
    pub fn row(&self, place: Place, row: u32, base: i64) -> Option<Row<'_>> {
        let stream = self.stream(place, row)?;
        let mut draft = Draft::default();
        line::write(&mut draft, &mut self.rng(place, row), stream, row);
        let filling = self.filling(place, row, base);
        let line = draft.filled(|hole, slot| filling.write(hole.field, slot));
        Some(Row { stream, time: filling.time, line: String::from_utf8(line).ok()? })
    }

    fn plan(&self, place: Place) -> &Plan {
        &self.lanes[place.lane as usize].bodies[(place.number % self.templates) as usize]
    }

    fn stream(&self, place: Place, row: u32) -> Option<&Stream> {
        let at = self.plan(place).ends.partition_point(|end| *end <= row);
        self.lanes[place.lane as usize].streams.get(at)
    }

    fn rng(&self, place: Place, row: u32) -> Rng {
        Rng::new(&[self.seed, 3, place.lane.into(), (place.number % self.templates).into(), row.into()])
    }

    /// The uncompressed body with its holes.
    fn draft(&self, place: Place) -> Draft {
        let mut body = Draft::default();
        let mut row = 0;
        for (stream, end) in self.lanes[place.lane as usize].streams.iter().zip(&self.plan(place).ends) {
            if row == *end {
                continue;
            }
            let mut message = Draft::default();
            message.string(1, stream.text());
            while row < *end {
                message.message(2, &self.entry(place, stream, row));
                row += 1;
            }
            body.message(1, &message);
        }
        body
    }

    fn entry(&self, place: Place, stream: &Stream, row: u32) -> Draft {
        let mut stamp = Draft::default();
        stamp.raw(&[1 << 3]);
        stamp.hole(row, field::STAMP, 11);
        let mut text = Draft::default();
        line::write(&mut text, &mut self.rng(place, row), stream, row);
        let mut entry = Draft::default();
        entry.message(1, &stamp);
        entry.message(2, &text);
        entry
    }

    fn filling(&self, place: Place, row: u32, base: i64) -> Filling {
        let origin =
            Origin { tenant: place.tenant as u16, lane: place.lane as u16, number: place.number, row: row as u16 };
        let id = self.ids.encode(origin);
        let duration = 10_000_000 + hash(&[id as u64]) % 90_000_000;
        Filling { id, row, time: base + i64::from(row) * STEP, duration }
    }
}

impl Plan {
    /// Deals out the rows: the first streams of a lane are the loudest.
    fn new(rng: &mut Rng, streams: usize, batch: u32) -> Plan {
        let mut ends = vec![0u32; streams];
        for _ in 0..batch {
            ends[rng.skewed(streams)] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        Plan { ends, template: OnceLock::new() }
    }
}

/// What fills the holes of one row.
#[derive(Debug, Clone, Copy)]
struct Filling {
    id: u128,
    row: u32,
    /// Unix ns.
    time: i64,
    /// Ns, eight digits.
    duration: u64,
}

impl Filling {
    fn write(&self, what: u8, slot: &mut [u8]) {
        match what {
            field::STAMP => {
                fill_varint(self.time.div_euclid(SECOND) as u64, &mut slot[..5]);
                slot[5] = 2 << 3;
                fill_varint(self.time.rem_euclid(SECOND) as u64, &mut slot[6..]);
            }
            field::ID => Ids::write(self.id, slot),
            field::TIME => line::write_time(self.time, slot),
            field::START => line::write_time(self.time - self.duration as i64, slot),
            field::PYTHON_TIME => line::write_python_time(self.time, slot),
            _ => line::write_digits(self.duration, slot),
        }
    }
}

#[cfg(test)]
mod tests;
