//! Vector matching over a handful of columns.

use super::{
    matching::{Join, Style},
    sets::Present,
    *,
};
use crate::{
    budget::Budget,
    column::{ABSENT, Column},
    merged::Merged,
    number::plain,
};
use model::Labels;

type Side<'a> = &'a [(&'a [(&'a str, &'a str)], [f64; 2])];

fn columns(side: Side<'_>) -> Vec<Column> {
    side.iter()
        .map(|(labels, values)| Column::from_floats(Labels::from_pairs(labels.iter().copied()), values.to_vec()))
        .collect()
}

fn join(op: Op, matching: &Matching, left: Side<'_>, right: Side<'_>) -> Result<Vec<String>, String> {
    let budget = Budget::new(1 << 20, &|| false);
    let mut join = Join::new(Style { op, truth: false, delay_names: false }, matching, 2, &budget);
    let mut merged = Merged::new(&budget);
    let (one, many) = if matching.one_is_left() { (left, right) } else { (right, left) };
    for column in columns(one) {
        join.push_one(column).map_err(|e| e.to_string())?;
    }
    for column in columns(many) {
        join.push_many(&column, &mut |_| {}, &mut |c| merged.push(c)).map_err(|e| e.to_string())?;
    }
    join.finish(&mut |_| {}, &mut |c| merged.push(c)).map_err(|e| e.to_string())?;
    let mut out: Vec<String> = merged.into_columns().iter().map(text).collect();
    out.sort();
    Ok(out)
}

fn text(column: &Column) -> String {
    let cells: Vec<String> = (0..2).map(|i| column.float(i).map_or("_".into(), plain)).collect();
    format!("{} {}", column.labels, cells.join(" "))
}

fn on(labels: &[&str], cardinality: Cardinality) -> Matching {
    Matching { cardinality, on: true, labels: labels.iter().map(|l| (*l).into()).collect(), ..Matching::default() }
}

const LEFT: Side<'static> =
    &[(&[("__name__", "l"), ("a", "1")], [1.0, 2.0]), (&[("__name__", "l"), ("a", "2")], [3.0, ABSENT])];
const RIGHT: Side<'static> =
    &[(&[("__name__", "r"), ("a", "1")], [10.0, 20.0]), (&[("__name__", "r"), ("a", "3")], [5.0, 5.0])];

#[test]
fn one_to_one() {
    let check = |op, matching: Matching, want: &[&str]| {
        assert_eq!(join(op, &matching, LEFT, RIGHT), Ok(want.iter().map(|s| (*s).to_owned()).collect()));
    };
    check(Op::Add, Matching::default(), &[r#"{a="1"} 11 22"#]);
    check(Op::Add, on(&["a"], Cardinality::OneToOne), &[r#"{a="1"} 11 22"#]);
    check(Op::Less, Matching::default(), &[r#"{__name__="l", a="1"} 1 2"#]);
    check(Op::Greater, Matching::default(), &[]);
    let fill = Matching { fill_left: Some(0.0), fill_right: Some(0.0), ..Matching::default() };
    check(Op::Add, fill, &[r#"{a="1"} 11 22"#, r#"{a="2"} 3 _"#, r#"{a="3"} 5 5"#]);
}

#[test]
fn ambiguous_matches_are_errors() {
    let twice: Side<'_> = &[(&[("a", "1"), ("b", "1")], [1.0, 1.0]), (&[("a", "1"), ("b", "2")], [1.0, 1.0])];
    let error = join(Op::Add, &on(&["a"], Cardinality::OneToOne), twice, RIGHT).expect_err("two on the left");
    assert!(error.contains("many-to-one matching must be explicit"), "{error}");
    let error = join(Op::Add, &on(&["a"], Cardinality::OneToOne), LEFT, twice).expect_err("two on the right");
    assert!(error.contains("found duplicate series for the match group"), "{error}");
}

#[test]
fn many_to_one_takes_labels_along() {
    let many: Side<'_> = &[(&[("a", "1"), ("b", "1")], [1.0, 1.0]), (&[("a", "1"), ("b", "2")], [2.0, 2.0])];
    let one: Side<'_> = &[(&[("a", "1"), ("c", "x")], [10.0, ABSENT]), (&[("a", "1"), ("c", "y")], [ABSENT, 20.0])];
    let matching = Matching { include: vec!["c".into()], ..on(&["a"], Cardinality::ManyToOne) };
    let want = [
        r#"{a="1", b="1", c="x"} 11 _"#,
        r#"{a="1", b="1", c="y"} _ 21"#,
        r#"{a="1", b="2", c="x"} 12 _"#,
        r#"{a="1", b="2", c="y"} _ 22"#,
    ];
    assert_eq!(join(Op::Add, &matching, many, one), Ok(want.map(str::to_owned).to_vec()));
    let turned = Matching { cardinality: Cardinality::OneToMany, ..matching };
    assert_eq!(join(Op::Add, &turned, one, many), Ok(want.map(str::to_owned).to_vec()));
}

#[test]
fn sets() {
    let check = |op, want: &[&str]| {
        let budget = Budget::new(1 << 20, &|| false);
        let matching = Matching::default();
        let mut present = Present::new(&matching, &budget);
        let (noted, filtered) = if op == Op::Or { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
        columns(noted).iter().for_each(|c| present.note(c).expect("within budget"));
        let mut out = columns(filtered);
        out.iter_mut().for_each(|c| present.filter(op, c));
        let out: Vec<String> = out.iter().filter(|c| !c.is_empty()).map(text).collect();
        assert_eq!(out, want, "{op:?}");
    };
    check(Op::And, &[r#"{__name__="l", a="1"} 1 2"#]);
    check(Op::Unless, &[r#"{__name__="l", a="2"} 3 _"#]);
    check(Op::Or, &[r#"{__name__="r", a="3"} 5 5"#]);
}
