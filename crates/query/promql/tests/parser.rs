//! What the parser takes, and what it says about the rest.

use ouro_promql::{parse, parse_selector, print::pretty};
use proptest::prelude::*;

#[test]
fn good_queries() {
    for text in [
        "1",
        "-1",
        "+1",
        "1_000",
        "0x1F",
        ".5",
        "1e-3",
        "Inf",
        "-inf",
        "NaN",
        "5m",
        "1 + 2 * 3 ^ 2 ^ 1",
        "1 == bool 2",
        "\"text\"",
        "'its'",
        "`raw\\n`",
        "\"\\u00e4\\x41\\101\"",
        "foo",
        "foo:bar",
        ":foo",
        "{a=\"b\"}",
        "foo{a='b', c!=\"d\", e=~\"f.*\", g!~\"h\",}",
        "{\"a.b\"}",
        "{\"a.b\", \"c.d\"=\"e\"}",
        "{__name__=\"x\"}",
        "foo{sum=\"1\", by=\"2\", offset=\"3\", on=\"4\", inf=\"5\"}",
        "sum",
        "by",
        "offset",
        "start",
        "step{a=\"b\"}",
        "limitk",
        "fill",
        "foo offset 5m",
        "foo offset -5m",
        "foo offset (5m + 1m)",
        "foo offset step()",
        "foo @ 1.5",
        "foo @ -1",
        "foo @ start()",
        "foo @ end() offset 1m",
        "foo offset 1m @ 0",
        "foo[5m]",
        "foo[300]",
        "foo[5m + 1m]",
        "foo[2 * (5m - 1m)]",
        "foo[step() * 2]",
        "foo[max_of(step(), 5m)]",
        "foo[1h30m] offset 1d",
        "rate(foo[5m])[1h:]",
        "foo[1h:5m] offset 1m",
        "foo[1h:step()]",
        "sum(foo)",
        "sum by (a, b) (foo)",
        "sum(foo) by (a)",
        "SUM(foo) WITHOUT (a,)",
        "sum by () (foo)",
        "topk(3, foo)",
        "count_values(\"v\", foo)",
        "quantile by (a) (0.9, foo)",
        "limit_ratio(0.1, foo)",
        "a + b",
        "a + on(x) b",
        "a * ignoring(x, y) group_left(z) b",
        "a / on() group_right b",
        "a and b or c unless d",
        "a > bool 1",
        "a atan2 b",
        "a + fill(0) b",
        "a + on(x) group_left fill_left(1) fill_right(-2) b",
        "a + fill",
        "-foo ^ 2",
        "(a)",
        "((1))",
        "# comment\nfoo # another",
        "rate(foo[5m] smoothed)",
        "foo smoothed",
        "increase(foo[5m] anchored)",
        "label_replace(a, \"b\", \"$1\", \"c\", \"(.*)\")",
        "time()",
        "hour()",
        "round(a)",
        "round(a, 5)",
        "info(a, {b=~\".*\"})",
    ] {
        assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
    }
}

