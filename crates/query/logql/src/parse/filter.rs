//! Line filters and label filters.

use super::{Parsed, Parser, matcher};
use crate::ast::{Comparison, LabelFilter, LineFilter, LineMatch, LineOp};
use crate::error::ParseError;
use crate::lex::Tok;
use crate::quantity;
use model::MatchOp;

/// The operator to the left of where a label filter is read: it says which ones end it.
#[derive(Clone, Copy, PartialEq)]
enum After {
    Nothing,
    And,
    Or,
}

impl Parser<'_> {
    /// The operator of a line filter, if one comes next.
    pub(super) fn line_op(&self) -> Option<LineOp> {
        Some(match self.peek() {
            Tok::Sym("|=") => LineOp::Contains,
            Tok::Sym("!=") => LineOp::NotContains,
            Tok::Sym("|~") => LineOp::Matches,
            Tok::Sym("!~") => LineOp::NotMatches,
            Tok::Sym("|>") => LineOp::Pattern,
            Tok::Sym("!>") => LineOp::NotPattern,
            _ => return None,
        })
    }

    /// `|= "a" or ip("b")`
    pub(super) fn line_filter(&mut self, op: LineOp) -> Parsed<LineFilter> {
        self.next();
        let mut alternatives = Vec::new();
        loop {
            match self.peek() {
                Tok::Str(text) => {
                    self.next();
                    alternatives.push(LineMatch::Text(text.clone()));
                }
                Tok::Function("ip") => {
                    let pattern = self.ip()?;
                    if !matches!(op, LineOp::Contains | LineOp::NotContains) {
                        return Err(ParseError::whole("ip: invalid operation"));
                    }
                    alternatives.push(LineMatch::Ip(pattern));
                }
                _ => return Err(self.unexpected(&["STRING", "ip"])),
            }
            if !self.take("or") {
                return Ok(LineFilter { op, alternatives });
            }
        }
    }

    /// `ip("…")`
    fn ip(&mut self) -> Parsed<String> {
        self.next();
        self.expect("(", &["("])?;
        let pattern = self.string()?;
        self.expect(")", &[")"])?;
        Ok(pattern)
    }

    pub(super) fn label_filter(&mut self) -> Parsed<LabelFilter> {
        self.label_filter_after(After::Nothing)
    }

    /// `and` binds tighter than `or`; a comma, or nothing at all between two filters, means `and` over the whole rest.
    fn label_filter_after(&mut self, after: After) -> Parsed<LabelFilter> {
        self.deeper()?;
        let mut left = self.label_filter_primary()?;
        loop {
            self.one_more_operator()?;
            let (right, and) = match self.peek() {
                Tok::Keyword("and") if after == After::And => break,
                Tok::Keyword("or") if after != After::Nothing => break,
                Tok::Keyword("and") => {
                    self.next();
                    (self.label_filter_after(After::And)?, true)
                }
                Tok::Keyword("or") => {
                    self.next();
                    (self.label_filter_after(After::Or)?, false)
                }
                Tok::Sym(",") => {
                    self.next();
                    (self.label_filter_after(After::Nothing)?, true)
                }
                Tok::Ident(_) | Tok::Sym("(") => (self.label_filter_after(After::Nothing)?, true),
                _ => break,
            };
            let (one, two) = (Box::new(left), Box::new(right));
            left = if and { LabelFilter::And(one, two) } else { LabelFilter::Or(one, two) };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn label_filter_primary(&mut self) -> Parsed<LabelFilter> {
        if self.take("(") {
            let inner = self.label_filter()?;
            self.expect(")", &[])?;
            return Ok(inner);
        }
        let name = self.ident(&[])?;
        let symbol = match self.peek() {
            Tok::Sym(symbol @ ("=" | "!=" | "=~" | "!~" | "==" | ">" | ">=" | "<" | "<=")) => *symbol,
            _ => return Err(self.unexpected(&[])),
        };
        self.next();
        match (symbol, self.peek()) {
            ("=~" | "!~", _) => {
                let value = self.string()?;
                let op = if symbol == "=~" { MatchOp::Regex } else { MatchOp::NotRegex };
                Ok(LabelFilter::Text(matcher(name, op, value)?))
            }
            ("=" | "!=", Tok::Str(value)) => {
                self.next();
                let op = if symbol == "=" { MatchOp::Equal } else { MatchOp::NotEqual };
                Ok(LabelFilter::Text(matcher(name, op, value.clone())?))
            }
            ("=" | "!=", Tok::Function("ip")) => {
                Ok(LabelFilter::Ip { name, equal: symbol == "=", pattern: self.ip()? })
            }
            _ => self.quantity_filter(name, comparison(symbol)),
        }
    }

    fn quantity_filter(&mut self, name: String, op: Comparison) -> Parsed<LabelFilter> {
        let filter = match self.peek() {
            Tok::Duration(value) => LabelFilter::Duration { name, op, value: *value },
            Tok::Bytes(value) => LabelFilter::Bytes { name, op, value: *value },
            Tok::Number(_) | Tok::Sym("-" | "+") => {
                let value = self.signed_number()?;
                return Ok(LabelFilter::Number { name, op, value });
            }
            _ => return Err(self.unexpected(&[])),
        };
        self.next();
        Ok(filter)
    }

    /// A number with an optional sign.
    pub(super) fn signed_number(&mut self) -> Parsed<f64> {
        let sign = if self.take("-") {
            -1.0
        } else {
            self.take("+");
            1.0
        };
        Ok(sign * self.number(&["NUMBER"])?)
    }

    pub(super) fn number(&mut self, expecting: &[&str]) -> Parsed<f64> {
        let Tok::Number(text) = self.peek() else {
            return Err(self.unexpected(expecting));
        };
        self.next();
        quantity::float(text).ok_or_else(|| {
            let why =
                format!("unable to parse literal as a float: strconv.ParseFloat: parsing \"{text}\": invalid syntax");
            ParseError::whole(why)
        })
    }
}

fn comparison(symbol: &str) -> Comparison {
    match symbol {
        "!=" => Comparison::NotEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessEqual,
        _ => Comparison::Equal,
    }
}
