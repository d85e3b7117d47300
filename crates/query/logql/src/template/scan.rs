//! Cuts a template into texts and the words of its actions.

use crate::quote;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Text(String),
    Open,
    Close,
    /// A word and how many bytes precede it in its line.
    Word(String, usize),
    Dot,
    Field(Vec<String>),
    /// `$name`, with the fields after it.
    Variable(String),
    Str(String),
    Number(String),
    Pipe,
    Assign,
    Comma,
    LeftParen,
    RightParen,
    End,
}

impl Item {
    pub(super) fn show(&self) -> String {
        match self {
            Item::Word(word, _) => format!("<{word}>"),
            Item::Close => "<}}>".into(),
            Item::Str(text) => quote::quote(text),
            Item::End => "EOF".into(),
            item => format!("{item:?}"),
        }
    }
}

pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
    items: Vec<Item>,
}

impl<'t> Scanner<'t> {
    pub(super) fn items(text: &'t str) -> Result<Vec<Item>, String> {
        let mut scanner = Scanner { text, at: 0, items: Vec::new() };
        let mut trim_next = false;
        loop {
            let rest = &text[scanner.at..];
            let open = rest.find("{{");
            let mut plain = &rest[..open.unwrap_or(rest.len())];
            if trim_next {
                plain = plain.trim_start();
            }
            let Some(open) = open else {
                scanner.push_text(plain);
                return Ok(scanner.items);
            };
            let inner = &rest[open + 2..];
            let trims = inner.starts_with('-') && inner[1..].starts_with([' ', '\t', '\n', '\r']);
            if trims {
                plain = plain.trim_end();
            }
            scanner.push_text(plain);
            scanner.at += open + 2 + usize::from(trims);
            let body = &text[scanner.at..];
            if let Some(comment) = body.trim_start().strip_prefix("/*") {
                let end = comment.find("*/").ok_or("unclosed comment")?;
                let after = comment[end + 2..].trim_start();
                let (after, trim) = match after.strip_prefix('-') {
                    Some(after) => (after, true),
                    None => (after, false),
                };
                let after = after.strip_prefix("}}").ok_or("comment ends before closing delimiter")?;
                trim_next = trim;
                scanner.at = text.len() - after.len();
                continue;
            }
            scanner.items.push(Item::Open);
            trim_next = scanner.action()?;
        }
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.items.push(Item::Text(text.to_owned()));
        }
    }

    /// The words up to `}}`; whether the text after them loses its leading blanks.
    fn action(&mut self) -> Result<bool, String> {
        loop {
            let rest = &self.text[self.at..];
            let Some(c) = rest.chars().next() else {
                return Err("unclosed action".into());
            };
            if rest.starts_with("}}") {
                self.at += 2;
                self.items.push(Item::Close);
                return Ok(false);
            }
            if c.is_whitespace() {
                self.at += c.len_utf8();
                if self.text[self.at..].starts_with("-}}") {
                    self.at += 3;
                    self.items.push(Item::Close);
                    return Ok(true);
                }
                continue;
            }
            let (item, length) = self.word(rest, c)?;
            self.items.push(item);
            self.at += length;
        }
    }

    fn word(&self, rest: &str, c: char) -> Result<(Item, usize), String> {
        let name_end = |from: usize| {
            rest[from..].find(|c: char| c != '_' && !c.is_alphanumeric()).map_or(rest.len(), |end| from + end)
        };
        Ok(match c {
            '|' => (Item::Pipe, 1),
            '(' => (Item::LeftParen, 1),
            ')' => (Item::RightParen, 1),
            ',' => (Item::Comma, 1),
            ':' if rest.starts_with(":=") => (Item::Assign, 2),
            '=' => (Item::Assign, 1),
            '"' | '`' => string(rest, c)?,
            '\'' => {
                let end = rest[1..].find('\'').ok_or("unterminated character constant")? + 1;
                let code = rest[1..end].chars().next().map_or(0, |c| c as u32);
                (Item::Number(code.to_string()), end + 1)
            }
            '$' => {
                let mut end = name_end(1);
                while rest[end..].starts_with('.') && name_end(end + 1) > end + 1 {
                    end = name_end(end + 1);
                }
                (Item::Variable(rest[1..end].to_owned()), end)
            }
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest),
            '.' => {
                let (mut path, mut end) = (Vec::new(), 0);
                while rest[end..].starts_with('.') && name_end(end + 1) > end + 1 {
                    let next = name_end(end + 1);
                    path.push(rest[end + 1..next].to_owned());
                    end = next;
                }
                if path.is_empty() { (Item::Dot, 1) } else { (Item::Field(path), end) }
            }
            '0'..='9' => number(rest),
            '+' | '-' if rest[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.') => number(rest),
            c if c == '_' || c.is_alphabetic() => {
                let end = name_end(0);
                let line = self.text[..self.at].rfind('\n').map_or(0, |at| at + 1);
                (Item::Word(rest[..end].to_owned(), self.at - line), end)
            }
            c => return Err(format!("unexpected {c:?} in command")),
        })
    }
}

fn number(rest: &str) -> (Item, usize) {
    let end = rest[1..]
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')))
        .map_or(rest.len(), |end| end + 1);
    (Item::Number(rest[..end].to_owned()), end)
}

fn string(rest: &str, quote: char) -> Result<(Item, usize), String> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == quote {
            let text = quote::unquote(&rest[1..at], quote).ok_or("invalid syntax in quoted string")?;
            return Ok((Item::Str(text), at + 1));
        } else if c == '\\' && quote == '"' {
            escaped = true;
        } else if c == '\n' && quote == '"' {
            break;
        }
    }
    Err(if quote == '"' { "unterminated quoted string".into() } else { "unterminated raw quoted string".into() })
}
