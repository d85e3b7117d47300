//! Cuts a query text into tokens, each with the place where it begins.

use crate::{quantity, quote};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    End,
    Ident(String),
    Str(String),
    Number(String),
    /// Nanoseconds.
    Duration(i64),
    Bytes(u64),
    /// Nanoseconds between `[` and `]`.
    Range(i64),
    /// `--strict`, `--keep-empty`.
    Flag(String),
    /// A name that is a function only because of what follows it.
    Function(&'static str),
    Keyword(&'static str),
    Sym(&'static str),
    /// What is here is no token; the text says why.
    Bad(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub tok: Tok,
    pub line: u32,
    pub column: u32,
}

impl Tok {
    /// The name by which Loki's messages call a token.
    pub(crate) fn name(&self) -> String {
        match self {
            Tok::End => "$end".into(),
            Tok::Ident(_) => "IDENTIFIER".into(),
            Tok::Str(_) => "STRING".into(),
            Tok::Number(_) => "NUMBER".into(),
            Tok::Duration(_) => "DURATION".into(),
            Tok::Bytes(_) => "BYTES".into(),
            Tok::Range(_) => "RANGE".into(),
            Tok::Flag(_) => "PARSER_FLAG".into(),
            Tok::Function("ip") => "ip".into(),
            Tok::Function(name @ ("bytes" | "duration" | "duration_seconds")) => {
                format!("{}_CONV", name.to_uppercase())
            }
            Tok::Function(name) => name.to_uppercase(),
            Tok::Keyword(name) | Tok::Sym(name) => (*name).into(),
            Tok::Bad(text) => text.clone(),
        }
    }
}

const FUNCTIONS: [&str; 32] = [
    "rate",
    "rate_counter",
    "count_over_time",
    "bytes_over_time",
    "bytes_rate",
    "sum_over_time",
    "avg_over_time",
    "max_over_time",
    "min_over_time",
    "stdvar_over_time",
    "stddev_over_time",
    "quantile_over_time",
    "first_over_time",
    "last_over_time",
    "absent_over_time",
    "vector",
    "sum",
    "avg",
    "max",
    "min",
    "count",
    "stddev",
    "stdvar",
    "bottomk",
    "topk",
    "approx_topk",
    "sort",
    "sort_desc",
    "label_replace",
    "bytes",
    "duration",
    "duration_seconds",
];

const KEYWORDS: [&str; 22] = [
    "by",
    "without",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "and",
    "or",
    "unless",
    "json",
    "regexp",
    "logfmt",
    "pattern",
    "unpack",
    "label_format",
    "line_format",
    "unwrap",
    "decolorize",
    "drop",
    "keep",
];

const SYMBOLS: [&str; 28] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "|", "=", ">", "<", "{", "}", "(", ")", ",", "+", "-",
    "*", "/", "%", "^", ".", "[", "]",
];

/// The tokens of a text; the last is `End` or `Bad`.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text, line: 1, column: 1, out: Vec::new() };
    while lexer.token() {}
    lexer.out
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
    out: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        for c in taken.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    fn push(&mut self, tok: Tok, line: u32, column: u32) -> bool {
        let more = !matches!(tok, Tok::End | Tok::Bad(_));
        self.out.push(Token { tok, line, column });
        more
    }

    fn skip_blanks(&mut self) {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start().len();
            self.advance(blanks);
            if !self.rest.starts_with('#') {
                return;
            }
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.advance(end);
        }
    }

    /// Takes one token; false after the last.
    fn token(&mut self) -> bool {
        self.skip_blanks();
        let (line, column) = (self.line, self.column);
        let Some(first) = self.rest.chars().next() else {
            return self.push(Tok::End, line, column);
        };
        let tok = match first {
            '"' | '`' => self.string(first),
            '[' => return self.range(column),
            '0'..='9' => self.number(),
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            c if c == '_' || c.is_alphabetic() => self.word(),
            '-' if self.rest[1..].starts_with('-') && self.rest[2..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let end = self.rest[2..]
                    .find(|c: char| !c.is_ascii_alphabetic() && c != '-')
                    .map_or(self.rest.len(), |n| n + 2);
                Tok::Flag(self.advance(end).to_owned())
            }
            c => match SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol)) {
                Some(symbol) => {
                    self.advance(symbol.len());
                    Tok::Sym(symbol)
                }
                None => Tok::Ident(self.advance(c.len_utf8()).to_owned()),
            },
        };
        self.push(tok, line, column)
    }

    fn string(&mut self, quote: char) -> Tok {
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == quote {
                let inner = &self.rest[1..at];
                let value = quote::unquote(inner, quote);
                self.advance(at + 1);
                return value.map_or_else(|| Tok::Bad("invalid char escape".into()), Tok::Str);
            } else if quote == '"' && c == '\\' {
                escaped = true;
            } else if quote == '"' && c == '\n' {
                break;
            }
        }
        Tok::Bad("literal not terminated".into())
    }

    fn range(&mut self, column: u32) -> bool {
        let Some(end) = self.rest.find(']') else {
            return self.push(Tok::Bad("missing closing ']' in duration".into()), 0, column);
        };
        let inside = self.advance(end + 1);
        let tok = match quantity::duration(inside[1..end].trim()) {
            Ok(ns) => Tok::Range(ns),
            Err(text) => Tok::Bad(text),
        };
        self.push(tok, 0, column)
    }

    /// A number, and if a unit follows directly a duration or a size.
    fn number(&mut self) -> Tok {
        let number = number_length(self.rest);
        if number == 0 {
            return Tok::Bad("decimal literal has no digits".into());
        }
        let run = self.rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_'))).unwrap_or(self.rest.len());
        if run > number {
            let whole = &self.rest[..run];
            if let Ok(ns) = quantity::duration(whole) {
                self.advance(run);
                return Tok::Duration(ns);
            }
            let unit = whole.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            if quantity::is_byte_unit(unit)
                && let Ok(size) = quantity::bytes(whole)
            {
                self.advance(run);
                return Tok::Bytes(size);
            }
        }
        Tok::Number(self.advance(number).to_owned())
    }

    fn word(&mut self) -> Tok {
        let end = self.rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(self.rest.len());
        let word = self.advance(end);
        let lower = word.to_lowercase();
        if let Some(keyword) = KEYWORDS.iter().find(|keyword| **keyword == lower) {
            return Tok::Keyword(keyword);
        }
        let ip = (lower == "ip").then_some(&"ip");
        if let Some(function) = FUNCTIONS.iter().find(|name| **name == lower).or(ip)
            && is_call(self.rest)
        {
            return Tok::Function(function);
        }
        Tok::Ident(word.to_owned())
    }
}

