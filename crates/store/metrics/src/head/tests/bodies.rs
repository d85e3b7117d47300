//! Writes remote write bodies of both versions.

use model::{Exemplar, Histogram, Labels, Metadata};
use wire::batch::Format;

#[derive(Debug, Clone)]
pub enum Value {
    Float(f64),
    Histogram(Histogram),
}

/// Series as they are sent: labels in any order, samples as time, start (only 2.0 has it) and value.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    pub labels: Vec<(String, String)>,
    pub samples: Vec<(i64, i64, Value)>,
    pub exemplars: Vec<Exemplar>,
    /// 2.0: of the family, its name left out.
    pub metadata: Option<Metadata>,
}

impl Sent {
    pub fn new(labels: &Labels) -> Sent {
        Sent { labels: labels.iter().map(|(n, v)| (n.into(), v.into())).collect(), ..Sent::default() }
    }

    pub fn float(mut self, time: i64, value: f64) -> Sent {
        self.samples.push((time, 0, Value::Float(value)));
        self
    }
}

fn varint(out: &mut Vec<u8>, n: u64) {
    crate::bytes_io::put_varint(out, n);
}

fn tag(out: &mut Vec<u8>, number: u32, kind: u32) {
    varint(out, u64::from(number << 3 | kind));
}

fn bytes(out: &mut Vec<u8>, number: u32, data: &[u8]) {
    tag(out, number, 2);
    varint(out, data.len() as u64);
    out.extend_from_slice(data);
}

fn int(out: &mut Vec<u8>, number: u32, n: i64) {
    tag(out, number, 0);
    varint(out, n as u64);
}

fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    tag(out, number, 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn histogram(time: i64, start: i64, h: &Histogram) -> Vec<u8> {
    let mut out = Vec::new();
    double(&mut out, 2, h.count);
    double(&mut out, 3, h.sum);
    tag(&mut out, 4, 0);
    varint(&mut out, crate::bytes_io::zigzag(i64::from(h.schema)));
    double(&mut out, 5, h.zero_threshold);
    double(&mut out, 7, h.zero_count);
    for span in &h.positive_spans {
        let mut one = Vec::new();
        tag(&mut one, 1, 0);
        varint(&mut one, crate::bytes_io::zigzag(i64::from(span.offset)));
        int(&mut one, 2, i64::from(span.length));
        bytes(&mut out, 11, &one);
    }
    let counts: Vec<u8> = h.positive.iter().flat_map(|c| c.to_bits().to_le_bytes()).collect();
    bytes(&mut out, 13, &counts);
    int(&mut out, 15, time);
    if start != 0 {
        int(&mut out, 17, start);
    }
    out
}

/// Numbers texts for 2.0; for 1.0 it is not used.
#[derive(Default)]
struct Table(Vec<String>);

impl Table {
    fn number(&mut self, text: &str) -> u64 {
        if self.0.is_empty() {
            self.0.push(String::new());
        }
        let at = self.0.iter().position(|known| known == text).unwrap_or_else(|| {
            self.0.push(text.into());
            self.0.len() - 1
        });
        at as u64
    }
}

/// A body with these series; `families` is the list that 1.0 has.
pub fn body(format: Format, all: &[Sent], families: &[Metadata]) -> Vec<u8> {
    let two = format == Format::PromV2;
    let mut table = Table::default();
    let mut out = Vec::new();
    for sent in all {
        let one = series(two, sent, &mut table);
        bytes(&mut out, if two { 5 } else { 1 }, &one);
    }
    for family in families {
        let mut one = Vec::new();
        int(&mut one, 1, if family.kind == "counter" { 1 } else { 2 });
        bytes(&mut one, 2, family.family.as_bytes());
        bytes(&mut one, 4, family.help.as_bytes());
        bytes(&mut one, 5, family.unit.as_bytes());
        bytes(&mut out, 3, &one);
    }
    if two {
        table.number("");
        table.0.iter().for_each(|text| bytes(&mut out, 4, text.as_bytes()));
    }
    out
}

fn labels<'a>(two: bool, pairs: impl Iterator<Item = (&'a str, &'a str)>, table: &mut Table, out: &mut Vec<u8>) {
    let mut references = Vec::new();
    for (name, value) in pairs {
        if two {
            varint(&mut references, table.number(name));
            varint(&mut references, table.number(value));
        } else {
            let mut one = Vec::new();
            bytes(&mut one, 1, name.as_bytes());
            bytes(&mut one, 2, value.as_bytes());
            bytes(out, 1, &one);
        }
    }
    if two {
        bytes(out, 1, &references);
    }
}

fn series(two: bool, sent: &Sent, table: &mut Table) -> Vec<u8> {
    let mut out = Vec::new();
    labels(two, sent.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())), table, &mut out);
    for (time, start, value) in &sent.samples {
        let start = if two { *start } else { 0 };
        match value {
            Value::Float(value) => {
                let mut one = Vec::new();
                double(&mut one, 1, *value);
                int(&mut one, 2, *time);
                if start != 0 {
                    int(&mut one, 3, start);
                }
                bytes(&mut out, 2, &one);
            }
            Value::Histogram(h) => bytes(&mut out, if two { 3 } else { 4 }, &histogram(*time, start, h)),
        }
    }
    for exemplar in &sent.exemplars {
        let mut one = Vec::new();
        labels(two, exemplar.labels.iter(), table, &mut one);
        double(&mut one, 2, exemplar.value);
        int(&mut one, 3, exemplar.time);
        bytes(&mut out, if two { 4 } else { 3 }, &one);
    }
    if let Some(metadata) = sent.metadata.as_ref().filter(|_| two) {
        let mut one = Vec::new();
        int(&mut one, 1, if metadata.kind == "histogram" { 3 } else { 1 });
        int(&mut one, 3, table.number(&metadata.help) as i64);
        int(&mut one, 4, table.number(&metadata.unit) as i64);
        bytes(&mut out, 5, &one);
    }
    out
}
