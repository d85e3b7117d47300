//! Aggregations: `sum by (label) (vector)`, `topk (3, vector) without (label)`.

use crate::{
    ast::{Expr, Kind, Position},
    parse::{Parsed, Parser},
};
use eval::aggregate::{Grouping, Op};

impl Parser<'_> {
    pub(super) fn aggregate(&mut self, op: Op, at: Position) -> Parsed<Expr> {
        self.take();
        let mut grouping = self.grouping()?;
        let mut args = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let want = if op.has_param() { 2 } else { 1 };
        if args.is_empty() {
            return self.error(at.offset, "no arguments for aggregate expression provided");
        }
        if args.len() != want {
            let text = format!(
                "wrong number of arguments for aggregate expression provided, expected {want}, got {}",
                args.len()
            );
            return self.error(at.offset, text);
        }
        let Some(arg) = args.pop() else {
            return self.error(at.offset, "no arguments for aggregate expression provided");
        };
        let param = args.pop().map(Box::new);
        self.node(Kind::Aggregate { op, grouping: grouping.unwrap_or_default(), param, arg: Box::new(arg) }, at)
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = self.peek().is_word("without");
        if !without && !self.peek().is_word("by") {
            return Ok(None);
        }
        self.take();
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }
}
