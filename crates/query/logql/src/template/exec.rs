//! Runs a template over the labels of one line.

use super::functions::{self, Context};
use super::value::Value;
use super::{Arg, Node, Pipe, Template};
use std::collections::HashMap;

/// The longest text that one run may make: a function like `repeat` must not fill the memory.
pub(crate) const MAX_OUTPUT: usize = 1 << 20;

/// A function of somebody else's templates: its name and arguments; nothing if it is none of theirs.
pub type Call<'s> = dyn Fn(&str, &[Value]) -> Option<Result<Value, String>> + 's;

/// What a run can ask for.
pub struct Scope<'s> {
    pub line: &'s str,
    /// Unix nanoseconds of the entry.
    pub time: i64,
    /// Unix nanoseconds of the query.
    pub now: i64,
    pub label: &'s dyn Fn(&str) -> Option<String>,
    /// All labels, for templates that print them.
    pub labels: &'s dyn Fn() -> Vec<(String, String)>,
    /// Functions beside those of this crate.
    pub functions: Option<&'s Call<'s>>,
    /// What a dot means, if not the labels, and which variables there are.
    pub dot: Option<Value>,
    pub variables: Vec<(&'s str, Value)>,
}

impl Template {
    /// Runs the template. The error is a whole text, as Go gives it.
    pub fn run(&self, scope: &Scope<'_>) -> Result<String, String> {
        let variables = scope.variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut run = Run { template: self, scope, out: String::new(), variables, dot: scope.dot.clone() };
        run.nodes(&self.nodes)?;
        Ok(run.out)
    }
}

struct Run<'r> {
    template: &'r Template,
    scope: &'r Scope<'r>,
    out: String,
    variables: HashMap<String, Value>,
    /// What a dot means within `with` and `range`; outside of them, the labels.
    dot: Option<Value>,
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node]) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Action(pipe) => {
                    let value = self.pipe(pipe)?;
                    if pipe.assign.is_none() {
                        self.out.push_str(&value.show());
                    }
                }
                Node::If { arms, otherwise } => {
                    let mut chosen = otherwise;
                    for (pipe, body) in arms {
                        if self.pipe(pipe)?.is_true() {
                            chosen = body;
                            break;
                        }
                    }
                    self.nodes(chosen)?;
                }
                Node::With { pipe, body, otherwise } => {
                    let value = self.pipe(pipe)?;
                    if value.is_true() {
                        self.within(value, body)?;
                    } else {
                        self.nodes(otherwise)?;
                    }
                }
                Node::Range { pipe, names, body, otherwise } => {
                    let items: Vec<(Value, Value)> = match self.pipe(pipe)? {
                        Value::List(list) => {
                            list.into_iter().enumerate().map(|(at, v)| (Value::Int(at as i64), v)).collect()
                        }
                        Value::Map(map) => map.into_iter().map(|(key, v)| (Value::Text(key), v)).collect(),
                        Value::Missing => Vec::new(),
                        value => {
                            return Err(self.failure(
                                "range",
                                0,
                                &format!("range can't iterate over {}", value.show()),
                            ));
                        }
                    };
                    if items.is_empty() {
                        self.nodes(otherwise)?;
                    }
                    for (key, value) in items {
                        match names.as_slice() {
                            [item] => drop(self.variables.insert(item.clone(), value.clone())),
                            [index, item] => {
                                self.variables.insert(index.clone(), key);
                                self.variables.insert(item.clone(), value.clone());
                            }
                            _ => {}
                        }
                        self.within(value, body)?;
                    }
                }
            }
            if self.out.len() > MAX_OUTPUT {
                return Err(format!("template: {}: the text is longer than {MAX_OUTPUT} bytes", self.template.name));
            }
        }
        Ok(())
    }

    fn within(&mut self, dot: Value, body: &[Node]) -> Result<(), String> {
        let before = self.dot.replace(dot);
        let result = self.nodes(body);
        self.dot = before;
        result
    }

    fn pipe(&mut self, pipe: &Pipe) -> Result<Value, String> {
        let mut last: Option<Value> = None;
        for command in &pipe.commands {
            last = Some(self.command(command, last)?);
        }
        let value = last.unwrap_or(Value::Missing);
        if let Some(name) = &pipe.assign {
            self.variables.insert(name.clone(), value.clone());
        }
        Ok(value)
    }

    fn command(&mut self, args: &[Arg], last: Option<Value>) -> Result<Value, String> {
        let Some((first, rest)) = args.split_first() else {
            return Ok(Value::Missing);
        };
        let Arg::Function(name, at) = first else {
            if !rest.is_empty() || last.is_some() {
                return Err(format!("template: {}: can't give argument to non-function", self.template.name));
            }
            return self.arg(first);
        };
        // These two stop as soon as the answer is known.
        if matches!(*name, "and" | "or") {
            let mut value = Value::Missing;
            for arg in rest {
                value = self.arg(arg)?;
                if value.is_true() == (*name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut values = rest.iter().map(|arg| self.arg(arg)).collect::<Result<Vec<Value>, String>>()?;
        values.extend(last);
        self.call(name, *at, &values)
    }

    fn call(&self, name: &'static str, at: usize, values: &[Value]) -> Result<Value, String> {
        let context = Context { line: self.scope.line, time: self.scope.time, now: self.scope.now };
        let own = self.scope.functions.and_then(|functions| functions(name, values));
        let value = own.unwrap_or_else(|| functions::call(name, values, &context));
        let value = value.map_err(|why| self.failure(name, at, &why))?;
        if let Value::Text(text) = &value
            && text.len() > MAX_OUTPUT
        {
            return Err(self.failure(name, at, &format!("the text is longer than {MAX_OUTPUT} bytes")));
        }
        Ok(value)
    }

    fn failure(&self, name: &str, at: usize, why: &str) -> String {
        let template = &self.template.name;
        format!("template: {template}:1:{at}: executing \"{template}\" at <{name}>: {why}")
    }

    fn arg(&mut self, arg: &Arg) -> Result<Value, String> {
        Ok(match arg {
            Arg::Dot => self.dot(),
            Arg::Field(path) => self.field(path),
            Arg::Variable(name, path) => {
                let value = if name.is_empty() {
                    self.all_labels()
                } else {
                    self.variables.get(name).cloned().unwrap_or(Value::Missing)
                };
                path.iter().fold(value, |value, name| value.field(name))
            }
            Arg::Function(name, at) => self.call(name, *at, &[])?,
            Arg::Text(text) => Value::Text(text.clone()),
            Arg::Int(value) => Value::Int(*value),
            Arg::Float(value) => Value::Float(*value),
            Arg::Bool(value) => Value::Bool(*value),
            Arg::Nil => Value::Missing,
            Arg::Paren(pipe, path) => {
                let value = self.pipe(pipe)?;
                path.iter().fold(value, |value, name| value.field(name))
            }
        })
    }

    fn dot(&self) -> Value {
        self.dot.clone().unwrap_or_else(|| self.all_labels())
    }

    fn all_labels(&self) -> Value {
        let mut labels = (self.scope.labels)();
        labels.sort();
        Value::Map(labels.into_iter().map(|(name, value)| (name, Value::Text(value))).collect())
    }

    fn field(&self, path: &[String]) -> Value {
        let Some((first, rest)) = path.split_first() else {
            return Value::Missing;
        };
        let value = match &self.dot {
            Some(dot) => dot.field(first),
            None => Value::Text((self.scope.label)(first).unwrap_or_default()),
        };
        rest.iter().fold(value, |value, name| value.field(name))
    }
}
