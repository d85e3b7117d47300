//! Which columns hold what a parser finds in lines that are kept taken apart, so that no line needs to be made for it.
//!
//! The parser itself says so: it reads the shape's text with a stand-in in each slot, and what it finds is traced back to
//! the slot in which it stands, or to what all lines of the shape have in common. A shape of which that is not certain has
//! no fields, and its lines are read as others are.

use crate::ast::Extraction;
use crate::row::label_name;
use crate::stage::{json, logfmt};
use model::Shape;
use std::borrow::Cow;
use std::ops::Range;

/// A parser, and what it looks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Parser<'p> {
    /// All fields of a JSON object.
    All,
    /// The values at some paths in it, each under a name.
    Paths(&'p [String], &'p [Vec<json::Step>]),
    /// All pairs of a logfmt line.
    Pairs(logfmt::Mode),
    /// The values of some of its keys, each under a name.
    Keys(logfmt::Mode, &'p [Extraction]),
}

impl Parser<'_> {
    /// Whether a slot that holds `text` leaves the line what its shape is taken for.
    pub(crate) fn fits(self, text: &str) -> bool {
        match self {
            Parser::All | Parser::Paths(..) => json::bare(text).is_some(),
            Parser::Pairs(_) | Parser::Keys(..) => logfmt::is_plain(text),
        }
    }
}

/// The labels that a parser finds in lines of one shape.
#[derive(Debug, PartialEq)]
pub(crate) struct Fields {
    pub found: Vec<Field>,
    /// Columns whose values must fit the parser.
    pub checked: Vec<u32>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Field {
    pub name: String,
    /// Where its value is; without one it is `text`.
    pub column: Option<u32>,
    pub text: String,
    /// Whether the value is a JSON text in quotes.
    pub quoted: bool,
}

/// Within these, lines that are objects are taken apart at each of their values.
const MAX_SLOTS: usize = 256;

impl Fields {
    /// The labels that `wants` asks for.
    pub(crate) fn of(shape: &Shape, parser: Parser<'_>, wants: impl Fn(&str) -> bool) -> Option<Fields> {
        let is_json = matches!(parser, Parser::All | Parser::Paths(..));
        if shape.slots.len() > MAX_SLOTS || (is_json && !shape.slots.first()?.0.starts_with('{')) {
            return None;
        }
        let mut text = String::new();
        let mut slots: Vec<Slot> = Vec::with_capacity(shape.slots.len());
        let after = shape.slots.iter().skip(1).map(|(literal, _)| literal.as_str()).chain([shape.end.as_str()]);
        for ((literal, column), after) in shape.slots.iter().zip(after) {
            text.push_str(literal);
            let quoted = is_json && literal.ends_with('"') && after.starts_with('"');
            let start = text.len();
            text.push(if quoted { 'x' } else { '0' });
            if slots.iter().any(|slot| slot.column == *column) {
                return None;
            }
            slots.push(Slot { span: start..text.len(), column: *column, quoted });
        }
        text.push_str(&shape.end);
        let checked = slots.iter().filter(|slot| !slot.quoted).map(|slot| slot.column).collect();
        let mut fields = Fields { found: Vec::new(), checked };
        let certain = match parser {
            Parser::All | Parser::Paths(..) => fields.of_object(&text, &slots, parser, wants),
            Parser::Pairs(mode) => fields.of_pairs(&text, &slots, mode, |key, add| {
                let name = label_name(key);
                if wants(&name) { add(name.into_owned()) } else { true }
            }),
            Parser::Keys(mode, keys) => fields.of_pairs(&text, &slots, mode, |key, add| {
                let mut own = keys.iter().filter(|wanted| wanted.expression == key && wants(&wanted.name));
                own.all(|wanted| add(wanted.name.clone()))
            }),
        };
        certain.then_some(fields)
    }

    /// Finds what JSON parsers do; whether all of that is certain.
    fn of_object(&mut self, text: &str, slots: &[Slot], parser: Parser<'_>, wants: impl Fn(&str) -> bool) -> bool {
        let mut certain = true;
        let end = json::fields(text, &mut |name, value| {
            if matches!(parser, Parser::All) && wants(&name) {
                certain &= self.add(name.into_owned(), &value, text, slots);
            }
        });
        certain &= end.is_ok_and(|end| text[end..].trim().is_empty());
        if let Parser::Paths(names, paths) = parser {
            let Ok(values) = json::lookup(text, paths) else { return false };
            for (name, value) in names.iter().zip(values) {
                if wants(name) {
                    certain &= self.add(name.clone(), &value, text, slots);
                }
            }
        }
        certain
    }

