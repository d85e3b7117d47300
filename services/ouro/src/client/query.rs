//! `ouro query`: one PromQL or LogQL query, shown as a table.

use crate::args::Query;
use crate::client::answer::{Answer, Data, Element, Histogram, Range, lines, local_time, series_name};
use crate::client::http::Client;
use crate::client::table::{sparkline, table};
use anyhow::Context;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Logs,
    /// LogQL that answers numbers.
    LogMetrics,
    Metrics,
}

/// How many points a range query asks for.
const POINTS: u64 = 120;

pub async fn query(args: Query) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let language = match (args.logs, args.metrics) {
        (true, _) => as_logs(&args.query).unwrap_or(Language::Logs),
        (_, true) => Language::Metrics,
        _ => tell(&args.query),
    };
    let since = args.since.as_deref().map(settings::duration::parse).transpose().context("--since")?;
    let text = ask(&client, &args, language, since).await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", text.trim_end())?;
        return Ok(());
    }
    let answer: Answer = serde_json::from_str(&text).context("the answer cannot be read")?;
    for warning in answer.warnings.iter().chain(&answer.infos) {
        eprintln!("ouro: {warning}");
    }
    out.write_all(shown(answer.data).as_bytes())?;
    Ok(())
}

/// Tells LogQL from PromQL. What both could be is logs if it selects by labels alone, for a PromQL selector names its
/// metric nearly always.
fn tell(query: &str) -> Language {
    let metric_named = query.contains("__name__");
    match as_logs(query) {
        Some(language) if query.contains('{') && !metric_named => language,
        // What is neither is most likely meant as what it begins like; the server says what is wrong with it.
        None if query.trim_start().starts_with('{') && promql::parse(query).is_err() => Language::Logs,
        _ => Language::Metrics,
    }
}

fn as_logs(query: &str) -> Option<Language> {
    let parsed = logql::parse(query).ok()?;
    Some(if parsed.is_metric() { Language::LogMetrics } else { Language::Logs })
}

async fn ask(client: &Client, args: &Query, language: Language, since: Option<Duration>) -> anyhow::Result<String> {
    let base = if language == Language::Metrics { "/prometheus/api/v1" } else { "/loki/api/v1" };
    let query = ("query", args.query.clone());
    let range = match (language, since) {
        (Language::Logs, since) => since.unwrap_or(Duration::from_secs(3600)),
        (_, Some(since)) => since,
        (_, None) => return client.get(&format!("{base}/query"), &[query]).await,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let start = now.saturating_sub(range);
    let step = (range.as_secs() / POINTS).max(1);
    let params = [
        query,
        ("start", seconds(start)),
        ("end", seconds(now)),
        ("step", step.to_string()),
        ("limit", args.limit.to_string()),
    ];
    client.get(&format!("{base}/query_range"), &params).await
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

fn shown(data: Data) -> String {
    match data {
        Data::Streams(streams) => {
            let lines = lines(streams);
            let rows: Vec<String> = lines
                .iter()
                .map(|(time, labels, line)| format!("{}  {labels}\n    {line}\n", local_time(*time)))
                .collect();
            if rows.is_empty() { "no lines\n".into() } else { rows.concat() }
        }
        Data::Scalar((_, value)) | Data::String((_, value)) => format!("{value}\n"),
        Data::Vector(elements) if elements.is_empty() => "no series\n".into(),
        Data::Vector(elements) => table(
            &["value", "series"],
            &elements.iter().map(|e| vec![element(e), series_name(&e.metric)]).collect::<Vec<_>>(),
        ),
        Data::Matrix(series) if series.is_empty() => "no series\n".into(),
        Data::Matrix(series) => {
            table(&["shape", "min", "max", "last", "series"], &series.iter().map(range_row).collect::<Vec<_>>())
        }
    }
}

fn element(element: &Element) -> String {
    match (&element.value, &element.histogram) {
        (Some((_, value)), _) => value.clone(),
        (None, Some((_, histogram))) => short(histogram),
        (None, None) => String::new(),
    }
}

fn short(histogram: &Histogram) -> String {
    format!("histogram(count {}, sum {})", histogram.count, histogram.sum)
}

fn range_row(series: &Range) -> Vec<String> {
    let values: Vec<f64> = series.values.iter().filter_map(|(_, value)| value.parse().ok()).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let number = |value: f64| if value.is_finite() { format!("{value:.4}") } else { String::new() };
    let last = series.values.last().map(|(_, value)| value.clone());
    let last = last.or_else(|| series.histograms.last().map(|(_, h)| short(h))).unwrap_or_default();
    vec![sparkline(&values, 40), number(least), number(most), last, series_name(&series.metric)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart() {
        for (query, want) in [
            ("up", Language::Metrics),
            ("sum(rate(http_requests_total{code=\"500\"}[5m])) by (job)", Language::Metrics),
            ("{__name__=~\"up|down\"}", Language::Metrics),
            ("1 + 1", Language::Metrics),
            ("rate(", Language::Metrics),
            ("{app=\"x\"} |= \"unclosed", Language::Logs),
            ("{app=\"x\"}", Language::Logs),
            ("{app=\"x\"} |= \"error\" | json", Language::Logs),
            ("sum by (app) (count_over_time({app=\"x\"}[5m]))", Language::LogMetrics),
            ("rate({app=\"x\"} |= \"error\" [5m])", Language::LogMetrics),
        ] {
            assert_eq!(tell(query), want, "{query}");
        }
    }

    #[test]
    fn answers_become_tables() {
        let answer = |text: &str| serde_json::from_str::<Answer>(text).expect("an answer").data;
        let vector =
            r#"{"data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[1,"1"]}]}}"#;
        assert_eq!(shown(answer(vector)), "value  series\n    1  up{job=\"a\"}\n");
        let streams =
            r#"{"data":{"resultType":"streams","result":[{"stream":{"a":"b"},"values":[["1000000","hello"]]}]}}"#;
        assert!(shown(answer(streams)).contains("{a=\"b\"}\n    hello\n"));
        assert_eq!(shown(answer(r#"{"data":{"resultType":"matrix","result":[]}}"#)), "no series\n");
        assert_eq!(shown(answer(r#"{"data":{"resultType":"scalar","result":[1,"2"]}}"#)), "2\n");
    }
}
