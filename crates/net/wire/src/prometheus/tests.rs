//! Remote write bodies, good and bad.

use super::*;
use crate::protobuf::{put_bytes, put_double, put_uint, put_varint};
use model::histogram::{ResetHint, Span};
use model::{Exemplar, Histogram, Labels};
use proptest::prelude::*;
use std::collections::BTreeMap;

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

type Pair = (String, String);

#[derive(Debug, Clone, PartialEq, Default)]
struct Written {
    labels: Vec<Pair>,
    /// Time, value bits, start.
    samples: Vec<(i64, u64, i64)>,
    histograms: Vec<HistogramSample>,
    exemplars: Vec<Exemplar>,
    /// Kind, help, unit: of 2.0.
    metadata: Option<(u64, String, String)>,
}

/// Writes bodies as a sender does.
#[derive(Default)]
struct Encoder {
    symbols: Vec<String>,
}

impl Encoder {
    fn symbol(&mut self, text: &str) -> u64 {
        if self.symbols.is_empty() {
            self.symbols.push(String::new());
        }
        let at = self.symbols.iter().position(|symbol| symbol == text);
        at.unwrap_or_else(|| {
            self.symbols.push(text.to_owned());
            self.symbols.len() - 1
        }) as u64
    }

    fn labels<'l>(&mut self, out: &mut Vec<u8>, labels: impl Iterator<Item = (&'l str, &'l str)>, version: Version) {
        let mut refs = Vec::new();
        for (name, value) in labels {
            let mut pair = Vec::new();
            put_bytes(&mut pair, 1, name.as_bytes());
            put_bytes(&mut pair, 2, value.as_bytes());
            match version {
                Version::V1 => put_bytes(out, 1, &pair),
                Version::V2 => [name, value].map(|text| put_varint(&mut refs, self.symbol(text))).into_iter().collect(),
            }
        }
        if !refs.is_empty() {
            put_bytes(out, 1, &refs);
        }
    }

    fn body(&mut self, series: &[Written], version: Version) -> Vec<u8> {
        let (histograms, exemplars) = if version == Version::V1 { (4, 3) } else { (3, 4) };
        let mut messages = Vec::new();
        for written in series {
            let mut message = Vec::new();
            self.labels(&mut message, written.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())), version);
            for (time, bits, start) in &written.samples {
                let mut sample = Vec::new();
                put_double(&mut sample, 1, f64::from_bits(*bits));
                put_uint(&mut sample, 2, *time as u64);
                put_uint(&mut sample, 3, *start as u64);
                put_bytes(&mut message, 2, &sample);
            }
            for sample in &written.histograms {
                put_bytes(&mut message, histograms, &encode_histogram(sample));
            }
            for exemplar in &written.exemplars {
                let mut out = Vec::new();
                self.labels(&mut out, exemplar.labels.iter(), version);
                put_double(&mut out, 2, exemplar.value);
                put_uint(&mut out, 3, exemplar.time as u64);
                put_bytes(&mut message, exemplars, &out);
            }
            if let (Some((kind, help, unit)), Version::V2) = (&written.metadata, version) {
                let mut out = Vec::new();
                put_uint(&mut out, 1, *kind);
                put_uint(&mut out, 3, self.symbol(help));
                put_uint(&mut out, 4, self.symbol(unit));
                put_bytes(&mut message, 5, &out);
            }
            messages.push(message);
        }
        let mut body = Vec::new();
        self.symbols.iter().for_each(|symbol| put_bytes(&mut body, 4, symbol.as_bytes()));
        messages.iter().for_each(|message| put_bytes(&mut body, version.series_field(), message));
        body
    }
}

fn encode(series: &[Written], version: Version) -> Vec<u8> {
    Encoder::default().body(series, version)
}

