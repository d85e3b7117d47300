//! Checks types once a query is read.

use crate::{
    ast::{Expr, Kind, Selector, Type},
    error::ParseError,
    signature::Signature,
};
use eval::{aggregate, binary};

type Checked = Result<(), ParseError>;

/// Checks a whole tree.
pub fn check(expr: &Expr) -> Checked {
    match &expr.kind {
        Kind::Number(_) | Kind::String(_) => Ok(()),
        Kind::Paren(inner) => check(inner),
        Kind::Negate(inner) | Kind::Plus(inner) => {
            check(inner)?;
            match inner.kind_type() {
                Type::Scalar | Type::Vector => Ok(()),
                other => fail(
                    expr,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                        other.name()
                    ),
                ),
            }
        }
        Kind::Selector(selector) | Kind::Range(selector, _) => check_selector(expr, selector),
        Kind::Subquery(subquery) => {
            check(&subquery.expr)?;
            match subquery.expr.kind_type() {
                Type::Vector => Ok(()),
                other => {
                    fail(expr, format!("subquery is only allowed on instant vector, got {} instead", other.name()))
                }
            }
        }
        Kind::Call { function, args } => check_call(expr, function, args),
        Kind::Aggregate { op, param, arg, .. } => {
            expect(arg, Type::Vector, "aggregation expression")?;
            match param {
                Some(param) if *op == aggregate::Op::CountValues => {
                    expect(param, Type::String, "aggregation parameter")
                }
                Some(param) => expect(param, Type::Scalar, "aggregation parameter"),
                None => Ok(()),
            }
        }
        Kind::Binary { op, left, right, truth, matching } => {
            check(left)?;
            check(right)?;
            let (a, b) = (left.kind_type(), right.kind_type());
            let vectors = a == Type::Vector && b == Type::Vector;
            if *truth && !op.is_comparison() {
                return fail(expr, "bool modifier can only be used on comparison operators");
            }
            if op.is_comparison() && !truth && a == Type::Scalar && b == Type::Scalar {
                return fail(expr, "comparisons between scalars must use BOOL modifier");
            }
            for side in [left, right] {
                if !matches!(side.kind_type(), Type::Scalar | Type::Vector) {
                    return fail(side, "binary expression must contain only scalar and instant vector types");
                }
            }
            if op.is_set() && !vectors {
                return fail(expr, format!("set operator {:?} not allowed in binary scalar expression", op.symbol()));
            }
            let matches = matching.on || !matching.labels.is_empty() || !matching.include.is_empty();
            if !vectors && matches {
                return fail(expr, "vector matching only allowed between instant vectors");
            }
            if !vectors && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
                return fail(expr, "filling in missing series only allowed between instant vectors");
            }
            if matches!(op, binary::Op::TrimUpper | binary::Op::TrimLower) && a == Type::Scalar && b == Type::Scalar {
                return fail(expr, format!("operator {:?} not allowed for Scalar operations", op.symbol()));
            }
            Ok(())
        }
    }
}

fn fail(expr: &Expr, text: impl Into<String>) -> Checked {
    Err(ParseError { position: expr.at, text: text.into() })
}

fn expect(expr: &Expr, want: Type, context: &str) -> Checked {
    check(expr)?;
    let got = expr.kind_type();
    if got == want {
        return Ok(());
    }
    fail(expr, format!("expected type {} in {context}, got {}", want.name(), got.name()))
}

fn check_selector(expr: &Expr, selector: &Selector) -> Checked {
    if selector.matchers.iter().all(|m| m.matches_absent()) {
        return fail(expr, "vector selector must contain at least one non-empty matcher");
    }
    Ok(())
}

fn check_call(expr: &Expr, function: &Signature, args: &[Expr]) -> Checked {
    let (name, count) = (function.name, args.len());
    let (min, max) = (function.min_args(), function.max_args());
    if count < min || count > max {
        let want = match (min == max, count < min) {
            (true, _) => format!("{min}"),
            (_, true) => format!("at least {min}"),
            _ => format!("at most {max}"),
        };
        return fail(expr, format!("expected {want} argument(s) in call to {name:?}, got {count}"));
    }
    for (at, arg) in args.iter().enumerate() {
        if name == "info" && at == 1 {
            // A list of label matchers, which need not choose any series by themselves.
            match &arg.kind {
                Kind::Selector(_) => continue,
                _ => return fail(arg, format!("expected label selectors only in call to {name:?}")),
            }
        }
        if let Some(want) = function.arg(at) {
            expect(arg, want, &format!("call to function {name:?}"))?;
        }
    }
    Ok(())
}
