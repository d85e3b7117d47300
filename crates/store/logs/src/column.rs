//! One column of texts: recognises what its values are, keeps them that way, and encodes them page by page.

pub mod dictionary;
pub mod form;
pub mod ints;
pub mod pool;
pub mod relation;
pub mod text;

use crate::error::Error;
use crate::frame::Compressor;
use crate::varint;
use dictionary::Dictionary;
use form::Form;
use pool::Pool;
use relation::Relation;

/// Where a value is in the text of the row group.
pub type Span = (u32, u32);

pub const CONSTANT: u8 = 0;
pub const TYPED: u8 = 1;
pub const DICTIONARY: u8 = 2;
pub const TEXTS: u8 = 3;

/// Collects the values of a column. Buffers are kept from one row group to the next.
#[derive(Default)]
pub struct Column {
    state: State,
    len: u32,
    /// How many values came before the end of each page.
    ends: Vec<u32>,
    constant: Vec<u8>,
    typed: Typed,
    dictionary: Dictionary,
    codes: Vec<u32>,
    texts: Arena,
}

#[derive(Default, Clone, Copy, PartialEq, Debug)]
enum State {
    #[default]
    Empty,
    /// All values equal `constant`.
    Constant,
    Typed(Form),
    Dictionary,
    Texts,
}

/// Values that have a form, and the few that do not.
#[derive(Default)]
struct Typed {
    /// Before and after what has the form, the same in all values.
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    numbers: [Vec<i64>; 2],
    /// Places of values without the form; there the numbers repeat those before.
    exceptions: Vec<u32>,
    exception_texts: Arena,
    /// Ids that are about to be looked up.
    ids: Vec<Option<u128>>,
}

/// Texts one after the other.
#[derive(Default)]
struct Arena {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl Arena {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn push(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
        self.ends.push(self.text.len() as u32);
    }

    fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[start..self.ends[at] as usize]
    }
}

/// A column as it is written.
pub struct Encoded {
    pub descriptor: Vec<u8>,
    /// The entries of a dictionary, packed.
    pub dictionary: Option<Vec<u8>>,
    /// One for each page, or none.
    pub pages: Vec<Vec<u8>>,
}

/// A dictionary with fewer entries is kept whatever share of the values they are.
const SMALL_DICTIONARY: usize = 256;
/// How many values are looked at to find a column's form.
const SAMPLE: usize = 64;

impl Column {
    pub fn clear(&mut self) {
        self.state = State::Empty;
        self.len = 0;
        self.ends.clear();
        self.constant.clear();
        self.dictionary.clear();
        self.codes.clear();
        self.texts.clear();
        self.typed.clear();
    }

    /// Keeps texts as they are: no form, no dictionary.
    pub fn keep_texts(&mut self) {
        self.state = State::Texts;
    }

    /// Ends a page; it is the `pages`th.
    pub fn end_page(&mut self, pages: usize) {
        // Pages before the column began are empty.
        self.ends
            .resize(pages.saturating_sub(1), if self.ends.is_empty() { 0 } else { self.ends[self.ends.len() - 1] });
        self.ends.push(self.len);
    }

    /// Adds values: slices of `raw`.
    pub fn extend(&mut self, raw: &[u8], spans: &[Span], pool: &mut Pool) {
        let Some(first) = spans.first() else { return };
        let value = |span: &Span| &raw[span.0 as usize..span.1 as usize];
        match self.state {
            State::Empty => {
                self.constant.extend_from_slice(value(first));
                self.state = State::Constant;
                self.extend_constant(raw, spans, pool);
            }
            State::Constant => self.extend_constant(raw, spans, pool),
            State::Typed(form) => self.extend_typed(form, raw, spans, pool),
            State::Dictionary => self.extend_dictionary(raw, spans),
            State::Texts => spans.iter().for_each(|span| self.texts.push(value(span))),
        }
        self.len += spans.len() as u32;
    }

    fn extend_constant(&mut self, raw: &[u8], spans: &[Span], pool: &mut Pool) {
        let constant = self.constant.as_slice();
        let equal = match constant.is_empty() {
            true => spans.iter().all(|span| span.0 == span.1),
            false => spans.iter().all(|span| &raw[span.0 as usize..span.1 as usize] == constant),
        };
        if equal {
            return;
        }
        let constant = std::mem::take(&mut self.constant);
        let found = recognise(raw, spans, (self.len > 0).then_some(constant.as_slice()));
        match found {
            Some((form, prefix, suffix)) => {
                self.typed.prefix.extend_from_slice(&prefix);
                self.typed.suffix.extend_from_slice(&suffix);
                self.state = State::Typed(form);
                if self.len > 0 {
                    self.typed.repeat(form, &constant, self.len, pool);
                }
                self.extend_typed(form, raw, spans, pool);
            }
            None => {
                self.state = State::Dictionary;
                if self.len > 0 {
                    let code = self.dictionary.number(&constant);
                    self.codes.resize(self.len as usize, code);
                }
                self.extend_dictionary(raw, spans);
            }
        }
    }

