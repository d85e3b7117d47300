//! Log queries: a selector and the stages after it.

use super::{Parsed, Parser, matcher};
use crate::ast::*;
use crate::error::ParseError;
use crate::lex::Tok;
use crate::pipeline::Pipeline;

/// What may stand within a range aggregation: stages, one unwrap, one range, one offset.
#[derive(Default)]
pub(super) struct Range {
    pub range: Option<i64>,
    pub offset: i64,
    pub unwrap: Option<Unwrap>,
}

impl Parser<'_> {
    /// A log query outside a range aggregation.
    pub(super) fn log_expr(&mut self) -> Parsed<LogExpr> {
        let matchers = self.selector()?;
        let mut log = LogExpr { matchers, stages: Vec::new() };
        while let Some(stage) = self.stage()? {
            log.stages.push(stage);
        }
        check_stages(&log)?;
        Ok(log)
    }

    /// A log query with its range, in any of the orders and parentheses that are allowed.
    pub(super) fn log_range(&mut self) -> Parsed<(LogExpr, Range)> {
        let mut range = Range::default();
        let log = self.log_range_part(&mut range)?;
        if range.range.is_none() {
            return Err(self.unexpected(&[]));
        }
        check_stages(&log)?;
        Ok((log, range))
    }

    fn log_range_part(&mut self, range: &mut Range) -> Parsed<LogExpr> {
        self.deeper()?;
        let mut log = if self.take("(") {
            let inner = self.log_range_part(range)?;
            self.expect(")", &[])?;
            inner
        } else {
            LogExpr { matchers: self.selector()?, stages: Vec::new() }
        };
        loop {
            match self.peek() {
                Tok::Range(ns) if range.range.is_none() => {
                    self.next();
                    range.range = Some(*ns);
                    if self.take("offset") {
                        range.offset = self.offset()?;
                    }
                }
                Tok::Sym("|") if self.peek_second() == &Tok::Keyword("unwrap") && range.unwrap.is_none() => {
                    self.next();
                    self.next();
                    range.unwrap = Some(self.unwrap_clause()?);
                }
                _ if range.unwrap.is_some() => break,
                _ => match self.stage()? {
                    Some(stage) => log.stages.push(stage),
                    None => break,
                },
            }
        }
        self.depth -= 1;
        Ok(log)
    }

    fn offset(&mut self) -> Parsed<i64> {
        let negative = self.take("-");
        match self.peek() {
            Tok::Duration(ns) => {
                self.next();
                Ok(if negative { -ns } else { *ns })
            }
            _ => Err(self.unexpected(&["DURATION"])),
        }
    }

    /// What follows `unwrap`, with the filters after it.
    fn unwrap_clause(&mut self) -> Parsed<Unwrap> {
        let conversion = match self.peek() {
            Tok::Function("bytes") => Some(Conversion::Bytes),
            Tok::Function("duration") => Some(Conversion::Duration),
            Tok::Function("duration_seconds") => Some(Conversion::DurationSeconds),
            _ => None,
        };
        let label = if conversion.is_some() {
            self.next();
            self.expect("(", &["("])?;
            let label = self.ident(&["IDENTIFIER"])?;
            self.expect(")", &[")"])?;
            label
        } else {
            self.ident(&["IDENTIFIER", "BYTES_CONV", "DURATION_CONV", "DURATION_SECONDS_CONV"])?
        };
        let mut filters = Vec::new();
        while self.take("|") {
            filters.push(self.label_filter()?);
        }
        Ok(Unwrap { label, conversion, filters })
    }

    /// The next stage, if one comes next.
    fn stage(&mut self) -> Parsed<Option<Stage>> {
        if let Some(op) = self.line_op() {
            return Ok(Some(Stage::Line(self.line_filter(op)?)));
        }
        if !self.take("|") {
            return Ok(None);
        }
        let Tok::Keyword(keyword) = self.peek() else {
            return Ok(Some(Stage::Label(self.label_filter()?)));
        };
        if !matches!(
            *keyword,
            "json"
                | "logfmt"
                | "regexp"
                | "pattern"
                | "unpack"
                | "label_format"
                | "line_format"
                | "decolorize"
                | "drop"
                | "keep"
        ) {
            return Err(self.unexpected(&[]));
        }
        self.next();
        Ok(Some(match *keyword {
            "json" => Stage::Json(self.extractions()?),
            "logfmt" => self.logfmt()?,
            "regexp" => Stage::Regexp(self.string()?),
            "pattern" => Stage::Pattern(self.string()?),
            "unpack" => Stage::Unpack,
            "line_format" => Stage::LineFormat(self.string()?),
            "label_format" => Stage::LabelFormat(self.label_formats()?),
            "drop" => Stage::Drop(self.label_selectors()?),
            "keep" => Stage::Keep(self.label_selectors()?),
            _ => Stage::Decolorize,
        }))
    }

    fn logfmt(&mut self) -> Parsed<Stage> {
        let (mut strict, mut keep_empty) = (false, false);
        while let Tok::Flag(flag) = self.peek() {
            match flag.as_str() {
                "--strict" => strict = true,
                "--keep-empty" => keep_empty = true,
                _ => return Err(ParseError::whole(format!("unknown flag {flag} of logfmt"))),
            }
            self.next();
        }
        Ok(Stage::Logfmt { strict, keep_empty, extractions: self.extractions()? })
    }

    /// `a, b="c"`, or nothing.
    fn extractions(&mut self) -> Parsed<Vec<Extraction>> {
        let mut list = Vec::new();
        if !matches!(self.peek(), Tok::Ident(_)) {
            return Ok(list);
        }
        loop {
            let name = self.ident(&["IDENTIFIER"])?;
            let expression = if self.take("=") { self.string()? } else { name.clone() };
            list.push(Extraction { name, expression });
            if !self.take(",") {
                return Ok(list);
            }
        }
    }

    fn label_formats(&mut self) -> Parsed<Vec<LabelFormat>> {
        let mut list: Vec<LabelFormat> = Vec::new();
        loop {
            let name = self.ident(&["IDENTIFIER"])?;
            self.expect("=", &["="])?;
            let value = match self.peek() {
                Tok::Str(text) => FormatValue::Template(text.clone()),
                Tok::Ident(from) => FormatValue::Rename(from.clone()),
                _ => return Err(self.unexpected(&["IDENTIFIER", "STRING"])),
            };
            self.next();
            if list.iter().any(|other| other.name == name) {
                let why = format!("multiple label name '{name}' not allowed in a single format operation");
                return Err(ParseError::whole(why));
            }
            list.push(LabelFormat { name, value });
            if !self.take(",") {
                return Ok(list);
            }
        }
    }

    fn label_selectors(&mut self) -> Parsed<Vec<LabelSelector>> {
        let mut list = Vec::new();
        loop {
            let name = self.ident(&["IDENTIFIER"])?;
            if matches!(self.peek(), Tok::Sym("=" | "!=" | "=~" | "!~")) && matches!(self.peek_second(), Tok::Str(_)) {
                let op = self.match_op(&[])?;
                let value = self.string()?;
                list.push(LabelSelector::Matching(matcher(name, op, value)?));
            } else {
                list.push(LabelSelector::Name(name));
            }
            if !self.take(",") {
                return Ok(list);
            }
        }
    }
}

/// Stages that can't be built are refused with the text, not when the first line comes; only the expressions of line
/// filters are looked at no sooner than the query runs.
fn check_stages(log: &LogExpr) -> Parsed<()> {
    let late = |stage: &&Stage| match stage {
        Stage::Line(filter) => matches!(filter.op, LineOp::Matches | LineOp::NotMatches),
        _ => false,
    };
    let stages: Vec<Stage> = log.stages.iter().filter(|stage| !late(stage)).cloned().collect();
    Pipeline::new(&stages).map(drop)
}
