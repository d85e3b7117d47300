//! Range aggregations over rows that are kept taken apart: only the columns of the labels that matter are read, and the
//! stages run once for each combination of their values.

use super::counting::{Counting, SeriesSet};
use super::samples::{Sampler, unwrapped};
use crate::error::Error;
use crate::fields::{Fields, Parser};
use crate::row::Row;
use eval::source::{Checked, Shredded};
use model::{Coded, Labels};
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

/// Combinations that are remembered beyond the rows at hand.
const REMEMBERED: usize = 1 << 16;
/// Combinations of the rows at hand that are looked up by their codes.
const TABLE: usize = 1 << 16;

/// What is known of shapes, and what became of combinations of labels.
#[derive(Default)]
pub(super) struct Known {
    group: Option<u64>,
    shapes: HashMap<u32, Option<Rc<Fields>>>,
    columns: HashMap<u32, bool>,
    streams: HashMap<Labels, u32>,
    outcomes: HashMap<Vec<u8>, Outcome>,
    key: Vec<u8>,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Unknown,
    /// A stage takes it away.
    Gone,
    /// It counts with this value, unless the value is in a column.
    Counts(usize, f64),
    /// Its line has to be read.
    Line,
}

/// The rows of one shape, and the columns that matter of them.
struct Block<'b> {
    fields: &'b Fields,
    /// One for each field; none for those that have no column.
    columns: Vec<Option<Rc<Coded>>>,
    /// The field whose values are the samples.
    samples: Option<(usize, Samples)>,
}

/// Samples, as a column has them.
enum Samples {
    /// One a row.
    Numbers(Vec<f64>),
    /// One a code; none for what is no number.
    Texts(Rc<Coded>, Vec<Option<f64>>),
}

impl Counting<'_> {
    /// Takes the rows of a part.
    pub(super) fn take_columns(
        &self,
        part: &mut dyn Shredded,
        known: &mut Known,
        set: &mut SeriesSet,
    ) -> Result<(), Error> {
        let sampler = self.sampler;
        let Some(parser) = sampler.pipeline.parser() else {
            let all: Vec<usize> = (0..part.times().len()).collect();
            return self.take_page(&part.lines(&all)?, set);
        };
        known.turn_to(part.group());
        let mut lines = Vec::new();
        let mut shapes = part.shapes().to_vec();
        shapes.sort_unstable();
        shapes.dedup();
        let mut coded: HashMap<u32, Rc<Coded>> = HashMap::new();
        for shape in shapes {
            match known.fields(part, shape, parser, sampler)? {
                Some(fields) => {
                    let block = Block::read(part, &fields, parser, sampler, &mut coded)?;
                    self.take_block(&*part, shape, &block, known, set, &mut lines)?;
                }
                None => {
                    lines.extend(part.shapes().iter().enumerate().filter(|(_, s)| **s == shape).map(|(row, _)| row))
                }
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        lines.sort_unstable();
        self.take_page(&part.lines(&lines)?, set)
    }

    /// Takes the rows of one shape; `lines` gets those whose lines have to be read.
    fn take_block(
        &self,
        part: &dyn Shredded,
        shape: u32,
        block: &Block<'_>,
        known: &mut Known,
        set: &mut SeriesSet,
        lines: &mut Vec<usize>,
    ) -> Result<(), Error> {
        let stream = known.stream(part.labels());
        let labels: Vec<(&str, &str)> = part.labels().iter().collect();
        let mut table = vec![Outcome::Unknown; block.combinations()];
        let mut steps = self.windows();
        for (row, (time, of)) in part.times().iter().zip(part.shapes()).enumerate() {
            if *of != shape || !self.times.contains(*time) {
                continue;
            }
            let Some(window) = steps.of(*time) else { continue };
            let place = block.place(row).filter(|place| *place < table.len());
            let mut outcome = place.map_or(Outcome::Unknown, |place| table[place]);
            if outcome == Outcome::Unknown {
                outcome = self.outcome(block, row, *time, &labels, stream, known, set)?;
                if let Some(place) = place {
                    table[place] = outcome;
                }
            }
            match outcome {
                Outcome::Unknown | Outcome::Gone => {}
                Outcome::Line => lines.push(row),
                Outcome::Counts(series, value) => match block.sample(row, value) {
                    Some(value) => {
                        if let Some(bytes) = set.add(series, *time, value, window) {
                            self.charge(bytes, set)?;
                        }
                    }
                    None => lines.push(row),
                },
            }
        }
        Ok(())
    }

    /// What becomes of rows with the labels of this one.
    #[allow(clippy::too_many_arguments)] // called once, above
    fn outcome(
        &self,
        block: &Block<'_>,
        row: usize,
        time: i64,
        labels: &[(&str, &str)],
        stream: u32,
        known: &mut Known,
        set: &mut SeriesSet,
    ) -> Result<Outcome, Error> {
        let sampler = self.sampler;
        block.write_key(row, stream, &mut known.key);
        if let Some(outcome) = known.outcomes.get(&known.key) {
            return Ok(*outcome);
        }
        let Some(parser) = sampler.pipeline.parser() else { return Ok(Outcome::Line) };
        let mut parsed = Row::new(labels);
        parsed.begin(time, "");
        for (field, text) in block.fields.found.iter().zip(block.texts(row)) {
            match text {
                Some(text) => {
                    if let Some(value) = field.value(text, parser) {
                        parsed.extract(Cow::Owned(field.name.clone()), Cow::Owned(value.into_owned()));
                    }
                }
                None if field.column.is_none() => {
                    parsed.extract(Cow::Owned(field.name.clone()), Cow::Owned(field.text.clone()));
                }
                None => {}
            }
        }
        let outcome = match sampler.sample_parsed(&mut parsed, block.samples.is_none())? {
            None => Outcome::Gone,
            Some(value) => Outcome::Counts(self.series(&parsed, set)?, value),
        };
        if known.outcomes.len() >= REMEMBERED {
            known.outcomes.clear();
        }
        known.outcomes.insert(known.key.clone(), outcome);
        Ok(outcome)
    }
}

impl Known {
    fn turn_to(&mut self, group: u64) {
        if self.group != Some(group) {
            self.group = Some(group);
            self.shapes.clear();
            self.columns.clear();
        }
    }

    fn stream(&mut self, labels: &Labels) -> u32 {
        if let Some(number) = self.streams.get(labels) {
            return *number;
        }
        let number = self.streams.len() as u32;
        self.streams.insert(labels.clone(), number);
        number
    }

    /// The fields of a shape, if the parser finds them in all rows of the part that have it.
    fn fields(
        &mut self,
        part: &mut dyn Shredded,
        shape: u32,
        parser: Parser<'_>,
        sampler: &Sampler<'_>,
    ) -> Result<Option<Rc<Fields>>, Error> {
        let fields = match self.shapes.entry(shape) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(vacant) => {
                let wants = |name: &str| sampler.pipeline.wants(name);
                vacant.insert(Fields::of(&part.shape(shape)?, parser, wants).map(Rc::new)).clone()
            }
        };
        let Some(fields) = fields else { return Ok(None) };
        for column in &fields.checked {
            let fits = match self.columns.get(column) {
                Some(fits) => *fits,
                None => match part.check(*column, &|text| parser.fits(text))? {
                    Checked::Group(fits) => *self.columns.entry(*column).or_insert(fits),
                    Checked::Rows(fits) => fits,
                },
            };
            if !fits {
                return Ok(None);
            }
        }
        Ok(Some(fields))
    }
}

