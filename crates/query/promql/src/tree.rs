//! A parsed query as JSON, in the shape that Prometheus's `parse_query` answers.

use crate::{
    ast::{At, Edges, Expr, Kind, Selector, Shift, Span, Type},
    signature::Optional,
};
use eval::{
    binary::{Cardinality, Matching},
    number::plain,
};
use serde_json::{Value as Json, json};

/// The tree below an expression. Lengths of time are milliseconds; those that depend on the query's times are 0.
pub fn json(expr: &Expr) -> Json {
    match &expr.kind {
        Kind::Number(value) => json!({"type": "numberLiteral", "val": plain(*value)}),
        Kind::String(text) => json!({"type": "stringLiteral", "val": String::from_utf8_lossy(text)}),
        Kind::Paren(inner) => json!({"type": "parenExpr", "expr": json(inner)}),
        Kind::Negate(inner) => json!({"type": "unaryExpr", "op": "-", "expr": json(inner)}),
        Kind::Plus(inner) => json!({"type": "unaryExpr", "op": "+", "expr": json(inner)}),
        Kind::Selector(found) => selector("vectorSelector", found),
        Kind::Range(found, range) => {
            let mut out = selector("matrixSelector", found);
            out["range"] = millis(range).into();
            out
        }
        Kind::Subquery(subquery) => json!({
            "type": "subquery",
            "expr": json(&subquery.expr),
            "range": millis(&subquery.range),
            "step": subquery.step.as_ref().map_or(0, millis),
            "offset": offset(&subquery.shift),
            "timestamp": timestamp(&subquery.shift),
            "startOrEnd": start_or_end(&subquery.shift),
        }),
        Kind::Call { function, args } => json!({
            "type": "call",
            "func": {
                "name": function.name,
                "argTypes": function.args.iter().map(|t| type_name(*t)).collect::<Vec<_>>(),
                "variadic": match function.optional {
                    Optional::None => 0,
                    Optional::Last => 1,
                    Optional::AnyOfLast => -1,
                    Optional::RepeatUpTo(max) => max as i64 - function.args.len() as i64,
                },
                "returnType": type_name(function.returns),
            },
            "args": args.iter().map(json).collect::<Vec<_>>(),
        }),
        Kind::Aggregate { op, grouping, param, arg } => json!({
            "type": "aggregation",
            "op": op.name(),
            "expr": json(arg),
            "param": param.as_ref().map(|param| json(param)),
            "grouping": grouping.labels,
            "without": grouping.without,
        }),
        Kind::Binary { op, left, right, truth, matching: given } => json!({
            "type": "binaryExpr",
            "op": op.symbol(),
            "lhs": json(left),
            "rhs": json(right),
            "matching": match (left.kind_type(), right.kind_type()) {
                (Type::Vector, Type::Vector) => matching(given),
                _ => Json::Null,
            },
            "bool": truth,
        }),
    }
}

fn matching(matching: &Matching) -> Json {
    json!({
        "card": match matching.cardinality {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        },
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    })
}

fn selector(kind: &str, selector: &Selector) -> Json {
    let matchers = selector.matchers.iter();
    let matchers: Vec<Json> =
        matchers.map(|m| json!({"name": m.name, "value": m.value, "type": m.op.symbol()})).collect();
    json!({
        "type": kind,
        "name": selector.name().unwrap_or_default(),
        "matchers": matchers,
        "offset": offset(&selector.shift),
        "timestamp": timestamp(&selector.shift),
        "startOrEnd": start_or_end(&selector.shift),
        "anchored": selector.edges == Edges::Anchored,
        "smoothed": selector.edges == Edges::Smoothed,
    })
}

fn millis(span: &Span) -> i64 {
    span.constant().map_or(0, |seconds| (seconds * 1000.0).round() as i64)
}

fn offset(shift: &Shift) -> i64 {
    shift.offset.as_ref().map_or(0, millis)
}

fn timestamp(shift: &Shift) -> Option<i64> {
    match shift.at {
        Some(At::Time(millis)) => Some(millis),
        _ => None,
    }
}

fn start_or_end(shift: &Shift) -> Option<&'static str> {
    match shift.at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        _ => None,
    }
}

fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Scalar => "scalar",
        Type::String => "string",
        Type::Vector => "vector",
        Type::Matrix => "matrix",
    }
}
