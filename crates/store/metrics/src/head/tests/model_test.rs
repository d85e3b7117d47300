//! Random operations on a head, held against a model of plain maps.

use super::bodies::{Sent, Value, body};
use super::{header, up};
use crate::{Frozen, Head, Reader, Settings, View};
use model::{Histogram, Labels, Series, TenantId, TimeRange};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::batch::Format;

/// Series and time: start and value.
type Rows = BTreeMap<(Labels, i64), (i64, Kept)>;

#[derive(Debug, Clone, PartialEq)]
enum Kept {
    Float(u64),
    Histogram(Histogram),
}

#[derive(Debug, Clone)]
enum Step {
    /// Samples of a few series: series, time, start, value.
    Apply(bool, Vec<(u8, i64, i64, u8)>),
    Cut,
    Drop,
    TakeView,
    Sweep,
    Read(i64, i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let sample = (0u8..6, prop_oneof![3 => 0i64..40, 1 => 0i64..4000], 0i64..3, 0u8..12);
    prop_oneof![
        8 => (any::<bool>(), prop::collection::vec(sample, 1..30)).prop_map(|(two, all)| Step::Apply(two, all)),
        2 => Just(Step::Cut),
        1 => Just(Step::Drop),
        1 => Just(Step::TakeView),
        1 => Just(Step::Sweep),
        2 => (0i64..60, 0i64..4000).prop_map(|(min, len)| Step::Read(min, min + len)),
    ]
}

fn value(code: u8) -> Value {
    match code {
        0 => Value::Float(f64::from_bits(model::rows::STALE_NAN_BITS)),
        1 => Value::Float(-0.0),
        2 => Value::Float(0.1 + 0.2),
        3 => Value::Histogram(Histogram { count: 3.0, sum: 1.5, zero_count: 3.0, ..Histogram::default() }),
        n => Value::Float(f64::from(n) * 100.0),
    }
}

#[derive(Default)]
struct Model {
    /// Oldest first; the last is active.
    generations: Vec<Rows>,
    frozen: Vec<(u64, Frozen)>,
    /// What a view must have, and may have no less than.
    views: Vec<(View, Rows)>,
}

impl Model {
    /// Everything, an older generation before a younger one.
    fn all(&self) -> Rows {
        let mut all = Rows::new();
        for generation in &self.generations {
            for (key, row) in generation {
                all.entry(key.clone()).or_insert_with(|| row.clone());
            }
        }
        all
    }
}

fn rows(all: impl Iterator<Item = Series>) -> Rows {
    let mut rows = Rows::new();
    for series in all {
        let labels = series.labels();
        assert!(series.times.windows(2).all(|pair| pair[0] < pair[1]));
        for (at, (time, value)) in series.times.iter().zip(&series.values).enumerate() {
            let start = series.starts.get(at).copied().unwrap_or(0);
            assert!(rows.insert((labels.clone(), *time), (start, Kept::Float(value.to_bits()))).is_none());
        }
        for h in &series.histograms {
            assert!(rows.insert((labels.clone(), h.time), (h.start, Kept::Histogram((*h.value).clone()))).is_none());
        }
    }
    rows
}

fn within(rows: &Rows, range: TimeRange) -> Rows {
    rows.iter().filter(|((_, time), _)| range.contains(*time)).map(|(key, row)| (key.clone(), row.clone())).collect()
}

fn run(steps: &[Step]) {
    let head = Head::new(Settings { page_samples: 20, ..Settings::default() });
    let tenant = TenantId::anonymous();
    let mut model = Model { generations: vec![Rows::new()], ..Model::default() };
    let mut index = 0;
    for step in steps {
        match step {
            Step::Apply(two, samples) => {
                index += 1;
                let format = if *two { Format::PromV2 } else { Format::PromV1 };
                let mut all: Vec<Sent> = Vec::new();
                for (series, time, start, code) in samples {
                    let mut sent = Sent::new(&up(&series.to_string()));
                    sent.samples.push((*time, *start, value(*code)));
                    all.push(sent);
                    let kept = match value(*code) {
                        Value::Float(value) => Kept::Float(value.to_bits()),
                        Value::Histogram(histogram) => Kept::Histogram(histogram),
                    };
                    let start = if *two { *start } else { 0 };
                    let active = model.generations.last_mut().expect("one is active");
                    active.entry((up(&series.to_string()), *time)).or_insert((start, kept));
                }
                let body = body(format, &all, &[]);
                head.apply(index, &header(&tenant, format, &body), &body).expect("applies");
            }
            Step::Cut => {
                let frozen = head.cut(index);
                let parts: Vec<_> = frozen.encode().collect::<Result<_, _>>().expect("encodes");
                let want = model.generations.last().expect("one is active");
                let mut got = Rows::new();
                for part in parts {
                    assert_eq!(part.rows, want.len() as u64);
                    let reader = Reader::open(Arc::new(block::MemorySections(part.sections))).expect("opens");
                    reader.verify().expect("is whole");
                    let all = reader.select(&[], TimeRange::ALL).expect("selects");
                    got.extend(rows(all.map(|series| series.expect("decodes"))));
                    let range = TimeRange::new(5, 25);
                    let some = reader.select(&[model::Matcher::equal("job", "3")], range).expect("selects");
                    let some = rows(some.map(|series| series.expect("decodes")));
                    let mut wanted = within(want, range);
                    wanted.retain(|(labels, _), _| labels.value("job") == "3");
                    assert_eq!(some, wanted);
                }
                assert_eq!(&got, want);
                model.frozen.push((index, frozen));
                model.generations.push(Rows::new());
            }
            Step::Drop => {
                if !model.frozen.is_empty() {
                    let (through, _) = model.frozen.remove(0);
                    head.drop_frozen(through);
                    model.generations.remove(0);
                    while model.frozen.first().is_some_and(|(other, _)| *other <= through) {
                        model.frozen.remove(0);
                        model.generations.remove(0);
                    }
                }
            }
            Step::TakeView => model.views.push((head.snapshot(), model.all())),
            Step::Sweep => drop(head.sweep(i64::MAX)),
            Step::Read(min, max) => {
                let range = TimeRange::new(*min, *max);
                let got = rows(head.snapshot().select(&tenant, &[], range));
                assert_eq!(got, within(&model.all(), range));
            }
        }
        for (view, want) in &model.views {
            let got = rows(view.select(&tenant, &[], TimeRange::ALL));
            assert!(want.iter().all(|(key, row)| got.get(key) == Some(row)), "a view lost or changed rows");
        }
    }
    assert_eq!(rows(head.snapshot().select(&tenant, &[], TimeRange::ALL)), model.all());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_head_is_what_the_model_says(steps in prop::collection::vec(any_step(), 1..40)) {
        run(&steps);
    }
}
