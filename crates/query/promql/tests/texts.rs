//! Queries written again: formatted, and as trees.

use ouro_promql::{parse, print::pretty, tree};

fn check(text: &str, want: &str) {
    let expr = parse(text).expect("a query");
    assert_eq!(pretty(&expr), want, "{text}");
    let again = parse(want).unwrap_or_else(|e| panic!("{want}: {e}"));
    assert_eq!(pretty(&again), want, "formatting twice changes nothing");
}

#[test]
fn short_queries_stay_on_one_line() {
    for (text, want) in [
        ("foo/bar", "foo / bar"),
        ("sum(rate(x{b='1',a=~\"2\"}[90s]))by(job,\"a.b\")", r#"sum by (job, "a.b") (rate(x{a=~"2",b="1"}[1m30s]))"#),
        ("sum by () (x)", "sum(x)"),
        ("sum without () (x)", "sum without () (x)"),
        ("topk(5, x)", "topk(5, x)"),
        ("{\"a.b\",c!=\"d\"}", r#"{__name__="a.b",c!="d"}"#),
        ("x offset -1h @ 10", "x @ 10.000 offset -1h"),
        ("x[5m:] @ end() offset 90d", "x[5m:] @ end() offset 90d"),
        ("(a+on(x)group_left(y)b)>bool 1", "(a + on (x) group_left (y) b) > bool 1"),
        ("a * ignoring(z) b", "a * ignoring (z) b"),
        ("-x ^ 2", "-x ^ 2"),
        ("+Inf", "+Inf"),
        ("+Inf ^ 2 + Inf", "+Inf ^ 2 + +Inf"),
        ("a + fill(0) b", "a + fill (0) b"),
        ("rate(x[step()*2])", "rate(x[step() * 2s])"),
        ("1+2", "1 + 2"),
        ("x > 2*(3+4)^2", "x > 2 * (3 + 4) ^ 2"),
        ("rate(x[1m+30s])", "rate(x[1m + 30s])"),
        ("rate(x[(1m+30s)*2])", "rate(x[(1m + 30s) * 2s])"),
        ("x offset (1h-0.0004)", "x offset (1h - 0.0004)"),
        ("max_over_time(x[-(1m-2m)*3:1m/2])", "max_over_time(x[-(1m - 2m) * 3s:1m / 2s])"),
        ("rate(x[5m] smoothed)", "rate(x[5m] smoothed)"),
        ("1e3", "1000"),
        (r#"label_replace(x, "a", "$1", "b", "(.*)\n")"#, r#"label_replace(x, "a", "$1", "b", "(.*)\n")"#),
    ] {
        check(text, want);
    }
}

#[test]
fn long_queries_are_split() {
    check(
        "sum by (cluster, namespace) (rate(http_requests_total{cluster=\"production\", code=~\"5..\"}[5m])) / sum by (cluster, namespace) (rate(http_requests_total{cluster=\"production\"}[5m]))",
        r#"  sum by (cluster, namespace) (rate(http_requests_total{cluster="production",code=~"5.."}[5m]))
/
  sum by (cluster, namespace) (rate(http_requests_total{cluster="production"}[5m]))"#,
    );
    check(
        "histogram_quantile(0.99, sum by (le, cluster, namespace, pod) (rate(http_request_duration_seconds_bucket{cluster=\"production\"}[5m])))",
        r#"histogram_quantile(
  0.99,
  sum by (le, cluster, namespace, pod) (
    rate(http_request_duration_seconds_bucket{cluster="production"}[5m])
  )
)"#,
    );
}

#[test]
fn trees_have_the_shape_of_prometheus() {
    let expr = parse("sum by (a) (rate(x{b=\"c\"}[5m] offset 1m)) > 2").expect("a query");
    let want: serde_json::Value = serde_json::from_str(
        r#"{"bool": false, "matching": null, "op": ">", "type": "binaryExpr",
            "rhs": {"type": "numberLiteral", "val": "2"},
            "lhs": {"type": "aggregation", "op": "sum", "grouping": ["a"], "without": false, "param": null,
              "expr": {"type": "call",
                "func": {"name": "rate", "argTypes": ["matrix"], "returnType": "vector", "variadic": 0},
                "args": [{"type": "matrixSelector", "name": "x", "range": 300000, "offset": 60000,
                  "matchers": [{"name": "b", "type": "=", "value": "c"}, {"name": "__name__", "type": "=", "value": "x"}],
                  "timestamp": null, "startOrEnd": null, "anchored": false, "smoothed": false}]}}}"#,
    )
    .expect("JSON");
    assert_eq!(tree::json(&expr), want);
    let joined = tree::json(&parse("a * on (x) group_left (y) b @ start()").expect("a query"));
    assert_eq!(joined["matching"]["card"], "many-to-one");
    assert_eq!(joined["matching"]["fillValues"]["lhs"], serde_json::Value::Null);
    assert_eq!(joined["rhs"]["startOrEnd"], "start");
}