fn encode_histogram(sample: &HistogramSample) -> Vec<u8> {
    let fold = |value: i64| ((value << 1) ^ (value >> 63)) as u64;
    let histogram = &sample.value;
    let mut out = Vec::new();
    match histogram.integer {
        true => put_uint(&mut out, 1, histogram.count as u64),
        false => put_double(&mut out, 2, histogram.count),
    }
    put_double(&mut out, 3, histogram.sum);
    put_uint(&mut out, 4, fold(i64::from(histogram.schema)) & 0xffff_ffff);
    put_double(&mut out, 5, histogram.zero_threshold);
    match histogram.integer {
        true => put_uint(&mut out, 6, histogram.zero_count as u64),
        false => put_double(&mut out, 7, histogram.zero_count),
    }
    for (number, spans, counts) in
        [(8, &histogram.negative_spans, &histogram.negative), (11, &histogram.positive_spans, &histogram.positive)]
    {
        for span in spans {
            let mut inner = Vec::new();
            put_uint(&mut inner, 1, fold(i64::from(span.offset)) & 0xffff_ffff);
            put_uint(&mut inner, 2, u64::from(span.length));
            put_bytes(&mut out, number, &inner);
        }
        let (mut packed, mut last) = (Vec::new(), 0);
        for count in counts {
            if histogram.integer {
                put_varint(&mut packed, fold(*count as i64 - last));
                last = *count as i64;
            } else {
                packed.extend_from_slice(&count.to_le_bytes());
            }
        }
        put_bytes(&mut out, if histogram.integer { number + 1 } else { number + 2 }, &packed);
    }
    put_uint(&mut out, 14, u64::from(histogram.reset.code()));
    put_uint(&mut out, 15, sample.time as u64);
    let custom: Vec<u8> = histogram.custom_values.iter().flat_map(|bound| bound.to_le_bytes()).collect();
    put_bytes(&mut out, 16, &custom);
    put_uint(&mut out, 17, sample.start as u64);
    out
}

fn decode(body: &[u8], version: Version) -> Result<Vec<Written>, DecodeError> {
    let read = |series: Result<TimeSeries<'_>, DecodeError>| {
        let series = series?;
        let labels: Result<Vec<Pair>, _> = series.labels().map(|p| p.map(|(n, v)| (n.into(), v.into()))).collect();
        let samples: Result<Vec<_>, _> =
            series.samples().map(|s| s.map(|s| (s.time, s.value.to_bits(), s.start))).collect();
        let metadata = series.try_metadata()?.map(|m| {
            let code = (0..8).find(|code| kind_name(*code) == m.kind).expect("a known kind");
            (code, m.help.to_owned(), m.unit.to_owned())
        });
        Ok(Written {
            labels: labels?,
            samples: samples?,
            histograms: series.histograms().collect::<Result<_, _>>()?,
            exemplars: series.exemplars().collect::<Result<_, _>>()?,
            metadata,
        })
    };
    series(body, version).map(read).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<Pair> {
    pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
}

fn histogram(integer: bool) -> HistogramSample {
    let value = Histogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 11.0,
        sum: -4.5,
        reset: ResetHint::Gauge,
        integer,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
        positive: vec![3.0, 1.0, 4.0],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative: vec![1.0],
        custom_values: Vec::new().into(),
    };
    HistogramSample { time: 1_700_000_000_000, start: 0, value }
}

fn custom() -> HistogramSample {
    let value = Histogram {
        schema: -53,
        count: 6.0,
        sum: 2.0,
        integer: true,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive: vec![5.0, 1.0],
        custom_values: vec![0.5, 1.0].into(),
        ..Histogram::default()
    };
    HistogramSample { time: 5, start: 0, value }
}

