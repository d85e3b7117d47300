//! Columns of numbers that follow from others: a sum or difference of two, a copy, or the row's own time and a bit.
//!
//! A relation has up to two terms; what it leaves over is kept as a column of its own, which is constant when the
//! relation is exact. Terms are never derived themselves.

use crate::error::Error;
use crate::varint::{self, Cursor};

/// What a number is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub negative: bool,
    pub source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The row's time, in whole units of so many nanoseconds: 1, 10^3, 10^6 or 10^9 by number.
    Time(u8),
    /// A number of a column: twice the column, plus one for its second number.
    Number(u32),
}

/// Nanoseconds in the units of `Source::Time`.
pub const UNITS: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

#[derive(Debug, PartialEq)]
pub struct Relation {
    pub terms: Vec<Term>,
    pub rest: Vec<i64>,
}

/// Numbers that could be part of a relation.
pub struct Candidate<'a> {
    /// Twice the column, plus one for its second number.
    pub number: u32,
    pub values: &'a [i64],
    /// Candidates with one alignment have a value in the same rows.
    pub alignment: u32,
    /// Nanoseconds in one unit, for times.
    pub unit: Option<i64>,
}

/// With fewer values, there is nothing to gain.
const FEW: usize = 16;
const SAMPLES: usize = 16;
/// Candidates beyond this many of one alignment are left alone: pairs of them are tried.
const MAX_CANDIDATES: usize = 48;

