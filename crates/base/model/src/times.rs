//! The times of a series' samples, which series that were scraped together have in common.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Unix milliseconds, ascending. What is shared is cheap to clone and to cut, and is copied only when it is changed.
#[derive(Clone, Default)]
pub struct Times {
    /// Empty while others' are shared.
    own: Vec<i64>,
    shared: Option<(Arc<[i64]>, Range<usize>)>,
}

impl Times {
    /// Some of the times that several series have. `range` lies within them.
    pub fn shared(all: &Arc<[i64]>, range: Range<usize>) -> Times {
        debug_assert!(range.start <= range.end && range.end <= all.len());
        Times { own: Vec::new(), shared: Some((Arc::clone(all), range)) }
    }

    /// The times as a vector that can be changed.
    pub fn own(&mut self) -> &mut Vec<i64> {
        if let Some((all, range)) = self.shared.take() {
            self.own = all[range].to_vec();
        }
        &mut self.own
    }

    pub fn push(&mut self, time: i64) {
        self.own().push(time);
    }

    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether these are the same times at the same place: then they need not be compared.
    pub fn is(&self, other: &Times) -> bool {
        std::ptr::eq(&**self, &**other)
    }
}

impl Deref for Times {
    type Target = [i64];

    fn deref(&self) -> &[i64] {
        match &self.shared {
            Some((all, range)) => &all[range.clone()],
            None => &self.own,
        }
    }
}

impl AsRef<[i64]> for Times {
    fn as_ref(&self) -> &[i64] {
        self
    }
}

impl From<Vec<i64>> for Times {
    fn from(own: Vec<i64>) -> Times {
        Times { own, shared: None }
    }
}

impl FromIterator<i64> for Times {
    fn from_iter<I: IntoIterator<Item = i64>>(times: I) -> Times {
        Times::from(times.into_iter().collect::<Vec<_>>())
    }
}

impl Extend<i64> for Times {
    fn extend<I: IntoIterator<Item = i64>>(&mut self, times: I) {
        self.own().extend(times);
    }
}

impl<T: AsRef<[i64]> + ?Sized> PartialEq<T> for Times {
    fn eq(&self, other: &T) -> bool {
        let (own, other): (&[i64], &[i64]) = (self, other.as_ref());
        std::ptr::eq(own, other) || own == other
    }
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Puts times of two parts of a series together, and knows again what it put together last: the series beside it have
/// the same.
#[derive(Default)]
pub struct Joined(Option<[Times; 3]>);

impl Joined {
    /// `first` and then `second`.
    pub fn join(&mut self, mut first: Times, second: Times) -> Times {
        if !first.is_shared() || !second.is_shared() {
            first.own().extend_from_slice(&second);
            return first;
        }
        if let Some([a, b, both]) = &self.0
            && a.is(&first)
            && b.is(&second)
        {
            return both.clone();
        }
        let all: Arc<[i64]> = first.iter().chain(second.iter()).copied().collect();
        let both = Times::shared(&all, 0..all.len());
        self.0 = Some([first, second, both.clone()]);
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_times_are_copied_only_to_be_changed() {
        let all: Arc<[i64]> = [1, 2, 3, 4].into();
        let (mut a, b) = (Times::shared(&all, 1..3), Times::shared(&all, 1..3));
        assert!(a.is(&b) && a == b && a == [2, 3]);
        a.push(9);
        assert_eq!((&a[..], &b[..], &all[..]), (&[2, 3, 9][..], &[2, 3][..], &[1, 2, 3, 4][..]));
        assert!(!a.is_shared() && !a.is(&b) && a == [2, 3, 9] && a != b);
    }

    #[test]
    fn what_was_joined_is_known_again() {
        let (first, second): (Arc<[i64]>, Arc<[i64]>) = ([1, 2].into(), [5, 6].into());
        let mut joined = Joined::default();
        let mut join = |a: Range<usize>, b| joined.join(Times::shared(&first, a), Times::shared(&second, b));
        let (one, two) = (join(0..2, 0..1), join(0..2, 0..1));
        assert!(one.is(&two) && one == [1, 2, 5]);
        assert_eq!(join(1..2, 0..1), [2, 5]);
        assert_eq!(join(1..2, 0..2), [2, 5, 6]);
        assert_eq!(join(0..2, 0..1), [1, 2, 5]);
        let own = Joined::default().join(vec![7].into(), Times::shared(&first, 0..2));
        assert!(own == [7, 1, 2] && !own.is_shared());
    }
}
