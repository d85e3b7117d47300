//! Why a query could not be answered.

use crate::source::SourceError;
use model::Reason;

/// One error of an engine. Texts are for the user who asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// The query or its parameters are wrong and will stay wrong.
    #[error("{0}")]
    BadInput(String),
    /// The query was understood, but its data do not allow an answer, for instance an ambiguous vector match.
    #[error("{0}")]
    Execution(String),
    /// The language has it, this engine does not.
    #[error("not supported yet: {0}")]
    Unsupported(String),
    #[error("the query was cancelled or took longer than its deadline")]
    Cancelled,
    #[error(
        "the query needs more than {limit} bytes of memory (limits.query_memory is {limit}); narrow its selectors, its time range or its number of steps"
    )]
    Memory { limit: usize },
    #[error("exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)", thousands(*limit))]
    Steps { limit: u64 },
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl EvalError {
    pub fn execution(text: impl Into<String>) -> EvalError {
        EvalError::Execution(text.into())
    }

    pub fn bad(text: impl Into<String>) -> EvalError {
        EvalError::BadInput(text.into())
    }

    pub fn unsupported(what: impl Into<String>) -> EvalError {
        EvalError::Unsupported(what.into())
    }

    pub fn reason(&self) -> Reason {
        match self {
            EvalError::BadInput(_) | EvalError::Steps { .. } => Reason::BadInput,
            EvalError::Execution(_) | EvalError::Unsupported(_) => Reason::Unprocessable,
            EvalError::Cancelled => Reason::Timeout,
            EvalError::Memory { .. } => Reason::OverLimit,
            EvalError::Source(error) => error.reason,
        }
    }
}

/// `11,000`, as the clients that show this text know it.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
