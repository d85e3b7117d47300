//! Cuts a query's text into tokens.

mod literal;

use crate::{ast::Position, error::ParseError};
pub use literal::{duration_seconds, go_quote, number, unquote};

#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub kind: TokenKind,
    /// As written.
    pub text: String,
    pub offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    End,
    /// A name, maybe a keyword: the parser decides by place.
    Identifier,
    /// A name with colons.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    /// Operators and matchers; `text` says which.
    Operator,
}

const KEYWORDS: [&str; 18] = [
    "offset",
    "smoothed",
    "anchored",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "start",
    "end",
    "step",
    "range",
    "fill",
    "fill_left",
    "fill_right",
    "atan2",
];

const WORD_OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];

impl Token {
    /// Whether this is a certain keyword, in any case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Identifier && self.text.eq_ignore_ascii_case(word)
    }

    pub fn is_operator(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Operator && self.text == symbol
    }

    /// As error texts name it.
    pub fn describe(&self) -> String {
        let lower = self.text.to_ascii_lowercase();
        match self.kind {
            TokenKind::End => "end of input".into(),
            TokenKind::Identifier if WORD_OPERATORS.contains(&lower.as_str()) => format!("<op:{}>", self.text),
            TokenKind::Identifier if eval::aggregate::Op::from_name(&lower).is_some() => {
                format!("<aggr:{}>", self.text)
            }
            TokenKind::Identifier if KEYWORDS.contains(&lower.as_str()) => format!("<{}>", self.text),
            TokenKind::Identifier => format!("identifier {:?}", self.text),
            TokenKind::MetricIdentifier => format!("metric identifier {:?}", self.text),
            TokenKind::Number => format!("number {}", shorten(&self.text)),
            TokenKind::Duration => format!("duration {}", shorten(&self.text)),
            TokenKind::String => format!("string {}", shorten(&self.text)),
            TokenKind::Operator if self.text != "=" => format!("<op:{}>", self.text),
            _ => format!("{:?}", self.text),
        }
    }
}

fn shorten(text: &str) -> String {
    if text.len() <= 10 {
        return format!("{text:?}");
    }
    let short: String = text.chars().take(10).collect();
    format!("{short:?}...")
}

/// The place of an offset. Columns count bytes.
pub fn position(text: &str, offset: usize) -> Position {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    Position { offset, line: line as u32, column: (offset.min(text.len()) - start + 1) as u32 }
}

/// All tokens, the last one being the end.
pub fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { text, at: 0, braces: false, brackets: false, parens: 0, out: Vec::new() };
    while lexer.next()? {}
    Ok(lexer.out)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    braces: bool,
    brackets: bool,
    parens: usize,
    out: Vec<Token>,
}