fn sample(version: Version) -> Vec<Written> {
    let exemplar = Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value: 1.5, time: 9 };
    let start = if version == Version::V2 { 7 } else { 0 };
    let metadata = (version == Version::V2).then(|| (1, "How often.".to_owned(), "seconds".to_owned()));
    vec![
        Written {
            labels: pairs(&[("__name__", "up"), ("job", "web")]),
            samples: vec![(-5, 1.0f64.to_bits(), start), (1_700_000_000_000, model::rows::STALE_NAN_BITS, 0)],
            exemplars: vec![exemplar],
            metadata,
            ..Written::default()
        },
        Written::default(),
        Written {
            labels: pairs(&[("__name__", "h")]),
            histograms: vec![histogram(true), histogram(false), custom()],
            ..Written::default()
        },
    ]
}

#[test]
fn every_cut_is_an_error_or_whole_series() {
    for version in VERSIONS {
        let (body, want) = (encode(&sample(version), version), sample(version));
        assert_eq!(decode(&body, version).as_ref(), Ok(&want));
        for len in 0..body.len() {
            if let Ok(found) = decode(&body[..len], version) {
                assert_eq!(found[..], want[..found.len()], "{version:?} cut at {len}");
            }
            let _ = without(&body[..len], version, &[Refused { series: 0, kind: Kind::Float, sample: 0 }]);
        }
    }
}

#[test]
fn every_flip_is_survived() {
    for version in VERSIONS {
        let body = encode(&sample(version), version);
        for at in 0..8 * body.len() {
            let mut body = body.clone();
            body[at / 8] ^= 1 << (at % 8);
            let _ = decode(&body, version);
        }
    }
}

#[test]
fn keys_follow_the_labels_and_nothing_else() {
    for version in VERSIONS {
        let keys = |series: &[Written]| -> Vec<u128> {
            let body = encode(series, version);
            super::series(&body, version).map(|s| s.expect("reads").key()).collect()
        };
        let with = |labels: &[(&str, &str)], time| Written {
            labels: pairs(labels),
            samples: vec![(time, 0, 0)],
            ..Written::default()
        };
        let many: Vec<(String, String)> = (0..100).map(|n| (format!("n{n}"), format!("v{n}"))).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let found = keys(&[
            with(&[("a", "1"), ("b", "2")], 1),
            with(&[("a", "1"), ("b", "2")], 2),
            with(&[("a", "1"), ("b", "3")], 2),
            with(&[("a1", ""), ("b", "2")], 2),
            with(&many, 1),
            with(&many[..99], 1),
            with(&many[1..], 1),
        ]);
        assert_eq!(found[0], found[1]);
        let again = keys(&[with(&[("x", "y")], 1), with(&[("a", "1"), ("b", "2")], 1), with(&many, 1)]);
        assert_eq!((again[1], again[2]), (found[0], found[4]), "{version:?}: in another request too");
        let mut distinct = found[1..].to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 6, "{version:?}");
    }
}

#[test]
fn labels_between_other_fields_are_one_set() {
    let (mut first, mut second, mut body) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(&mut first, 1, b"\x0a\x01a\x12\x011");
    put_bytes(&mut first, 1, b"\x0a\x01b\x12\x012");
    put_bytes(&mut first, 2, b"\x10\x05");
    put_bytes(&mut second, 1, b"\x0a\x01a\x12\x011");
    put_bytes(&mut second, 2, b"\x10\x05");
    put_bytes(&mut second, 1, b"\x0a\x01b\x12\x012");
    put_bytes(&mut body, 1, &first);
    put_bytes(&mut body, 1, &second);
    let read: Vec<_> = series(&body, Version::V1).map(|s| s.expect("reads")).collect();
    assert_eq!(read[0].key(), read[1].key());
    let written = decode(&body, Version::V1).expect("reads");
    assert_eq!(written[0], written[1]);
    assert_eq!(written[0].samples, [(5, 0, 0)]);
}