    fn extend_typed(&mut self, form: Form, raw: &[u8], spans: &[Span], pool: &mut Pool) {
        // Each arm is a loop of its own, so that the form is known inside of it.
        match form {
            Form::Int => self.typed.extend(raw, spans, |text| Form::Int.parse(text)),
            Form::Address => self.typed.extend(raw, spans, |text| Form::Address.parse(text)),
            Form::AddressPort => self.typed.extend_two(raw, spans, |text| Form::AddressPort.parse(text)),
            Form::Float => self.typed.extend_two(raw, spans, |text| Form::Float.parse(text)),
            Form::Time(_) => self.typed.extend(raw, spans, |text| form.parse(text)),
            Form::Uuid => self.typed.extend_ids(raw, spans, pool, |text| Form::Uuid.parse_wide(text)),
            Form::Hex32 => self.typed.extend_ids(raw, spans, pool, |text| Form::Hex32.parse_wide(text)),
            Form::Padded(_) | Form::Decimal(_) | Form::Hex(_) => {
                self.typed.extend(raw, spans, |text| form.parse(text));
            }
        }
        let exceptions = self.typed.exceptions.len();
        if exceptions > 4 && exceptions * 64 > self.typed.numbers[0].len() {
            self.demote(form, pool);
        }
    }

    /// From numbers back to texts.
    fn demote(&mut self, form: Form, pool: &Pool) {
        self.state = State::Dictionary;
        let mut text = Vec::new();
        for at in 0..self.typed.numbers[0].len() {
            text.clear();
            self.typed.write(form, at, pool, &mut text);
            let code = self.dictionary.number(&text);
            self.codes.push(code);
        }
        self.typed.clear();
        self.give_up_dictionary();
    }

    fn extend_dictionary(&mut self, raw: &[u8], spans: &[Span]) {
        self.codes.reserve(spans.len());
        for span in spans {
            let code = self.dictionary.number(&raw[span.0 as usize..span.1 as usize]);
            self.codes.push(code);
        }
        self.give_up_dictionary();
    }

    fn give_up_dictionary(&mut self) {
        let entries = self.dictionary.len();
        if entries < SMALL_DICTIONARY || entries * 3 <= self.codes.len() {
            return;
        }
        self.state = State::Texts;
        for code in &self.codes {
            self.texts.push(self.dictionary.get(*code));
        }
        self.codes.clear();
        self.dictionary.clear();
    }

    /// Calls `see` with every distinct piece of text that is not kept as numbers.
    pub fn texts(&self, mut see: impl FnMut(&[u8])) {
        match self.state {
            State::Empty => {}
            State::Constant => see(&self.constant),
            State::Typed(_) => {
                see(&self.typed.prefix);
                see(&self.typed.suffix);
                (0..self.typed.exceptions.len()).for_each(|at| see(self.typed.exception_texts.get(at)));
            }
            State::Dictionary => self.dictionary.iter().for_each(see),
            State::Texts => (0..self.texts.ends.len()).for_each(|at| see(self.texts.get(at))),
        }
    }

    /// The numbers of a column that could be derived from others, with the nanoseconds in one unit if they are times.
    pub fn numbers(&self) -> impl Iterator<Item = (&[i64], Option<i64>)> {
        let form = match self.state {
            State::Typed(form) if !form.pooled() && self.typed.exceptions.is_empty() => Some(form),
            _ => None,
        };
        let unit = match form {
            Some(Form::Time(time)) => Some(time.unit()),
            _ => None,
        };
        self.typed.numbers.iter().take(form.map_or(0, Form::arity)).map(move |numbers| (numbers.as_slice(), unit))
    }

