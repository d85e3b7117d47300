//! label_replace, label_join, and the order of label values.

use crate::{
    ast::{Expr, Kind},
    engine::{Engine, Sink},
    lexer::go_quote,
};
use eval::{
    EvalError,
    column::{Column, Grid},
    merged::Merged,
};
use model::{Labels, labels::METRIC_NAME};
use regex::Regex;
use std::cmp::Ordering;

/// The largest compiled regular expression, in bytes.
const REGEX_SIZE: usize = 4 << 20;

/// A string argument.
pub(super) fn text(expr: &Expr) -> String {
    match &expr.inner().kind {
        Kind::String(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

fn label_name(expr: &Expr, what: &str, function: &str) -> Result<String, EvalError> {
    let Kind::String(bytes) = &expr.inner().kind else {
        return Err(EvalError::unsupported(format!("a computed string in {function}()")));
    };
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(EvalError::execution(format!(
            "invalid {what} label name in {function}(): {}",
            String::from_utf8_lossy(bytes)
        ))),
    }
}

impl Engine<'_> {
    pub(super) fn label_replace(&self, args: &[Expr], grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        let [vector, to, template, from, pattern] = args else {
            return Err(EvalError::execution("label_replace needs five arguments"));
        };
        let (from, template, pattern) = (text(from), text(template), text(pattern));
        let to = label_name(to, "destination", "label_replace")?;
        let regex = regex::RegexBuilder::new(&format!("^(?s:{pattern})$"))
            .size_limit(REGEX_SIZE)
            .build()
            .map_err(|_| EvalError::execution(format!("invalid regular expression in label_replace(): {pattern}")))?;
        self.relabel(vector, &to, grid, sink, |labels| replaced(labels, &regex, &template, &from))
    }

    pub(super) fn label_join(&self, args: &[Expr], grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        let [vector, to, separator, from @ ..] = args else {
            return Err(EvalError::execution("label_join needs at least three arguments"));
        };
        let to = label_name(to, "destination", "label_join")?;
        let separator = text(separator);
        let from = from.iter().map(|f| label_name(f, "source", "label_join")).collect::<Result<Vec<String>, _>>()?;
        self.relabel(vector, &to, grid, sink, |labels| {
            let values: Vec<&str> = from.iter().map(|name| labels.value(name)).collect();
            Some(values.join(&separator))
        })
    }

    /// Sets the label `to` of every series to what `value` says, if anything. Series may not become equal.
    fn relabel(
        &self,
        vector: &Expr,
        to: &str,
        grid: Grid,
        sink: Sink<'_>,
        value: impl Fn(&Labels) -> Option<String>,
    ) -> Result<(), EvalError> {
        let mut merged = Merged::new(self.budget);
        self.stream(vector, grid, &mut |mut column: Column| {
            if let Some(value) = value(&column.labels) {
                column.labels = column.labels.with(to, &value);
                if to == METRIC_NAME {
                    column.drop_name = false;
                }
            }
            merged.push(column)
        })?;
        merged.into_columns().into_iter().try_for_each(sink)
    }
}

/// The template with the groups that matched; nothing when the label does not match. Go and `regex` agree on what `$1`
/// and `${name}` mean.
fn replaced(labels: &Labels, regex: &Regex, template: &str, from: &str) -> Option<String> {
    let captures = regex.captures(labels.value(from))?;
    let mut value = String::new();
    captures.expand(template, &mut value);
    Some(value)
}

/// How people sort names with numbers: `a2` before `a10`.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.chars().next(), b.chars().next()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
                let (left, right) = (&a[..digits(a)], &b[..digits(b)]);
                let (x, y) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (&a[left.len()..], &b[right.len()..]);
            }
            (Some(x), Some(y)) => {
                if x != y {
                    return x.cmp(&y);
                }
                (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
            }
        }
    }
}

/// A text in quotes, for messages.
pub(super) fn quoted(text: &str) -> String {
    go_quote(text.as_bytes())
}