#[test]
fn bodies_that_contradict_themselves_are_refused() {
    let v2 = |symbols: &[&[u8]], number: u32, field: &[u8]| {
        let (mut body, mut message) = (Vec::new(), Vec::new());
        symbols.iter().for_each(|symbol| put_bytes(&mut body, 4, symbol));
        put_bytes(&mut message, number, field);
        put_bytes(&mut body, 5, &message);
        decode(&body, Version::V2).map(drop).map_err(|e| e.to_string())
    };
    let refused = |found: Result<(), String>, word: &str| {
        let error = found.expect_err("refused");
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    };
    assert_eq!(v2(&[b"", b"a"], 1, &[1, 1]), Ok(()));
    refused(v2(&[b"a", b"b"], 1, &[1, 1]), "empty string");
    refused(v2(&[b"", b"a"], 1, &[1, 2]), "symbol table");
    refused(v2(&[], 1, &[0, 0]), "symbol table");
    refused(v2(&[b"", b"a"], 1, &[1, 1, 1]), "odd");
    refused(v2(&[b"", b"\xff"], 1, &[1, 1]), "UTF-8");
    refused(v2(&[b""], 4, &[0x0a, 2, 0, 9]), "symbol table");
    refused(v2(&[b""], 5, &[0x18, 9]), "symbol table");
    refused(v2(&[b""], 2, &[0x08, 1]), "wire type");
}

#[test]
fn histograms_that_contradict_themselves_are_refused_alone() {
    let refused = |change: &dyn Fn(&mut HistogramSample), word: &str| {
        let mut bad = histogram(false);
        change(&mut bad);
        let written = Written { histograms: vec![bad, histogram(true)], ..Written::default() };
        let body = encode(&[written], Version::V1);
        let series = series(&body, Version::V1).next().expect("one").expect("reads");
        let found: Vec<_> = series.histograms().collect();
        let error = found[0].as_ref().expect_err("refused").to_string();
        assert!(error.contains(word), "{word:?} is not in {error:?}");
        assert_eq!(found[1], Ok(histogram(true)), "the next one is read");
    };
    refused(&|h| h.value.schema = 9, "schema");
    refused(&|h| h.value.schema = -5, "schema");
    refused(&|h| h.value.positive.push(1.0), "another number of buckets");
    refused(&|h| h.value.positive_spans[1].length = u32::MAX, "another number of buckets");
    refused(&|h| h.value.positive_spans[1].offset = -1, "begins before");
    refused(&|h| h.value.positive_spans[0].offset = i32::MAX, "last bucket index");
    refused(&|h| h.value.negative[0] = -1.0, "negative");
    refused(&|h| h.value.count = -1.0, "negative");
    refused(&|h| h.value.custom_values = vec![1.0].into(), "custom values");
    refused(&|h| h.value.schema = -53, "custom buckets");
    let from_custom = |change: &dyn Fn(&mut Histogram)| {
        let mut sample = custom();
        change(&mut sample.value);
        move |h: &mut HistogramSample| *h = sample.clone()
    };
    refused(&from_custom(&|h| h.custom_values = vec![2.0, 1.0].into()), "ascending");
    refused(&from_custom(&|h| h.custom_values = vec![1.0].into()), "past its custom values");
    refused(&from_custom(&|h| h.custom_values = vec![0.0, f64::INFINITY].into()), "finite");
    refused(&from_custom(&|h| h.positive_spans[0].offset = -1), "negative index");
}

#[test]
fn the_metadata_list_of_1_0_is_read() {
    let (mut item, mut body) = (Vec::new(), encode(&sample(Version::V1), Version::V1));
    put_uint(&mut item, 1, 2);
    put_bytes(&mut item, 2, b"up");
    put_bytes(&mut item, 4, b"Whether it is up.");
    put_bytes(&mut item, 5, b"");
    put_bytes(&mut body, 3, &item);
    put_bytes(&mut body, 3, b"\x08\x63");
    let found: Vec<Metadata> = metadata(&body, Version::V1).map(|m| m.expect("reads")).collect();
    let want = |family: &str, kind: &str, help: &str| Metadata {
        family: family.into(),
        kind: kind.into(),
        help: help.into(),
        unit: String::new(),
    };
    assert_eq!(found, [want("up", "gauge", "Whether it is up."), want("", "unknown", "")]);
    put_bytes(&mut body, 3, b"\x12\x01\xff");
    put_bytes(&mut body, 3, b"");
    let found: Vec<bool> = metadata(&body, Version::V1).map(|m| m.is_ok()).collect();
    assert_eq!(found, [true, true, false], "an error is the last item");
    assert_eq!(metadata(&body, Version::V2).count(), 0);
}

