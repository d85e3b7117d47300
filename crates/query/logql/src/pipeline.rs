//! The stages of a query, compiled once and run over each line.

use crate::ast::{Extraction, FormatValue, LabelSelector, LineFilter, Stage};
use crate::error::ParseError;
use crate::fields::Parser;
use crate::label_filter::{LabelTest, TextTest};
use crate::line_filter::{LineTest, candidates, required};
use crate::pattern::Pattern;
use crate::re;
use crate::row::Row;
use crate::stage::{json, logfmt};
use crate::template::{PlainPart, Scope, Template};
use model::LogPage;
use regex::Regex;
use std::borrow::Cow;

const JSON_ERROR: &str = "JSONParserErr";
const LOGFMT_ERROR: &str = "LogfmtParserErr";
const TEMPLATE_ERROR: &str = "TemplateFormatErr";

/// Compiled stages.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Line filters before any other stage: they run before labels are loaded.
    early: Vec<LineTest>,
    steps: Vec<Step>,
    contains: Vec<String>,
    /// What `now` is in templates, Unix nanoseconds.
    now: i64,
    /// Labels that anything asks for, when that is known; parsers leave out the others.
    wanted: Option<Vec<String>>,
}

#[derive(Debug)]
enum Step {
    Line(LineTest),
    Label(LabelTest),
    Json,
    JsonPaths(Vec<String>, Vec<Vec<json::Step>>),
    Logfmt(logfmt::Mode),
    LogfmtKeys(logfmt::Mode, Vec<Extraction>),
    Regexp(Regex),
    Pattern(Pattern),
    Unpack,
    LineFormat(Template),
    LabelFormat(Vec<(String, Format)>),
    Drop(Vec<Select>),
    Keep(Vec<Select>),
    Decolorize(Regex),
}

#[derive(Debug)]
enum Format {
    Rename(String),
    Template(Template),
}

#[derive(Debug)]
struct Select {
    name: String,
    test: Option<TextTest>,
}

impl Pipeline {
    /// Compiles stages; what can't be compiled is an error of the text.
    pub(crate) fn new(stages: &[Stage]) -> Result<Pipeline, ParseError> {
        let (mut early, mut steps, mut contains) = (Vec::new(), Vec::new(), Vec::new());
        let mut original = true; // whether the line is still the one that is stored
        for stage in stages {
            if let Stage::Line(filter) = stage
                && original
            {
                contains.extend(required(filter));
            }
            original &= !matches!(stage, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize);
            match Step::new(stage).map_err(ParseError::whole)? {
                Step::Line(test) if steps.is_empty() => early.push(test),
                step => steps.push(step),
            }
        }
        Ok(Pipeline { early, steps, contains, now: 0, wanted: None })
    }

    /// Says what time it is for templates.
    pub(crate) fn at(mut self, now: i64) -> Pipeline {
        self.now = now;
        self
    }

    /// Says which labels matter after the last stage. Parsers then leave out others that no stage needs.
    pub(crate) fn wanting(mut self, mut names: Vec<String>) -> Pipeline {
        for step in &self.steps {
            if !step.names(&mut names) {
                return self;
            }
        }
        let extracted: Vec<String> =
            names.iter().filter_map(|n| n.strip_suffix("_extracted")).map(str::to_owned).collect();
        names.extend(extracted);
        self.wanted = Some(names);
        self
    }

    /// Texts that every line must contain to pass.
    pub(crate) fn contains(&self) -> Vec<String> {
        self.contains.clone()
    }

    /// Whether no stage touches lines or labels.
    pub(crate) fn is_empty(&self) -> bool {
        self.early.is_empty() && self.steps.is_empty()
    }

    /// Whether only line filters are left to run, so that labels stay those of the page.
    pub(crate) fn only_filters_lines(&self) -> bool {
        self.steps.is_empty()
    }