/// Finds a relation for as many candidates as it can, those first that cost most. `times` gives the times of the rows
/// of an alignment.
pub fn find(candidates: &[Candidate<'_>], mut times: impl FnMut(u32) -> Vec<i64>) -> Vec<(u32, Relation)> {
    let mut found = Vec::new();
    let mut alignments: Vec<u32> = candidates.iter().map(|c| c.alignment).collect();
    alignments.sort_unstable();
    alignments.dedup();
    for alignment in alignments {
        let mut members: Vec<(&Candidate<'_>, u64)> = candidates
            .iter()
            .filter(|c| c.alignment == alignment && c.values.len() >= FEW)
            .map(|c| (c, cost(c.values)))
            .filter(|(_, cost)| *cost > 0)
            .collect();
        members.sort_by_key(|(candidate, cost)| (candidate.unit.is_none(), std::cmp::Reverse(*cost)));
        members.truncate(MAX_CANDIDATES);
        if !members.is_empty() {
            let times = times(alignment);
            find_aligned(&members.iter().map(|(c, _)| *c).collect::<Vec<_>>(), &times, &mut found);
        }
    }
    found
}

/// About how many bits the values of a column take together; 0 for a constant one.
fn cost(values: &[i64]) -> u64 {
    let min = values.iter().min().copied().unwrap_or(0);
    values.iter().map(|v| u64::from(64 - (v.wrapping_sub(min) as u64).leading_zeros())).sum()
}

fn find_aligned(members: &[&Candidate<'_>], times: &[i64], found: &mut Vec<(u32, Relation)>) {
    let len = members[0].values.len();
    if times.len() != len || members.iter().any(|m| m.values.len() != len) {
        return;
    }
    let places: Vec<usize> = (0..SAMPLES).map(|n| n * (len - 1) / (SAMPLES - 1)).collect();
    let sample = |values: &[i64]| -> [i64; SAMPLES] { std::array::from_fn(|n| values[places[n]]) };
    let mut samples: Vec<[i64; SAMPLES]> = members.iter().map(|m| sample(m.values)).collect();
    let in_units: Vec<Vec<i64>> =
        UNITS.iter().map(|unit| times.iter().map(|t| t.div_euclid(*unit)).collect()).collect();
    samples.extend(in_units.iter().map(|times| sample(times)));
    let values =
        |at: usize| if at < members.len() { members[at].values } else { in_units[at - members.len()].as_slice() };
    let source = |at: usize| match at.checked_sub(members.len()) {
        Some(unit) => Source::Time(unit as u8),
        None => Source::Number(members[at].number),
    };
    let (mut derived, mut used) = (vec![false; members.len()], vec![false; members.len()]);
    for target in 0..members.len() {
        if used[target] {
            continue;
        }
        let is_free = |at: usize| at != target && (at >= members.len() || !derived[at]);
        // The row's time first: what it explains leaves the others free to be derived.
        let sources = (members.len()..samples.len()).chain(0..members.len());
        let sources: Vec<usize> = sources.filter(|at| is_free(*at)).collect();
        let exact = search(&samples, target, &sources, |terms| rest(values(target), terms, &values, true));
        let near = || {
            // A time is not far from the row's.
            let unit = UNITS.iter().position(|unit| Some(*unit) == members[target].unit)?;
            let terms = vec![(members.len() + unit, false)];
            let rest = rest(values(target), &terms, &values, false)?;
            (cost(&rest) < cost(values(target))).then_some((terms, rest))
        };
        let Some((terms, rest)) = exact.or_else(near) else { continue };
        derived[target] = true;
        for (at, _) in &terms {
            if let Some(used) = used.get_mut(*at) {
                *used = true;
            }
        }
        let terms = terms.into_iter().map(|(at, negative)| Term { negative, source: source(at) }).collect();
        found.push((members[target].number, Relation { terms, rest }));
    }
}

type Terms = Vec<(usize, bool)>;

/// Tries one source, then two, on the samples; what fits there is checked by `verify`.
fn search(
    samples: &[[i64; SAMPLES]],
    target: usize,
    sources: &[usize],
    verify: impl Fn(&Terms) -> Option<Vec<i64>>,
) -> Option<(Terms, Vec<i64>)> {
    let want = &samples[target];
    let fits = |of: &dyn Fn(usize) -> i64| {
        let first = want[0].wrapping_sub(of(0));
        (1..SAMPLES).all(|n| want[n].wrapping_sub(of(n)) == first)
    };
    for a in sources {
        for negative in [false, true] {
            let of = |n: usize| signed(samples[*a][n], negative);
            if fits(&of) {
                let terms = vec![(*a, negative)];
                if let Some(rest) = verify(&terms) {
                    return Some((terms, rest));
                }
            }
        }
    }
    for (place, a) in sources.iter().enumerate() {
        for b in &sources[place + 1..] {
            for (minus_a, minus_b) in [(false, false), (false, true), (true, false)] {
                let of = |n: usize| signed(samples[*a][n], minus_a).wrapping_add(signed(samples[*b][n], minus_b));
                if fits(&of) {
                    let terms = vec![(*a, minus_a), (*b, minus_b)];
                    if let Some(rest) = verify(&terms) {
                        return Some((terms, rest));
                    }
                }
            }
        }
    }
    None
}

fn signed(value: i64, negative: bool) -> i64 {
    if negative { value.wrapping_neg() } else { value }
}

/// What the terms leave over; `None` when it should be constant and is not.
fn rest<'a>(target: &[i64], terms: &Terms, values: &impl Fn(usize) -> &'a [i64], constant: bool) -> Option<Vec<i64>> {
    let mut rest = target.to_vec();
    for (at, negative) in terms {
        rest.iter_mut().zip(values(*at)).for_each(|(rest, value)| *rest = rest.wrapping_sub(signed(*value, *negative)));
    }
    (!constant || rest.iter().all(|value| *value == rest[0])).then_some(rest)
}

/// Appends `count, then for each term 2 * source + sign`, times being sources 0 to 3.
pub fn put(terms: &[Term], out: &mut Vec<u8>) {
    varint::put(out, terms.len() as u64);
    for term in terms {
        let source = match term.source {
            Source::Time(unit) => u64::from(unit),
            Source::Number(number) => u64::from(number) + UNITS.len() as u64,
        };
        varint::put(out, source << 1 | u64::from(term.negative));
    }
}

pub fn read(cursor: &mut Cursor<'_>) -> Result<Vec<Term>, Error> {
    let count = cursor.count(2)?;
    let terms = (0..count).map(|_| {
        let code = cursor.count(u32::MAX as usize)? as u32;
        let source = match (code >> 1).checked_sub(UNITS.len() as u32) {
            None => Source::Time((code >> 1) as u8),
            Some(number) => Source::Number(number),
        };
        Ok(Term { negative: code & 1 == 1, source })
    });
    terms.collect()
}

/// Adds or takes away the values of a term.
pub fn apply(sum: &mut [i64], values: impl Iterator<Item = i64>, negative: bool) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.wrapping_add(signed(value, negative)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(columns: &[(&[i64], Option<i64>)], times: &[i64], want: &[(u32, Vec<Term>)]) {
        let candidates: Vec<Candidate<'_>> = columns
            .iter()
            .enumerate()
            .map(|(at, (values, unit))| Candidate { number: at as u32 * 2, values, alignment: 0, unit: *unit })
            .collect();
        let found = find(&candidates, |_| times.to_vec());
        let found: Vec<(u32, Vec<Term>)> = found.into_iter().map(|(number, r)| (number, r.terms)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn sums_copies_and_times_are_found() {
        let random = |seed: u64| -> Vec<i64> {
            (1..200u64).map(|n| (n.wrapping_mul(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as i64).collect()
        };
        let (a, b, times) = (random(3), random(5), random(7));
        let sum: Vec<i64> = a.iter().zip(&b).map(|(a, b)| a + b + 7).collect();
        let late: Vec<i64> = times.iter().zip(&a).map(|(t, a)| t - a).collect();
        let millis: Vec<i64> = times.iter().map(|t| t.div_euclid(1000) + 1).collect();
        let plus = |number| Term { negative: false, source: Source::Number(number) };
        let time = |unit| Term { negative: false, source: Source::Time(unit) };
        check(&[(&a, None), (&b, None)], &times, &[]);
        check(&[(&a, None), (&b, None), (&sum, None)], &times, &[(4, vec![plus(2), plus(0)])]);
        check(&[(&b, None), (&b, None)], &times, &[(0, vec![plus(2)])]);
        check(&[(&millis, Some(1000))], &times, &[(0, vec![time(1)])]);
        let minus = Term { negative: true, source: Source::Number(0) };
        check(&[(&a, None), (&late, Some(1))], &times, &[(2, vec![time(0), minus])]);
        check(&[(&[7; 199], None), (&[7; 199], None)], &times, &[]);
    }

    #[test]
    fn terms_come_back() {
        let terms = vec![
            Term { negative: true, source: Source::Time(3) },
            Term { negative: false, source: Source::Number(77) },
        ];
        let mut out = Vec::new();
        put(&terms, &mut out);
        assert_eq!(read(&mut Cursor(&out)).ok(), Some(terms));
        assert!(read(&mut Cursor(&[3, 0, 0, 0])).is_err());
    }
}
