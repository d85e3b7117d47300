//! Subexpressions that a query has several times: evaluated once, their columns kept for the next time.

use crate::{
    ast::{Expr, Kind, Type},
    engine::{Engine, Sink},
};
use eval::{
    EvalError,
    column::{Column, Grid},
};
use std::{cell::RefCell, collections::HashMap, rc::Rc};

/// Kept columns may take this share of the budget; what needs more is evaluated each time.
const SHARE: usize = 4;

/// Longer queries are not searched for equal parts: that takes time and memory by their length and depth.
const MAX_TEXT: usize = 64 << 10;

/// Which expressions of a query are equal, and what is kept of them.
#[derive(Default)]
pub(super) struct Shared {
    /// By the expression's address in the tree, which does not move while it is evaluated.
    places: HashMap<*const Expr, usize>,
    slots: RefCell<Vec<Slot>>,
}

/// One expression that occurs several times.
struct Slot {
    /// How often it is still to come.
    left: usize,
    kept: Option<Kept>,
}

struct Kept {
    grid: Grid,
    hints: bool,
    columns: Rc<Vec<Column>>,
    size: usize,
}

impl Shared {
    pub(super) fn of(expr: &Expr) -> Shared {
        let mut finder = Finder::default();
        if expr.to_string().len() <= MAX_TEXT {
            finder.visit(expr, std::ptr::null());
        }
        let repeated = finder.found.into_values().filter(|places| places.len() > 1);
        let mut shared = Shared { places: HashMap::new(), slots: RefCell::default() };
        for (slot, places) in repeated.enumerate() {
            shared.slots.get_mut().push(Slot { left: places.len(), kept: None });
            shared.places.extend(places.into_iter().map(|place| (place, slot)));
        }
        shared
    }

    pub(super) fn place(&self, expr: &Expr) -> Option<usize> {
        if self.places.is_empty() { None } else { self.places.get(&std::ptr::from_ref(expr)).copied() }
    }
}

#[derive(Default)]
struct Finder {
    /// By the subquery around it, which has steps of its own, and by its text.
    found: HashMap<(*const Expr, String), Vec<*const Expr>>,
}

impl Finder {
    /// Looks for the largest equal parts: within a second occurrence there is nothing left to share.
    fn visit(&mut self, expr: &Expr, scope: *const Expr) {
        let place = std::ptr::from_ref(expr);
        let scope = if matches!(expr.kind, Kind::Subquery(_)) { place } else { scope };
        let wraps = matches!(expr.kind, Kind::Paren(_) | Kind::Plus(_));
        if expr.kind_type() == Type::Vector && !wraps {
            let places = self.found.entry((scope, expr.to_string())).or_default();
            places.push(place);
            if places.len() > 1 {
                return;
            }
        }
        expr.children().into_iter().for_each(|child| self.visit(child, scope));
    }
}

impl Engine<'_> {
    pub(super) fn stream_shared(&self, slot: usize, expr: &Expr, grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        if let Some((columns, size)) = self.recall(slot, grid) {
            match Rc::try_unwrap(columns) {
                // Nobody needs them any more.
                Ok(columns) => {
                    self.budget.release(size);
                    columns.into_iter().try_for_each(sink)?;
                }
                Err(columns) => columns.iter().cloned().try_for_each(sink)?,
            }
            return Ok(());
        }
        let wanted = self.shared.slots.borrow()[slot].left > 0;
        let remarks = self.remarks.get();
        let (mut columns, mut size, mut fits) = (Vec::new(), 0, wanted);
        self.stream_anew(expr, grid, &mut |column| {
            if fits {
                let more = column.size();
                fits = size + more <= self.budget.limit() / SHARE && self.budget.charge(more).is_ok();
                if fits {
                    size += more;
                    columns.push(column.clone());
                } else {
                    columns = Vec::new();
                    self.budget.release(std::mem::take(&mut size));
                }
            }
            sink(column)
        })?;
        // What was remarked names this place in the query: it has to be said again for the others.
        if !fits || self.remarks.get() != remarks {
            self.budget.release(size);
            return Ok(());
        }
        let kept = Kept { grid, hints: self.hints.get(), columns: Rc::new(columns), size };
        self.shared.slots.borrow_mut()[slot].kept = Some(kept);
        Ok(())
    }

    /// What is kept for this evaluation; the last time it is given away.
    fn recall(&self, slot: usize, grid: Grid) -> Option<(Rc<Vec<Column>>, usize)> {
        let slot = &mut self.shared.slots.borrow_mut()[slot];
        slot.left = slot.left.saturating_sub(1);
        let fits = |kept: &&Kept| kept.grid == grid && kept.hints == self.hints.get();
        let (columns, size) = slot.kept.as_ref().filter(fits).map(|kept| (Rc::clone(&kept.columns), kept.size))?;
        if slot.left == 0 {
            slot.kept = None;
        }
        Some((columns, size))
    }
}