#[test]
fn bad_queries() {
    let check = |text: &str, want: &str| match parse(text) {
        Ok(expr) => panic!("{text} was read: {expr:?}"),
        Err(error) => assert_eq!(error.to_string(), want, "{text}"),
    };
    check("", "1:1: parse error: no expression found in input");
    check("# only\n", "2:1: parse error: no expression found in input");
    check("1 +", "1:4: parse error: unexpected end of input");
    check("a b", "1:3: parse error: unexpected identifier \"b\"");
    check("a\n  + + }", "2:7: parse error: unexpected right brace '}'");
    check("*1", "1:1: parse error: unexpected <op:*>");
    check("(1))", "1:4: parse error: unexpected right parenthesis ')'");
    check("((1)", "1:5: parse error: unclosed left parenthesis");
    check("{a=", "1:4: parse error: unclosed left brace");
    check("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher");
    check("{x=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher");
    check("foo{a>\"b\"}", "1:6: parse error: unexpected <op:>> in label matching, expected label matching operator");
    check("foo{a=b}", "1:7: parse error: unexpected identifier \"b\" in label matching, expected string");
    check(
        "foo{a=\"1\" b=\"2\"}",
        "1:11: parse error: unexpected identifier \"b\" in label matching, expected \",\" or \"}\"",
    );
    check("foo{__name__=\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\"");
    check("\"abc", "1:1: parse error: unterminated quoted string");
    check("`abc", "1:1: parse error: unterminated raw string");
    check("1.5m", "1:1: parse error: bad number or duration syntax: \"1.5m\"");
    check("a ? b", "1:3: parse error: unexpected character: '?'");
    check("nope(a)", "1:1: parse error: unknown function with name \"nope\"");
    check("rate(a)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector");
    check("rate(a[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2");
    check("clamp(a)", "1:1: parse error: expected 3 argument(s) in call to \"clamp\", got 1");
    check("round(a, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3");
    check("label_join(a, \"b\")", "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 2");
    check("floor(a,)", "1:8: parse error: trailing commas not allowed in function call args");
    check(
        "sum(a, b)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
    );
    check("sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar");
    check("topk(a, a)", "1:6: parse error: expected type scalar in aggregation parameter, got instant vector");
    check("a and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression");
    check("1 == 1", "1:1: parse error: comparisons between scalars must use BOOL modifier");
    check("a + bool b", "1:1: parse error: bool modifier can only be used on comparison operators");
    check("a + on(b) 1", "1:1: parse error: vector matching only allowed between instant vectors");
    check("a and on(b) group_left c", "1:13: parse error: no grouping allowed for \"and\" operation");
    check("a + on(b) group_left(b) c", "1:11: parse error: label \"b\" must not occur in ON and GROUP clause at once");
    check("a + a[5m]", "1:5: parse error: binary expression must contain only scalar and instant vector types");
    check(
        "-\"a\"",
        "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
    );
    check("sum(a)[5m]", "1:1: parse error: ranges only allowed for vector selectors");
    check("a offset 1m [5m]", "1:13: parse error: no offset modifiers allowed before range");
    check("a[0s]", "1:3: parse error: duration must be greater than 0");
    check("a[5m", "1:5: parse error: unclosed left bracket");
    check("a[5m:1m][1h:1m]", "1:1: parse error: subquery is only allowed on instant vector, got range vector instead");
    check("a offset 1m offset 2m", "1:13: parse error: offset may not be set multiple times");
    check("a @ foo", "1:5: parse error: unexpected identifier \"foo\" in @, expected timestamp");
    check("a[1m / 0]", "1:3: parse error: division by zero");
    check("sum by (a", "1:10: parse error: unclosed left parenthesis");
    check(
        "sum by (a b) (c)",
        "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
    );
}

#[test]
fn selectors_alone() {
    assert_eq!(parse_selector("up{job=\"a\"}").map(|m| m.len()), Ok(2));
    for bad in ["up[5m]", "sum(up)", "up offset 1m", "{}"] {
        assert!(parse_selector(bad).is_err(), "{bad}");
    }
}

/// In a thread with the smallest stack that a runtime gives its threads.
#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    let deep = |text: String| {
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        thread
            .spawn(move || parse(&text).map(|_| ()).map_err(|e| e.to_string()))
            .expect("a thread")
            .join()
            .expect("no overflow")
    };
    // The deepest that is taken.
    for text in
        ["(".repeat(60) + "1" + &")".repeat(60), "abs(".repeat(30) + "a" + &")".repeat(30), "a + ".repeat(190) + "a"]
    {
        assert_eq!(deep(text.clone()), Ok(()), "{text}");
    }
    for text in [
        "(".repeat(10_000) + "1" + &")".repeat(10_000),
        "-".repeat(10_000) + "1",
        "1 + ".repeat(10_000) + "1",
        "1 ^ ".repeat(10_000) + "1",
        "abs(".repeat(10_000) + "a" + &")".repeat(10_000),
        "sum(".repeat(10_000) + "a" + &")".repeat(10_000),
        format!("a[{}1m]", "(".repeat(10_000)),
        format!("a[{}1m{}]", "(".repeat(5_000), ")".repeat(5_000)),
        format!("a[{}1m]", "-".repeat(10_000)),
        format!("a[{}1m]", "step() + ".repeat(10_000)),
        format!("a{}", "[1m:1m]".repeat(10_000)),
    ] {
        assert!(deep(text.clone()).is_err(), "{:.20}", text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_tokens_are_read_or_refused(tokens in prop::collection::vec(prop::sample::select(vec![
        "foo", "{", "}", "(", ")", "[", "]", ",", ":", "@", "=", "=~", "!=", "\"a\"", "`b`", "5m", "1", "0x1", "1e5", "+", "-", "*", "/", "^", "==", "and", "or", "unless", "on", "ignoring",
        "group_left", "group_right", "bool", "offset", "start", "end", "step", "range", "sum", "topk", "by", "without", "rate", "abs", "fill", "fill_left", "smoothed", "anchored", "\n", "#", "Inf", ".", "</",
    ]), 0..24)) {
        for text in [tokens.join(" "), tokens.concat()] {
            if let Ok(expr) = parse(&text) {
                let written = pretty(&expr);
                let again = parse(&written).map(|expr| pretty(&expr));
                prop_assert_eq!(again, Ok(written), "{}", text);
            }
        }
    }
}