    /// The first stage, if it is a parser of JSON or logfmt, no other stage looks at lines, and the fields that are asked for
    /// are known.
    pub(crate) fn parser(&self) -> Option<Parser<'_>> {
        let labels_only = |step: &Step| matches!(step, Step::Label(_) | Step::Drop(_) | Step::Keep(_));
        let (first, rest) = self.steps.split_first().filter(|_| self.early.is_empty())?;
        if !rest.iter().all(labels_only) {
            return None;
        }
        let keys_only = |path: &Vec<json::Step>| path.iter().all(|step| matches!(step, json::Step::Key(_)));
        match first {
            Step::Json if self.wanted.is_some() => Some(Parser::All),
            Step::Logfmt(mode) if self.wanted.is_some() => Some(Parser::Pairs(*mode)),
            Step::LogfmtKeys(mode, keys) => Some(Parser::Keys(*mode, keys)),
            Step::JsonPaths(names, paths) if paths.iter().all(keys_only) => Some(Parser::Paths(names, paths)),
            _ => None,
        }
    }

    /// Whether parsing is all there is to it.
    pub(crate) fn only_parses(&self) -> bool {
        self.steps.len() == 1
    }

    /// Runs the stages after the first one, whose labels the row has already; whether the row stays.
    pub(crate) fn run_parsed(&self, row: &mut Row<'_>) -> bool {
        self.steps.iter().skip(1).all(|step| step.run(row, self))
    }

    /// The rows of a page that may pass the filters that need no labels; `None` when all may.
    pub(crate) fn candidates(&self, page: &LogPage) -> Option<Vec<usize>> {
        candidates(&self.early, page)
    }

    /// Whether a row's line passes the filters that need no labels. Without any, no line is touched.
    pub(crate) fn passes_early(&self, page: &LogPage, row: usize) -> bool {
        self.early.is_empty() || {
            let line = page.line(row);
            self.early.iter().all(|test| test.keeps(line))
        }
    }

    /// Runs the stages after the early filters; whether the row stays.
    pub(crate) fn run(&self, row: &mut Row<'_>) -> bool {
        self.steps.iter().all(|step| step.run(row, self))
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|w| w == name))
    }
}

impl Step {
    fn new(stage: &Stage) -> Result<Step, String> {
        Ok(match stage {
            Stage::Line(filter) => Step::Line(line_test(filter)?),
            Stage::Label(filter) => Step::Label(LabelTest::new(filter)?),
            Stage::Json(list) if list.is_empty() => Step::Json,
            Stage::Json(list) => {
                let paths = list.iter().map(|e| json::path(&e.expression)).collect::<Result<_, String>>()?;
                Step::JsonPaths(list.iter().map(|e| e.name.clone()).collect(), paths)
            }
            Stage::Logfmt { strict, keep_empty, extractions } => {
                let mode = logfmt::Mode { strict: *strict, keep_empty: *keep_empty };
                if extractions.is_empty() { Step::Logfmt(mode) } else { Step::LogfmtKeys(mode, extractions.clone()) }
            }
            Stage::Regexp(text) => Step::Regexp(regexp(text).map_err(|why| format!("invalid regexp parser: {why}"))?),
            Stage::Pattern(text) => {
                Step::Pattern(Pattern::parser(text).map_err(|why| format!("invalid pattern parser: {why}"))?)
            }
            Stage::Unpack => Step::Unpack,
            Stage::LineFormat(text) => {
                Step::LineFormat(Template::parse("line", text).map_err(|why| format!("invalid line template: {why}"))?)
            }
            Stage::LabelFormat(list) => {
                let format = |value: &FormatValue, name: &str| match value {
                    FormatValue::Rename(from) => Ok(Format::Rename(from.clone())),
                    FormatValue::Template(text) => Template::parse(name, text)
                        .map(Format::Template)
                        .map_err(|why| format!("invalid template for label '{name}': {why}")),
                };
                Step::LabelFormat(
                    list.iter()
                        .map(|f| Ok((f.name.clone(), format(&f.value, &f.name)?)))
                        .collect::<Result<_, String>>()?,
                )
            }
            Stage::Drop(list) => Step::Drop(selects(list)?),
            Stage::Keep(list) => Step::Keep(selects(list)?),
            Stage::Decolorize => Step::Decolorize(re::compile(ESCAPES)?),
        })
    }

    /// Adds the labels that the step needs; false when it may need any.
    fn names(&self, names: &mut Vec<String>) -> bool {
        let mut fields = |template: &Template| template.fields().map(|fields| names.extend(fields)).is_some();
        match self {
            Step::LineFormat(template) => fields(template),
            Step::LabelFormat(formats) => {
                for (_, format) in formats {
                    match format {
                        Format::Rename(from) => names.push(from.clone()),
                        Format::Template(template) => match template.fields() {
                            Some(fields) => names.extend(fields),
                            None => return false,
                        },
                    }
                }
                true
            }
            Step::Label(test) => {
                test.names(names);
                true
            }
            Step::Drop(list) | Step::Keep(list) => {
                names.extend(list.iter().filter(|s| s.test.is_some()).map(|s| s.name.clone()));
                true
            }
            _ => true,
        }
    }

