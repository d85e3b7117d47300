//! Reads the selector of a delete request.

use crate::error::Error;
use logql::LineTest;
use logql::ast::{LogExpr, Stage};
use model::{Labels, Matcher, Signal};

/// Matchers, and of logs also line filters.
pub struct Selector {
    pub matchers: Vec<Matcher>,
    pub lines: Vec<LineTest>,
}

impl Selector {
    /// As the signal's language writes it.
    pub fn read(signal: Signal, query: &str) -> Result<Selector, Error> {
        match signal {
            Signal::Metrics => match promql::parse_selector(query) {
                Ok(matchers) => Ok(Selector { matchers, lines: Vec::new() }),
                Err(error) => Err(Error::Unreadable(error.to_string())),
            },
            Signal::Logs => match logql::parse(query) {
                Ok(logql::Expr::Log(LogExpr { matchers, stages })) => {
                    let lines = stages.iter().map(|stage| match stage {
                        Stage::Line(filter) => LineTest::new(filter).map_err(Error::Unreadable),
                        _ => Err(Error::Stages { query: query.to_owned() }),
                    });
                    Ok(Selector { matchers, lines: lines.collect::<Result<_, _>>()? })
                }
                Ok(logql::Expr::Metric(_)) => Err(Error::Stages { query: query.to_owned() }),
                Err(error) => Err(Error::Unreadable(error.to_string())),
            },
        }
    }

    pub fn is_of(&self, labels: &Labels) -> bool {
        Matcher::all(&self.matchers, labels)
    }
}

/// The matchers of a selector, or what is wrong with it.
pub fn matchers(signal: Signal, query: &str) -> Result<Vec<Matcher>, Error> {
    Selector::read(signal, query).map(|selector| selector.matchers)
}
