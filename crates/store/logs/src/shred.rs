//! Takes lines apart: each becomes a template and one value for each of its slots, and the values of a slot become a
//! column. Templates are predicted from the lines before, so that most lines are only compared.

mod json;
pub mod template;
mod words;

use crate::column::{Column, Span, pool::Pool};
use hashbrown::HashMap;
use template::{Class, Draft, Template};
use words::Skeletons;

/// Shreds the lines of one row group after the other. Keeps templates and buffers between them.
pub struct Shredder {
    templates: Vec<Template>,
    by_hash: HashMap<u64, u32>,
    /// How often a line was met that no template fits, by the hash of the template that would.
    met: HashMap<u64, u8>,
    skeletons: Skeletons,
    /// The templates of the last lines, the latest first.
    recent: Vec<u32>,
    /// Grows when a line stays whole although it was looked at, by twice of what it shrinks by when one does not.
    misses: u32,
    skipped: u32,
    draft: Draft,
    spans: Vec<Span>,
    // Of the row group:
    epoch: u32,
    /// The templates in use, by the number that they have in the group; the first is `WHOLE`.
    used: Vec<u32>,
    /// Column of each slot key.
    by_key: HashMap<u64, u32>,
    columns: Vec<Column>,
    active: usize,
    pending: Vec<Vec<Span>>,
    touched: Vec<u32>,
    rows: Vec<u32>,
    waiting: usize,
    pages: usize,
}

/// The template of lines that are kept whole.
pub const WHOLE: u32 = 0;

/// How many of the last templates are tried before a line is looked at.
const RECENT: usize = 6;
/// A template is made when this many lines would have had it.
const PROMOTE: u8 = 3;
/// Rows whose values are handed to the columns together: their lines stay in the cache meanwhile.
const BLOCK: usize = 64;
/// Most templates in a row group, and most kept between them.
const MAX_TEMPLATES: usize = 2048;
const MAX_COLUMNS: usize = 4096;
/// After so many misses, one line in `PATIENCE` is still looked at.
const PATIENCE: u32 = 48;
/// A template that a row group used less often has to be earned again.
const RARE: u32 = 4;

impl Shredder {
    pub fn new() -> Shredder {
        let mut shredder = Shredder {
            templates: Vec::new(),
            by_hash: HashMap::new(),
            met: HashMap::new(),
            skeletons: Skeletons::default(),
            recent: Vec::new(),
            misses: 0,
            skipped: 0,
            draft: Draft::default(),
            spans: Vec::new(),
            epoch: 0,
            used: Vec::new(),
            by_key: HashMap::new(),
            columns: Vec::new(),
            active: 0,
            pending: Vec::new(),
            touched: Vec::new(),
            rows: Vec::new(),
            waiting: 0,
            pages: 0,
        };
        shredder.forget();
        shredder
    }

    /// Forgets all templates, for another tenant.
    pub fn forget(&mut self) {
        self.templates.clear();
        self.templates.push(Template::whole());
        self.by_hash.clear();
        self.met.clear();
        self.skeletons.clear();
        self.recent.clear();
        self.used.clear();
    }

    /// Gives back the memory of the last row group. The templates stay.
    pub fn rest(&mut self) {
        (self.columns, self.pending, self.active) = (Vec::new(), Vec::new(), 0);
        (self.rows, self.touched) = (Vec::new(), Vec::new());
        self.by_key = HashMap::new();
    }

    /// Starts a row group.
    pub fn begin(&mut self) {
        if self.templates.len() > MAX_TEMPLATES {
            self.forget();
        }
        for template in &self.used {
            let template = &self.templates[*template as usize];
            if template.uses < RARE {
                self.by_hash.remove(&template.hash);
                self.met.insert(template.hash, 1);
            }
        }
        if self.met.len() > 16 * MAX_TEMPLATES {
            self.met.clear();
        }
        self.recent.retain(|at| self.by_hash.get(&self.templates[*at as usize].hash) == Some(at));
        self.epoch += 1;
        self.used.clear();
        self.by_key.clear();
        self.columns[..self.active].iter_mut().for_each(Column::clear);
        self.active = 0;
        self.rows.clear();
        self.waiting = 0;
        self.pages = 0;
        self.misses = 0;
        let whole = self.enlist(WHOLE);
        debug_assert_eq!(whole, Some(0));
        self.columns[0].keep_texts();
    }