    /// Encodes the column. `relations` are those of its numbers.
    pub fn encode(
        &self,
        relations: [Option<&Relation>; 2],
        compressor: &mut Compressor,
        scratch: &mut Vec<u8>,
    ) -> Result<Encoded, Error> {
        match self.state {
            State::Empty | State::Constant => {
                let mut descriptor = vec![CONSTANT];
                varint::put_bytes(&mut descriptor, &self.constant);
                Ok(Encoded { descriptor, dictionary: None, pages: Vec::new() })
            }
            State::Typed(form) => self.encode_typed(form, relations),
            State::Dictionary => self.encode_dictionary(compressor, scratch),
            State::Texts => {
                let mut pages = Vec::with_capacity(self.ends.len());
                for (start, end) in self.page_ranges() {
                    let mut page = Vec::new();
                    if start < end {
                        let values = (start..end).map(|at| self.texts.get(at as usize));
                        text::pack(values, compressor, scratch, &mut page)?;
                    }
                    pages.push(page);
                }
                Ok(Encoded { descriptor: vec![TEXTS], dictionary: None, pages })
            }
        }
    }

    fn page_ranges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        [0].into_iter().chain(self.ends.iter().copied()).zip(self.ends.iter().copied())
    }

    fn encode_typed(&self, form: Form, relations: [Option<&Relation>; 2]) -> Result<Encoded, Error> {
        let typed = &self.typed;
        let mut descriptor = vec![TYPED];
        descriptor.extend_from_slice(&form.code());
        varint::put_bytes(&mut descriptor, &typed.prefix);
        varint::put_bytes(&mut descriptor, &typed.suffix);
        descriptor.push(u8::from(!typed.exceptions.is_empty()));
        let mut pages: Vec<Vec<u8>> = vec![Vec::new(); self.ends.len()];
        for (numbers, relation) in typed.numbers[..form.arity()].iter().zip(relations) {
            let encoded = match relation {
                Some(relation) => ints::encode(&relation.rest, &self.ends)?,
                None if form.pooled() => ints::encode(&pool_steps(numbers, &self.ends), &self.ends)?,
                None => ints::encode(numbers, &self.ends)?,
            };
            relation::put(relation.map_or(&[], |relation| &relation.terms), &mut descriptor);
            varint::put_bytes(&mut descriptor, &encoded.descriptor);
            for (page, bytes) in pages.iter_mut().zip(encoded.pages) {
                varint::put_bytes(page, &bytes);
            }
        }
        if form.pooled() {
            // A page begins with the step's base, see `pool_steps`.
            let mut base = 0;
            for (page, (start, end)) in pages.iter_mut().zip(self.page_ranges()) {
                let mut head = Vec::with_capacity(page.len() + 4);
                varint::put(&mut head, base as u64);
                head.append(page);
                *page = head;
                let numbers = &typed.numbers[0][start as usize..end as usize];
                base = numbers.iter().fold(base, |base, place| base.max(place + 1));
            }
        }
        if !typed.exceptions.is_empty() {
            let mut next = 0;
            for (page, (start, end)) in pages.iter_mut().zip(self.page_ranges()) {
                let count = typed.exceptions[next..].iter().take_while(|at| **at < end).count();
                varint::put(page, count as u64);
                let mut last = start;
                for exception in next..next + count {
                    let at = typed.exceptions[exception];
                    varint::put(page, u64::from(at - last));
                    varint::put_bytes(page, typed.exception_texts.get(exception));
                    last = at;
                }
                next += count;
            }
        }
        if pages.iter().all(Vec::is_empty) {
            pages.clear();
        }
        Ok(Encoded { descriptor, dictionary: None, pages })
    }

    fn encode_dictionary(&self, compressor: &mut Compressor, scratch: &mut Vec<u8>) -> Result<Encoded, Error> {
        // Frequent entries get small numbers.
        let mut counts = vec![0u32; self.dictionary.len()];
        self.codes.iter().for_each(|code| counts[*code as usize] += 1);
        let mut order: Vec<u32> = (0..counts.len() as u32).collect();
        order.sort_by_key(|code| std::cmp::Reverse(counts[*code as usize]));
        let mut ranks = vec![0i64; counts.len()];
        for (rank, code) in order.iter().enumerate() {
            ranks[*code as usize] = rank as i64;
        }
        let codes: Vec<i64> = self.codes.iter().map(|code| ranks[*code as usize]).collect();
        let encoded = ints::encode(&codes, &self.ends)?;
        let mut descriptor = vec![DICTIONARY];
        varint::put(&mut descriptor, order.len() as u64);
        varint::put_bytes(&mut descriptor, &encoded.descriptor);
        let mut dictionary = Vec::new();
        text::pack(order.iter().map(|code| self.dictionary.get(*code)), compressor, scratch, &mut dictionary)?;
        Ok(Encoded { descriptor, dictionary: Some(dictionary), pages: encoded.pages })
    }
}