    fn run<'p>(&self, row: &mut Row<'p>, pipeline: &Pipeline) -> bool {
        match self {
            Step::Line(test) => return test.keeps(&row.line),
            Step::Label(test) => return test.keeps(row),
            Step::Json if row.line.is_empty() => {}
            Step::Json => {
                if let Err(why) = parse_line(row, pipeline, &JsonFields) {
                    row.fail(JSON_ERROR, why);
                }
            }
            Step::JsonPaths(..) if row.line.is_empty() => {}
            Step::JsonPaths(names, paths) => {
                if parse_line(row, pipeline, &JsonPaths(names, paths)).is_err() {
                    row.fail(JSON_ERROR, String::new());
                }
            }
            Step::Logfmt(mode) => {
                if let Err(why) = parse_line(row, pipeline, mode) {
                    row.fail(LOGFMT_ERROR, why);
                }
            }
            Step::LogfmtKeys(mode, keys) => {
                if let Err(why) = parse_line(row, pipeline, &LogfmtKeys(*mode, keys)) {
                    row.fail(LOGFMT_ERROR, why);
                }
            }
            Step::Regexp(regex) => drop(parse_line(row, pipeline, regex)),
            Step::Pattern(pattern) => drop(parse_line(row, pipeline, pattern)),
            Step::Unpack => unpack(row),
            Step::LineFormat(template) => line_format(row, template, pipeline.now),
            Step::LabelFormat(formats) => label_format(row, formats, pipeline.now),
            Step::Drop(list) => {
                for select in list {
                    if select
                        .test
                        .as_ref()
                        .is_none_or(|test| row.get(&select.name).is_some_and(|value| test.matches(value)))
                    {
                        row.remove(&select.name);
                    }
                }
            }
            Step::Keep(list) => row.retain(|name, value| {
                list.iter()
                    .any(|select| select.name == name && select.test.as_ref().is_none_or(|test| test.matches(value)))
            }),
            Step::Decolorize(regex) => {
                if row.line.contains(['\u{1b}', '\u{9b}']) {
                    row.line = Cow::Owned(regex.replace_all(&row.line, "").into_owned());
                }
            }
        }
        true
    }
}

/// ANSI escape sequences.
const ESCAPES: &str = concat!(
    r"[\x{1b}\x{9b}][\[\]()#;?]*",
    r"(?:(?:(?:[a-zA-Z\d]*(?:;[a-zA-Z\d]*)*)?\x07)|(?:(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PRZcf-ntqry=><~]))"
);

fn line_test(filter: &LineFilter) -> Result<LineTest, String> {
    LineTest::new(filter)
}

fn selects(list: &[LabelSelector]) -> Result<Vec<Select>, String> {
    list.iter()
        .map(|selector| match selector {
            LabelSelector::Name(name) => Ok(Select { name: name.clone(), test: None }),
            LabelSelector::Matching(matcher) => {
                Ok(Select { name: matcher.name.clone(), test: Some(TextTest::new(matcher)?) })
            }
        })
        .collect()
}

/// An expression with at least one name, and no name twice.
fn regexp(text: &str) -> Result<Regex, String> {
    let names = re::compile(r"\(\?P?<([^>]*)>")?;
    let mut seen: Vec<&str> = Vec::new();
    for name in names.captures_iter(text).filter_map(|c| c.get(1)) {
        if seen.contains(&name.as_str()) {
            return Err(format!("duplicate extracted label name '{}'", name.as_str()));
        }
        seen.push(name.as_str());
    }
    let regex = re::compile(text)?;
    if regex.capture_names().flatten().next().is_none() {
        return Err("at least one named capture must be supplied".into());
    }
    Ok(regex)
}

/// What finds labels in a line.
trait Parse {
    fn parse<'l>(&self, line: &'l str, found: &mut dyn FnMut(Cow<'l, str>, Cow<'l, str>)) -> Result<(), String>;
}

struct JsonFields;

impl Parse for JsonFields {
    fn parse<'l>(&self, line: &'l str, found: &mut dyn FnMut(Cow<'l, str>, Cow<'l, str>)) -> Result<(), String> {
        json::fields(line, found).map(drop)
    }
}

struct JsonPaths<'a>(&'a [String], &'a [Vec<json::Step>]);

impl Parse for JsonPaths<'_> {
    fn parse<'l>(&self, line: &'l str, found: &mut dyn FnMut(Cow<'l, str>, Cow<'l, str>)) -> Result<(), String> {
        for (name, value) in self.0.iter().zip(json::lookup(line, self.1)?) {
            found(Cow::Owned(name.clone()), value);
        }
        Ok(())
    }
}

impl Parse for logfmt::Mode {
    fn parse<'l>(&self, line: &'l str, found: &mut dyn FnMut(Cow<'l, str>, Cow<'l, str>)) -> Result<(), String> {
        logfmt::pairs(line, *self, found)
    }
}

struct LogfmtKeys<'a>(logfmt::Mode, &'a [Extraction]);

