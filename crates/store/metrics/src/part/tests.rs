//! Parts are read as they were written, and anything else is refused.

use super::frame::Frames;
use super::numbers::Numbers;
use super::opened::{Buffers, Page, Vectors};
use super::page::PageWriter;
use super::*;
use crate::error::Error;
use crate::histogram::tests::any_histogram;
use crate::order::order;
use crate::{Encoder, Reader, Settings};
use block::{MemorySections, Part};
use bytes::Bytes;
use model::rows::HistogramSample;
use model::{Exemplar, Labels, Matcher, Series, TenantId, TimeRange};
use proptest::prelude::*;
use std::sync::Arc;

fn encode(all: &[Series], settings: &Settings) -> Part {
    let mut encoder = Encoder::new(settings).expect("compressors");
    for (at, series) in all.iter().enumerate() {
        let exemplar = Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value: 1.0, time: at as i64 };
        encoder.push(series, &[exemplar][..at % 2]).expect("in order");
    }
    encoder.finish(TenantId::anonymous()).expect("encodes")
}

pub fn reader(part: &Part) -> Result<Reader, Error> {
    Reader::open(Arc::new(MemorySections(part.sections.clone())))
}

pub fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

pub fn same(a: &Series, b: &Series) -> bool {
    a.labels == b.labels
        && a.times == b.times
        && bits(&a.values) == bits(&b.values)
        && a.starts == b.starts
        && a.histograms == b.histograms
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0i32..1000).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => (0i32..1000).prop_map(|n| f64::from(n) / 8.0),
        1 => Just(f64::from_bits(model::rows::STALE_NAN_BITS)),
    ]
}

/// A series with floats, histograms, both or (never) neither; half of them on the scrape's own times.
pub fn any_series() -> impl Strategy<Value = Series> {
    let own = prop::collection::btree_map(-100_000i64..100_000, any_value(), 1..40);
    let scraped = prop::collection::vec(any_value(), 20).prop_map(|all| (0i64..).map(|at| at * 15).zip(all).collect());
    let floats = prop_oneof![scraped, own];
    let histograms = prop::collection::btree_map(-100_000i64..100_000, any_histogram(), 0..3);
    let some = prop_oneof![6 => Just(Vec::new()), 1 => prop::collection::vec((0i64..100_000, any_histogram()), 1..3)];
    (floats, prop_oneof![5 => Just(0i64), 1 => 1i64..5], histograms, some).prop_map(
        |(floats, start, histograms, some)| {
            let mut series = Series {
                times: floats.keys().copied().collect(),
                values: floats.values().copied().collect(),
                ..Series::default()
            };
            if start > 0 {
                series.starts = (0i64..).map(|at| start * (at / 7)).take(series.times.len()).collect();
                series.starts[0] = start;
            }
            if !some.is_empty() {
                let sample = |(time, value): (&i64, &model::Histogram)| HistogramSample {
                    time: *time,
                    start: start * (*time % 2).abs(),
                    value: Arc::new(value.clone()),
                };
                series.histograms = histograms.iter().map(sample).filter(|h| !floats.contains_key(&h.time)).collect();
            }
            series
        },
    )
}

