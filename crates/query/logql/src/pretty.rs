//! The text of a query over several lines, as `format_query` answers it.

use crate::ast::*;
use crate::quantity::{show_float, show_prometheus_duration};
use crate::quote::quote;

/// What is not longer than this stays on one line.
const WIDTH: usize = 100;

impl Expr {
    /// The canonical text, with what is longer than 100 characters spread over lines.
    pub fn pretty(&self) -> String {
        match self {
            Expr::Log(log) => log_lines(log, 0),
            Expr::Metric(metric) => metric_lines(metric, 0),
        }
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn fits(text: &str) -> bool {
    text.chars().count() <= WIDTH
}

fn log_lines(log: &LogExpr, level: usize) -> String {
    let whole = log.to_string();
    if fits(&whole) {
        return format!("{}{whole}", indent(level));
    }
    let selector = LogExpr { matchers: log.matchers.clone(), stages: Vec::new() };
    let mut out = format!("{}{selector}", indent(level));
    for stage in &log.stages {
        out.push_str(&format!("\n{}{stage}", indent(level + 1)));
    }
    out
}

fn metric_lines(metric: &Metric, level: usize) -> String {
    let whole = metric.to_string();
    if fits(&whole) {
        return format!("{}{whole}", indent(level));
    }
    match metric {
        Metric::Literal(_) | Metric::Vector(_) => format!("{}{whole}", indent(level)),
        Metric::Range(range) => range_lines(range, level),
        Metric::Aggregation(aggregation) => {
            let grouping = aggregation.grouping.as_ref().filter(|g| g.without || !g.labels.is_empty());
            let head = format!("{}{}", aggregation.op.name(), grouping.map(grouping_text).unwrap_or_default());
            let param = aggregation.param.map(|param| param.to_string());
            call(&head, param, &metric_lines(&aggregation.inner, level + 1), level)
        }
        Metric::Binary(binary) => {
            let (left, right) = (metric_lines(&binary.left, level + 1), metric_lines(&binary.right, level + 1));
            format!("{left}\n{}{}\n{right}", indent(level), operator_text(binary))
        }
        Metric::LabelReplace(replace) => {
            let texts = [&replace.destination, &replace.replacement, &replace.source, &replace.regex];
            let texts: Vec<String> = texts.iter().map(|text| format!("{}{}", indent(level + 1), quote(text))).collect();
            let inner = metric_lines(&replace.inner, level + 1);
            format!("{}label_replace(\n{inner},\n{}\n{})", indent(level), texts.join(",\n"), indent(level))
        }
    }
}

fn range_lines(range: &RangeAggregation, level: usize) -> String {
    let mut inner = log_lines(&range.log, level + 1);
    if let Some(unwrap) = &range.unwrap {
        let head = Unwrap { filters: Vec::new(), ..unwrap.clone() };
        inner.push_str(&format!("\n{}{head}", indent(level + 2)));
        for filter in &unwrap.filters {
            inner.push_str(&format!("\n{}| {filter}", indent(level + 2)));
        }
    }
    inner.push_str(&format!(" [{}]", show_prometheus_duration(range.range)));
    if range.offset != 0 {
        let sign = if range.offset < 0 { "-" } else { "" };
        inner.push_str(&format!(" offset {sign}{}", show_prometheus_duration(range.offset)));
    }
    let text = call(range.op.name(), range.param.map(show_float), &inner, level);
    format!("{text}{}", range.grouping.as_ref().map(grouping_text).unwrap_or_default())
}

/// `head(`, the parameter and what is inside on lines of their own, `)`.
fn call(head: &str, param: Option<String>, inner: &str, level: usize) -> String {
    let param = param.map(|param| format!("{}{param},\n", indent(level + 1))).unwrap_or_default();
    format!("{}{head}(\n{param}{inner}\n{})", indent(level), indent(level))
}

fn grouping_text(grouping: &Grouping) -> String {
    format!(" {} ({})", if grouping.without { "without" } else { "by" }, grouping.labels.join(", "))
}

fn operator_text(binary: &Binary) -> String {
    let mut out = binary.op.symbol().to_owned();
    if binary.returns_bool {
        out.push_str(" bool");
    }
    if let Some(matching) = &binary.matching {
        out.push_str(&format!(" {} ({}) ", if matching.on { "on" } else { "ignoring" }, matching.labels.join(", ")));
        if let Some(group) = &matching.group {
            out.push_str(if group.left { "group_left" } else { "group_right" });
            if !group.include.is_empty() {
                out.push_str(&format!(" ({})", group.include.join(", ")));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn check(query: &str, want: &[&str]) {
        let expr = parse(query).expect(query);
        assert_eq!(expr.pretty().lines().collect::<Vec<_>>(), want);
        assert_eq!(parse(&expr.pretty()).as_ref(), Ok(&expr), "read back alike");
    }

    #[test]
    fn long_queries_are_spread_over_lines() {
        check(r#"sum(rate({a="b"}[1m]))"#, &[r#"sum(rate({a="b"}[1m]))"#]);
        let long = "x".repeat(80);
        check(
            &format!(
                r#"topk(3, sum by (a) (max_over_time({{a="b"}} | json | c="{long}" | unwrap d | e="f" [5m] offset -1m) by (a, g)))"#
            ),
            &[
                "topk(",
                "  3,",
                "  sum by (a)(",
                "    max_over_time(",
                "      {a=\"b\"}",
                "        | json",
                &format!("        | c=\"{long}\""),
                "        | unwrap d",
                "        | e=\"f\" [5m] offset -1m",
                "    ) by (a, g)",
                "  )",
                ")",
            ],
        );
        check(
            &format!(
                r#"label_replace(rate({{a="{long}"}}[1m]), "x", "$1", "a", "(.*)") > bool on () group_left (b) vector(1)"#
            ),
            &[
                "  label_replace(",
                &format!("    rate({{a=\"{long}\"}}[1m]),"),
                "    \"x\",",
                "    \"$1\",",
                "    \"a\",",
                "    \"(.*)\"",
                "  )",
                "> bool on () group_left (b)",
                "  vector(1.000000)",
            ],
        );
    }
}
