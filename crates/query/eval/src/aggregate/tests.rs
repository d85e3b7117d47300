//! Aggregations over a handful of columns.

use super::*;
use crate::column::ABSENT;

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
