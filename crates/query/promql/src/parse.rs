//! Reads a query: recursive descent, with precedence climbing for binary operators.

mod aggregate;
mod binary;
mod check;
mod selector;
mod span;

use crate::{
    ast::{Expr, Kind, Position},
    error::ParseError,
    lexer::{Token, TokenKind, number, position, tokens, unquote},
    signature::Signature,
};
use eval::aggregate::Op;

/// How deep a tree may be; a chain of n operators is n deep. With [`MAX_NESTING`] this bounds the stack that parsing and
/// evaluation need: both stay below the 2 MiB that threads have by default, without optimisation too.
pub const MAX_DEPTH: u32 = 200;

/// How deep parentheses and their like may nest in the text.
pub const MAX_NESTING: u32 = 64;

/// The longest query, in bytes.
pub const MAX_LEN: usize = 1 << 20;

/// Reads and checks a query.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > MAX_LEN {
        let text = format!("the query has {} bytes, the limit is {MAX_LEN}", text.len());
        return Err(ParseError { position: Position { offset: 0, line: 1, column: 1 }, text });
    }
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, depth: 0 };
    if parser.peek().kind == TokenKind::End {
        return parser.error(text.len(), "no expression found in input");
    }
    let expr = parser.expr()?;
    parser.expect(TokenKind::End, "", "")?;
    check::check(&expr)?;
    Ok(expr)
}

/// Reads a series selector alone, like the `match[]` of metadata requests, and answers its matchers.
pub fn parse_selector(text: &str) -> Result<Vec<model::Matcher>, ParseError> {
    let expr = parse(text)?;
    match expr.kind {
        Kind::Selector(selector) if selector.shift == Default::default() => Ok(selector.matchers),
        _ => Err(ParseError { position: expr.at, text: "expected a series selector".into() }),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
}

type Parsed<T> = Result<T, ParseError>;

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.ahead(0)
    }

    /// Beyond the end comes the end, forever.
    fn ahead(&self, n: usize) -> &Token {
        &self.tokens[(self.at + n).min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn eat(&mut self, kind: TokenKind) -> bool {
        let found = self.peek().kind == kind;
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_word(word);
        self.at += usize::from(found);
        found
    }

    fn here(&self) -> Position {
        position(self.text, self.peek().offset)
    }

    fn error<T>(&self, offset: usize, text: impl Into<String>) -> Parsed<T> {
        Err(ParseError { position: position(self.text, offset), text: text.into() })
    }

    /// The next token does not belong here.
    fn unexpected<T>(&self, context: &str, expected: &str) -> Parsed<T> {
        let mut text = format!("unexpected {}", self.peek().describe());
        if !context.is_empty() {
            text += &format!(" in {context}");
        }
        if !expected.is_empty() {
            text += &format!(", expected {expected}");
        }
        self.error(self.peek().offset, text)
    }

    fn expect(&mut self, kind: TokenKind, context: &str, expected: &str) -> Parsed<Token> {
        if self.peek().kind == kind { Ok(self.take()) } else { self.unexpected(context, expected) }
    }

    /// Makes an expression, one deeper than what it holds.
    fn node(&self, kind: Kind, at: Position) -> Parsed<Expr> {
        let mut expr = Expr { kind, at, depth: 1 };
        expr.depth += expr.children().iter().map(|child| child.depth).max().unwrap_or(0);
        if expr.depth > MAX_DEPTH {
            return self.error(at.offset, format!("the expression nests more than {MAX_DEPTH} levels deep"));
        }
        Ok(expr)
    }

    /// Runs one level deeper, so that nesting is bounded before there is a tree.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return self.error(self.peek().offset, format!("the expression nests more than {MAX_NESTING} levels deep"));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn expr(&mut self) -> Parsed<Expr> {
        self.deeper(|p| p.binary(0))
    }

    /// An operand: what stands before, between and after operators, with its modifiers.
    fn operand(&mut self) -> Parsed<Expr> {
        let at = self.here();
        for (symbol, negate) in [("-", true), ("+", false)] {
            if !self.peek().is_operator(symbol) {
                continue;
            }
            self.take();
            // A sign binds like `*`: weaker than `^`, stronger than the rest.
            let inner = self.deeper(|p| p.binary(binary::POWER))?;
            let kind = match inner.kind {
                Kind::Number(value) if negate => Kind::Number(-value),
                Kind::Number(value) => Kind::Number(value),
                _ if negate => Kind::Negate(Box::new(inner)),
                _ => Kind::Plus(Box::new(inner)),
            };
            return self.node(kind, at);
        }
        let primary = self.primary()?;
        self.modifiers(primary)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let at = self.here();
        let token = self.peek().clone();
        match token.kind {
            TokenKind::LeftParen => {
                self.take();
                let inner = self.expr()?;
                self.expect(TokenKind::RightParen, "", "")?;
                self.node(Kind::Paren(Box::new(inner)), at)
            }
            TokenKind::Number | TokenKind::Duration => {
                self.take();
                let value = number(&token.text).or_else(|| crate::lexer::duration_seconds(&token.text));
                self.node(Kind::Number(value.unwrap_or(f64::NAN)), at)
            }
            TokenKind::String => {
                let text = self.string()?;
                self.node(Kind::String(text), at)
            }
            TokenKind::Identifier => self.named(token, at),
            TokenKind::MetricIdentifier if token.text.len() > 1 => self.selector(),
            TokenKind::LeftBrace => self.selector(),
            _ => self.unexpected("", ""),
        }
    }

    fn named(&mut self, token: Token, at: Position) -> Parsed<Expr> {
        let calls = self.ahead(1).kind == TokenKind::LeftParen;
        if let Some(op) = Op::from_name(&token.text.to_ascii_lowercase())
            && (calls || self.ahead(1).is_word("by") || self.ahead(1).is_word("without"))
        {
            return self.aggregate(op, at);
        }
        if calls {
            return self.call(&token.text, at);
        }
        if ["on", "ignoring", "bool", "group_left", "group_right"].iter().any(|word| token.is_word(word)) {
            return self.unexpected("", "");
        }
        self.selector()
    }

    fn call(&mut self, name: &str, at: Position) -> Parsed<Expr> {
        let Some(function) = Signature::by_name(name) else {
            return self.error(at.offset, format!("unknown function with name {name:?}"));
        };
        self.take();
        let args = self.arguments()?;
        self.node(Kind::Call { function, args }, at)
    }

    /// `(a, b)`
    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        self.expect(TokenKind::LeftParen, "", "")?;
        let mut args = Vec::new();
        if self.eat(TokenKind::RightParen) {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.eat(TokenKind::RightParen) {
                return Ok(args);
            }
            let comma = self.expect(TokenKind::Comma, "", "")?;
            if self.peek().kind == TokenKind::RightParen {
                return self.error(comma.offset, "trailing commas not allowed in function call args");
            }
        }
    }

    fn string(&mut self) -> Parsed<Vec<u8>> {
        let token = self.take();
        unquote(&token.text)
            .or_else(|why| self.error(token.offset, format!("error unquoting string {:?}: {why}", token.text)))
    }
}
