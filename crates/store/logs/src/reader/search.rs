//! Finds the rows whose lines may contain a text, by their shapes and columns: no line is made for it.

use super::column::{ColumnReader, Kind, Typed, open_dictionary};
use super::group::Template;
use super::lines::Channel;
use crate::column::form::Form;
use crate::error::Error;
use memchr::memmem::Finder;

/// Values of a column that contain a text.
pub enum Hits {
    None,
    All,
    /// Their places in the page, ascending.
    Some(Vec<usize>),
}

impl Channel<'_> {
    /// The rows of the page that may contain a text, ascending.
    pub fn rows_containing(&mut self, finder: &Finder<'_>) -> Result<Vec<usize>, Error> {
        let sure: Vec<bool> = self.templates().iter().map(|template| template.may_contain(finder)).collect();
        let mut found: Vec<usize> = (0..self.rows().len()).filter(|row| sure[self.rows()[*row] as usize]).collect();
        if found.len() < self.rows().len() {
            for column in 0..self.columns() {
                let hits = self.hits(column as u32, finder)?;
                self.rows_of(column as u32, &hits, &mut found);
            }
            found.sort_unstable();
            found.dedup();
        }
        Ok(found)
    }

    fn hits(&mut self, column: u32, finder: &Finder<'_>) -> Result<Hits, Error> {
        if self.column_mut(column)?.page.count == 0 {
            return Ok(Hits::None);
        }
        match self.column_mut(column)?.hits_of_group(finder)? {
            Some(hits) => Ok(hits),
            None => Ok(self.column(column)?.hits_of_page(finder)?),
        }
    }

    /// Adds the rows that have some of the values.
    fn rows_of(&self, column: u32, hits: &Hits, found: &mut Vec<usize>) {
        let hits = match hits {
            Hits::None => return,
            Hits::All => &[][..],
            Hits::Some(hits) if hits.is_empty() => return,
            Hits::Some(hits) => hits,
        };
        let (all, mut hits) = (hits.is_empty(), hits.iter().peekable());
        let mut next = 0;
        let uses = self.uses(column);
        for (row, shape) in self.rows().iter().enumerate() {
            next += uses[*shape as usize];
            let mut hit = all && uses[*shape as usize] > 0;
            while hits.next_if(|place| **place < next).is_some() {
                hit = true;
            }
            if hit {
                found.push(row);
            }
        }
    }
}

impl Template {
    /// Whether lines of this shape contain a text whatever their values are, or may have it across the end of a value.
    fn may_contain(&self, finder: &Finder<'_>) -> bool {
        let needle = finder.needle();
        let literal = |range: &std::ops::Range<u32>| &self.text[range.start as usize..range.end as usize];
        let literals = self.slots.iter().map(|(range, _)| literal(range)).chain([literal(&self.end)]);
        for (at, text) in literals.enumerate() {
            let (after_slot, before_slot) = (at > 0, at < self.slots.len());
            let begins = |k: &usize| text.ends_with(&needle[..*k]);
            let goes_on = |k: &usize| text.starts_with(&needle[*k..]) || needle[*k..].starts_with(text);
            if finder.find(text).is_some()
                || before_slot && (1..needle.len()).any(|k| begins(&k))
                || after_slot && (before_slot || !text.is_empty()) && (1..needle.len()).any(|k| goes_on(&k))
            {
                return true;
            }
        }
        false
    }
}

impl ColumnReader {
    /// The values that contain a text, if that can be said without the page.
    fn hits_of_group(&mut self, finder: &Finder<'_>) -> Result<Option<Hits>, Error> {
        Ok(match &mut self.kind {
            Kind::Constant(value) => Some(if finder.find(value).is_some() { Hits::All } else { Hits::None }),
            Kind::Typed(typed) => (!typed.excepts && !typed.can_contain(finder.needle())).then_some(Hits::None),
            Kind::Dictionary { packed, count, entries, .. } => {
                if self.hits.as_ref().is_none_or(|(needle, _)| needle != finder.needle()) {
                    let entries = open_dictionary(packed, *count, entries)?;
                    let has = |at| finder.find(entries.get(at).unwrap_or_default()).is_some();
                    self.hits = Some((finder.needle().to_vec(), (0..*count).map(has).collect()));
                }
                let any = self.hits.as_ref().is_some_and(|(_, hits)| hits.contains(&true));
                (!any).then_some(Hits::None)
            }
            Kind::Texts => None,
        })
    }

    /// The values of the prepared page that contain a text.
    fn hits_of_page(&self, finder: &Finder<'_>) -> Result<Hits, Error> {
        let mut found = Vec::new();
        match &self.kind {
            Kind::Texts => self.page.texts.containing(finder, &mut found),
            Kind::Dictionary { .. } => {
                let hits = self.hits.as_ref().map_or(&[][..], |(_, hits)| hits);
                let has =
                    |code: &i64| usize::try_from(*code).ok().and_then(|at| hits.get(at)).copied().unwrap_or(false);
                found.extend(self.page.numbers[0].iter().enumerate().filter(|(_, code)| has(code)).map(|(at, _)| at));
            }
            Kind::Constant(_) | Kind::Typed(_) => {
                let exceptions = self.page.exceptions.iter().map(|(place, _)| *place as usize);
                let places: Vec<usize> = match &self.kind {
                    Kind::Typed(typed) if !typed.can_contain(finder.needle()) => exceptions.collect(),
                    _ => (0..self.page.count).collect(),
                };
                let mut text = Vec::new();
                for place in places {
                    text.clear();
                    self.append(place, &mut text)?;
                    if finder.find(&text).is_some() {
                        found.push(place);
                    }
                }
            }
        }
        Ok(Hits::Some(found))
    }
}

impl Typed {
    /// Whether a value that is no exception can contain a text.
    fn can_contain(&self, needle: &[u8]) -> bool {
        let form: &[u8] = match self.form {
            Form::Int | Form::Padded(_) | Form::Decimal(_) | Form::Float => b"-.",
            Form::Time(_) => b"-: T.,Z+",
            Form::Address | Form::AddressPort => b".:",
            Form::Hex(_) | Form::Uuid | Form::Hex32 => b"-abcdef",
        };
        let (prefix, suffix) = self.affixes();
        let known =
            |byte: &u8| byte.is_ascii_digit() || form.contains(byte) || prefix.contains(byte) || suffix.contains(byte);
        needle.iter().all(known)
    }
}
