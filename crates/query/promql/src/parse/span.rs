//! Lengths of time: `5m`, `300`, and arithmetic with them.

use crate::{
    ast::{Span, SpanKind},
    lexer::{TokenKind, duration_seconds, number},
    parse::{Parsed, Parser},
};
use eval::binary::Op;

const EXPECTED: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    /// What stands in brackets.
    pub(super) fn span(&mut self) -> Parsed<Span> {
        let span = self.span_binary(0, "subquery or range selector")?;
        if let Some(seconds) = span.constant()
            && (seconds * 1000.0).round() <= 0.0
        {
            return self.error(span.at.offset, "duration must be greater than 0");
        }
        Ok(span)
    }

    /// What follows `offset`: without parentheses a single length with an optional sign.
    pub(super) fn offset_span(&mut self) -> Parsed<Span> {
        self.span_operand("offset")
    }

    fn span_binary(&mut self, weakest: u8, context: &str) -> Parsed<Span> {
        let mut left = self.span_operand(context)?;
        loop {
            let (op, strength) = match (self.peek().kind, self.peek().text.as_str()) {
                (TokenKind::Operator, "+") => (Op::Add, 1),
                (TokenKind::Operator, "-") => (Op::Sub, 1),
                (TokenKind::Operator, "*") => (Op::Mul, 2),
                (TokenKind::Operator, "/") => (Op::Div, 2),
                (TokenKind::Operator, "%") => (Op::Mod, 2),
                (TokenKind::Operator, "^") => (Op::Pow, 3),
                _ => return Ok(left),
            };
            if strength < weakest {
                return Ok(left);
            }
            self.take();
            let right = self.deeper(|p| p.span_binary(if op == Op::Pow { strength } else { strength + 1 }, context))?;
            let at = left.at;
            if matches!(op, Op::Div | Op::Mod) && right.constant() == Some(0.0) {
                let what = if op == Op::Div { "division" } else { "modulo" };
                return self.error(at.offset, format!("{what} by zero"));
            }
            self.deep_enough(&left)?;
            left = Span { kind: SpanKind::Binary(op, Box::new(left), Box::new(right)), at };
        }
    }

    /// Chains of operators nest to the left; they are bounded like everything else.
    fn deep_enough(&self, span: &Span) -> Parsed<()> {
        let (mut depth, mut at) = (0, span);
        while let SpanKind::Binary(_, left, _) = &at.kind {
            (depth, at) = (depth + 1, left);
        }
        match depth > 60 {
            true => self.error(span.at.offset, "the duration expression is too long"),
            false => Ok(()),
        }
    }

    fn span_operand(&mut self, context: &str) -> Parsed<Span> {
        let at = self.here();
        for (symbol, negate) in [("-", true), ("+", false)] {
            if !self.peek().is_operator(symbol) {
                continue;
            }
            self.take();
            let inner = self.deeper(|p| p.span_operand(context))?;
            return Ok(match inner.kind {
                _ if !negate => Span { kind: inner.kind, at },
                SpanKind::Fixed(seconds) => Span { kind: SpanKind::Fixed(-seconds), at },
                _ => Span { kind: SpanKind::Negate(Box::new(inner)), at },
            });
        }
        match self.peek().kind {
            TokenKind::Number | TokenKind::Duration => {
                let token = self.take();
                let seconds = number(&token.text).or_else(|| duration_seconds(&token.text)).unwrap_or(f64::NAN);
                // About 292 years, what nanoseconds can hold.
                if !seconds.is_finite() || seconds > 9_223_372_036.0 {
                    return self.error(token.offset, "duration out of range");
                }
                Ok(Span { kind: SpanKind::Fixed(seconds), at })
            }
            TokenKind::LeftParen => {
                self.take();
                let inner = self.deeper(|p| p.span_binary(0, context))?;
                self.expect(TokenKind::RightParen, context, "\")\"")?;
                Ok(inner)
            }
            TokenKind::Identifier if self.ahead(1).kind == TokenKind::LeftParen => self.span_call(context),
            _ => self.unexpected(context, EXPECTED),
        }
    }

    fn span_call(&mut self, context: &str) -> Parsed<Span> {
        let at = self.here();
        let word = self.peek().text.to_ascii_lowercase();
        match word.as_str() {
            "step" | "range" => {
                self.take();
                self.take();
                self.expect(TokenKind::RightParen, context, "\")\"")?;
                Ok(Span { kind: if word == "step" { SpanKind::Step } else { SpanKind::Range }, at })
            }
            "min" | "max" | "min_of" | "max_of" => {
                self.take();
                self.take();
                let a = Box::new(self.deeper(|p| p.span_binary(0, context))?);
                self.expect(TokenKind::Comma, context, "\",\"")?;
                let b = Box::new(self.deeper(|p| p.span_binary(0, context))?);
                self.expect(TokenKind::RightParen, context, "\")\"")?;
                Ok(Span { kind: if word.starts_with("min") { SpanKind::Min(a, b) } else { SpanKind::Max(a, b) }, at })
            }
            _ => self.unexpected(context, EXPECTED),
        }
    }
}
