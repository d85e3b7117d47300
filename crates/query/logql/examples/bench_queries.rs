//! How many lines a second typical queries go through: `cargo run --release -p ouro-logql --example bench_queries`.

use eval::source::{LogSelection, Order, PageIter, PageSource, SourceError};
use model::{Labels, LogPage};
use ouro_logql::{Options, entries, instant, parse};
use std::time::Instant;

const PAGES: usize = 250;
const ROWS: usize = 4_000;

/// Pages of access lines as JSON, and as many as logfmt.
struct Pages(Vec<LogPage>);

impl PageSource for Pages {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        let matchers = selection.matchers.clone();
        let pages = self.0.iter().filter(move |page| model::Matcher::all(&matchers, &page.labels));
        // A real source gives pages away; copying one is part of what is measured here.
        Ok(Box::new(pages.cloned().map(Ok)))
    }
}

fn main() {
    let mut pages = Vec::new();
    for page in 0..PAGES {
        let app = if page % 2 == 0 { "json" } else { "logfmt" };
        let pod = format!("pod-{}", page % 20);
        let mut rows =
            LogPage::new(Labels::from_pairs([("app", app), ("pod", &pod), ("namespace", "prod"), ("cluster", "eu-1")]));
        for row in 0..ROWS {
            let (status, took, id) = ([200, 200, 404, 500][row % 4], row % 977, page * ROWS + row);
            let line = if page % 2 == 0 {
                format!(
                    r#"{{"level":"info","status":{status},"took_ms":{took},"request":{{"method":"GET","path":"/simple/pkg-{}","id":"req-{id:08}"}},"agent":"pip/24.0 (CPython 3.12)"}}"#,
                    row % 50
                )
            } else {
                format!(
                    r#"level=info status={status} took={took}ms method=GET path=/simple/pkg-{} id=req-{id:08} agent="pip/24.0 (CPython 3.12)""#,
                    row % 50
                )
            };
            rows.push(id as i64 * 1_000_000, &line, Labels::empty());
        }
        pages.push(rows);
    }
    let bytes: usize = pages.iter().map(|page| page.text.len()).sum();
    let lines = PAGES * ROWS;
    println!("{lines} lines, {} MB", bytes >> 20);
    let source = Pages(pages);
    let end = lines as i64 * 1_000_000;
    let options = Options::default();
    for query in [
        r#"sum(count_over_time({app=~".+"}[1d]))"#,
        r#"sum(count_over_time({app=~".+"} |= "req-00123456" [1d]))"#,
        r#"sum(count_over_time({app=~".+"} |~ "pkg-4[0-9] .*(pip|uv)" [1d]))"#,
        r#"sum by (status) (count_over_time({app="json"} | json [1d]))"#,
        r#"sum by (status) (count_over_time({app="json"} | json status="status" [1d]))"#,
        r#"sum by (status) (count_over_time({app="logfmt"} | logfmt [1d]))"#,
        r#"quantile_over_time(0.99, {app="logfmt"} | logfmt | unwrap duration(took) [1d]) by (pod)"#,
        r#"{app=~".+"} |= "status=500" | logfmt | took > 900ms"#,
    ] {
        let expr = parse(query).expect("a good query");
        let began = Instant::now();
        let found = if expr.is_metric() {
            format!("{:?}", instant(&source, &expr, end, &options).map(|value| format!("{value:?}").len()))
        } else {
            format!(
                "{:?}",
                entries(&source, &expr, 0, end, 1_000, Order::Backward, &options).map(|streams| streams.len())
            )
        };
        let share = if query.contains("app=~") { lines } else { lines / 2 };
        let seconds = began.elapsed().as_secs_f64();
        println!("{:8.1} ms  {:7.2} M lines/s  {query}  {found}", seconds * 1e3, share as f64 / seconds / 1e6);
    }
}