    /// Finds what logfmt parsers do; `take` is told each key, and adds its value under the names that it is to have.
    fn of_pairs(
        &mut self,
        text: &str,
        slots: &[Slot],
        mode: logfmt::Mode,
        take: impl Fn(&str, &mut dyn FnMut(String) -> bool) -> bool,
    ) -> bool {
        let mut certain = true;
        let read = logfmt::raw_pairs(text, mode, &mut |key, value| {
            // A key that differs from line to line may be any.
            certain &= !slots.iter().any(|slot| slot.is_in(&place(key, text)));
            // What was made anew of what the line says is in it nowhere.
            let span = place(&value, text);
            let is_own = span.start <= span.end && span.end <= text.len();
            let is_same = is_own && !slots.iter().any(|slot| slot.is_in(&span));
            certain &= take(key, &mut |name| {
                if is_same { self.add_text(name, &value) } else { self.add(name, &value, text, slots) }
            });
        });
        certain && read.is_ok()
    }

    /// Adds a value that all lines have; false if the name was found before.
    fn add_text(&mut self, name: String, text: &str) -> bool {
        let is_new = self.found.iter().all(|field| field.name != name);
        if is_new {
            self.found.push(Field { name, column: None, text: text.to_owned(), quoted: false });
        }
        is_new
    }

    /// Traces a value back to its slot; false if it has none, or if the name was found before.
    fn add(&mut self, name: String, value: &str, text: &str, slots: &[Slot]) -> bool {
        if self.found.iter().any(|field| field.name == name) {
            return false;
        }
        if value.is_empty() {
            return self.add_text(name, "");
        }
        let span = place(value, text);
        let Some(slot) = slots.iter().find(|slot| slot.span == span) else {
            return false;
        };
        self.found.push(Field { name, column: Some(slot.column), text: String::new(), quoted: slot.quoted });
        true
    }
}

/// Where a part of a text is in it; what is not a part of it is nowhere in it.
fn place(part: &str, text: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}

struct Slot {
    span: Range<usize>,
    column: u32,
    quoted: bool,
}

impl Slot {
    fn is_in(&self, span: &Range<usize>) -> bool {
        span.start < self.span.end && self.span.start < span.end
    }
}

impl Field {
    /// The label's value where the slot holds `text`; none if the parser leaves it out.
    pub(crate) fn value<'t>(&self, text: &'t str, parser: Parser<'_>) -> Option<Cow<'t, str>> {
        if self.quoted {
            return Some(json::unescape(text).unwrap_or(Cow::Borrowed(text)));
        }
        if matches!(parser, Parser::Pairs(_) | Parser::Keys(..)) {
            return Some(Cow::Borrowed(text));
        }
        match (json::bare(text)?, parser) {
            (json::Bare::Plain, _) | (json::Bare::Nested, Parser::Paths(..)) => Some(Cow::Borrowed(text)),
            (json::Bare::Null, Parser::Paths(..)) => Some(Cow::Borrowed("")),
            (json::Bare::Null | json::Bare::Nested, _) => None,
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
                None => format!("{}={}", field.name, field.text),
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
    fn pairs_are_traced_to_their_columns() {
        let mode = |strict, keep_empty| logfmt::Mode { strict, keep_empty };
        let all = Parser::Pairs(mode(false, false));
        check("level=info took=~ms at=~", all, None);
        check("level=info no=~ms at=~", all, Some("level=info at=1"));
        check("a=~ b=\"~\" c= d", all, Some("a=0 b=1"));
        check("a=~ c= d", Parser::Pairs(mode(false, true)), Some("a=0 c= d="));
        check("a=\"x \\\" y\" b=~", all, None);
        check("no=\"x \\\" y\" b=~", all, Some("b=0"));
        check("a=~ a=~", all, None);
        check("~=1 a=2", all, None);
        check("GET /~ status=~ x=y=z", all, Some("status=1"));
        check("GET status=~ x=y=z", Parser::Pairs(mode(true, false)), None);
        check("foo.bar=~", all, Some("foo_bar=0"));
        let key = |name: &str, expression: &str| Extraction { name: name.into(), expression: expression.into() };
        let keys = [key("s", "status"), key("t", "status"), key("l", "level"), key("no", "status")];
        let some = Parser::Keys(mode(false, false), &keys);
        check("level=info status=~ other=~x", some, Some("l=info s=0 t=0"));
        check("other=~x", some, Some(""));
    }

    #[test]
    fn values_are_what_the_parser_gives() {
        let check = |text: &str, quoted, all: Option<&str>, path: Option<&str>| {
            let field = Field { name: "a".into(), column: Some(0), text: String::new(), quoted };
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