    /// Adds the row whose line is `raw[start..end]`.
    pub fn row(&mut self, raw: &[u8], start: u32, end: u32, pool: &mut Pool) {
        let line = &raw[start as usize..end as usize];
        let template = self.predict(line).or_else(|| self.inspect(line)).and_then(|at| Some((at, self.enlist(at)?)));
        let (at, local) = match template {
            Some(found) => found,
            None => {
                self.spans.clear();
                self.spans.push((0, line.len() as u32));
                (WHOLE, 0)
            }
        };
        let template = &mut self.templates[at as usize];
        template.uses += 1;
        for (column, span) in template.columns.iter().zip(&self.spans) {
            let pending = &mut self.pending[*column as usize];
            if pending.is_empty() {
                self.touched.push(*column);
            }
            pending.push((span.0 + start, span.1 + start));
        }
        self.rows.push(local);
        self.waiting += 1;
        if self.waiting == BLOCK {
            self.hand_over(raw, pool);
        }
    }

    /// Adds a row whose line stays whole.
    pub fn whole(&mut self, raw: &[u8], start: u32, end: u32, pool: &mut Pool) {
        if self.pending[0].is_empty() {
            self.touched.push(0);
        }
        self.pending[0].push((start, end));
        self.rows.push(0);
        self.waiting += 1;
        if self.waiting == BLOCK {
            self.hand_over(raw, pool);
        }
    }

    /// Ends a page: the rows so far belong to it or to pages before it.
    pub fn end_page(&mut self, raw: &[u8], pool: &mut Pool) {
        self.hand_over(raw, pool);
        self.pages += 1;
        for column in &mut self.columns[..self.active] {
            column.end_page(self.pages);
        }
    }

    /// The template of each row.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Templates in use, in the order of their numbers.
    pub fn templates(&self) -> impl ExactSizeIterator<Item = &Template> {
        self.used.iter().map(|at| &self.templates[*at as usize])
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns[..self.active]
    }

    fn hand_over(&mut self, raw: &[u8], pool: &mut Pool) {
        self.touched.sort_unstable();
        for at in self.touched.drain(..) {
            let pending = &mut self.pending[at as usize];
            self.columns[at as usize].extend(raw, pending, pool);
            pending.clear();
        }
        self.waiting = 0;
    }

    /// Tries the templates of the last lines. On success, `spans` has the values.
    fn predict(&mut self, line: &[u8]) -> Option<u32> {
        for place in 0..self.recent.len() {
            let at = self.recent[place];
            if self.templates[at as usize].take(line, &mut self.spans) {
                self.recent[..=place].rotate_right(1);
                self.misses = self.misses.saturating_sub(1);
                return Some(at);
            }
        }
        None
    }

    /// Looks at a line without prejudice.
    fn inspect(&mut self, line: &[u8]) -> Option<u32> {
        if self.misses > 2 * PATIENCE {
            self.skipped += 1;
            if !self.skipped.is_multiple_of(PATIENCE) {
                return None;
            }
        }
        self.misses = (self.misses + 2).min(3 * PATIENCE);
        self.draft.clear();
        let json = line.first() == Some(&b'{') && json::draft(line, &mut self.draft);
        if !json {
            self.draft.clear();
            if !words::draft(line, &mut self.draft, &mut self.skeletons) {
                return None;
            }
        }
        let hash = self.draft.hash(line);
        let at = match self.by_hash.get(&hash) {
            Some(at) => *at,
            None => {
                let met = self.met.entry(hash).or_insert(0);
                *met = met.saturating_add(1);
                if *met < PROMOTE || self.templates.len() >= 2 * MAX_TEMPLATES {
                    return None;
                }
                let at = self.templates.len() as u32;
                self.templates.push(Template::new(line, &self.draft, hash));
                self.by_hash.insert(hash, at);
                at
            }
        };
        if !self.templates[at as usize].take(line, &mut self.spans) {
            return None; // two drafts with one hash, or a slot that ends elsewhere
        }
        self.misses = self.misses.saturating_sub(4);
        self.recent.insert(0, at);
        self.recent.truncate(RECENT);
        Some(at)
    }

    /// The number of a template in this row group; it gets one, and columns, when it is new there.
    fn enlist(&mut self, at: u32) -> Option<u32> {
        let template = &mut self.templates[at as usize];
        if template.epoch == self.epoch {
            return Some(template.local);
        }
        if self.used.len() >= MAX_TEMPLATES || self.active + template.slots.len() > MAX_COLUMNS {
            return None;
        }
        template.epoch = self.epoch;
        template.uses = 0;
        template.local = self.used.len() as u32;
        self.used.push(at);
        template.columns.clear();
        for slot in &template.slots {
            let active = &mut self.active;
            let (columns, pending) = (&mut self.columns, &mut self.pending);
            let column = *self.by_key.entry(slot.key).or_insert_with(|| {
                if *active == columns.len() {
                    columns.push(Column::default());
                    pending.push(Vec::new());
                }
                *active += 1;
                *active as u32 - 1
            });
            template.columns.push(column);
        }
        Some(template.local)
    }
}

impl Template {
    fn whole() -> Template {
        let mut draft = Draft::default();
        draft.slot(0, 0, Class::Rest, 0);
        Template::new(b"", &draft, 0)
    }
}

#[cfg(test)]
mod tests;