#[test]
fn samples_are_cut_out_and_the_rest_stays() {
    for version in VERSIONS {
        let body = encode(&sample(version), version);
        let refused = |series, kind, sample| Refused { series, kind, sample };
        assert_eq!(without(&body, version, &[]), body);
        let cut = without(
            &body,
            version,
            &[
                refused(2, Kind::Histogram, 1),
                refused(0, Kind::Float, 1),
                refused(0, Kind::Histogram, 0),
                refused(9, Kind::Float, 0),
            ],
        );
        let mut want = sample(version);
        want[0].samples.remove(1);
        want[2].histograms.remove(1);
        assert_eq!(decode(&cut, version).as_ref(), Ok(&want));
        let cut = without(
            &body,
            version,
            &[refused(0, Kind::Float, 0), refused(0, Kind::Series, 0), refused(1, Kind::Series, 0)],
        );
        assert_eq!(decode(&cut, version).as_deref(), Ok(&sample(version)[2..]));
    }
}

#[test]
fn bodies_are_split_by_series() {
    for version in VERSIONS {
        let mut body = encode(&sample(version), version);
        if version == Version::V1 {
            put_bytes(&mut body, 3, b"\x12\x02up");
        }
        let parts = split(&body, version, 3, |series| if series == 1 { 2 } else { 1 });
        let all = sample(version);
        assert_eq!(decode(&parts[0], version), Ok(vec![]));
        assert_eq!(decode(&parts[1], version), Ok(vec![all[0].clone(), all[2].clone()]));
        assert_eq!(decode(&parts[2], version), Ok(vec![all[1].clone()]));
        let lists: Vec<usize> = parts.iter().map(|part| metadata(part, version).count()).collect();
        assert_eq!(lists, if version == Version::V1 { [1, 0, 0] } else { [0, 0, 0] });
    }
}

fn histograms() -> impl Strategy<Value = HistogramSample> {
    let side = prop::collection::vec((0i32..5, prop::collection::vec(0u32..1 << 30, 0..4)), 0..3);
    (side.clone(), side, any::<bool>(), any::<i64>(), any::<u64>(), -4i32..=8, 0u64..4).prop_map(
        |(positive, negative, integer, time, sum, schema, reset)| {
            let spans = |side: &[(i32, Vec<u32>)]| {
                side.iter().map(|(offset, counts)| Span { offset: *offset, length: counts.len() as u32 }).collect()
            };
            let counts = |side: &[(i32, Vec<u32>)]| side.iter().flat_map(|(_, c)| c).map(|c| f64::from(*c)).collect();
            let value = Histogram {
                schema,
                sum: f64::from_bits(sum),
                count: 1e9,
                integer,
                reset: ResetHint::from_code(reset),
                positive_spans: spans(&positive),
                positive: counts(&positive),
                negative_spans: spans(&negative),
                negative: counts(&negative),
                ..Histogram::default()
            };
            HistogramSample { time, start: 0, value }
        },
    )
}

fn written() -> impl Strategy<Value = Vec<Written>> {
    let labels = prop::collection::vec((".{0,8}", ".{0,8}"), 0..5);
    let samples = prop::collection::vec((any::<i64>(), any::<u64>(), Just(0)), 0..4);
    let histograms = prop::collection::vec(histograms(), 0..2);
    let series = (labels, samples, histograms).prop_map(|(labels, samples, histograms)| Written {
        labels,
        samples,
        histograms,
        ..Written::default()
    });
    prop::collection::vec(series, 0..5)
}

