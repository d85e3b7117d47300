//! What is merged reads as its inputs do together, bit for bit.

use super::*;
use crate::part::tests::{any_series, bits, named, reader, same};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One input: series, of which some have exemplars, and metadata.
#[derive(Debug, Clone)]
struct Input {
    series: Vec<Series>,
    exemplars: Vec<Vec<i64>>,
    helps: Vec<u8>,
}

fn any_input() -> impl Strategy<Value = Input> {
    let with = (any_series(), prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(-300i64..300, 1..4)]);
    // Some series have exemplars alone.
    let with = (with, 0u8..8).prop_map(|((series, exemplars), n)| match n {
        0 if !exemplars.is_empty() => (Series::default(), exemplars),
        _ => (series, exemplars),
    });
    (prop::collection::vec(with, 0..25), prop::collection::vec(0u8..5, 0..3)).prop_map(|(all, helps)| {
        let (series, exemplars): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        Input { series: named(series), exemplars, helps }
    })
}

fn metadata(help: u8) -> Metadata {
    let (family, kind) = (format!("m{}", help % 2), "gauge".to_owned());
    Metadata { family, kind, help: help.to_string(), unit: String::new() }
}

fn encode(input: &Input, at: usize) -> Part {
    let mut encoder = Encoder::new(&Settings { page_samples: 50, ..Settings::default() }).expect("compressors");
    for (series, times) in input.series.iter().zip(&input.exemplars) {
        let exemplar = |time: &i64| Exemplar { labels: Labels::empty(), value: at as f64, time: *time };
        encoder.push(series, &times.iter().map(exemplar).collect::<Vec<_>>()).expect("in order");
    }
    input.helps.iter().for_each(|help| encoder.push_metadata(metadata(*help)));
    encoder.finish(TenantId::anonymous()).expect("encodes")
}

/// What a querier makes of these parts.
fn union(inputs: &[Arc<Reader>], range: TimeRange) -> Vec<Series> {
    let sources = inputs.iter().map(|reader| reader.select(&[], range).expect("selects"));
    let mut all: Vec<Series> = Merge::new(sources.collect()).collect::<Result<_, _>>().expect("decodes");
    // A start of zero is none.
    all.iter_mut().filter(|s| s.starts.iter().all(|start| *start == 0)).for_each(|s| s.starts.clear());
    all
}

fn exemplars(inputs: &[Arc<Reader>], range: TimeRange) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let mut all: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
    for reader in inputs {
        for (labels, exemplars) in reader.exemplars(&[], range).expect("decodes") {
            all.entry(labels).or_default().extend(exemplars);
        }
    }
    all.values_mut().for_each(|exemplars| exemplars.sort_by_key(|e| e.time));
    let plain = |all: Vec<Exemplar>| all.iter().map(|e| (e.time, e.value.to_bits())).collect();
    all.into_iter().map(|(labels, all)| (labels, plain(all))).collect()
}

fn known(inputs: &[Arc<Reader>]) -> BTreeSet<Metadata> {
    inputs.iter().flat_map(|reader| reader.metadata().expect("decodes")).collect()
}

fn compact(inputs: &[Arc<Reader>], range: TimeRange, part_bytes: u64) -> Vec<Arc<Reader>> {
    let settings = Settings { page_samples: 70, ..Settings::default() };
    let compaction = Compaction::new(TenantId::anonymous(), inputs, range, part_bytes, &settings).expect("begins");
    let open = |part: Result<Part, Error>| {
        let reader = reader(&part.expect("encodes")).expect("opens");
        reader.verify().expect("is whole");
        Arc::new(reader)
    };
    compaction.map(open).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn parts_are_merged_to_their_union(
        inputs in prop::collection::vec(any_input(), 0..5),
        since in prop_oneof![Just(i64::MIN), -300i64..400],
        part_bytes in prop_oneof![Just(u64::MAX), 1u64..5000],
    ) {
        let range = TimeRange::new(since, i64::MAX);
        let readers: Vec<Arc<Reader>> = inputs.iter().enumerate()
            .map(|(at, input)| Arc::new(reader(&encode(input, at)).expect("opens")))
            .collect();
        let want = union(&readers, range);
        let merged = compact(&readers, range, part_bytes);
        let twice = compact(&merged, range, u64::MAX);
        for merged in [&merged, &twice] {
            let got = union(merged, TimeRange::ALL);
            prop_assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(&want) {
                prop_assert!(same(got, want), "{:?}\n{:?}", got, want);
                prop_assert_eq!(bits(&got.values), bits(&want.values));
            }
            prop_assert_eq!(exemplars(merged, TimeRange::ALL), exemplars(&readers, range));
            prop_assert_eq!(known(merged), known(&readers));
        }
        prop_assert!(twice.len() <= 1);
    }
}

#[test]
fn the_older_sample_stays() {
    let of = |values: &[(i64, f64)]| {
        let series = Series {
            times: values.iter().map(|v| v.0).collect(),
            values: values.iter().map(|v| v.1).collect(),
            ..Series::new(Labels::from_pairs([("__name__", "up")]))
        };
        let input = Input { series: vec![series], exemplars: vec![Vec::new()], helps: Vec::new() };
        Arc::new(reader(&encode(&input, 0)).expect("opens"))
    };
    let stale = f64::from_bits(model::rows::STALE_NAN_BITS);
    let merged = compact(&[of(&[(1, 1.0), (3, stale)]), of(&[(2, 2.0), (3, 3.0), (4, 4.0)])], TimeRange::ALL, u64::MAX);
    let series = union(&merged, TimeRange::ALL).remove(0);
    assert_eq!((series.times.to_vec(), bits(&series.values)), (vec![1, 2, 3, 4], bits(&[1.0, 2.0, stale, 4.0])));
}