/// Whether what follows a name makes it a function: `(`, `by` or `without`.
fn is_call(rest: &str) -> bool {
    let rest = rest.trim_start();
    if rest.starts_with('(') {
        return true;
    }
    let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
    matches!(rest[..end].to_lowercase().as_str(), "by" | "without")
}

/// How many bytes of a text are a number of Go's (which may still be none that LogQL reads); 0 for a bare `0x` or `0B`.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize, ok: fn(&u8) -> bool| bytes[from.min(bytes.len())..].iter().take_while(|b| ok(b)).count();
    let prefix = if bytes[0] == b'0' { bytes.get(1).map(u8::to_ascii_lowercase) } else { None };
    let hex: fn(&u8) -> bool = |b| b.is_ascii_hexdigit() || matches!(b, b'.' | b'_');
    let decimal: fn(&u8) -> bool = |b| b.is_ascii_digit() || matches!(b, b'.' | b'_');
    let (mut end, exponent) = match prefix {
        Some(b'x') => (2 + digits(2, hex), [b'p', b'P']),
        Some(b'o' | b'b') => (2 + digits(2, decimal), [0, 0]),
        _ => (digits(0, decimal), [b'e', b'E']),
    };
    if matches!(prefix, Some(b'x' | b'o' | b'b')) && end == 2 {
        return 0;
    }
    if bytes.get(end).is_some_and(|b| exponent.contains(b)) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let count = digits(end + 1 + sign, u8::is_ascii_digit);
        if count > 0 {
            end += 1 + sign + count;
        }
    }
    end
}