impl Lexer<'_> {
    fn error<T>(&self, offset: usize, text: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError { position: position(self.text, offset), text: text.into() })
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: TokenKind, len: usize) {
        self.out.push(Token { kind, text: self.text[self.at..self.at + len].to_owned(), offset: self.at });
        self.at += len;
    }

    fn run(&self, test: impl Fn(u8) -> bool) -> usize {
        self.text.as_bytes()[self.at..].iter().take_while(|b| test(**b)).count()
    }

    /// Reads a token; false after the end.
    fn next(&mut self) -> Result<bool, ParseError> {
        loop {
            self.at += self.run(|b| b.is_ascii_whitespace());
            if self.byte(0) != b'#' {
                break;
            }
            self.at += self.run(|b| b != b'\n');
        }
        let Some(first) = self.text[self.at..].chars().next() else {
            if self.parens > 0 {
                return self.error(self.at, "unclosed left parenthesis");
            }
            if self.braces {
                return self.error(self.at, "unclosed left brace");
            }
            if self.brackets {
                return self.error(self.at, "unclosed left bracket");
            }
            self.push(TokenKind::End, 0);
            return Ok(false);
        };
        match first {
            '"' | '\'' | '`' => self.string(first as u8)?,
            '0'..='9' => self.number()?,
            '.' if self.byte(1).is_ascii_digit() => self.number()?,
            'a'..='z' | 'A'..='Z' | '_' => self.word(),
            ':' if !self.brackets && !self.braces && is_name_byte(self.byte(1)) => self.word(),
            _ => self.symbol(first)?,
        }
        Ok(true)
    }

    fn word(&mut self) {
        let colons = !self.brackets && !self.braces;
        let len = self.run(|b| is_name_byte(b) || colons && b == b':');
        let word = &self.text[self.at..self.at + len];
        let is_number = !self.braces && (word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan"));
        let kind = match (word.contains(':'), is_number) {
            (true, _) => TokenKind::MetricIdentifier,
            (_, true) => TokenKind::Number,
            _ => TokenKind::Identifier,
        };
        self.push(kind, len);
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let bytes = &self.text.as_bytes()[self.at..];
        let hex = bytes.len() > 1 && bytes[0] == b'0' && bytes[1].eq_ignore_ascii_case(&b'x');
        let mut len = 0;
        while len < bytes.len() {
            let byte = bytes[len];
            let exponent_sign = !hex
                && matches!(byte, b'+' | b'-')
                && len > 0
                && bytes[len - 1].eq_ignore_ascii_case(&b'e')
                && bytes.get(len + 1).is_some_and(u8::is_ascii_digit)
                && bytes[..len - 1].iter().all(|b| b.is_ascii_digit() || *b == b'.' || *b == b'_');
            if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || exponent_sign) {
                break;
            }
            len += 1;
        }
        let text = &self.text[self.at..self.at + len];
        if number(text).is_some() {
            self.push(TokenKind::Number, len);
        } else if duration_seconds(text).is_some() {
            self.push(TokenKind::Duration, len);
        } else if self.brackets
            && text.bytes().all(|b| b.is_ascii_alphanumeric())
            && !hex
            && text.bytes().last().is_some_and(|b| b.is_ascii_digit())
        {
            return self.error(self.at, "missing unit character in duration");
        } else {
            return self.error(self.at, format!("bad number or duration syntax: {text:?}"));
        }
        Ok(())
    }

    fn string(&mut self, quote: u8) -> Result<(), ParseError> {
        let bytes = &self.text.as_bytes()[self.at..];
        let mut len = 1;
        loop {
            match bytes.get(len) {
                None if quote == b'`' => return self.error(self.at, "unterminated raw string"),
                None => return self.error(self.at, "unterminated quoted string"),
                Some(b'\n') if quote != b'`' => return self.error(self.at, "unterminated quoted string"),
                Some(b'\\') if quote != b'`' => len += 2,
                Some(byte) if *byte == quote => break,
                Some(_) => len += 1,
            }
        }
        self.push(TokenKind::String, len + 1);
        Ok(())
    }

    fn symbol(&mut self, first: char) -> Result<(), ParseError> {
        let second = self.byte(1);
        let (kind, len) = match (first, second) {
            ('(', _) => {
                self.parens += 1;
                (TokenKind::LeftParen, 1)
            }
            (')', _) => {
                if self.parens == 0 {
                    return self.error(self.at, "unexpected right parenthesis ')'");
                }
                self.parens -= 1;
                (TokenKind::RightParen, 1)
            }
            ('{', _) if self.braces => return self.error(self.at, "unexpected left brace '{'"),
            ('{', _) => {
                self.braces = true;
                (TokenKind::LeftBrace, 1)
            }
            ('}', _) if !self.braces => return self.error(self.at, "unexpected right brace '}'"),
            ('}', _) => {
                self.braces = false;
                (TokenKind::RightBrace, 1)
            }
            ('[', _) if self.brackets => return self.error(self.at, "unexpected left bracket '['"),
            ('[', _) => {
                self.brackets = true;
                (TokenKind::LeftBracket, 1)
            }
            (']', _) if !self.brackets => return self.error(self.at, "unexpected right bracket ']'"),
            (']', _) => {
                self.brackets = false;
                (TokenKind::RightBracket, 1)
            }
            (',', _) => (TokenKind::Comma, 1),
            (':', _) if self.brackets => (TokenKind::Colon, 1),
            (':', _) => (TokenKind::MetricIdentifier, 1),
            ('@', _) => (TokenKind::At, 1),
            ('=', b'=' | b'~') | ('!', b'=' | b'~') | ('<', b'=') | ('>', b'=') => (TokenKind::Operator, 2),
            ('<' | '>', b'/') if !self.braces => (TokenKind::Operator, 2),
            ('=' | '<' | '>' | '+' | '-' | '*' | '/' | '%' | '^', _) => (TokenKind::Operator, 1),
            ('!', _) => {
                let next = self.text[self.at + 1..].chars().next().map_or("end of input".into(), |c| format!("{c:?}"));
                return self.error(self.at, format!("unexpected character after '!': {next}"));
            }
            _ if self.braces => return self.error(self.at, format!("unexpected character inside braces: {first:?}")),
            _ => return self.error(self.at, format!("unexpected character: {first:?}")),
        };
        self.push(kind, len);
        Ok(())
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
