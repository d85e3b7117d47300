//! Templates of random queries, and what each of them means.

use std::collections::BTreeMap;

type Meaning = fn(&Scope<'_>) -> String;

/// What templates see of a row.
pub struct Scope<'r> {
    pub labels: &'r BTreeMap<String, String>,
    pub line: &'r str,
    /// Unix nanoseconds.
    pub time: i64,
}

impl Scope<'_> {
    fn get(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// The text in a query between backticks, and what it makes of a row.
const TEMPLATES: [(&str, Meaning); 24] = [
    ("{{.status}}-{{.app}}", |s| format!("{}-{}", s.get("status"), s.get("app"))),
    ("{{.text}}", |s| s.get("text").into()),
    ("{{.app}}!", |s| format!("{}!", s.get("app"))),
    ("{{ ToUpper .app }}", |s| s.get("app").to_uppercase()),
    ("<{{ __line__ }}>", |s| format!("<{}>", s.line)),
    ("{{ __line__ | lower | trunc 4 }}.", |s| {
        format!("{}.", s.line.to_lowercase().chars().take(4).collect::<String>())
    }),
    ("{{ __timestamp__ | unixEpoch }}s", |s| format!("{}s", s.time / 1_000_000_000)),
    (r#"{{ if eq .app "api" }}{{ .status }}{{ else }}no {{ .app }}{{ end }}"#, |s| match s.get("app") {
        "api" => s.get("status").into(),
        app => format!("no {app}"),
    }),
    (r#"{{ printf "%5s|%-5s|" .status .app }}"#, |s| format!("{:>5}|{:<5}|", s.get("status"), s.get("app"))),
    (r#"{{ .app | replace "a" "oo" | title }}"#, |s| {
        let text = s.get("app").replace('a', "oo");
        let mut chars = text.chars();
        chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
    }),
    ("{{ add 1 (len .app) }}", |s| (1 + s.get("app").len()).to_string()),
    ("{{ .status | int | mul 2 }}", |s| {
        let whole = s.get("status").split('.').next().and_then(|whole| whole.parse::<i64>().ok());
        (2 * whole.unwrap_or(0)).to_string()
    }),
    ("{{ sub 7 2 }}{{ div 7 2 }}{{ mod 7 2 }}{{ max 7 2 }}{{ min 7 2 }}", |_| "53172".into()),
    (r#"{{ .pod | default "none" }}"#, |s| match s.get("pod") {
        "" => "none".into(),
        pod => pod.into(),
    }),
    (r##"{{ regexReplaceAll "[0-4]" .status "#" }}"##, |s| {
        s.get("status").chars().map(|c| if ('0'..='4').contains(&c) { '#' } else { c }).collect()
    }),
    (r##"{{ regexReplaceAllLiteral "a[^+]" .app "$1" }}"##, |s| {
        let (mut rest, mut out) = (s.get("app").chars().peekable(), String::new());
        while let Some(c) = rest.next() {
            match rest.next_if(|next| c == 'a' && *next != '+') {
                Some(_) => out.push_str("$1"),
                None => out.push(c),
            }
        }
        out
    }),
    ("{{ substr 1 3 .app }}", |s| s.get("app").chars().skip(1).take(2).collect()),
    (r#"{{ repeat 2 .app }}{{ if hasPrefix "a" .app }}+{{ end }}{{ if hasSuffix "t" .app }}-{{ end }}"#, |s| {
        let app = s.get("app");
        let plus = if app.starts_with('a') { "+" } else { "" };
        format!("{app}{app}{plus}{}", if app.ends_with('t') { "-" } else { "" })
    }),
    (r#"{{ if and (contains "5" __line__) (not (contains "x" __line__)) }}5{{ end }}."#, |s| {
        if s.line.contains('5') && !s.line.contains('x') { "5.".into() } else { ".".into() }
    }),
    ("{{ alignLeft 5 .app }}|{{ alignRight 5 .app }}", |s| {
        let app: String = s.get("app").chars().take(5).collect();
        format!("{app:<5}|{app:>5}")
    }),
    (r#"{{ __line__ | count "[0-9]" }} digits"#, |s| {
        format!("{} digits", s.line.chars().filter(char::is_ascii_digit).count())
    }),
    (r#"{{ $code := .status }}{{ with .trace }}{{ . }}:{{ $code }}{{ else }}{{ $code }}{{ end }}"#, |s| {
        match s.get("trace") {
            "" => s.get("status").into(),
            trace => format!("{trace}:{}", s.get("status")),
        }
    }),
    (r#"{{ trimPrefix "a" .app }} {{- trimSuffix "b" .app }} {{ .app | trimAll "t" }}"#, |s| {
        let app = s.get("app");
        let (front, back) = (app.strip_prefix('a').unwrap_or(app), app.strip_suffix('b').unwrap_or(app));
        format!("{front}{back} {}", app.trim_matches('t'))
    }),
    (r#"{{ urlencode "a b&c" }} {{ urldecode "a%20b" }} {{ b64enc "hi" }} {{ b64dec "aGk=" }}"#, |_| {
        "a+b%26c a b aGk= hi".into()
    }),
];

pub fn texts() -> Vec<&'static str> {
    TEMPLATES.iter().map(|(text, _)| *text).collect()
}

pub fn render(template: &str, scope: &Scope<'_>) -> String {
    let (_, meaning) = TEMPLATES.iter().find(|(text, _)| *text == template).expect("one of the templates");
    meaning(scope)
}
