//! What templates give, and what is refused.

use super::*;

fn run(template: &str, labels: &[(&str, &str)]) -> Result<String, String> {
    let find = |name: &str| labels.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    let all = || labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let scope = Scope {
        line: "the line",
        time: 1_656_353_124_120_000_000,
        now: 0,
        label: &find,
        labels: &all,
        functions: None,
        dot: None,
        variables: Vec::new(),
    };
    Template::parse("line", template)?.run(&scope)
}

fn check(template: &str, want: &str) {
    let labels = [("foo", "blip"), ("n", "3"), ("f", "1.5"), ("s", "/a b"), ("j", r#"{"a":[{"x":1},{"x":2}]}"#)];
    assert_eq!(run(template, &labels).as_deref(), Ok(want), "{template}");
}

#[test]
fn fields_and_texts() {
    check("a {{.foo}} b {{ .missing }} c", "a blip b  c");
    check("{{- .foo -}}  x  {{/* a comment */}}y", "blipx  y");
    check("{{__line__}} {{ __timestamp__ | unixEpoch }}", "the line 1656353124");
    check("{{ $x := .foo }}{{ $x | upper }}", "BLIP");
    check(r#"{{ len .missing }}{{ eq .missing "" }}{{ .missing | default "none" }}"#, "0truenone");
    check("{{.}}", r#"map[f:1.5 foo:blip j:{"a":[{"x":1},{"x":2}]} n:3 s:/a b]"#);
}

#[test]
fn blocks() {
    check("{{if eq .foo \"blip\"}}yes{{else}}no{{end}}", "yes");
    check("{{if .missing}}a{{else if .foo}}b{{else}}c{{end}}", "b");
    check("{{with .foo}}<{{.}}>{{end}}{{with .missing}}x{{else}}none{{end}}", "<blip>none");
    check("{{range $i, $v := (fromJson .j).a}}{{$i}}={{$v.x}};{{end}}", "0=1;1=2;");
    check("{{if and .foo (not .missing)}}both{{end}}", "both");
    check("{{if or .missing .foo}}one{{end}}", "one");
}

#[test]
fn functions() {
    for (template, want) in [
        ("{{ add .n 1 | mul 2 }}", "8"),
        ("{{ div 7 .n }} {{ mod 7 .n }} {{ sub 1 .n }}", "2 1 -2"),
        ("{{ divf 1 4 }} {{ ceil .f }} {{ round 1.2345 2 }}", "0.25 2 1.23"),
        ("{{ max 1 5 3 }} {{ minf 1.5 0.5 }} {{ int \"4.9\" }}", "5 0.5 4"),
        ("{{ .foo | replace \"b\" \"c\" }} {{ Replace .foo \"l\" \"L\" -1 }}", "clip bLip"),
        ("{{ trunc 2 .foo }} {{ trunc -2 .foo }} {{ substr 1 3 .foo }}", "bl ip li"),
        ("{{ .foo | title }} {{ repeat 2 .foo }} {{ indent 2 .foo }}", "Blip blipblip   blip"),
        ("{{ urlencode .s }} {{ urldecode \"%2Fa+b\" }}", "%2Fa+b /a b"),
        ("{{ b64enc .foo }} {{ b64dec \"YmxpcA==\" }}", "YmxpcA== blip"),
        ("{{ regexReplaceAll \"(.)l\" .foo \"${1}L\" }}", "bLip"),
        ("{{ alignLeft 6 .foo }}|{{ alignRight 2 .foo }}", "blip  |ip"),
        ("{{ printf \"%5.2f|%-4s|%03d|%q|%v\" 1.5 \"a\" 7 \"x\" true }}", " 1.50|a   |007|\"x\"|true"),
        ("{{ date \"2006-01-02\" (toDate \"02/01/06\" \"27/06/22\") }}", "2022-06-27"),
        ("{{ \"1679577215\" | unixToTime }}", "2023-03-23 13:13:35 +0000 UTC"),
        ("{{ bytes \"3MB\" }} {{ duration \"3ms\" }}", "3e+06 0.003"),
        ("{{ .missing | default \"-\" }} {{ len .foo }} {{ count \"l|p\" .foo }}", "- 4 2"),
        ("{{ (fromJson .j).a | len }} {{ index (fromJson .j).a 1 }}", "2 map[x:2]"),
        ("{{ trimAll \"$\" \"$5$\" }} {{ html \"<a>\" }} {{ print 1 2 \"x\" }}", "5 &lt;a&gt; 1 2x"),
    ] {
        check(template, want);
    }
}

#[test]
fn what_is_no_template() {
    for (template, want) in [
        ("{{", "template: line:1: unclosed action"),
        ("{{ nope .a }}", "template: line:1: function \"nope\" not defined"),
        ("{{if .a}}x", "template: line:1: unexpected EOF"),
        ("{{end}}", "template: line:1: unexpected {{end}}"),
        ("{{ \"a }}", "template: line:1: unterminated quoted string"),
        ("{{ (.a }}", "template: line:1: unclosed left paren"),
        ("{{}}", "template: line:1: missing value for command"),
    ] {
        assert_eq!(Template::parse("line", template).map(drop), Err(want.to_owned()), "{template}");
    }
}

#[test]
fn runs_that_fail() {
    for (template, want) in [
        (
            "{{.foo | now}}",
            "template: line:1:9: executing \"line\" at <now>: wrong number of args for now: want 0 got 1",
        ),
        (
            "{{ div 1 0 }}",
            "template: line:1:3: executing \"line\" at <div>: error calling div: runtime error: integer divide by zero",
        ),
        (
            "{{ repeat 99999999 \"xxxxxxxx\" }}",
            "template: line:1:3: executing \"line\" at <repeat>: error calling repeat: the text is longer than 1048576 bytes",
        ),
    ] {
        assert_eq!(run(template, &[("foo", "x")]), Err(want.to_owned()), "{template}");
    }
}
