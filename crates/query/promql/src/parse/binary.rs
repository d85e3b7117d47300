//! Binary operators and their modifiers.

use crate::{
    ast::{Expr, Kind},
    lexer::{Token, TokenKind, number},
    parse::{Parsed, Parser},
};
use eval::binary::{Cardinality, Matching, Op};

/// How strongly `^` binds.
pub const POWER: u8 = 6;

/// The operator that a token stands for, and how strongly it binds.
fn operator(token: &Token) -> Option<(Op, u8)> {
    let word = match token.kind {
        TokenKind::Operator => token.text.clone(),
        TokenKind::Identifier => token.text.to_ascii_lowercase(),
        _ => return None,
    };
    Some(match word.as_str() {
        "or" => (Op::Or, 1),
        "and" => (Op::And, 2),
        "unless" => (Op::Unless, 2),
        "==" => (Op::Equal, 3),
        "!=" => (Op::NotEqual, 3),
        "<" => (Op::Less, 3),
        "<=" => (Op::LessEqual, 3),
        ">" => (Op::Greater, 3),
        ">=" => (Op::GreaterEqual, 3),
        "+" => (Op::Add, 4),
        "-" => (Op::Sub, 4),
        "*" => (Op::Mul, 5),
        "/" => (Op::Div, 5),
        "%" => (Op::Mod, 5),
        "atan2" => (Op::Atan2, 5),
        "</" => (Op::TrimUpper, 5),
        ">/" => (Op::TrimLower, 5),
        "^" => (Op::Pow, POWER),
        _ => return None,
    })
}

impl Parser<'_> {
    /// An expression of operators that bind at least as strongly as `weakest`.
    pub(super) fn binary(&mut self, weakest: u8) -> Parsed<Expr> {
        let mut left = self.operand()?;
        while let Some((op, strength)) = operator(self.peek()) {
            if strength < weakest {
                break;
            }
            self.take();
            let (truth, matching) = self.binary_modifiers(op)?;
            // Only `^` groups from the right.
            let right = self.deeper(|p| p.binary(if op == Op::Pow { strength } else { strength + 1 }))?;
            let at = left.at;
            let kind = Kind::Binary { op, left: Box::new(left), right: Box::new(right), truth, matching };
            left = self.node(kind, at)?;
        }
        Ok(left)
    }

    fn binary_modifiers(&mut self, op: Op) -> Parsed<(bool, Matching)> {
        let mut matching = Matching::default();
        if op.is_set() {
            matching.cardinality = Cardinality::ManyToMany;
        }
        let truth = self.eat_word("bool");
        let explicit = [("on", true), ("ignoring", false)].into_iter().find(|(word, _)| self.peek().is_word(word));
        if let Some((_, on)) = explicit {
            self.take();
            matching.on = on;
            matching.labels = self.label_list()?;
            let sides = [("group_left", Cardinality::ManyToOne), ("group_right", Cardinality::OneToMany)];
            if let Some((_, cardinality)) = sides.into_iter().find(|(word, _)| self.peek().is_word(word)) {
                let offset = self.take().offset;
                if op.is_set() {
                    return self.error(offset, format!("no grouping allowed for {:?} operation", op.symbol()));
                }
                matching.cardinality = cardinality;
                if self.peek().kind == TokenKind::LeftParen {
                    matching.include = self.label_list()?;
                }
                if let Some(label) = matching.include.iter().find(|l| on && matching.labels.contains(l)) {
                    return self
                        .error(offset, format!("label {label:?} must not occur in ON and GROUP clause at once"));
                }
            }
        }
        self.fill(op, &mut matching)?;
        Ok((truth, matching))
    }

    /// `fill (0)`, `fill_left (0) fill_right (1)`. Without parentheses after them these are metric names.
    fn fill(&mut self, op: Op, matching: &mut Matching) -> Parsed<()> {
        for (word, left, right) in
            [("fill", true, true), ("fill_left", true, false), ("fill_right", false, true), ("fill_left", true, false)]
        {
            if !self.peek().is_word(word) || self.ahead(1).kind != TokenKind::LeftParen {
                continue;
            }
            let offset = self.take().offset;
            if op.is_set() {
                return self.error(
                    offset,
                    format!("filling in missing series not allowed for set operator {:?}", op.symbol()),
                );
            }
            self.expect(TokenKind::LeftParen, "", "")?;
            let value = self.signed_number("fill modifier")?;
            self.expect(TokenKind::RightParen, "", "")?;
            if left {
                matching.fill_left = Some(value);
            }
            if right {
                matching.fill_right = Some(value);
            }
        }
        Ok(())
    }

    /// A number or duration with an optional sign.
    pub(super) fn signed_number(&mut self, context: &str) -> Parsed<f64> {
        let negative = self.peek().is_operator("-");
        if negative || self.peek().is_operator("+") {
            self.take();
        }
        match self.peek().kind {
            TokenKind::Number | TokenKind::Duration => {
                let token = self.take();
                let value =
                    number(&token.text).or_else(|| crate::lexer::duration_seconds(&token.text)).unwrap_or(f64::NAN);
                Ok(if negative { -value } else { value })
            }
            _ => self.unexpected(context, "number"),
        }
    }

    /// `(a, b, "c.d")`
    pub(super) fn label_list(&mut self) -> Parsed<Vec<String>> {
        const CONTEXT: &str = "grouping opts";
        self.expect(TokenKind::LeftParen, CONTEXT, "\"(\"")?;
        let mut labels = Vec::new();
        while !self.eat(TokenKind::RightParen) {
            match self.peek().kind {
                TokenKind::Identifier => labels.push(self.take().text),
                TokenKind::Number if self.peek().text.bytes().all(|b| b.is_ascii_alphabetic()) => {
                    labels.push(self.take().text)
                }
                TokenKind::String => {
                    let offset = self.peek().offset;
                    let name = self.string()?;
                    match String::from_utf8(name) {
                        Ok(name) if !name.is_empty() => labels.push(name),
                        _ => return self.error(offset, "invalid label name for grouping"),
                    }
                }
                _ => return self.unexpected(CONTEXT, "label"),
            }
            if self.peek().kind != TokenKind::RightParen {
                self.expect(TokenKind::Comma, CONTEXT, "\",\" or \")\"")?;
            }
        }
        Ok(labels)
    }
}