impl Parse for LogfmtKeys<'_> {
    fn parse<'l>(&self, line: &'l str, found: &mut dyn FnMut(Cow<'l, str>, Cow<'l, str>)) -> Result<(), String> {
        logfmt::raw_pairs(line, self.0, &mut |key, value| {
            for wanted in self.1.iter().filter(|e| e.expression == key) {
                found(Cow::Owned(wanted.name.clone()), value.clone());
            }
        })
    }
}

impl Parse for Regex {
    fn parse<'l>(&self, line: &'l str, found: &mut dyn FnMut(Cow<'l, str>, Cow<'l, str>)) -> Result<(), String> {
        if let Some(captures) = self.captures(line) {
            for (at, name) in self.capture_names().enumerate() {
                if let Some(name) = name {
                    let value = captures.get(at).map_or("", |m| m.as_str());
                    found(Cow::Owned(name.to_owned()), Cow::Borrowed(value));
                }
            }
        }
        Ok(())
    }
}

impl Parse for Pattern {
    fn parse<'l>(&self, line: &'l str, found: &mut dyn FnMut(Cow<'l, str>, Cow<'l, str>)) -> Result<(), String> {
        self.captures(line, |name, value| found(Cow::Owned(name.to_owned()), Cow::Borrowed(value)));
        Ok(())
    }
}

/// Runs a parser over the row's line. Values stay borrowed from the page unless a stage has changed the line.
fn parse_line<'p>(row: &mut Row<'p>, pipeline: &Pipeline, parser: &impl Parse) -> Result<(), String> {
    match std::mem::replace(&mut row.line, Cow::Borrowed("")) {
        Cow::Borrowed(line) => {
            let result = parser.parse(line, &mut |name, value| {
                if pipeline.wants(&name) {
                    row.extract(name, value);
                }
            });
            row.line = Cow::Borrowed(line);
            result
        }
        Cow::Owned(line) => {
            let result = parser.parse(&line, &mut |name, value| {
                if pipeline.wants(&name) {
                    row.extract(Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()));
                }
            });
            row.line = Cow::Owned(line);
            result
        }
    }
}

fn unpack(row: &mut Row<'_>) {
    if row.line.is_empty() {
        return;
    }
    let line = std::mem::replace(&mut row.line, Cow::Borrowed("")).into_owned();
    match json::unpack(&line) {
        Err(why) => {
            row.fail(JSON_ERROR, why);
            row.line = Cow::Owned(line);
        }
        Ok(None) => row.line = Cow::Owned(line),
        Ok(Some((entry, labels))) => {
            for (name, value) in labels {
                row.extract(Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()));
            }
            row.line = Cow::Owned(entry.into_owned());
        }
    }
}

fn render(row: &Row<'_>, template: &Template, now: i64) -> Result<String, String> {
    if let Some(parts) = template.plain_parts() {
        let mut out = String::new();
        for part in parts {
            match part {
                PlainPart::Text(text) => out.push_str(text),
                PlainPart::Field(name) => out.push_str(row.get(name).unwrap_or("")),
            }
        }
        return Ok(out);
    }
    let label = |name: &str| row.get(name).map(str::to_owned);
    let labels = || row.labels().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let scope = Scope {
        line: &row.line,
        time: row.time,
        now,
        label: &label,
        labels: &labels,
        functions: None,
        dot: None,
        variables: Vec::new(),
    };
    template.run(&scope)
}

fn line_format(row: &mut Row<'_>, template: &Template, now: i64) {
    match render(row, template, now) {
        Ok(line) => row.line = Cow::Owned(line),
        Err(why) => row.fail(TEMPLATE_ERROR, why),
    }
}

/// Templates see the labels as they were when the first of them ran.
fn label_format(row: &mut Row<'_>, formats: &[(String, Format)], now: i64) {
    let mut rendered: Option<Vec<Result<String, String>>> = None;
    let mut next = 0;
    for (name, format) in formats {
        match format {
            Format::Rename(from) => {
                if let Some(value) = row.get(from).map(str::to_owned) {
                    row.set(name, value);
                    if from != name {
                        row.remove(from);
                    }
                }
            }
            Format::Template(_) => {
                let rendered = rendered.get_or_insert_with(|| {
                    let templates = formats.iter().filter_map(|(_, format)| match format {
                        Format::Template(template) => Some(template),
                        Format::Rename(_) => None,
                    });
                    templates.map(|template| render(row, template, now)).collect()
                });
                match std::mem::replace(&mut rendered[next], Ok(String::new())) {
                    Ok(value) => row.set(name, value),
                    Err(why) => row.fail(TEMPLATE_ERROR, why),
                }
                next += 1;
            }
        }
    }
}
