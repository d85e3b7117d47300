//! Reads a query text: recursive descent over tokens, with Loki's error texts.

mod filter;
mod metric;
mod stages;

use crate::ast::{Expr, LogExpr, Metric};
use crate::error::ParseError;
use crate::lex::{self, Tok, Token};
use model::{MatchOp, Matcher};

/// The longest text that is read, in bytes.
pub const MAX_TEXT: usize = 128 * 1024;

/// How deep parentheses, functions and filters may nest.
const MAX_DEPTH: usize = 200;

/// How many operators a query may have: a chain of them is a deep tree.
const MAX_OPERATORS: usize = 2_000;

/// Reads a query.
///
/// The error's text is Loki's, as far as it is known: clients show and match it.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > MAX_TEXT {
        return Err(ParseError::whole(format!("input size too long ({} > {MAX_TEXT})", text.len())));
    }
    let tokens = lex::tokens(text);
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, operators: 0 };
    let expr = parser.expr(0)?;
    if parser.peek() != &Tok::End {
        return Err(parser.unexpected(&[]));
    }
    check_selectors(&expr)?;
    Ok(expr)
}

pub(crate) struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    operators: usize,
}

pub(crate) type Parsed<T> = Result<T, ParseError>;

impl<'t> Parser<'t> {
    fn token(&self) -> &'t Token {
        // The lexer ends every list with `End` or `Bad`, and neither is ever stepped over.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &'t Tok {
        &self.token().tok
    }

    fn peek_second(&self) -> &'t Tok {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].tok
    }

    fn next(&mut self) -> &'t Tok {
        let tok = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        tok
    }

    /// Steps over a symbol or keyword if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let found = matches!(self.peek(), Tok::Sym(t) | Tok::Keyword(t) if *t == text);
        if found {
            self.next();
        }
        found
    }

    fn is(&self, text: &str) -> bool {
        matches!(self.peek(), Tok::Sym(t) | Tok::Keyword(t) if *t == text)
    }

    fn expect(&mut self, text: &'static str, expecting: &[&str]) -> Parsed<()> {
        if self.take(text) { Ok(()) } else { Err(self.unexpected(expecting)) }
    }

    fn string(&mut self) -> Parsed<String> {
        match self.peek() {
            Tok::Str(text) => {
                self.next();
                Ok(text.clone())
            }
            _ => Err(self.unexpected(&["STRING"])),
        }
    }

    fn ident(&mut self, expecting: &[&str]) -> Parsed<String> {
        match self.peek() {
            Tok::Ident(name) => {
                self.next();
                Ok(name.clone())
            }
            _ => Err(self.unexpected(expecting)),
        }
    }

    /// The error for the next token. More than four possibilities are not listed, as the messages have always been.
    fn unexpected(&self, expecting: &[&str]) -> ParseError {
        let token = self.token();
        if let Tok::Bad(text) = &token.tok {
            return ParseError::at(token.line, token.column, text.clone());
        }
        let mut text = format!("syntax error: unexpected {}", token.tok.name());
        if !expecting.is_empty() && expecting.len() <= 4 {
            text.push_str(", expecting ");
            text.push_str(&expecting.join(" or "));
        }
        ParseError::at(token.line, token.column, text)
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::whole(format!("the query nests deeper than {MAX_DEPTH}")));
        }
        Ok(())
    }

    fn one_more_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(ParseError::whole(format!("the query has more than {MAX_OPERATORS} operators")));
        }
        Ok(())
    }

    /// `{name="value", …}`
    fn selector(&mut self) -> Parsed<Vec<Matcher>> {
        self.expect("{", &[])?;
        let mut matchers = Vec::new();
        if self.take("}") {
            return Ok(matchers);
        }
        loop {
            let name = self.ident(if matchers.is_empty() { &["IDENTIFIER", "}"] } else { &["IDENTIFIER"] })?;
            let op = self.match_op(&["=", "=~", "!~", "!="])?;
            let value = self.string()?;
            matchers.push(matcher(name, op, value)?);
            if self.take("}") {
                return Ok(matchers);
            }
            self.expect(",", &["}", ","])?;
        }
    }

    fn match_op(&mut self, expecting: &[&str]) -> Parsed<MatchOp> {
        let op = match self.peek() {
            Tok::Sym("=") => MatchOp::Equal,
            Tok::Sym("!=") => MatchOp::NotEqual,
            Tok::Sym("=~") => MatchOp::Regex,
            Tok::Sym("!~") => MatchOp::NotRegex,
            _ => return Err(self.unexpected(expecting)),
        };
        self.next();
        Ok(op)
    }
}

pub(crate) fn matcher(name: String, op: MatchOp, value: String) -> Parsed<Matcher> {
    if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
        crate::re::compile(&format!("^(?:{value})$")).map_err(ParseError::whole)?;
    }
    Matcher::new(name, op, value).map_err(|e| ParseError::whole(format!("error parsing regexp: {e}")))
}

/// A selector must name something that a stream has: else it would read everything.
fn check_selectors(expr: &Expr) -> Parsed<()> {
    match expr {
        Expr::Log(log) => check_selector(log),
        Expr::Metric(metric) => check_metric(metric),
    }
}

fn check_metric(metric: &Metric) -> Parsed<()> {
    match metric {
        Metric::Literal(_) | Metric::Vector(_) => Ok(()),
        Metric::Range(range) => check_selector(&range.log),
        Metric::Aggregation(aggregation) => check_metric(&aggregation.inner),
        Metric::Binary(binary) => check_metric(&binary.left).and_then(|()| check_metric(&binary.right)),
        Metric::LabelReplace(replace) => check_metric(&replace.inner),
    }
}

fn check_selector(log: &LogExpr) -> Parsed<()> {
    let names_something = |m: &Matcher| !m.matches_absent() && matches!(m.op, MatchOp::Equal | MatchOp::Regex);
    if log.matchers.iter().any(names_something) {
        return Ok(());
    }
    Err(ParseError::whole(
        "queries require at least one regexp or equality matcher that does not have an empty-compatible value. \
         For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
    ))
}
