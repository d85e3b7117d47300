//! Runs test cases of the Prometheus project, when the environment says where they are, in process.
//!
//! `OURO_CONFORMANCE=<folder with *.json>`; without it nothing is run. `OURO_CONFORMANCE_MIN` fails the test when fewer
//! evaluations pass. `OURO_CONFORMANCE_ONLY=functions,operators` chooses files.

#[path = "conformance/compare.rs"]
mod compare;
#[path = "conformance/memory.rs"]
mod memory;

use memory::Memory;
use ouro_promql::{self as promql, Answer, Options};
use serde_json::Value as Json;
use std::{fs, path::PathBuf};

#[test]
fn cases_of_prometheus() {
    let Ok(folder) = std::env::var("OURO_CONFORMANCE") else {
        println!("skipped: OURO_CONFORMANCE does not name a folder of cases");
        return;
    };
    let only = std::env::var("OURO_CONFORMANCE_ONLY").unwrap_or_default();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the folder of cases").map(|e| e.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "json"));
    files.sort();
    let (mut passed, mut total, mut failures) = (0, 0, Vec::new());
    for path in files {
        let name = path.file_stem().expect("a file name").to_string_lossy().into_owned();
        if name == "INDEX" || !only.is_empty() && !only.split(',').any(|o| o == name) {
            continue;
        }
        let cases: Json = serde_json::from_slice(&fs::read(&path).expect("a readable file")).expect("JSON");
        let (good, all) = run_file(&name, &cases, &mut failures);
        println!("{name:24} {good}/{all}");
        (passed, total) = (passed + good, total + all);
    }
    for failure in &failures {
        println!("FAIL {failure}");
    }
    println!("TOTAL {passed}/{total}");
    let least: usize = std::env::var("OURO_CONFORMANCE_MIN").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    assert!(passed >= least, "{passed} evaluations passed, {least} must");
}

fn run_file(name: &str, cases: &Json, failures: &mut Vec<String>) -> (usize, usize) {
    let (mut good, mut all, mut variants) = (0, 0, (0, 0));
    for group in cases["groups"].as_array().expect("groups") {
        let mut source = Memory::default();
        for step in group["steps"].as_array().expect("steps") {
            if step["op"] == "load" {
                source.load(&step["series"]);
                source.load(&step["nhcb_series"]);
                continue;
            }
            for (query, pick) in queries(step) {
                let outcome = compare::check(&step["expect"], query.run(&source), pick);
                let place = format!("{name}:{} {query:?}", step["line"]);
                match (pick, outcome) {
                    (None, Ok(())) if query.is_case => good += 1,
                    (_, Ok(())) => variants.0 += 1,
                    (_, Err(why)) => failures.push(format!("{place} => {why}")),
                }
                if query.is_case { all += 1 } else { variants.1 += 1 }
            }
        }
    }
    if variants.1 > 0 {
        println!("{name:24} variants {}/{}", variants.0, variants.1);
    }
    (good, all)
}

/// One evaluation: an instant, or a range with a step.
#[derive(Debug)]
struct Query {
    text: String,
    start: i64,
    end: i64,
    step: Option<i64>,
    /// As it stands in the file, not a variant of it.
    is_case: bool,
}

/// `OURO_CONFORMANCE_NAMES=now` drops names at once; some cases then must fail.
fn delayed() -> bool {
    std::env::var("OURO_CONFORMANCE_NAMES").as_deref() != Ok("now")
}

impl Query {
    fn run(&self, source: &Memory) -> Result<Answer, String> {
        let options = Options { experimental: true, delayed_name_removal: delayed(), ..Options::default() };
        let expr = promql::parse(&self.text).map_err(|e| e.to_string())?;
        match self.step {
            None => promql::instant(source, &expr, self.start, &options).map_err(|e| e.to_string()),
            Some(step) => promql::range(source, &expr, self.start, self.end, step, &options).map_err(|e| e.to_string()),
        }
    }
}

/// The case itself, the same with `@` modifiers at other times, and all of them as one step of a range query.
fn queries(step: &Json) -> Vec<(Query, Option<i64>)> {
    let text = step["expr"].as_str().expect("a text").to_owned();
    let number = |name: &str| step[name].as_i64().expect("a number");
    if step["kind"] != "instant" {
        let query = Query {
            text,
            start: number("start_ms"),
            end: number("end_ms"),
            step: Some(number("step_ms")),
            is_case: true,
        };
        return vec![(query, None)];
    }
    let at = number("at_ms");
    let instant =
        |text: &str, at: i64, is_case| Query { text: text.to_owned(), start: at, end: at, step: None, is_case };
    let mut queries = vec![(instant(&text, at, true), None)];
    for variant in step["at_variants"].as_array().into_iter().flatten() {
        for time in variant["times_ms"].as_array().expect("times") {
            let text = variant["expr"].as_str().expect("a text");
            queries.push((instant(text, time.as_i64().expect("a time"), false), None));
        }
    }
    let of_query = ["start()", "end()", "range()", "step()"];
    let ranges = step["expect"]["type"] != "string" && step["expect"]["type"] != "matrix";
    if ranges && step["range_variant"] != false && step["expect"]["ordered"] != true {
        for at in 0..queries.len() {
            let (text, time) = (queries[at].0.text.clone(), queries[at].0.start);
            if !of_query.iter().any(|f| text.contains(f)) {
                let query =
                    Query { text, start: time - 60_000, end: time + 60_000, step: Some(60_000), is_case: false };
                queries.push((query, Some(time)));
            }
        }
    }
    queries
}