proptest! {
    #[test]
    fn bodies_are_read_as_written(series in written()) {
        for version in VERSIONS {
            let body = encode(&series, version);
            prop_assert_eq!(decode(&body, version), Ok(series.clone()));
            prop_assert_eq!(verify(&body, version), Ok(()));
        }
    }

    #[test]
    fn stripping_equals_not_having_written(series in written(), name in ".{0,3}") {
        for version in VERSIONS {
            let body = encode(&series, version);
            let names = series.iter().flat_map(|written| &written.labels).map(|label| label.0.clone());
            for name in names.chain([name.clone()]) {
                let mut want = series.clone();
                want.iter_mut().for_each(|written| written.labels.retain(|label| label.0 != name));
                let stripped = strip(&body, version, &name).expect("strips");
                prop_assert_eq!(decode(&stripped, version), Ok(want));
                let key = |body: &[u8]| super::series(body, version).map(|s| s.map(|s| s.key())).collect::<Vec<_>>();
                prop_assert_eq!(key(&stripped), key(&strip(&stripped, version, &name).expect("strips")));
            }
        }
    }

    #[test]
    fn relabeling_equals_having_written(series in written(), other in prop::collection::vec(("..?", "..?"), 0..4), at: u64) {
        for version in VERSIONS {
            let body = encode(&series, version);
            let (mut want, mut changes) = (series.clone(), BTreeMap::new());
            for (place, written) in want.iter_mut().enumerate().filter(|(place, _)| at >> place & 1 == 1) {
                written.labels = other.clone();
                changes.insert(place as u32, other.clone());
            }
            let changed = relabel(&body, version, &changes, 1 << 20).expect("fits");
            prop_assert_eq!(decode(&changed, version), Ok(want));
            let limit = changed.len() - 1.min(changed.len());
            prop_assert_eq!(relabel(&body, version, &changes, limit).is_err(), !changed.is_empty());
        }
    }

    #[test]
    fn the_first_series_with_both_labels_counts(series in written(), names in [".{0,2}", ".{0,2}"]) {
        let names = [names[0].as_str(), names[1].as_str()];
        let value = |written: &Written, name: &str| {
            written.labels.iter().rev().find(|label| label.0 == name).map(|label| label.1.clone())
        };
        let both = |written: &Written| Some([value(written, names[0])?, value(written, names[1])?]);
        let want = series.iter().find_map(both);
        for version in VERSIONS {
            let body = encode(&series, version);
            let found = first_with(&body, version, names).expect("reads");
            prop_assert_eq!(found.map(|found| found.map(str::to_owned)), want.clone());
        }
    }

    #[test]
    fn cutting_equals_removing(series in written(), drop: u64) {
        for version in VERSIONS {
            let body = encode(&series, version);
            let (mut refused, mut want) = (Vec::new(), series.clone());
            for (at, written) in want.iter_mut().enumerate() {
                let mut sample = 0;
                written.samples.retain(|_| {
                    let cut = drop >> ((7 * at + sample) % 64) & 1 == 1;
                    if cut {
                        refused.push(Refused { series: at as u32, kind: Kind::Float, sample: sample as u32 });
                    }
                    sample += 1;
                    !cut
                });
            }
            refused.reverse();
            prop_assert_eq!(decode(&without(&body, version, &refused), version), Ok(want));
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) {
        for version in VERSIONS {
            let _ = decode(&bytes, version);
            let _ = metadata(&bytes, version).count();
            let _ = split(&bytes, version, 2, |series| series % 2);
            let _ = first_with(&bytes, version, ["a", "b"]);
            let _ = strip(&bytes, version, "a");
            let _ = relabel(&bytes, version, &BTreeMap::from([(0, vec![("a", "b")])]), 1 << 10);
        }
    }
}
