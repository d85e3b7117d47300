//! Why a text is not a query.

use crate::ast::Position;
use model::Reason;

/// Displays as Prometheus does: `1:5: parse error: unexpected end of input`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: parse error: {text}", position.line, position.column)]
pub struct ParseError {
    pub position: Position,
    pub text: String,
}

impl ParseError {
    pub fn reason(&self) -> Reason {
        Reason::BadInput
    }
}