/// What is kept of places in a pool: how far each is behind the place after the highest one so far. New ids, which
/// come in order, are 0.
fn pool_steps(places: &[i64], ends: &[u32]) -> Vec<i64> {
    debug_assert_eq!(ends.last().map(|end| *end as usize), Some(places.len()));
    let mut next = 0;
    let steps = places.iter().map(|place| {
        let step = next - place;
        next = next.max(place + 1);
        step
    });
    steps.collect()
}

impl Typed {
    fn clear(&mut self) {
        self.prefix.clear();
        self.suffix.clear();
        self.numbers.iter_mut().for_each(Vec::clear);
        self.exceptions.clear();
        self.exception_texts.clear();
    }

    #[inline(always)]
    fn extend(&mut self, raw: &[u8], spans: &[Span], mut parse: impl FnMut(&[u8]) -> Option<[i64; 2]>) {
        self.numbers[0].reserve(spans.len());
        for span in spans {
            let whole = &raw[span.0 as usize..span.1 as usize];
            match self.strip(whole).and_then(&mut parse) {
                Some([number, _]) => self.numbers[0].push(number),
                None => self.except(whole),
            }
        }
    }

    #[inline(always)]
    fn extend_two(&mut self, raw: &[u8], spans: &[Span], mut parse: impl FnMut(&[u8]) -> Option<[i64; 2]>) {
        for span in spans {
            let whole = &raw[span.0 as usize..span.1 as usize];
            match self.strip(whole).and_then(&mut parse) {
                Some([number, second]) => {
                    self.numbers[0].push(number);
                    self.numbers[1].push(second);
                }
                None => {
                    let second = self.numbers[1].last().copied().unwrap_or(0);
                    self.numbers[1].push(second);
                    self.except(whole);
                }
            }
        }
    }

    /// First reads all ids, so that the memory behind the pool's slots is fetched for many at once.
    #[inline(always)]
    fn extend_ids(&mut self, raw: &[u8], spans: &[Span], pool: &mut Pool, parse: impl Fn(&[u8]) -> Option<u128>) {
        let whole = |span: &Span| &raw[span.0 as usize..span.1 as usize];
        let mut ids = std::mem::take(&mut self.ids);
        ids.clear();
        ids.extend(spans.iter().map(|span| self.strip(whole(span)).and_then(&parse)));
        pool.expect(ids.iter().flatten());
        for (id, span) in ids.iter().zip(spans) {
            match id {
                Some(id) => self.numbers[0].push(i64::from(pool.place(*id))),
                None => self.except(whole(span)),
            }
        }
        self.ids = ids;
    }

    #[inline(always)]
    fn strip<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let mut text = text;
        // Comparing no bytes is slow where an empty vector has no memory: the masked load is caught and undone.
        if !self.prefix.is_empty() {
            text = text.strip_prefix(self.prefix.as_slice())?;
        }
        if !self.suffix.is_empty() {
            text = text.strip_suffix(self.suffix.as_slice())?;
        }
        Some(text)
    }

    #[cold]
    fn except(&mut self, text: &[u8]) {
        let number = self.numbers[0].last().copied().unwrap_or(0);
        self.exceptions.push(self.numbers[0].len() as u32);
        self.exception_texts.push(text);
        self.numbers[0].push(number);
    }

    /// Adds the same text many times.
    fn repeat(&mut self, form: Form, text: &[u8], times: u32, pool: &mut Pool) {
        let stripped = self.strip(text);
        let numbers = match form.pooled() {
            true => stripped.and_then(|t| form.parse_wide(t)).map(|id| [i64::from(pool.place(id)), 0]),
            false => stripped.and_then(|t| form.parse(t)),
        };
        for _ in 0..times {
            match numbers {
                Some(numbers) => self.numbers[0].push(numbers[0]),
                None => self.except(text),
            }
            if form.arity() == 2 {
                self.numbers[1].push(numbers.map_or(0, |n| n[1]));
            }
        }
    }

    fn write(&self, form: Form, at: usize, pool: &Pool, out: &mut Vec<u8>) {
        if let Ok(exception) = self.exceptions.binary_search(&(at as u32)) {
            out.extend_from_slice(self.exception_texts.get(exception));
            return;
        }
        out.extend_from_slice(&self.prefix);
        let number = self.numbers[0][at];
        match form.pooled() {
            true => form.write_wide(pool.get(number).unwrap_or(0), out),
            false => form.write([number, self.numbers[1].get(at).copied().unwrap_or(0)], out),
        }
        out.extend_from_slice(&self.suffix);
    }
}

