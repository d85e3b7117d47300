//! PromQL: its parser and its evaluator, over any source of series.
//!
//! Pure: no storage, no tokio. [`parse`] reads a query into [`ast::Expr`]; [`instant`] and [`range`] evaluate it.
//!
//! The parts: [`lexer`] and [`parse`] (text to tree), [`signature`] (the functions and their types), [`engine`]
//! (trees over a grid of steps, series by series), [`functions`] (what the functions do with a window or a value),
//! [`print`] and [`tree`] (trees to text and to JSON), [`mod@reach`] (which samples a query can see),
//! [`tally`] (how many it does see).

pub mod ast;
pub mod engine;
pub mod error;
pub mod functions;
pub mod lexer;
pub mod options;
pub mod parse;
pub mod print;
pub mod reach;
pub mod signature;
pub mod tally;
pub mod tree;

pub use ast::Expr;
pub use engine::{fold, instant, range};
pub use error::ParseError;
pub use eval::{EvalError, value::Answer};
pub use options::Options;
pub use parse::{parse, parse_selector};
pub use reach::reach;
pub use tally::Tally;
