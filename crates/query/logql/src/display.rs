//! The canonical text of a query. `{:#}` gives one that always means the same: sizes are not rounded.

use crate::ast::*;
use crate::quantity::{show_bytes, show_float, show_go_duration, show_prometheus_duration};
use crate::quote::quote;
use model::Matcher;
use std::fmt::{Display, Formatter, Result};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Expr::Log(log) => log.fmt(f),
            Expr::Metric(metric) => metric.fmt(f),
        }
    }
}

fn matcher(m: &Matcher) -> String {
    format!("{}{}{}", m.name, m.op.symbol(), quote(&m.value))
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let matchers: Vec<String> = self.matchers.iter().map(matcher).collect();
        write!(f, "{{{}}}", matchers.join(", "))?;
        for stage in &self.stages {
            f.write_str(" ")?;
            stage.fmt(f)?;
        }
        Ok(())
    }
}

fn extractions(list: &[Extraction]) -> String {
    let list: Vec<String> = list.iter().map(|e| format!("{}={}", e.name, quote(&e.expression))).collect();
    if list.is_empty() { String::new() } else { format!(" {}", list.join(",")) }
}

fn selectors(list: &[LabelSelector]) -> String {
    let list: Vec<String> = list
        .iter()
        .map(|label| match label {
            LabelSelector::Name(name) => name.clone(),
            LabelSelector::Matching(m) => matcher(m),
        })
        .collect();
    list.join(",")
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Stage::Line(filter) => filter.fmt(f),
            Stage::Json(list) => write!(f, "| json{}", extractions(list)),
            Stage::Logfmt { strict, keep_empty, extractions: list } => {
                let strict = if *strict { " --strict" } else { "" };
                let keep = if *keep_empty { " --keep-empty" } else { "" };
                write!(f, "| logfmt{strict}{keep}{}", extractions(list))
            }
            Stage::Regexp(text) => write!(f, "| regexp {}", quote(text)),
            Stage::Pattern(text) => write!(f, "| pattern {}", quote(text)),
            Stage::Unpack => f.write_str("| unpack"),
            Stage::Label(filter) => {
                f.write_str("| ")?;
                filter.fmt(f)
            }
            Stage::LineFormat(text) => write!(f, "| line_format {}", quote(text)),
            Stage::LabelFormat(list) => {
                let list: Vec<String> = list
                    .iter()
                    .map(|format| match &format.value {
                        FormatValue::Rename(from) => format!("{}={from}", format.name),
                        FormatValue::Template(text) => format!("{}={}", format.name, quote(text)),
                    })
                    .collect();
                write!(f, "| label_format {}", list.join(","))
            }
            Stage::Drop(list) => write!(f, "| drop {}", selectors(list)),
            Stage::Keep(list) => write!(f, "| keep {}", selectors(list)),
            Stage::Decolorize => f.write_str("| decolorize"),
        }
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let list: Vec<String> = self
            .alternatives
            .iter()
            .map(|alternative| match alternative {
                LineMatch::Text(text) => quote(text),
                LineMatch::Ip(text) => format!("ip({})", quote(text)),
            })
            .collect();
        write!(f, "{} {}", self.op.symbol(), list.join(" or "))
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
                f.write_str("( ")?;
                left.fmt(f)?;
                f.write_str(if matches!(self, LabelFilter::And(..)) { " , " } else { " or " })?;
                right.fmt(f)?;
                f.write_str(" )")
            }
            LabelFilter::Text(m) => f.write_str(&matcher(m)),
            LabelFilter::Number { name, op, value } => write!(f, "{name}{}{}", op.symbol(), show_float(*value)),
            LabelFilter::Duration { name, op, value } => write!(f, "{name}{}{}", op.symbol(), show_go_duration(*value)),
            LabelFilter::Bytes { name, op, value } if f.alternate() => write!(f, "{name}{}{value}B", op.symbol()),
            LabelFilter::Bytes { name, op, value } => write!(f, "{name}{}{}", op.symbol(), show_bytes(*value)),
            LabelFilter::Ip { name, equal, pattern } => {
                write!(f, "{name}{}ip({})", if *equal { "=" } else { "!=" }, quote(pattern))
            }
        }
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.conversion {
            None => write!(f, "| unwrap {}", self.label)?,
            Some(Conversion::Bytes) => write!(f, "| unwrap bytes({})", self.label)?,
            Some(Conversion::Duration) => write!(f, "| unwrap duration({})", self.label)?,
            Some(Conversion::DurationSeconds) => write!(f, "| unwrap duration_seconds({})", self.label)?,
        }
        for filter in &self.filters {
            f.write_str(" | ")?;
            filter.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} ({})", if self.without { "without" } else { "by" }, self.labels.join(","))
    }
}

impl Display for Metric {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Metric::Literal(value) => f.write_str(&show_float(*value)),
            Metric::Vector(value) => write!(f, "vector({value:.6})"),
            Metric::Range(range) => range.fmt(f),
            Metric::Aggregation(aggregation) => aggregation.fmt(f),
            Metric::Binary(binary) => binary.fmt(f),
            Metric::LabelReplace(replace) => write!(
                f,
                "label_replace({},{},{},{},{})",
                replace.inner,
                quote(&replace.destination),
                quote(&replace.replacement),
                quote(&replace.source),
                quote(&replace.regex)
            ),
        }
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}(", self.op.name())?;
        if let Some(param) = self.param {
            write!(f, "{},", show_float(param))?;
        }
        self.log.fmt(f)?;
        if let Some(unwrap) = &self.unwrap {
            f.write_str(" ")?;
            unwrap.fmt(f)?;
        }
        write!(f, "[{}]", show_prometheus_duration(self.range))?;
        if self.offset != 0 {
            write!(f, " offset {}", show_go_duration(self.offset))?;
        }
        f.write_str(")")?;
        match &self.grouping {
            Some(grouping) => write!(f, " {grouping}"),
            None => Ok(()),
        }
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.op.name())?;
        if let Some(grouping) = self.grouping.as_ref().filter(|g| g.without || !g.labels.is_empty()) {
            write!(f, " {grouping}")?;
        }
        match self.param {
            Some(param) => write!(f, "({param},{})", self.inner),
            None => write!(f, "({})", self.inner),
        }
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "({} {}", self.left, self.op.symbol())?;
        if self.returns_bool {
            f.write_str(" bool")?;
        }
        if let Some(matching) = &self.matching {
            write!(f, " {} ({}) ", if matching.on { "on" } else { "ignoring" }, matching.labels.join(","))?;
            if let Some(group) = &matching.group {
                f.write_str(if group.left { "group_left" } else { "group_right" })?;
                if !group.include.is_empty() {
                    write!(f, " ({})", group.include.join(","))?;
                }
            }
        }
        write!(f, " {})", self.right)
    }
}
