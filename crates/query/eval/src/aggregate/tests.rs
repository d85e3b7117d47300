//! Aggregations over a handful of columns.

use super::*;
use crate::column::ABSENT;
use crate::histogram::Native;
use proptest::prelude::*;
use std::sync::Arc;

/// Input columns are `name{label}` pairs; the answer is written as `labels: values`, sorted.
fn check(op: Op, grouping: Grouping, param: Param, want: &[&str]) {
    let inputs = [
        (vec![("__name__", "m"), ("g", "a"), ("i", "1")], [1.0, 4.0, ABSENT]),
        (vec![("__name__", "m"), ("g", "a"), ("i", "2")], [2.0, 2.0, ABSENT]),
        (vec![("__name__", "m"), ("g", "b"), ("i", "3")], [3.0, ABSENT, 7.0]),
    ];
    let budget = Budget::new(1 << 20, &|| false);
    let mut notes = |_| {};
    let mut aggregation = Aggregation::new(op, grouping, param, 3, &budget, &mut notes).expect("good parameters");
    for (labels, values) in inputs {
        let column = Column::from_floats(Labels::from_pairs(labels), values.to_vec());
        aggregation.push(column, &mut notes).expect("within budget");
    }
    let mut got: Vec<String> = aggregation
        .finish(&mut notes)
        .iter()
        .map(|c| {
            let cells: Vec<String> = (0..3).map(|i| c.float(i).map_or("_".into(), plain)).collect();
            format!("{} {}", c.labels, cells.join(" "))
        })
        .collect();
    got.sort();
    assert_eq!(got, want, "{op:?}");
}

fn by(labels: &[&str]) -> Grouping {
    Grouping { without: false, labels: labels.iter().map(|l| (*l).to_owned()).collect() }
}

