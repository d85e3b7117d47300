//! Row groups of log objects, dealt out to threads and to other queriers. A line counts for itself, so any of them may read
//! any.

use crate::deletes::{self, Shown};
use crate::levels;
use crate::segments::within;
use crate::shredded;
use eval::source::{PageIter, Rows, Visit};
use hidden::Hidden;
use logs::{Reader, Selection};
use std::ops::Range;
use std::sync::Arc;
use tenancy::Limits;

/// A thread for fewer rows costs more than it saves.
const FEW: u64 = if cfg!(test) { 4 } else { 1 << 15 };

/// Row groups of an object that follow one another.
#[derive(Clone)]
pub struct Piece<R = Reader> {
    pub name: Arc<str>,
    pub reader: R,
    /// The number of the first, and how many rows each may have for the query.
    pub first: usize,
    pub rows: Vec<u64>,
}

/// How the rows of pieces are told.
#[derive(Clone)]
pub struct Telling {
    pub selection: Selection,
    pub hidden: Arc<Hidden>,
    /// Rows that are kept taken apart are given as such.
    pub apart: bool,
    /// How each line gets a level, if it is to have one.
    pub levels: Option<Arc<Limits>>,
}

impl Piece {
    /// All row groups of an object that may have rows of a selection; `None` if there are none.
    pub fn of(name: &str, reader: Reader, selection: &Selection) -> Option<Piece> {
        let rows = reader.weigh(selection);
        let first = rows.iter().position(|rows| *rows > 0)?;
        let end = rows.iter().rposition(|rows| *rows > 0)? + 1;
        Some(Piece { name: name.into(), reader, first, rows: rows[first..end].to_vec() })
    }
}

impl<R: Clone> Piece<R> {
    pub fn groups(&self) -> Range<usize> {
        self.first..self.first + self.rows.len()
    }

