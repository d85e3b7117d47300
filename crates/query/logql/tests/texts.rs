//! Query texts: how they are read, what they are refused for, and their canonical form.

use ouro_logql::parse;

fn check(query: &str, want: &str) {
    let got = parse(query).map_or_else(|e| e.to_string(), |expr| expr.to_string());
    assert_eq!(got, want, "{query}");
    if let Ok(expr) = parse(query) {
        assert_eq!(parse(want).as_ref(), Ok(&expr), "{query} and its canonical form differ");
    }
}

#[test]
fn canonical_forms() {
    for (query, want) in [
        (r#"{ a = "b" , c!="d"}"#, r#"{a="b", c!="d"}"#),
        (r#"{a=`b\d`}|="x"|~`\d+` # a comment"#, r#"{a="b\\d"} |= "x" |~ "\\d+""#),
        (r#"{a="b"} |= "x" or ip("1.2.3.0/24") !> "<_> y""#, r#"{a="b"} |= "x" or ip("1.2.3.0/24") !> "<_> y""#),
        (
            r#"{a="b"} | JSON x, y="a.b[0]" | logfmt --strict z"#,
            r#"{a="b"} | json x="x",y="a.b[0]" | logfmt --strict z="z""#,
        ),
        (r#"{a="b"} | x>1m and y<=2KiB or z=ip("::1")"#, r#"{a="b"} | ( ( x>1m0s , y<=2.0kB ) or z=ip("::1") )"#),
        (r#"{a="b"} | x=1 or y="z", w!~"v" u<-5"#, r#"{a="b"} | ( x==1 or ( y="z" , ( w!~"v" , u<-5 ) ) )"#),
        (r#"{a="b"} | drop x, y="z" | keep w=~"v""#, r#"{a="b"} | drop x,y="z" | keep w=~"v""#),
        (r#"rate(({a="b"} |= "x")[1h30m] offset -5m)"#, r#"rate({a="b"} |= "x"[1h30m] offset -5m0s)"#),
        (r#"topk(3, rate({a="b"}[5m])) by (c)"#, r#"topk by (c)(3,rate({a="b"}[5m]))"#),
        (r#"sum without (c) (rate({a="b"}[5m])) * 2 ^ 3 ^ 1"#, r#"(sum without (c)(rate({a="b"}[5m])) * 8)"#),
        ("1 - 2 - 3", "-4"),
        ("0x1p4", "16"),
        (
            r#"max_over_time({a="b"} | unwrap bytes(c) | d="e" [1m]) by (f)"#,
            r#"max_over_time({a="b"} | unwrap bytes(c) | d="e"[1m]) by (f)"#,
        ),
    ] {
        if want.contains("2.0kB") {
            // Sizes are shown rounded, so this form is not read back alike.
            assert_eq!(parse(query).expect(query).to_string(), want);
            continue;
        }
        check(query, want);
    }
}

#[test]
fn exact_forms_are_read_back_alike() {
    for query in [
        r#"{a="b"} | ( ( x>1m0s , y<=2049B ) or z=ip("::1") )"#,
        r#"sum_over_time({a="b"} | y==1234567B | unwrap c | d!=1025B[1m])"#,
    ] {
        let expr = parse(query).expect(query);
        assert_eq!(format!("{expr:#}"), query);
        assert_ne!(expr.to_string(), query);
    }
}

#[test]
fn functions_are_names_where_nothing_is_called() {
    check(r#"{rate="b"} | count="1" | duration > 1s"#, r#"{rate="b"} | count="1" | duration>1s"#);
    check(r#"sum by (min, ip) (rate({a="b"}[1m]))"#, r#"sum by (min,ip)(rate({a="b"}[1m]))"#);
}

#[test]
fn refused_texts() {
    for (query, want) in [
        ("", "parse error at line 1, col 1: syntax error: unexpected $end"),
        ("{", "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }"),
        (r#"{a="b",}"#, "parse error at line 1, col 8: syntax error: unexpected }, expecting IDENTIFIER"),
        ("{a=\n  b}", "parse error at line 2, col 3: syntax error: unexpected IDENTIFIER, expecting STRING"),
        (r#"{a="b"} | json | unwrap c"#, "parse error at line 1, col 18: syntax error: unexpected unwrap"),
        (r#"{a="\q"}"#, "parse error at line 1, col 4: invalid char escape"),
        (r#"rate({a="b"})"#, "parse error at line 1, col 13: syntax error: unexpected )"),
        (r#"rate({a="b"}[0s])"#, "parse error : the range of rate must be longer than 0"),
        (r#"{a=~"("}"#, "parse error : error parsing regexp: missing closing ): `^(?:()$`"),
        (r#"{a="b"} | line_format "{{""#, "parse error : invalid line template: template: line:1: unclosed action"),
        (
            r#"{a="b"} | label_format x="{{nope}}""#,
            "parse error : invalid template for label 'x': template: x:1: function \"nope\" not defined",
        ),
        (r#"{a="b"} | json x="a..b""#, "parse error : cannot parse expression [a..b]"),
        (r#"{a="b"} |= ip("x")"#, "parse error : ip: invalid pattern: \"x\""),
        (
            r#"rate({a="b"}[1m]) or {a="b"} | json"#,
            "parse error : unexpected type for right leg of binary operation (or): *syntax.PipelineExpr",
        ),
        (
            r#"{a=""}"#,
            "parse error : queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
        ),
    ] {
        check(query, want);
    }
}

#[test]
fn texts_that_would_need_too_much_are_refused() {
    let deep = "(".repeat(100_000);
    let long = "1+".repeat(60_000) + "1";
    let filters = format!("{{a=\"b\"}} | {}", "a=1 or ".repeat(10_000));
    let large = " ".repeat(200_000);
    for (text, want) in
        [(deep, "nests deeper"), (long, "operators"), (filters, "operators"), (large, "input size too long")]
    {
        let error = parse(&text).expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    }
}