/// Finds a form that (nearly) all of a sample of values have, if need be between a prefix and a suffix that all have.
fn recognise(raw: &[u8], spans: &[Span], before: Option<&[u8]>) -> Option<(Form, Vec<u8>, Vec<u8>)> {
    let step = (spans.len() / SAMPLE).max(1);
    let mut sample: Vec<&[u8]> =
        spans.iter().step_by(step).map(|span| &raw[span.0 as usize..span.1 as usize]).collect();
    sample.extend(before);
    if let Some(form) = find_form(&sample) {
        return Some((form, Vec::new(), Vec::new()));
    }
    // Around the digits of the first value, as far as the others agree.
    let first = sample[0];
    let start = first.iter().position(u8::is_ascii_digit)?;
    let end = first.iter().rposition(u8::is_ascii_digit)? + 1;
    let (mut prefix, mut suffix) = (&first[..start], &first[end..]);
    for value in &sample {
        let same = prefix.iter().zip(*value).take_while(|(a, b)| a == b).count();
        prefix = &prefix[..same];
        let same = suffix.iter().rev().zip(value.iter().rev()).take_while(|(a, b)| a == b).count();
        suffix = &suffix[suffix.len() - same..];
    }
    if prefix.is_empty() && suffix.is_empty() {
        return None;
    }
    let middles: Option<Vec<&[u8]>> =
        sample.iter().map(|value| value.strip_prefix(prefix)?.strip_suffix(suffix)).collect();
    let form = find_form(&middles?)?;
    // A word of the filter may not lie across an affix and letters: only digits keep it from being looked up.
    let letters = matches!(form, Form::Hex(_) | Form::Uuid | Form::Hex32);
    let joins = |byte: Option<&u8>| byte.is_some_and(|b| crate::filter::in_word(*b));
    if letters && (joins(prefix.last()) || joins(suffix.first())) {
        return None;
    }
    Some((form, prefix.to_vec(), suffix.to_vec()))
}

fn find_form(sample: &[&[u8]]) -> Option<Form> {
    let mut tried: Vec<Form> = Vec::new();
    for at in [0, sample.len() / 2, sample.len() - 1] {
        for form in Form::candidates(sample[at]) {
            if tried.contains(&form) {
                continue;
            }
            tried.push(form);
            let fits = |text: &&&[u8]| match form.pooled() {
                true => form.parse_wide(text).is_some(),
                false => form.parse(text).is_some(),
            };
            let misfits = sample.len() - sample.iter().filter(fits).count();
            if misfits * 64 <= sample.len() {
                return Some(form);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(values: &[String]) -> State {
        let raw: String = values.concat();
        let mut spans = Vec::new();
        let mut start = 0;
        for value in values {
            spans.push((start, start + value.len() as u32));
            start += value.len() as u32;
        }
        let mut column = Column::default();
        let mut pool = Pool::default();
        for spans in spans.chunks(20) {
            column.extend(raw.as_bytes(), spans, &mut pool);
        }
        column.state
    }

    #[test]
    fn columns_are_recognised() {
        let check = |make: fn(u64) -> String, want: State| {
            let values: Vec<String> = (0..1000).map(|n| make(n * 7919 % 1000)).collect();
            assert_eq!(kind(&values), want, "{}", values[1]);
        };
        check(|_| "same".into(), State::Constant);
        check(|n| n.to_string(), State::Typed(Form::Int));
        check(|n| format!("{n:04}"), State::Typed(Form::Padded(4)));
        check(|n| format!("{n}.{:02}", n % 100), State::Typed(Form::Decimal(2)));
        check(|n| format!("{n}.5ms"), State::Typed(Form::Decimal(1)));
        check(|n| format!("10.0.{}.{}", n % 200, n % 7), State::Typed(Form::Address));
        check(|n| format!("{:08x}-17b5-42bc-9a51-3cd422cab7a1", n * 99_991), State::Typed(Form::Uuid));
        check(|n| ["GET", "POST", "PUT"][n as usize % 3].into(), State::Dictionary);
        check(|n| format!("/a/{}/{}", n, n * n), State::Texts);
        check(|n| if n == 5 { "-".into() } else { n.to_string() }, State::Typed(Form::Int));
        check(|n| if n % 9 == 5 { "x".repeat(n as usize % 5) } else { n.to_string() }, State::Texts);
        check(|n| format!("req_{:04x}", n * 48271 % 65536), State::Texts);
        check(|n| format!("req-{:04x}", n * 48271 % 65536), State::Typed(Form::Hex(4)));
    }
}