pub fn named(all: Vec<Series>) -> Vec<Series> {
    let mut all = all;
    for (at, series) in all.iter_mut().enumerate() {
        let pairs =
            [("__name__", format!("m{}", at % 3)), ("le", (at % 11).to_string()), ("pod", format!("p{}", at / 33))];
        series.labels = Some(Labels::from_pairs(pairs));
    }
    all.sort_by(|a, b| order(&a.labels(), &b.labels()));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn parts_come_back(all in prop::collection::vec(any_series(), 0..60), page_samples in 1usize..2000, min in -200i64..200, len in 0i64..300) {
        let all = named(all);
        let part = encode(&all, &Settings { page_samples, ..Settings::default() });
        let reader = reader(&part).expect("opens");
        reader.verify().expect("is whole");
        let got: Vec<Series> = reader.select(&[], TimeRange::ALL).expect("selects").map(|s| s.expect("decodes")).collect();
        prop_assert_eq!(got.len(), all.len());
        for (got, want) in got.iter().zip(&all) {
            prop_assert!(same(got, want), "{:?}\n{:?}", got, want);
        }
        // Any choice of series is decoded as if all were.
        let range = TimeRange::new(min, min + len);
        let matchers = [Matcher::new("le", model::MatchOp::Regex, "1|4|10").expect("valid"), Matcher::equal("__name__", "m1")];
        for matchers in [&matchers[..], &matchers[..1], &matchers[1..], &[]] {
            let got: Vec<Series> = reader.select(matchers, range).expect("selects").map(|s| s.expect("decodes")).collect();
            let want = all.iter().filter(|s| Matcher::all(matchers, &s.labels())).map(|s| cut(s, range)).filter(|s| !s.is_empty());
            let want: Vec<Series> = want.collect();
            prop_assert_eq!(got.len(), want.len());
            prop_assert!(got.iter().zip(&want).all(|(got, want)| same(got, want)));
        }
    }

    #[test]
    fn damage_never_panics(all in prop::collection::vec(any_series(), 1..20), flips in prop::collection::vec((0u8..6, any::<usize>(), 1u8..), 1..4), cut in any::<usize>()) {
        let part = encode(&named(all), &Settings { page_samples: 50, ..Settings::default() });
        let mut damaged = part.clone();
        for (section, at, flip) in flips {
            if let Some((_, data)) = damaged.sections.get_mut(usize::from(section)) {
                let mut bytes = data.to_vec();
                let at = at % bytes.len();
                bytes[at] ^= flip;
                *data = bytes.into();
            }
        }
        if damaged != part {
            prop_assert!(reader(&damaged).and_then(|r| r.verify()).is_err());
        }
        for at in 0..part.sections.len() {
            let mut short = part.clone();
            let len = short.sections[at].1.len();
            short.sections[at].1 = short.sections[at].1.slice(..cut % len);
            prop_assert!(reader(&short).and_then(|r| r.verify()).is_err());
        }
    }

    /// Without checksums in the way.
    #[test]
    fn damaged_pages_never_panic(all in prop::collection::vec(any_series(), 1..20), at in any::<usize>(), flip in 1u8.., cut in any::<usize>()) {
        let (mut frames, mut numbers) = (Frames::new(3).expect("zstd"), Numbers::new(6));
        // Meta data as zstd would be refused by zstd; raw, the damage comes through.
        let mut writer = PageWriter::default();
        let mut vectors = Known(Vec::new());
        for series in &all {
            let number = vectors.add(&series.times);
            let histograms: Vec<i64> = series.histograms.iter().map(|h| h.time).collect();
            let histogram_number = vectors.add(&histograms);
            writer.push(series, (!series.times.is_empty()).then_some(number), (!histograms.is_empty()).then_some(histogram_number));
        }
        let mut out = Vec::new();
        let entry = writer.flush(&mut frames, &mut numbers, &mut out).expect("writes").expect("a page");
        let mut flipped = out.clone();
        flipped[at % out.len()] ^= flip;
        let wanted: Vec<u32> = (0..all.len() as u32).collect();
        for bytes in [&flipped[..], &out[..cut % out.len()]] {
            for from in [0, wanted.len() / 2] {
                if let Ok(mut page) = Page::open(&Bytes::copy_from_slice(bytes), entry.series, Buffers::default(), &mut vectors) {
                    for place in &wanted[from..] {
                        let _ = page.series(*place, TimeRange::ALL, &mut vectors);
                    }
                }
            }
        }
    }
}

