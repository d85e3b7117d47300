//! What texts come out as; the cases are those of Prometheus's own `template_test.go`.

use super::*;

fn run(text: &str, value: f64, answers: &Answers) -> Result<String, Lack> {
    let labels = model::Labels::from_pairs([("job", "x"), ("instance", "h.example.org:9100")]);
    let external = BTreeMap::from([("cluster".to_owned(), "c".to_owned())]);
    let facts = Facts { labels: &labels, external_labels: &external, external_url: "http://o/rules/", value };
    expand("t", text, &facts, answers)
}

fn check_value(text: &str, value: f64, want: &str) {
    assert_eq!(run(text, value, &Answers::default()).as_deref(), Ok(want), "{text} of {value}");
}

#[test]
fn numbers_are_written_for_people() {
    for (function, value, want) in [
        ("humanize", 0.0, "0"),
        ("humanize", 1.0, "1"),
        ("humanize", 1_234_567.0, "1.235M"),
        ("humanize", 0.12, "120m"),
        ("humanize", -0.0123, "-12.3m"),
        ("humanize", f64::NAN, "NaN"),
        ("humanize", f64::INFINITY, "+Inf"),
        ("humanize", 1e30, "1e+06Y"),
        ("humanize1024", 1.0, "1"),
        ("humanize1024", 1_048_576.0, "1Mi"),
        ("humanize1024", 0.12, "0.12"),
        ("humanizeDuration", 0.0, "0s"),
        ("humanizeDuration", 1.0, "1s"),
        ("humanizeDuration", 60.0, "1m 0s"),
        ("humanizeDuration", 3600.0, "1h 0m 0s"),
        ("humanizeDuration", 86_400.0 + 3600.0 + 60.0 + 1.0, "1d 1h 1m 1s"),
        ("humanizeDuration", -86_401.0, "-1d 0h 0m 1s"),
        ("humanizeDuration", 899.99, "14m 59s"),
        ("humanizeDuration", 0.1, "100ms"),
        ("humanizeDuration", 0.0001, "100us"),
        ("humanizeDuration", 12.3456, "12.35s"),
        ("humanizePercentage", 0.1234567, "12.35%"),
        ("humanizePercentage", 0.0, "0%"),
        ("humanizeTimestamp", 1_435_065_584.128, "2015-06-23 13:19:44.128 +0000 UTC"),
    ] {
        check_value(&format!("{{{{ $value | {function} }}}}"), value, want);
    }
}

#[test]
fn labels_values_and_texts_are_at_hand() {
    for (text, want) in [
        ("plain", "plain"),
        ("{{ $labels.job }} of {{ $externalLabels.cluster }}: {{ $value }}", "x of c: 1.5"),
        ("{{ .Labels.job }} {{ .Value }} {{ $labels.missing }}.", "x 1.5 ."),
        ("{{ $labels.instance | stripPort }}", "h.example.org"),
        ("{{ $labels.instance | stripDomain }}", "h:9100"),
        ("{{ \"10.0.0.1:80\" | stripDomain }}", "10.0.0.1:80"),
        ("{{ toUpper $labels.job }}{{ \"aa bb\" | title }}", "XAa Bb"),
        ("{{ reReplaceAll \"h(.)e\" \"<$1>\" $labels.instance }}", "<.>xample.org:9100"),
        ("{{ reReplaceAll \"(e)x\" \"<$1>\" $labels.instance }}", "h.<e>ample.org:9100"),
        ("{{ if match \"^h\" $labels.instance }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ printf \"%.2f\" $value }} {{ \"1h\" | parseDuration }}", "1.50 3600"),
        (
            "{{ graphLink \"a == b\" }} {{ externalURL }} {{ pathPrefix }}",
            "/graph?g0.expr=a+%3D%3D+b&g0.tab=0 http://o/rules/ /rules",
        ),
        ("{{ if gt $value 1.0 }}much{{ end }}", "much"),
    ] {
        check_value(text, 1.5, want);
    }
}

#[test]
fn queries_are_asked_for_and_then_used() {
    let text = "{{ with query \"up\" }}{{ . | first | value }} {{ range . | sortByLabel \"a\" }}{{ .Labels.a }}{{ label \"a\" . }}={{ .Value }};{{ end }}{{ end }}";
    assert_eq!(run(text, 0.0, &Answers::default()), Err(Lack::Query("up".into())));
    let of = |a: &str, value: f64| (BTreeMap::from([("a".to_owned(), a.to_owned())]), value);
    let answers = Answers::from([("up".to_owned(), vec![of("2", 7.0), of("1", 5.0)])]);
    assert_eq!(run(text, 0.0, &answers).as_deref(), Ok("7 11=5;22=7;"));
    let many: Answers = (0..MAX_QUERIES).map(|n| (n.to_string(), Vec::new())).collect();
    let Err(Lack::Fault(why)) = run("{{ query \"up\" }}", 0.0, &many) else { panic!("too many") };
    assert!(why.contains("more than 10"), "{why}");
}

#[test]
fn mistakes_are_found_before_an_alert_is() {
    for text in
        ["{{ $value | humanize", "{{ nosuch 1 }}", "{{ query \"sum(\" }}", "{{ tmpl \"x\" . }}", "{{ humanize }}"]
    {
        assert!(check("t", text).is_err(), "{text}");
    }
    for text in ["fine", "{{ $value }}", "{{ query \"up\" | first | value }}", "{{ $labels.a | title }}"] {
        assert_eq!(check("t", text), Ok(()), "{text}");
    }
}