/// A value that is no plain one is no sample either, however the parser would give it.
fn all_of(parser: Parser<'_>) -> Parser<'_> {
    if matches!(parser, Parser::Paths(..)) { Parser::All } else { parser }
}

impl<'b> Block<'b> {
    fn read(
        part: &mut dyn Shredded,
        fields: &'b Fields,
        parser: Parser<'_>,
        sampler: &Sampler<'_>,
        coded: &mut HashMap<u32, Rc<Coded>>,
    ) -> Result<Block<'b>, Error> {
        let mut read = |part: &mut dyn Shredded, column: u32| -> Result<Rc<Coded>, Error> {
            Ok(match coded.get(&column) {
                Some(known) => known.clone(),
                None => coded.entry(column).or_insert(Rc::new(part.column(column)?)).clone(),
            })
        };
        let mut block = Block { fields, columns: Vec::with_capacity(fields.found.len()), samples: None };
        for (at, field) in fields.found.iter().enumerate() {
            let Some(column) = field.column else {
                block.columns.push(None);
                continue;
            };
            if let Some(unwrap) = sampler.direct_sample(part.labels()).filter(|unwrap| unwrap.label == field.name) {
                let numbers = if unwrap.conversion.is_none() { part.numbers(column)? } else { None };
                let samples = match numbers {
                    Some(numbers) => Samples::Numbers(numbers),
                    None => {
                        let coded = read(part, column)?;
                        let number = |code| {
                            let value = field.value(coded.get(code), all_of(parser))?;
                            unwrapped(&value, unwrap).ok()
                        };
                        let numbers = (0..coded.len() as u32).map(number).collect();
                        Samples::Texts(coded, numbers)
                    }
                };
                block.samples = Some((at, samples));
                block.columns.push(None);
                continue;
            }
            block.columns.push(Some(read(part, column)?));
        }
        Ok(block)
    }

    /// How many combinations of codes there may be, if they are few enough for a table.
    fn combinations(&self) -> usize {
        let product = self.columns.iter().flatten().try_fold(1usize, |all, column| all.checked_mul(column.len() + 1));
        product.filter(|product| *product <= TABLE).unwrap_or(0)
    }

    /// The place of a row's combination of codes.
    fn place(&self, row: usize) -> Option<usize> {
        let mut place = 0usize;
        for column in self.columns.iter().flatten() {
            let code = column.codes[row];
            let code = if code == Coded::NONE { column.len() } else { code as usize };
            place = place.checked_mul(column.len() + 1)?.checked_add(code)?;
        }
        Some(place)
    }

    /// What the columns hold in a row.
    fn texts(&self, row: usize) -> impl Iterator<Item = Option<&str>> {
        self.columns.iter().map(move |column| {
            let column = column.as_ref()?;
            let code = column.codes[row];
            (code != Coded::NONE).then(|| column.get(code))
        })
    }

    /// All that the fate of a row depends on.
    fn write_key(&self, row: usize, stream: u32, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(&stream.to_le_bytes());
        let sample = self.samples.as_ref().map(|(at, _)| *at);
        for (at, (field, text)) in self.fields.found.iter().zip(self.texts(row)).enumerate() {
            key.push(u8::from(field.quoted) | u8::from(text.is_some()) << 1 | u8::from(sample == Some(at)) << 2);
            for text in [field.name.as_str(), text.unwrap_or(&field.text)] {
                key.extend_from_slice(&(text.len() as u32).to_le_bytes());
                key.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// The sample of a row whose labels count with `value`; none if it has to be found in the line.
    fn sample(&self, row: usize, value: f64) -> Option<f64> {
        match &self.samples {
            None => Some(value),
            Some((_, Samples::Numbers(numbers))) => Some(numbers[row]),
            Some((_, Samples::Texts(coded, numbers))) => match coded.codes[row] {
                Coded::NONE => None,
                code => numbers[code as usize],
            },
        }
    }
}
