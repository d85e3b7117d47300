//! What is wrong with a selector.

/// The text is for whoever wrote the selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Unreadable(String),
    #[error("a delete request has a stream selector and line filters, and nothing else: {query}")]
    Stages { query: String },
}
