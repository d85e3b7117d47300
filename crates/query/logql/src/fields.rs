//! Which columns hold what a parser finds in lines that are kept taken apart, so that no line needs to be made for it.
//!
//! The parser itself says so: it reads the shape's text with a stand-in in each slot, and what it finds is traced back to
//! the slot in which it stands. A shape of which that is not certain has no fields, and its lines are read as others are.

use crate::stage::json;
use model::Shape;
use std::borrow::Cow;
use std::ops::Range;

/// What a JSON parser looks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Parser<'p> {
    /// All fields of an object.
    All,
    /// The values at some paths, each under a name.
    Paths(&'p [String], &'p [Vec<json::Step>]),
}

/// The labels that a parser finds in lines of one shape.
#[derive(Debug, PartialEq)]
pub(crate) struct Fields {
    pub found: Vec<Field>,
    /// Columns whose values must be JSON's for the line to be.
    pub bare: Vec<u32>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Field {
    pub name: String,
    /// Where its value is; without one it is the empty text.
    pub column: Option<u32>,
    /// Whether the value stands in quotes.
    pub quoted: bool,
}

/// Within these, lines that are objects are taken apart at each of their values.
const MAX_SLOTS: usize = 256;

impl Fields {
    /// The labels that `wants` asks for.
    pub(crate) fn of(shape: &Shape, parser: Parser<'_>, wants: impl Fn(&str) -> bool) -> Option<Fields> {
        if shape.slots.len() > MAX_SLOTS || !shape.slots.first()?.0.starts_with('{') {
            return None;
        }
        let mut text = String::new();
        let mut slots: Vec<Slot> = Vec::with_capacity(shape.slots.len());
        let after = shape.slots.iter().skip(1).map(|(literal, _)| literal.as_str()).chain([shape.end.as_str()]);
        for ((literal, column), after) in shape.slots.iter().zip(after) {
            text.push_str(literal);
            let quoted = literal.ends_with('"') && after.starts_with('"');
            let start = text.len();
            text.push(if quoted { 'x' } else { '0' });
            if slots.iter().any(|slot| slot.column == *column) {
                return None;
            }
            slots.push(Slot { span: start..text.len(), column: *column, quoted });
        }
        text.push_str(&shape.end);
        let bare = slots.iter().filter(|slot| !slot.quoted).map(|slot| slot.column).collect();
        let mut fields = Fields { found: Vec::new(), bare };
        let mut certain = true;
        let end = json::fields(&text, &mut |name, value| {
            if matches!(parser, Parser::All) && wants(&name) {
                certain &= fields.add(name.into_owned(), &value, &text, &slots);
            }
        });
        certain &= text[end.ok()?..].trim().is_empty();
        if let Parser::Paths(names, paths) = parser {
            for (name, value) in names.iter().zip(json::lookup(&text, paths).ok()?) {
                if wants(name) {
                    certain &= fields.add(name.clone(), &value, &text, &slots);
                }
            }
        }
        certain.then_some(fields)
    }

    /// Traces a value back to its slot; false if it has none, or if the name was found before.
    fn add(&mut self, name: String, value: &str, text: &str, slots: &[Slot]) -> bool {
        if self.found.iter().any(|field| field.name == name) {
            return false;
        }
        if value.is_empty() {
            self.found.push(Field { name, column: None, quoted: false });
            return true;
        }
        // A value that is not a part of the text is found nowhere in it.
        let start = (value.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        let Some(slot) = slots.iter().find(|slot| slot.span == (start..start.wrapping_add(value.len()))) else {
            return false;
        };
        self.found.push(Field { name, column: Some(slot.column), quoted: slot.quoted });
        true
    }
}

struct Slot {
    span: Range<usize>,
    column: u32,
    quoted: bool,
}

impl Field {
    /// The label's value where the slot holds `text`; none if the parser leaves it out.
    pub(crate) fn value<'t>(&self, text: &'t str, parser: Parser<'_>) -> Option<Cow<'t, str>> {
        if self.quoted {
            return Some(json::unescape(text).unwrap_or(Cow::Borrowed(text)));
        }
        match (json::bare(text)?, parser) {
            (json::Bare::Plain, _) | (json::Bare::Nested, Parser::Paths(..)) => Some(Cow::Borrowed(text)),
            (json::Bare::Null, Parser::Paths(..)) => Some(Cow::Borrowed("")),
            (json::Bare::Null | json::Bare::Nested, Parser::All) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Shape {
        let mut parts: Vec<&str> = text.split('~').collect();
        let end = parts.pop().unwrap_or_default().to_owned();
        Shape { slots: parts.into_iter().zip(0..).map(|(text, at)| (text.to_owned(), at)).collect(), end }
    }

    fn check(text: &str, parser: Parser<'_>, want: Option<&str>) {
        let fields = Fields::of(&shape(text), parser, |name| name != "no");
        let text = fields.map(|fields| {
            let found = fields.found.iter().map(|field| match field.column {
                Some(column) => format!("{}={column}{}", field.name, if field.quoted { "q" } else { "" }),
                None => format!("{}=", field.name),
            });
            found.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(text.as_deref(), want);
    }

    #[test]
    fn fields_are_traced_to_their_columns() {
        check(r#"{"a":"~","b":{"c":~},"no":~}"#, Parser::All, Some("a=0q b_c=1"));
        check(r#"{"a":"~","a":~}"#, Parser::All, None);
        check(r#"{"a":"~ ~"}"#, Parser::All, None);
        check(r#"{"no":"~ ~","a":~}"#, Parser::All, Some("a=2"));
        check(r#"{"a":"~"} trailing"#, Parser::All, None);
        check(r#"{"a":"~""#, Parser::All, None);
        check("~", Parser::All, None);
        let names = ["x".to_owned(), "y".to_owned(), "z".to_owned()];
        let paths = ["a", "b.c", "d"].map(|path| json::path(path).expect("a path"));
        check(r#"{"a":"~","b":{"c":~},"no":~}"#, Parser::Paths(&names, &paths), Some("x=0q y=1 z="));
        check(r#"{"a":{"b":~},"b":~}"#, Parser::Paths(&names, &paths), None);
    }

    #[test]
    fn values_are_what_the_parser_gives() {
        let check = |text: &str, quoted, all: Option<&str>, path: Option<&str>| {
            let field = Field { name: "a".into(), column: Some(0), quoted };
            assert_eq!(field.value(text, Parser::All).as_deref(), all, "{text}");
            assert_eq!(field.value(text, Parser::Paths(&[], &[])).as_deref(), path, "{text}");
            let line = if quoted { format!("{{\"a\":\"{text}\"}}") } else { format!("{{\"a\":{text}}}") };
            let mut parsed = None;
            json::fields(&line, &mut |_, value| parsed = Some(value.into_owned())).expect(text);
            assert_eq!(parsed.as_deref(), all, "{text}");
            let at = json::lookup(&line, &[json::path("a").expect("a path")]).expect(text);
            assert_eq!(Some(at[0].as_ref()), path, "{text}");
        };
        check("x", true, Some("x"), Some("x"));
        check(r#"x\"\n"#, true, Some("x\"\n"), Some("x\"\n"));
        check(r"\q", true, Some(r"\q"), Some(r"\q"));
        check("1.50", false, Some("1.50"), Some("1.50"));
        check("true", false, Some("true"), Some("true"));
        check("null", false, None, Some(""));
        check(r#"[1,"x"]"#, false, None, Some(r#"[1,"x"]"#));
    }
}
