//! Why a query was refused or failed.

use eval::{EvalError, source::SourceError};
use model::Reason;
use std::fmt;

/// A query text that is not LogQL. Displays as Loki's own message, with the place where one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Line and column of the token at fault, from 1. Tokens that begin with `[` have line 0, as Loki gives them.
    pub place: Option<(u32, u32)>,
    pub text: String,
}

impl ParseError {
    pub(crate) fn at(line: u32, column: u32, text: impl Into<String>) -> ParseError {
        ParseError { place: Some((line, column)), text: text.into() }
    }

    pub(crate) fn whole(text: impl Into<String>) -> ParseError {
        ParseError { place: None, text: text.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "parse error at line {line}, col {column}: {}", self.text),
            None => write!(f, "parse error : {}", self.text),
        }
    }
}

impl std::error::Error for ParseError {}

/// Why a query that was understood gave no answer. Clone, so that one failure can be told to several.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A line that a stage could not handle, in a query that may not leave it out.
    #[error(
        "pipeline error: '{kind}' for series: '{series}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{kind}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
    )]
    Pipeline { kind: String, series: String },
    #[error("a metric query was asked for lines, or a log query for numbers: {0}")]
    Kind(&'static str),
    #[error("the query makes more than {limit} series: select fewer, or aggregate by fewer labels")]
    Series { limit: usize },
    /// What the shared operators refuse: memory, steps, ambiguous matches, a source that fails.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Error {
        Error::Eval(EvalError::Source(error))
    }
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Parse(_) | Error::Pipeline { .. } | Error::Kind(_) => Reason::BadInput,
            Error::Series { .. } => Reason::OverLimit,
            Error::Eval(error) => error.reason(),
        }
    }
}
