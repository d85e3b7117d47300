//! Go's text templates, as far as `line_format` and `label_format` use them: reading. Others who have templates bring
//! functions of their own (`parse_with`, `Scope`).

mod decimal;
mod exec;
mod functions;
mod layout;
mod scan;
mod text_functions;
mod value;

pub use exec::Scope;
pub use value::Value;

use scan::{Item, Scanner};

/// A template that was read. Fields that it names are known before it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// The name in error texts.
    name: String,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Action(Pipe),
    If { arms: Vec<(Pipe, Vec<Node>)>, otherwise: Vec<Node> },
    With { pipe: Pipe, body: Vec<Node>, otherwise: Vec<Node> },
    Range { pipe: Pipe, names: Vec<String>, body: Vec<Node>, otherwise: Vec<Node> },
}

#[derive(Debug, Clone, PartialEq)]
struct Pipe {
    /// `$name :=` or `$name =` before the commands.
    assign: Option<String>,
    commands: Vec<Vec<Arg>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Arg {
    Dot,
    /// `.a.b`
    Field(Vec<String>),
    /// `$name.a`
    Variable(String, Vec<String>),
    /// A function and where it is called.
    Function(&'static str, usize),
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nil,
    Paren(Pipe, Vec<String>),
}

/// The function of a name, if there is one.
pub type Known = fn(&str) -> Option<&'static str>;

/// How deep parentheses and blocks may nest.
const MAX_DEPTH: usize = 64;

impl Template {
    /// Reads a template. The error is a whole text, as Go gives it.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Template, String> {
        Template::parse_with(name, text, functions::known)
    }

    /// … that may call the functions whose names `known` gives back: any of this crate, and those that its
    /// `Scope::functions` will answer for.
    pub fn parse_with(name: &str, text: &str, known: Known) -> Result<Template, String> {
        let items = Scanner::items(text).map_err(|why| format!("template: {name}:1: {why}"))?;
        let mut parser = Parser { items, at: 0, depth: 0, known };
        let (nodes, end) = parser.block().map_err(|why| format!("template: {name}:1: {why}"))?;
        match end {
            End::Text => Ok(Template { name: name.to_owned(), nodes }),
            End::Word(word) => Err(format!("template: {name}:1: unexpected {{{{{word}}}}}")),
        }
    }

    /// The first names of all fields that the template can ask for; `None` when it may ask for all of them.
    pub(crate) fn fields(&self) -> Option<Vec<String>> {
        let mut fields = Vec::new();
        nodes_fields(&self.nodes, &mut fields).then_some(fields)
    }

    /// The single field of a template like `{{.name}}`.
    pub(crate) fn plain_parts(&self) -> Option<Vec<PlainPart<'_>>> {
        self.nodes
            .iter()
            .map(|node| match node {
                Node::Text(text) => Some(PlainPart::Text(text)),
                Node::Action(Pipe { assign: None, commands }) => match commands.as_slice() {
                    [command] => match command.as_slice() {
                        [Arg::Field(path)] if path.len() == 1 => Some(PlainPart::Field(&path[0])),
                        _ => None,
                    },
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }
}

/// A part of a template that only puts texts and fields together.
pub(crate) enum PlainPart<'t> {
    Text(&'t str),
    Field(&'t str),
}

fn nodes_fields(nodes: &[Node], fields: &mut Vec<String>) -> bool {
    nodes.iter().all(|node| match node {
        Node::Text(_) => true,
        Node::Action(pipe) => pipe_fields(pipe, fields),
        Node::If { arms, otherwise } => {
            arms.iter().all(|(pipe, body)| pipe_fields(pipe, fields) && nodes_fields(body, fields))
                && nodes_fields(otherwise, fields)
        }
        // Within these, a dot is something else; asking for all is always right.
        Node::With { .. } | Node::Range { .. } => false,
    })
}

fn pipe_fields(pipe: &Pipe, fields: &mut Vec<String>) -> bool {
    pipe.commands.iter().flatten().all(|arg| match arg {
        Arg::Dot | Arg::Variable(..) => false,
        Arg::Field(path) => {
            fields.extend(path.first().cloned());
            true
        }
        Arg::Paren(pipe, _) => pipe_fields(pipe, fields),
        _ => true,
    })
}

struct Parser {
    items: Vec<Item>,
    at: usize,
    depth: usize,
    known: Known,
}

/// What ended a block.
enum End {
    Text,
    Word(String),
}

impl Parser {
    fn next(&mut self) -> Item {
        let item = self.items.get(self.at).cloned().unwrap_or(Item::End);
        self.at += 1;
        item
    }

    fn peek(&self) -> &Item {
        self.items.get(self.at).unwrap_or(&Item::End)
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(format!("nests deeper than {MAX_DEPTH}")) } else { Ok(()) }
    }

    /// Nodes up to `{{end}}`, `{{else}}` or the end of the text.
    fn block(&mut self) -> Result<(Vec<Node>, End), String> {
        self.deeper()?;
        let mut nodes = Vec::new();
        let end = loop {
            match self.next() {
                Item::Text(text) => nodes.push(Node::Text(text)),
                Item::Open => {
                    if let Item::Word(word, _) = self.peek().clone() {
                        match word.as_str() {
                            "end" => {
                                self.next();
                                self.close()?;
                                break End::Word(word);
                            }
                            "else" => {
                                self.next();
                                break End::Word(word);
                            }
                            "if" | "with" | "range" => {
                                self.next();
                                nodes.push(self.control(&word)?);
                                continue;
                            }
                            "define" | "template" | "block" | "break" | "continue" => {
                                return Err(format!("{{{{{word}}}}} is not known here"));
                            }
                            _ => {}
                        }
                    }
                    if matches!(self.peek(), Item::Close) {
                        return Err("missing value for command".into());
                    }
                    let pipe = self.pipe()?;
                    self.close()?;
                    nodes.push(Node::Action(pipe));
                }
                Item::End => break End::Text,
                item => return Err(format!("unexpected {item:?}")),
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn close(&mut self) -> Result<(), String> {
        match self.next() {
            Item::Close => Ok(()),
            item => Err(format!("unexpected {} in command", item.show())),
        }
    }

    fn control(&mut self, word: &str) -> Result<Node, String> {
        let mut names = Vec::new();
        if word == "range" {
            // `range $i, $v := pipe`
            while let Item::Variable(name) = self.peek().clone() {
                let after = self.items.get(self.at + 1);
                if !matches!(after, Some(Item::Assign | Item::Comma)) {
                    break;
                }
                self.at += 2;
                names.push(name);
            }
        }
        let pipe = self.pipe()?;
        self.close()?;
        let (body, end) = self.block()?;
        let mut arms = vec![(pipe, body)];
        let mut otherwise = Vec::new();
        let mut end = end;
        while let End::Word(ending) = &end
            && ending == "else"
        {
            if word == "if"
                && let Item::Word(next, _) = self.peek().clone()
                && next == "if"
            {
                self.next();
                let pipe = self.pipe()?;
                self.close()?;
                let (body, after) = self.block()?;
                arms.push((pipe, body));
                end = after;
                continue;
            }
            self.close()?;
            (otherwise, end) = self.block()?;
            if matches!(&end, End::Word(word) if word == "else") {
                return Err("expected end; found {{else}}".into());
            }
        }
        if matches!(end, End::Text) {
            return Err("unexpected EOF".into());
        }
        if word == "if" {
            return Ok(Node::If { arms, otherwise });
        }
        let Some((pipe, body)) = arms.pop() else { return Err("missing value".into()) };
        Ok(if word == "with" {
            Node::With { pipe, body, otherwise }
        } else {
            Node::Range { pipe, names, body, otherwise }
        })
    }

    fn pipe(&mut self) -> Result<Pipe, String> {
        self.deeper()?;
        let mut assign = None;
        if let (Item::Variable(name), Some(Item::Assign)) = (self.peek().clone(), self.items.get(self.at + 1)) {
            assign = Some(name);
            self.at += 2;
        }
        let mut commands = Vec::new();
        loop {
            let mut args: Vec<Arg> = Vec::new();
            loop {
                let arg = match self.peek().clone() {
                    Item::Close | Item::RightParen | Item::Pipe => break,
                    Item::Word(word, at) => self.word(&word, at)?,
                    Item::Dot => Arg::Dot,
                    Item::Field(path) => Arg::Field(path),
                    Item::Variable(name) => {
                        let mut parts = name.split('.').map(str::to_owned);
                        Arg::Variable(parts.next().unwrap_or_default(), parts.collect())
                    }
                    Item::Str(text) => Arg::Text(text),
                    Item::Number(text) => number(&text)?,
                    Item::LeftParen => {
                        self.next();
                        let inner = self.pipe()?;
                        if !matches!(self.peek(), Item::RightParen) {
                            return Err("unclosed left paren".into());
                        }
                        let mut fields = Vec::new();
                        if let Some(Item::Field(path)) = self.items.get(self.at + 1) {
                            fields.clone_from(path);
                            self.at += 1;
                        }
                        Arg::Paren(inner, fields)
                    }
                    item => return Err(format!("unexpected {} in operand", item.show())),
                };
                self.next();
                args.push(arg);
            }
            if args.is_empty() {
                return Err("missing value for command".into());
            }
            if !commands.is_empty()
                && !matches!(args[0], Arg::Function(..))
                && args.len() == 1
                && !matches!(args[0], Arg::Field(_) | Arg::Variable(..) | Arg::Paren(..))
            {
                return Err("non executable command in pipeline stage 2".into());
            }
            commands.push(args);
            if !matches!(self.peek(), Item::Pipe) {
                break;
            }
            self.next();
        }
        self.depth -= 1;
        Ok(Pipe { assign, commands })
    }

    fn word(&mut self, word: &str, at: usize) -> Result<Arg, String> {
        Ok(match word {
            "true" => Arg::Bool(true),
            "false" => Arg::Bool(false),
            "nil" => Arg::Nil,
            _ => match (self.known)(word) {
                Some(name) => Arg::Function(name, at),
                None => return Err(format!("function {word:?} not defined")),
            },
        })
    }
}

fn number(text: &str) -> Result<Arg, String> {
    if let Ok(value) = text.parse::<i64>() {
        return Ok(Arg::Int(value));
    }
    crate::quantity::float(text).map(Arg::Float).ok_or_else(|| format!("bad number syntax: {text:?}"))
}

#[cfg(test)]
mod tests;
