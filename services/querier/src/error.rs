//! Why a query got no answer.

use model::Reason;

/// A reason that maps to a status, and a text for the user who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct QueryError {
    pub reason: Reason,
    pub text: String,
}

impl QueryError {
    pub fn new(reason: Reason, text: impl Into<String>) -> QueryError {
        QueryError { reason, text: text.into() }
    }

    /// With the name of the segment that it is about: whoever must mend it needs to know which.
    pub fn within(self, segment: &str) -> QueryError {
        match self.text.contains(segment) {
            true => self,
            false => QueryError { text: format!("segment {segment}: {}", self.text), ..self },
        }
    }

    /// Whether it is about something that is away for a while.
    pub fn is_passing(&self) -> bool {
        matches!(self.reason, Reason::Unavailable | Reason::Timeout)
    }

    pub fn bad(text: impl Into<String>) -> QueryError {
        QueryError::new(Reason::BadInput, text)
    }
}

impl From<tonic::Status> for QueryError {
    fn from(status: tonic::Status) -> QueryError {
        QueryError::new(transport::status::reason(&status), status.message())
    }
}

impl From<eval::EvalError> for QueryError {
    fn from(error: eval::EvalError) -> QueryError {
        QueryError::new(error.reason(), error.to_string())
    }
}

impl From<QueryError> for eval::source::SourceError {
    fn from(error: QueryError) -> eval::source::SourceError {
        eval::source::SourceError { reason: error.reason, text: error.text }
    }
}

/// Errors of the store that have a reason of their own.
macro_rules! from_reasoned {
    ($($error:ty),*) => { $(
        impl From<$error> for QueryError {
            fn from(error: $error) -> QueryError {
                QueryError::new(error.reason(), error.to_string())
            }
        }
    )* };
}

from_reasoned!(block::Error, objects::Error, logs::Error, metrics::Error, logql::Error);

impl From<hidden::Error> for QueryError {
    fn from(error: hidden::Error) -> QueryError {
        QueryError::bad(error.to_string())
    }
}

impl From<transport::rows::Malformed> for QueryError {
    fn from(error: transport::rows::Malformed) -> QueryError {
        QueryError::new(Reason::Internal, error.to_string())
    }
}