proptest! {
    /// With a checksum that fits.
    #[test]
    fn foreign_directories_never_panic(body in prop::collection::vec(any::<u8>(), 0..120), small in prop::collection::vec(0u8..6, 0..60)) {
        for body in [body, small] {
            let framed = [&[0][..], &body].concat();
            let directory = [&[VERSION][..], &crc32c::crc32c(&framed).to_le_bytes(), &framed].concat();
            let sections = [section::LABELS, section::TIMES, section::PAGES].map(|kind| (kind, body.clone().into()));
            let sections = [(section::DIRECTORY, directory.into())].into_iter().chain(sections).collect();
            if let Ok(reader) = Reader::open(Arc::new(MemorySections(sections))) {
                let _ = reader.verify();
                let _ = reader.series(&[], TimeRange::ALL);
            }
        }
    }
}

struct Known(Vec<Arc<[i64]>>);

impl Known {
    fn add(&mut self, times: &[i64]) -> u32 {
        self.0.push(times.into());
        self.0.len() as u32 - 1
    }
}

impl Vectors for Known {
    fn get(&mut self, number: u32) -> Result<Arc<[i64]>, Error> {
        self.0.get(number as usize).cloned().ok_or(Error::Corrupt { why: "there is no such vector" })
    }
}

fn cut(series: &Series, range: TimeRange) -> Series {
    let mut out = Series { labels: series.labels.clone(), ..Series::default() };
    for (at, &time) in series.times.iter().enumerate().filter(|(_, time)| range.contains(**time)) {
        out.times.push(time);
        out.values.push(series.values[at]);
        out.starts.extend(series.starts.get(at));
    }
    out.histograms = series.histograms.iter().filter(|h| range.contains(h.time)).cloned().collect();
    out
}

fn one(name: &str, values: &[f64]) -> Series {
    let times = (0i64..).map(|at| at * 15_000).take(values.len()).collect();
    Series {
        labels: Some(Labels::from_pairs([("__name__", name)])),
        times,
        values: values.to_vec(),
        ..Series::default()
    }
}

#[test]
fn a_newer_version_is_refused_with_a_sentence() {
    let mut part = encode(&[one("up", &[1.0])], &Settings::default());
    let mut bytes = part.sections[0].1.to_vec();
    bytes[0] = VERSION + 1;
    part.sections[0].1 = bytes.into();
    let error = reader(&part).err().expect("refused").to_string();
    assert_eq!(error, "a part of metrics has version 2, this program reads up to 1: update it");
}

#[test]
fn series_out_of_order_are_refused() {
    let mut encoder = Encoder::new(&Settings::default()).expect("compressors");
    encoder.push(&one("b", &[1.0]), &[]).expect("the first");
    for name in ["b", "a"] {
        assert!(matches!(encoder.push(&one(name, &[1.0]), &[]), Err(Error::Order { .. })), "{name}");
    }
}

#[test]
fn an_empty_part_has_nothing() {
    let part = encode(&[], &Settings::default());
    let reader = reader(&part).expect("opens");
    assert_eq!((part.rows, reader.rows(), reader.series_count()), (0, 0, 0));
    assert!(reader.select(&[], TimeRange::ALL).expect("selects").next().is_none());
    assert!(reader.label_names().is_empty() && reader.metadata().expect("reads").is_empty());
}

#[test]
fn labels_are_listed() {
    let set =
        |pairs: &[(&str, &str)]| Series { labels: Some(Labels::from_pairs(pairs.iter().copied())), ..one("", &[1.0]) };
    let all =
        [set(&[("__name__", "a"), ("job", "x")]), set(&[("__name__", "a"), ("job", "y")]), set(&[("__name__", "b")])];
    let reader = reader(&encode(&all, &Settings::default())).expect("opens");
    assert_eq!(reader.label_names(), ["__name__", "job"]);
    assert_eq!(reader.label_values("job").expect("reads"), ["x", "y"]);
    assert!(reader.label_values("pod").expect("reads").is_empty());
    let jobless = [Matcher::equal("job", "")];
    assert_eq!(reader.series(&jobless, TimeRange::ALL).expect("reads").len(), 1);
    assert!(reader.series(&[], TimeRange::new(1, 5)).expect("reads").is_empty());
}
