//! Selectors, and what may follow an operand: ranges, `offset`, `@`, `anchored`, `smoothed`.

use crate::{
    ast::{At, Edges, Expr, Kind, Selector, Shift, Subquery, Type},
    lexer::TokenKind,
    parse::{Parsed, Parser},
};
use model::{MatchOp, Matcher, labels::METRIC_NAME};

const MATCHING: &str = "label matching";

impl Parser<'_> {
    /// `name{a="b", "c.d"=~"e"}`, `{"metric.name", a="b"}`
    pub(super) fn selector(&mut self) -> Parsed<Expr> {
        let at = self.here();
        let mut matchers = Vec::new();
        let mut name = None;
        if matches!(self.peek().kind, TokenKind::Identifier | TokenKind::MetricIdentifier) {
            name = Some(self.take().text);
        }
        if self.eat(TokenKind::LeftBrace) {
            while !self.eat(TokenKind::RightBrace) {
                self.matcher(&mut matchers, &mut name)?;
                if self.peek().kind != TokenKind::RightBrace {
                    self.expect(TokenKind::Comma, MATCHING, "\",\" or \"}\"")?;
                }
            }
        }
        if let Some(name) = name {
            let twice = matchers.iter().find(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
            if let Some(other) = twice {
                let text = format!("metric name must not be set twice: {name:?} or {:?}", other.value);
                return self.error(at.offset, text);
            }
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let selector = Selector { matchers, shift: Shift::default(), edges: Edges::Plain };
        self.node(Kind::Selector(Box::new(selector)), at)
    }

    fn matcher(&mut self, matchers: &mut Vec<Matcher>, name: &mut Option<String>) -> Parsed<()> {
        let offset = self.peek().offset;
        let label = match self.peek().kind {
            TokenKind::Identifier => self.take().text,
            TokenKind::String => match String::from_utf8(self.string()?) {
                Ok(text) => {
                    if matches!(self.peek().kind, TokenKind::Comma | TokenKind::RightBrace) {
                        return self.quoted_name(text, name, offset);
                    }
                    text
                }
                Err(_) => return self.error(offset, "a label name is not valid UTF-8"),
            },
            _ => return self.unexpected(MATCHING, "identifier or \"}\""),
        };
        let op = match self.peek().text.as_str() {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            "!~" => MatchOp::NotRegex,
            _ => return self.unexpected(MATCHING, "label matching operator"),
        };
        if self.peek().kind != TokenKind::Operator {
            return self.unexpected(MATCHING, "label matching operator");
        }
        self.take();
        if self.peek().kind != TokenKind::String {
            return self.unexpected(MATCHING, "string");
        }
        let value = String::from_utf8_lossy(&self.string()?).into_owned();
        match Matcher::new(label, op, value) {
            Ok(matcher) => matchers.push(matcher),
            Err(error) => return self.error(offset, format!("error parsing regexp: {}", error.why)),
        }
        Ok(())
    }

    fn quoted_name(&mut self, text: String, name: &mut Option<String>, offset: usize) -> Parsed<()> {
        if let Some(first) = name {
            return self.error(offset, format!("metric name must not be set twice: {first:?} or {text:?}"));
        }
        if text.is_empty() {
            return self.error(offset, "a metric name may not be empty");
        }
        *name = Some(text);
        Ok(())
    }

    /// Everything that may follow an operand.
    pub(super) fn modifiers(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            let offset = self.peek().offset;
            if self.peek().kind == TokenKind::LeftBracket {
                expr = self.deeper(|p| p.brackets(expr))?;
            } else if self.eat_word("offset") {
                let span = self.offset_span()?;
                match shift(&mut expr) {
                    None => return self.not_after(&expr, "offset"),
                    Some(shift) if shift.offset.is_some() => {
                        return self.error(offset, "offset may not be set multiple times");
                    }
                    Some(shift) => shift.offset = Some(span),
                }
            } else if self.eat(TokenKind::At) {
                let at = self.at_time()?;
                match shift(&mut expr) {
                    None => return self.not_after(&expr, "@"),
                    Some(shift) if shift.at.is_some() => {
                        return self.error(offset, "@ <timestamp> may not be set multiple times");
                    }
                    Some(shift) => shift.at = Some(at),
                }
            } else if self.peek().is_word("anchored") || self.peek().is_word("smoothed") {
                let word = self.take().text.to_ascii_lowercase();
                let edges = if word == "anchored" { Edges::Anchored } else { Edges::Smoothed };
                match &mut expr.kind {
                    Kind::Selector(_) if edges == Edges::Anchored => {
                        return self.error(offset, "anchored modifier can only be used with range selectors");
                    }
                    Kind::Selector(selector) | Kind::Range(selector, _) if selector.edges == Edges::Plain => {
                        selector.edges = edges
                    }
                    Kind::Selector(_) | Kind::Range(..) => {
                        return self.error(offset, "anchored and smoothed modifiers cannot be used together or twice");
                    }
                    Kind::Subquery(_) => {
                        return self.error(offset, format!("{word} modifier is not supported for subqueries"));
                    }
                    _ => {
                        return self
                            .error(offset, format!("{word} modifier must be preceded by a vector or range selector"));
                    }
                }
            } else {
                return Ok(expr);
            }
        }
    }

    fn not_after<T>(&self, expr: &Expr, what: &str) -> Parsed<T> {
        let kind = match &expr.kind {
            Kind::Paren(_) => "parenthesized expression",
            Kind::Call { .. } => "function call",
            Kind::Aggregate { .. } => "aggregation",
            Kind::Number(_) | Kind::String(_) => "literal",
            _ => "expression",
        };
        let text = format!(
            "{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery, but follows a {kind} instead"
        );
        self.error(expr.at.offset, text)
    }

    /// `[5m]`, `[1h:5m]`, `[1h:]`
    fn brackets(&mut self, expr: Expr) -> Parsed<Expr> {
        let offset = self.take().offset;
        let at = expr.at;
        let range = self.span()?;
        if self.eat(TokenKind::RightBracket) {
            return match expr.kind {
                Kind::Selector(selector) if selector.shift.offset.is_some() => {
                    self.error(offset, "no offset modifiers allowed before range")
                }
                Kind::Selector(selector) if selector.shift.at.is_some() => {
                    self.error(offset, "no @ modifiers allowed before range")
                }
                Kind::Selector(selector) => self.node(Kind::Range(selector, range), at),
                _ => self.error(at.offset, "ranges only allowed for vector selectors"),
            };
        }
        self.expect(TokenKind::Colon, "subquery or range", "\":\" or \"]\"")?;
        let step = if self.peek().kind == TokenKind::RightBracket { None } else { Some(self.span()?) };
        self.expect(TokenKind::RightBracket, "subquery selector", "\"]\"")?;
        let given = expr.kind_type();
        if given != Type::Vector && given != Type::Scalar {
            let text = format!("subquery is only allowed on instant vector, got {} instead", given.name());
            return self.error(at.offset, text);
        }
        self.node(Kind::Subquery(Box::new(Subquery { expr, range, step, shift: Shift::default() })), at)
    }

    fn at_time(&mut self) -> Parsed<At> {
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.peek().is_word(word) && self.ahead(1).kind == TokenKind::LeftParen {
                self.take();
                self.take();
                self.expect(TokenKind::RightParen, "@", "\")\"")?;
                return Ok(at);
            }
        }
        let offset = self.peek().offset;
        let sign = self.peek().is_operator("-") || self.peek().is_operator("+");
        if !matches!(self.ahead(usize::from(sign)).kind, TokenKind::Number | TokenKind::Duration) {
            return self.unexpected("@", "timestamp");
        }
        let seconds = self.signed_number("@")?;
        let millis = (seconds * 1000.0).round();
        // Far enough from the ends of i64 that adding ranges cannot pass them.
        if !millis.is_finite() || millis.abs() >= (i64::MAX / 4) as f64 {
            return self
                .error(offset, format!("timestamp out of bounds for @ modifier: {}", eval::number::plain(seconds)));
        }
        Ok(At::Time(millis as i64))
    }
}

fn shift(expr: &mut Expr) -> Option<&mut Shift> {
    match &mut expr.kind {
        Kind::Selector(selector) | Kind::Range(selector, _) => Some(&mut selector.shift),
        Kind::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    }
}