#[test]
fn groups_fold() {
    let none = || Param::None;
    check(Op::Sum, by(&[]), none(), &["{} 6 6 7"]);
    check(Op::Sum, by(&["g"]), none(), &[r#"{g="a"} 3 6 _"#, r#"{g="b"} 3 _ 7"#]);
    check(Op::Avg, by(&["g"]), none(), &[r#"{g="a"} 1.5 3 _"#, r#"{g="b"} 3 _ 7"#]);
    check(
        Op::Sum,
        Grouping { without: true, labels: vec!["i".into()] },
        none(),
        &[r#"{g="a"} 3 6 _"#, r#"{g="b"} 3 _ 7"#],
    );
    check(Op::Min, by(&[]), none(), &["{} 1 2 7"]);
    check(Op::Max, by(&[]), none(), &["{} 3 4 7"]);
    check(Op::Count, by(&[]), none(), &["{} 3 2 1"]);
    check(Op::Group, by(&[]), none(), &["{} 1 1 1"]);
    check(Op::Stdvar, by(&["g"]), none(), &[r#"{g="a"} 0.25 1 _"#, r#"{g="b"} 0 _ 0"#]);
    check(Op::Stddev, by(&["g"]), none(), &[r#"{g="a"} 0.5 1 _"#, r#"{g="b"} 0 _ 0"#]);
    check(Op::Quantile, by(&[]), Param::Numbers(vec![0.5; 3]), &["{} 2 3 7"]);
}

#[test]
fn values_are_counted() {
    let want = [r#"{v="1"} 1 _ _"#, r#"{v="2"} 1 1 _"#, r#"{v="3"} 1 _ _"#, r#"{v="4"} _ 1 _"#, r#"{v="7"} _ _ 1"#];
    check(Op::CountValues, by(&[]), Param::Label("v".into()), &want);
}

#[test]
fn series_are_picked() {
    let (one, two, three) =
        (r#"{__name__="m", g="a", i="1"}"#, r#"{__name__="m", g="a", i="2"}"#, r#"{__name__="m", g="b", i="3"}"#);
    let k = |k: f64| Param::Numbers(vec![k; 3]);
    check(Op::TopK, by(&[]), k(1.0), &[&format!("{one} _ 4 _"), &format!("{three} 3 _ 7")]);
    check(
        Op::BottomK,
        by(&["g"]),
        k(1.0),
        &[&format!("{one} 1 _ _"), &format!("{two} _ 2 _"), &format!("{three} 3 _ 7")],
    );
    check(Op::LimitK, by(&[]), k(1.0), &[&format!("{one} 1 4 _"), &format!("{three} _ _ 7")]);
    check(Op::LimitRatio, by(&[]), k(0.0), &[]);
    check(
        Op::LimitRatio,
        by(&[]),
        k(-1.0),
        &[&format!("{one} 1 4 _"), &format!("{two} 2 2 _"), &format!("{three} 3 _ 7")],
    );
    check(Op::TopK, by(&[]), k(0.5), &[]);
}

#[test]
fn bad_parameters_are_refused() {
    let budget = Budget::new(1 << 20, &|| false);
    let refused =
        |op, number| Aggregation::new(op, by(&[]), Param::Numbers(vec![number]), 1, &budget, &mut |_| {}).is_err();
    assert!(refused(Op::TopK, f64::NAN));
    assert!(refused(Op::TopK, 1e30));
    assert!(refused(Op::LimitRatio, f64::NAN));
    assert!(!refused(Op::Quantile, 7.0));
}

fn series(values: &[(u8, Option<f64>)]) -> Vec<Column> {
    let column = |(at, cells): (usize, &[(u8, Option<f64>)])| {
        let labels = [("__name__", "m".to_owned()), ("g", (cells[0].0 % 3).to_string()), ("i", at.to_string())];
        let mut column = Column::new(Labels::from_pairs(labels), 3);
        for (step, (kind, value)) in cells.iter().enumerate() {
            match value {
                Some(sum) if kind % 8 == 0 => {
                    let native = Native { count: 1.0, sum: *sum, positive: vec![(1, 1.0)], ..Native::default() };
                    column.set_histogram(step, Arc::new(native));
                }
                Some(value) => column.set(step, *value),
                None => {}
            }
        }
        column
    };
    values.chunks_exact(3).enumerate().map(column).collect()
}

fn mergeable() -> impl Strategy<Value = (Op, Param)> {
    let ops: Vec<Op> = Op::ALL.into_iter().filter(|op| op.is_mergeable()).collect();
    (prop::sample::select(ops), 0..4u8).prop_map(|(op, k)| match op {
        Op::CountValues => (op, Param::Label("v".into())),
        op if op.has_param() => {
            (op, Param::Numbers(vec![f64::from(k) / if op == Op::LimitRatio { 3.0 } else { 1.0 }; 3]))
        }
        op => (op, Param::None),
    })
}

/// Without the last digits, in which sums differ.
fn text(column: &Column) -> String {
    let cell = |step| match column.get(step) {
        Cell::Absent => "_".to_owned(),
        Cell::Float(value) => format!("{value:.9e}"),
        Cell::Histogram(histogram) => histogram.text(),
    };
    format!("{} {} {} {} {}", column.labels, column.drop_name, cell(0), cell(1), cell(2))
}

proptest! {
    #[test]
    fn it_does_not_matter_who_aggregates_what(
        cells in prop::collection::vec((any::<u8>(), prop::option::of((-3..4i8).prop_map(f64::from))), 0..60),
        homes in prop::collection::vec(0..3usize, 20),
        (op, param) in mergeable(),
        (without, by) in (any::<bool>(), any::<bool>()),
    ) {
        let budget = Budget::new(1 << 20, &|| false);
        let grouping = || Grouping { without, labels: if by { vec!["g".into()] } else { Vec::new() } };
        let new = || Aggregation::new(op, grouping(), param.clone(), 3, &budget, &mut |_| {}).expect("good parameters");
        let (mut alone, mut several) = (new(), [new(), new(), new()]);
        for (column, home) in series(&cells).into_iter().zip(homes) {
            alone.push(column.clone(), &mut |_| {}).expect("fits");
            several[home].push(column, &mut |_| {}).expect("fits");
        }
        let mut all = new();
        for part in several {
            part.parts(&mut |part| all.take(&part, &mut |_| {})).expect("takes");
        }
        let told = |aggregation: Aggregation<'_>| {
            let mut all: Vec<String> = aggregation.finish(&mut |_| {}).iter().map(text).collect();
            all.sort();
            all
        };
        prop_assert_eq!(told(all), told(alone));
    }

    #[test]
    fn strange_parts_are_refused(part in prop::collection::vec(any::<u8>(), 1..200), op in prop::sample::select(Op::ALL.to_vec())) {
        let budget = Budget::new(1 << 20, &|| false);
        let param = Param::Numbers(vec![1.0; 3]);
        let mut aggregation = Aggregation::new(op, Grouping::default(), param, 3, &budget, &mut |_| {}).expect("good");
        let _ = aggregation.take(&part, &mut |_| {});
        aggregation.finish(&mut |_| {});
    }
}

#[test]
fn parts_of_another_aggregation_are_refused() {
    let budget = Budget::new(1 << 20, &|| false);
    let of =
        |op, steps| Aggregation::new(op, by(&[]), Param::None, steps, &budget, &mut |_| {}).expect("no parameters");
    let mut sum = of(Op::Sum, 2);
    sum.push(Column::from_floats(Labels::empty(), vec![1.0, 2.0]), &mut |_| {}).expect("fits");
    let mut parts = Vec::new();
    let keep = &mut |part| {
        parts.push(part);
        Ok(())
    };
    sum.parts(keep).expect("writes");
    let taken = |op, steps| of(op, steps).take(&parts[0], &mut |_| {}).map_err(|error| error.to_string());
    assert_eq!(taken(Op::Sum, 2), Ok(()));
    for (op, steps) in [(Op::Sum, 3), (Op::Avg, 2), (Op::Max, 2)] {
        assert!(taken(op, steps).is_err_and(|text| text.contains("another operation or number of steps")), "{op:?}");
    }
    assert!(of(Op::Sum, 2).take(&parts[0][..parts[0].len() - 1], &mut |_| {}).is_err());
}
