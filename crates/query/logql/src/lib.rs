//! LogQL: reading query texts, and answering queries over a source of log pages.
//!
//! Pure: no storage, no tokio. The parts, in the order data meets them:
//! [`parse`] reads a text into the tree of [`ast`], whose `Display` is the canonical text; `pipeline` compiles the
//! stages and runs them over rows (`row`) of pages, or over the `fields` of rows that are kept taken apart; [`entries`]
//! answers log queries; [`metric`] answers metric queries with the columns, aggregations and operators of `eval`.
//! [`detect`] and [`patterns`] say what fields and templates lines have.

pub mod ast;
pub mod detect;
pub mod entries;
pub mod error;
pub mod metric;
pub mod mine;
pub mod options;
pub mod parse;
pub mod patterns;

mod display;
mod fields;
mod ip;
mod label_filter;
mod lex;
mod line_filter;
mod pattern;
mod pipeline;
mod pretty;
mod quantity;
mod quote;
mod re;
mod row;
mod stage;
pub mod template;

pub use ast::Expr;
pub use entries::{Entry, StreamEntries, entries};
pub use error::{Error, ParseError};
pub use line_filter::LineTest;
pub use metric::{fold, instant, range};
pub use options::Options;
pub use parse::parse;
pub use patterns::patterns;