    pub fn weight(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// What of it is within some row groups.
    pub fn within(&self, groups: Range<usize>) -> Option<Piece<R>> {
        let (from, until) = (groups.start.max(self.groups().start), groups.end.min(self.groups().end));
        (from < until).then(|| self.part(from - self.first..until - self.first))
    }

    fn part(&self, groups: Range<usize>) -> Piece<R> {
        Piece { first: self.first + groups.start, rows: self.rows[groups].to_vec(), ..self.clone() }
    }
}

/// Deals pieces out in up to `ways` parts of at most `most` rows and a row group. A piece goes to whom `prefers` names as long
/// as that one has room, and else to whom has least; what is left of it, and what has no preference, to the first who has
/// room: so without preferences, the parts follow one another.
pub fn deal<R: Clone>(
    pieces: Vec<Piece<R>>,
    ways: usize,
    most: u64,
    prefers: impl Fn(&str) -> Option<usize>,
) -> Vec<Vec<Piece<R>>> {
    let mut parts: Vec<(u64, Vec<Piece<R>>)> = vec![(0, Vec::new()); ways.max(1)];
    for piece in pieces {
        let mut way = prefers(&piece.name).filter(|way| *way < ways);
        let mut from = 0;
        while from < piece.rows.len() {
            let has_room = |way: &usize| parts[*way].0 < most;
            let least = || (0..parts.len()).min_by_key(|way| parts[*way].0);
            // Most of a row group must have room: else two parts could be one, and another none.
            let fits = |way: &usize| parts[*way].0 == 0 || parts[*way].0 + piece.rows[from] / 2 < most;
            let now = match way.take() {
                Some(way) => Some(way).filter(fits).or_else(least),
                None => (0..parts.len()).find(has_room).or_else(least),
            };
            let now = now.unwrap_or(0);
            let (weight, part) = &mut parts[now];
            let mut until = from;
            while until < piece.rows.len() && (until == from || *weight < most) {
                *weight += piece.rows[until];
                until += 1;
            }
            part.push(piece.part(from..until));
            from = until;
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Pages of an object, whose name is in every error.
pub fn named<'a>(name: &str, pages: logs::Pages) -> PageIter<'a> {
    let name: Arc<str> = name.into();
    Box::new(pages.map(move |page| page.map_err(|error| within(&name)(error).into())))
}

/// The rows of pieces, to be read by up to so many threads.
pub fn runs<'a>(pieces: Vec<Piece>, ways: usize, telling: &Telling) -> Vec<Visit<'a>> {
    let total: u64 = pieces.iter().map(Piece::weight).sum();
    let ways = (ways as u64).min(total / FEW).max(1);
    let parts = deal(pieces, ways as usize, total.div_ceil(ways), |_| None);
    parts.into_iter().filter(|part| !part.is_empty()).map(|part| telling.visit(part)).collect()
}

impl Telling {
    /// What of some pages is shown.
    pub fn told<'a>(&self, pages: PageIter<'a>) -> PageIter<'a> {
        let shown = deletes::pages(self.hidden.clone(), pages);
        match &self.levels {
            Some(limits) => levels::added(shown, limits.clone()),
            None => shown,
        }
    }

    fn visit<'a>(&self, pieces: Vec<Piece>) -> Visit<'a> {
        let telling = self.clone();
        Box::new(move |take| {
            for (number, piece) in (0..).zip(pieces) {
                let pages = piece.reader.pages_of(&telling.selection, piece.groups());
                if !telling.apart || telling.levels.is_some() {
                    for page in telling.told(named(&piece.name, pages)) {
                        if take(Rows::Lines(page?)).is_break() {
                            return Ok(());
                        }
                    }
                    continue;
                }
                let mut shown = Shown::new(telling.hidden.clone(), take);
                let flow = shredded::visit(pages, number, &mut |rows| shown.take(rows));
                shown.ended()?;
                if flow.map_err(within(&piece.name))?.is_break() {
                    return Ok(());
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(all: &[&[u64]]) -> Vec<Piece<()>> {
        let piece = |(name, rows): (usize, &&[u64])| Piece {
            name: name.to_string().into(),
            reader: (),
            first: 2,
            rows: rows.to_vec(),
        };
        all.iter().enumerate().map(piece).collect()
    }

    /// Names, and their row groups.
    fn shown(parts: &[Vec<Piece<()>>]) -> Vec<Vec<(&str, Range<usize>)>> {
        parts.iter().map(|part| part.iter().map(|piece| (&*piece.name, piece.groups())).collect()).collect()
    }

    #[test]
    fn without_preferences_parts_follow_one_another() {
        let parts = deal(pieces(&[&[5, 5], &[5], &[5, 0, 5]]), 2, 13, |_| None);
        assert_eq!(shown(&parts), [vec![("0", 2..4), ("1", 2..3)], vec![("2", 2..5)]]);
        let parts = deal(pieces(&[&[1; 6]]), 3, 2, |_| None);
        assert_eq!(shown(&parts), [vec![("0", 2..4)], vec![("0", 4..6)], vec![("0", 6..8)]]);
    }

    #[test]
    fn a_piece_goes_to_whom_it_prefers_while_there_is_room() {
        let owner = |name: &str| Some(usize::from(name != "0"));
        let parts = deal(pieces(&[&[5], &[5], &[5, 5, 5]]), 2, 13, owner);
        assert_eq!(shown(&parts), [vec![("0", 2..3), ("2", 4..5)], vec![("1", 2..3), ("2", 2..4)]]);
        // One who is preferred for all does not get all.
        let parts = deal(pieces(&[&[36], &[28]]), 2, 40, |_| Some(0));
        assert_eq!(shown(&parts), [vec![("0", 2..3)], vec![("1", 2..3)]]);
        // Nobody of that name.
        assert_eq!(shown(&deal(pieces(&[&[5]]), 2, 13, |_| Some(7))), [vec![("0", 2..3)], vec![]]);
    }

    #[test]
    fn a_piece_is_cut_where_others_say() {
        let [piece] = &pieces(&[&[1, 2, 3]])[..] else { panic!("one") };
        let within = |groups| piece.within(groups).map(|piece| (piece.groups(), piece.weight()));
        assert_eq!(within(0..100), Some((2..5, 6)));
        assert_eq!(within(3..4), Some((3..4, 2)));
        assert_eq!(within(0..2), None);
        assert_eq!(within(Range { start: 4, end: 3 }), None);
    }

    proptest! {
        #[test]
        fn each_row_group_is_dealt_once(
            all in prop::collection::vec(prop::collection::vec(0..100u64, 1..8), 0..12),
            ways in 1..6usize,
            most in 0..400u64,
            owner in 0..9usize,
        ) {
            let rows: Vec<&[u64]> = all.iter().map(Vec::as_slice).collect();
            let parts = deal(pieces(&rows), ways, most, |name| (owner < 8).then(|| name.len() + owner));
            prop_assert_eq!(parts.len(), ways);
            let mut dealt: Vec<(usize, usize)> = Vec::new();
            for piece in parts.iter().flatten() {
                let name: usize = piece.name.parse().expect("a number");
                prop_assert_eq!(&piece.rows[..], &all[name][piece.first - 2..][..piece.rows.len()]);
                dealt.extend(piece.groups().map(|group| (name, group - 2)));
            }
            dealt.sort_unstable();
            let every: Vec<_> = all.iter().enumerate().flat_map(|(name, rows)| (0..rows.len()).map(move |at| (name, at))).collect();
            prop_assert_eq!(dealt, every);
            let total: u64 = all.iter().flatten().sum();
            if most * ways as u64 >= total {
                let weights = parts.iter().map(|part| part.iter().map(Piece::weight).sum::<u64>());
                prop_assert!(weights.max() <= Some(most + 99), "{:?}", parts.len());
            }
        }
    }
}
