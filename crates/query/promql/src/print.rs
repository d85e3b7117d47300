//! Writes a parsed query as Prometheus does: on one line (`Display`), or over several where it is long ([`pretty`]).

use crate::{
    ast::{At, Edges, Expr, Kind, Selector, Shift, Span, SpanKind, Subquery, Type},
    lexer::go_quote,
};
use eval::{
    aggregate::{Grouping, Op},
    binary::{self, Cardinality, Matching},
    number::plain,
};
use model::{MatchOp, Matcher, labels::METRIC_NAME};
use std::fmt::{self, Display, Formatter, Write};

/// What does not fit into one line of so many bytes is split.
const LINE: usize = 100;
const INDENT: &str = "  ";

/// What `format_query` answers.
pub fn pretty(expr: &Expr) -> String {
    expr.pretty(0)
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Number(value) => f.write_str(&plain(*value)),
            Kind::String(text) => f.write_str(&go_quote(text)),
            Kind::Paren(inner) => write!(f, "({inner})"),
            Kind::Negate(inner) => write!(f, "-{inner}"),
            Kind::Plus(inner) => write!(f, "+{inner}"),
            Kind::Selector(selector) => selector.write(f, None),
            Kind::Range(selector, range) => selector.write(f, Some(range)),
            Kind::Subquery(subquery) => write!(f, "{}{}", subquery.expr, Suffix(subquery)),
            Kind::Call { function, args } => {
                write!(f, "{}(", function.name)?;
                list(f, args, |f, arg| write!(f, "{arg}"))?;
                f.write_char(')')
            }
            Kind::Aggregate { op, grouping, param, arg } => {
                write!(f, "{}(", Head(*op, grouping))?;
                if let Some(param) = param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{arg})")
            }
            Kind::Binary { op, left, right, .. } => {
                write!(f, "{} {} {right}", unsigned(*op, left.to_string()), Operator(self))
            }
        }
    }
}

impl Expr {
    fn pretty(&self, level: usize) -> String {
        let pad = INDENT.repeat(level);
        let line = self.to_string();
        let fits = line.len() <= LINE;
        match &self.kind {
            Kind::Negate(inner) => format!("{pad}-{}", inner.pretty(level).trim()),
            Kind::Plus(inner) => format!("{pad}+{}", inner.pretty(level).trim()),
            Kind::Subquery(_) if fits => line,
            Kind::Subquery(subquery) => format!("{}{}", subquery.expr.pretty(level), Suffix(subquery)),
            _ if fits => pad + &line,
            Kind::Paren(inner) => format!("{pad}(\n{}\n{pad})", inner.pretty(level + 1)),
            Kind::Call { function, args } => {
                let args: Vec<String> = args.iter().map(|arg| arg.pretty(level + 1)).collect();
                format!("{pad}{}(\n{}\n{pad})", function.name, args.join(",\n"))
            }
            Kind::Aggregate { op, grouping, param, arg } => {
                let param = param.as_ref().map_or_else(String::new, |param| param.pretty(level + 1) + ",\n");
                format!("{pad}{}(\n{param}{}\n{pad})", Head(*op, grouping), arg.pretty(level + 1))
            }
            Kind::Binary { op, left, right, .. } => {
                let left = unsigned(*op, left.pretty(level + 1));
                format!("{left}\n{pad}{}\n{}", Operator(self), right.pretty(level + 1))
            }
            Kind::Number(_) | Kind::String(_) | Kind::Selector(_) | Kind::Range(..) => pad + &line,
        }
    }
}

/// A number to the left of `^` without its sign, which would be that of the power.
fn unsigned(op: binary::Op, left: String) -> String {
    match (op, left.trim_start().starts_with("+Inf")) {
        (binary::Op::Pow, true) => left.replacen("+Inf", "Inf", 1),
        _ => left,
    }
}

/// `sum by (a) `
struct Head<'a>(Op, &'a Grouping);

impl Display for Head<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())?;
        let word = match self.1 {
            Grouping { without: true, .. } => "without",
            grouping if grouping.labels.is_empty() => return Ok(()),
            _ => "by",
        };
        write!(f, " {word} (")?;
        names(f, &self.1.labels)?;
        f.write_str(") ")
    }
}

/// The operator of a binary expression with its modifiers.
struct Operator<'a>(&'a Expr);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Kind::Binary { op, left, right, truth, matching } = &self.0.kind else { return Ok(()) };
        f.write_str(op.symbol())?;
        if *truth {
            f.write_str(" bool")?;
        }
        if (left.kind_type(), right.kind_type()) != (Type::Vector, Type::Vector) {
            return Ok(());
        }
        let Matching { cardinality, on, labels, include, fill_left, fill_right } = matching;
        let grouped = match cardinality {
            Cardinality::ManyToOne => Some("left"),
            Cardinality::OneToMany => Some("right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if *on || !labels.is_empty() || grouped.is_some() {
            f.write_str(if *on { " on (" } else { " ignoring (" })?;
            names(f, labels)?;
            f.write_char(')')?;
        }
        if let Some(side) = grouped {
            write!(f, " group_{side} (")?;
            names(f, include)?;
            f.write_char(')')?;
        }
        match (fill_left, fill_right) {
            (Some(left), Some(right)) if left == right => write!(f, " fill ({})", plain(*left)),
            (left, right) => {
                left.map_or(Ok(()), |left| write!(f, " fill_left ({})", plain(left)))?;
                right.map_or(Ok(()), |right| write!(f, " fill_right ({})", plain(right)))
            }
        }
    }
}

