//! The values of a column by themselves: coded, as numbers, or held to a test.

use super::column::{ColumnReader, Kind, PageValues, Typed, open_dictionary};
use super::lines::UTF8;
use crate::column::form::Form;
use crate::error::Error;
use hashbrown::HashMap;
use model::Coded;

impl ColumnReader {
    /// The values at some places of the prepared page. Equal ones share a code where they are kept as numbers.
    pub fn coded(&self, places: Vec<Option<usize>>) -> Result<Coded, Error> {
        let mut coded = Coder::new(places.len());
        let one = matches!(self.kind, Kind::Constant(_));
        let own = matches!(self.kind, Kind::Texts);
        let mut last = None;
        for place in places {
            let Some(place) = place else {
                coded.codes.push(Coded::NONE);
                continue;
            };
            let key = match one {
                true => Some((0, 0)),
                false if own || self.page.is_exception(place) => None,
                false => self.page.key(place),
            };
            match (key, last) {
                (Some(key), Some((known, code))) if key == known => coded.codes.push(code),
                (key, _) => {
                    last = Some((key.unwrap_or_default(), coded.add(self, key, place)?)).filter(|_| key.is_some())
                }
            }
        }
        coded.finish()
    }

    /// The values at some places of the prepared page as the numbers nearest to them, if all values are decimal numbers;
    /// NaN where there is none.
    pub fn decimals(&self, places: Vec<Option<usize>>) -> Option<Vec<f64>> {
        let Kind::Typed(typed) = &self.kind else { return None };
        if !typed.is_decimal() || !self.page.exceptions.is_empty() {
            return None;
        }
        let number = |place: Option<usize>| match place {
            None => Some(f64::NAN),
            Some(place) => typed.decimal(self.page.key(place)?),
        };
        places.into_iter().map(number).collect()
    }

    /// Whether each value of the row group that is not a decimal number passes a test, if that can be said without its
    /// pages.
    pub fn check_group(&mut self, test: &dyn Fn(&str) -> bool) -> Result<Option<bool>, Error> {
        match &mut self.kind {
            Kind::Constant(value) => Ok(Some(test(std::str::from_utf8(value).map_err(|_| UTF8)?))),
            Kind::Typed(typed) => Ok((typed.is_decimal() && !typed.excepts).then_some(true)),
            Kind::Dictionary { packed, count, entries, .. } => {
                let entries = open_dictionary(packed, *count, entries)?;
                for at in 0..*count {
                    if !test(std::str::from_utf8(entries.get(at).unwrap_or_default()).map_err(|_| UTF8)?) {
                        return Ok(Some(false));
                    }
                }
                Ok(Some(true))
            }
            Kind::Texts => Ok(None),
        }
    }

    /// Whether each value of the prepared page that is not a decimal number passes a test.
    pub fn check_page(&self, test: &dyn Fn(&str) -> bool) -> Result<bool, Error> {
        let decimal = matches!(&self.kind, Kind::Typed(typed) if typed.is_decimal());
        let mut text = Vec::new();
        let mut passes = |place: usize| -> Result<bool, Error> {
            text.clear();
            self.append(place, &mut text)?;
            Ok(test(std::str::from_utf8(&text).map_err(|_| UTF8)?))
        };
        let exceptions = self.page.exceptions.iter().map(|(place, _)| *place as usize);
        let places: Vec<usize> = if decimal { exceptions.collect() } else { (0..self.page.count).collect() };
        for place in places {
            if !passes(place)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Gives out codes.
struct Coder {
    codes: Vec<u32>,
    text: Vec<u8>,
    ends: Vec<u32>,
    known: HashMap<(i64, i64), u32>,
}

impl Coder {
    fn new(rows: usize) -> Coder {
        Coder { codes: Vec::with_capacity(rows), text: Vec::new(), ends: Vec::new(), known: HashMap::new() }
    }

    /// Adds a value, which has the code of those with the same key.
    fn add(&mut self, column: &ColumnReader, key: Option<(i64, i64)>, place: usize) -> Result<u32, Error> {
        if let Some(code) = key.and_then(|key| self.known.get(&key)) {
            self.codes.push(*code);
            return Ok(*code);
        }
        column.append(place, &mut self.text)?;
        let code = self.ends.len() as u32;
        self.ends
            .push(u32::try_from(self.text.len()).map_err(|_| Error::Corrupt { why: "a page has more than 4 GiB" })?);
        self.codes.push(code);
        if let Some(key) = key {
            self.known.insert(key, code);
        }
        Ok(code)
    }

    fn finish(self) -> Result<Coded, Error> {
        let text = String::from_utf8(self.text).map_err(|_| UTF8)?;
        if self.ends.iter().any(|end| !text.is_char_boundary(*end as usize)) {
            return Err(UTF8);
        }
        Ok(Coded { codes: self.codes, text, ends: self.ends })
    }
}

impl PageValues {
    /// The numbers that stand for a value.
    fn key(&self, place: usize) -> Option<(i64, i64)> {
        let number = self.numbers[0].get(place)?;
        Some((*number, self.numbers[1].get(place).copied().unwrap_or(0)))
    }

    fn is_exception(&self, place: usize) -> bool {
        !self.exceptions.is_empty()
            && self.exceptions.binary_search_by_key(&(place as u32), |(place, _)| *place).is_ok()
    }
}

/// Numbers up to here are exact as floats, and so are powers of ten up to this one: a quotient of both is rounded once,
/// to the float nearest to the text.
const EXACT: u64 = 1 << 53;
const POWERS: usize = 23;

impl Typed {
    /// The float nearest to a value of a decimal form.
    fn decimal(&self, (number, second): (i64, i64)) -> Option<f64> {
        let scale = match self.form {
            Form::Decimal(scale) => usize::from(scale),
            Form::Float if (1..=17).contains(&second) => second as usize,
            _ => 0,
        };
        if scale == 0 {
            return Some(number as f64);
        }
        let exact = number.unsigned_abs() <= EXACT && scale < POWERS;
        exact.then(|| number as f64 / 10f64.powi(scale as i32))
    }
}