impl Selector {
    /// The metric's name, where an equality says it.
    pub fn name(&self) -> Option<&str> {
        let named = |m: &&Matcher| m.name == METRIC_NAME && m.op == MatchOp::Equal && !m.value.is_empty();
        self.matchers.iter().find(named).map(|m| m.value.as_str())
    }

    fn write(&self, f: &mut Formatter<'_>, range: Option<&Span>) -> fmt::Result {
        let name = self.name().filter(|name| is_metric_name(name));
        f.write_str(name.unwrap_or_default())?;
        let is_name = |m: &Matcher| m.name == METRIC_NAME && m.op == MatchOp::Equal && Some(m.value.as_str()) == name;
        let mut conditions: Vec<String> = self.matchers.iter().filter(|m| !is_name(m)).map(condition).collect();
        if !conditions.is_empty() {
            conditions.sort();
            write!(f, "{{{}}}", conditions.join(","))?;
        }
        let edges = match self.edges {
            Edges::Plain => "",
            Edges::Anchored => " anchored",
            Edges::Smoothed => " smoothed",
        };
        match range {
            Some(range) => write!(f, "[{range}]{edges}{}", self.shift),
            None => write!(f, "{}{edges}{}", When(&self.shift), Offset(&self.shift)),
        }
    }
}

fn condition(matcher: &Matcher) -> String {
    let mut text = String::new();
    let name = if is_label_name(&matcher.name) { matcher.name.clone() } else { go_quote(matcher.name.as_bytes()) };
    write!(text, "{name}{}{}", matcher.op.symbol(), go_quote(matcher.value.as_bytes()))
        .expect("writing to a string does not fail");
    text
}

/// `[1h:5m]` and when.
struct Suffix<'a>(&'a Subquery);

impl Display for Suffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        self.0.step.as_ref().map_or(Ok(()), |step| write!(f, "{step}"))?;
        write!(f, "]{}", self.0.shift)
    }
}

impl Display for Shift {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", When(self), Offset(self))
    }
}

struct When<'a>(&'a Shift);

impl Display for When<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.at {
            None => Ok(()),
            Some(At::Time(millis)) => write!(f, " @ {:.3}", millis as f64 / 1000.0),
            Some(At::Start) => f.write_str(" @ start()"),
            Some(At::End) => f.write_str(" @ end()"),
        }
    }
}

struct Offset<'a>(&'a Shift);

impl Display for Offset<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.offset {
            None => Ok(()),
            Some(Span { kind: SpanKind::Fixed(0.0), .. }) => Ok(()),
            Some(span) if matches!(span.kind, SpanKind::Binary(..)) => write!(f, " offset ({span})"),
            Some(span) => write!(f, " offset {span}"),
        }
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            // What a duration cannot say is said as a number, so that no two lengths are written alike.
            SpanKind::Fixed(seconds) if (seconds * 1000.0).fract() != 0.0 => f.write_str(&plain(*seconds)),
            SpanKind::Fixed(seconds) => f.write_str(&duration(*seconds)),
            SpanKind::Step => f.write_str("step()"),
            SpanKind::Range => f.write_str("range()"),
            SpanKind::Negate(inner) => write!(f, "-{}", Operand(inner)),
            SpanKind::Binary(op, a, b) => write!(f, "{} {} {}", Operand(a), op.symbol(), Operand(b)),
            SpanKind::Min(a, b) => write!(f, "min({a}, {b})"),
            SpanKind::Max(a, b) => write!(f, "max({a}, {b})"),
        }
    }
}

/// A length of time within another one: in parentheses where it is an operation itself.
struct Operand<'a>(&'a Span);

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            SpanKind::Binary(..) => write!(f, "({})", self.0),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// `1h30m`; years and weeks only where nothing is left of them.
pub fn duration(seconds: f64) -> String {
    const UNITS: [(&str, u64, bool); 7] = [
        ("y", 31_536_000_000, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ];
    let mut left = (seconds.abs() * 1000.0).round() as u64;
    let mut out = String::from(if seconds < 0.0 { "-" } else { "" });
    if left == 0 {
        return "0s".into();
    }
    for (unit, length, whole) in UNITS {
        if left >= length && (!whole || left.is_multiple_of(length)) {
            write!(out, "{}{unit}", left / length).expect("writing to a string does not fail");
            left %= length;
        }
    }
    out
}

fn names(f: &mut Formatter<'_>, labels: &[String]) -> fmt::Result {
    list(f, labels, |f, label| match is_label_name(label) {
        true => f.write_str(label),
        false => f.write_str(&go_quote(label.as_bytes())),
    })
}

fn list<T>(
    f: &mut Formatter<'_>,
    all: &[T],
    mut each: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (at, one) in all.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        each(f, one)?;
    }
    Ok(())
}

/// Whether a name needs no quotes.
fn is_label_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_metric_name(name: &str) -> bool {
    is_label_name(&name.replace(':', "_"))
}
