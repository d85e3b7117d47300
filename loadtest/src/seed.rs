//! Random numbers that depend on the seed alone, and ids that only the seed can make or read.

/// Marks an id as one of ours; what remains of 128 bits after the place.
const CHECK: u64 = 0x10ad_7e57_0b5e;

/// Scrambles 64 bits (the finalizer of SplitMix64).
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One number out of several.
pub fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, part| {
        mix(state.rotate_left(23) ^ part.wrapping_mul(0xff51_afd7_ed55_8ccd))
    })
}

/// The upper bits of a hash as a number in [0, 1).
pub fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// SplitMix64: stable for ever, unlike the generators of crates.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(parts: &[u64]) -> Rng {
        Rng(hash(parts))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..limit`; `limit` is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    pub fn unit(&mut self) -> f64 {
        unit(self.draw())
    }

    pub fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len() as u64) as usize]
    }

    /// An index in `0..len`, low ones far more often than high ones.
    pub fn skewed(&mut self, len: usize) -> usize {
        let x = self.unit();
        ((x * x * x) * len as f64) as usize
    }

    /// Lowercase hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16) as usize])).collect()
    }

    /// Letters and digits as Kubernetes puts them after a name.
    pub fn suffix(&mut self, len: usize) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..len).map(|_| char::from(LETTERS[self.below(LETTERS.len() as u64) as usize])).collect()
    }
}

/// Where a row of a log comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    pub tenant: u16,
    pub lane: u16,
    pub number: u32,
    pub row: u16,
}

/// Turns origins into ids and back: a Feistel network of six rounds under keys drawn from the seed. Nobody who
/// lacks the seed can guess the next id, and no list of ids has to be kept.
#[derive(Debug, Clone)]
pub struct Ids {
    keys: [u64; 6],
}

impl Ids {
    /// The length of an id as text: a UUID.
    pub const LEN: usize = 36;

    pub fn new(seed: u64) -> Ids {
        Ids { keys: std::array::from_fn(|round| hash(&[seed, 0x1d, round as u64])) }
    }

    pub fn encode(&self, origin: Origin) -> u128 {
        let mut left = u64::from(origin.tenant) << 48 | u64::from(origin.lane) << 32 | u64::from(origin.number);
        let mut right = u64::from(origin.row) << 48 | CHECK;
        for key in self.keys {
            (left, right) = (right, left ^ mix(right ^ key));
        }
        u128::from(left) << 64 | u128::from(right)
    }

    /// `None` for an id that this seed did not make.
    pub fn decode(&self, id: u128) -> Option<Origin> {
        let (mut left, mut right) = ((id >> 64) as u64, id as u64);
        for key in self.keys.iter().rev() {
            (left, right) = (right ^ mix(left ^ key), left);
        }
        (right & 0xffff_ffff_ffff == CHECK).then_some(Origin {
            tenant: (left >> 48) as u16,
            lane: (left >> 32) as u16,
            number: left as u32,
            row: (right >> 48) as u16,
        })
    }

    /// Writes `id` as a UUID into 36 bytes.
    pub fn write(id: u128, out: &mut [u8]) {
        let mut digits = (0..32).rev().map(|nibble| b"0123456789abcdef"[(id >> (4 * nibble)) as usize & 15]);
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = if matches!(at, 8 | 13 | 18 | 23) { b'-' } else { digits.next().unwrap_or(b'-') };
        }
    }

    /// Reads the first 36 characters of `text` as a UUID.
    pub fn parse(text: &str) -> Option<u128> {
        let mut id = 0u128;
        for (at, byte) in text.as_bytes().get(..Ids::LEN)?.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if *byte != b'-' {
                    return None;
                }
            } else {
                id = id << 4 | u128::from(char::from(*byte).to_digit(16)?);
            }
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_by_their_seed_alone() {
        let (ours, theirs) = (Ids::new(7), Ids::new(8));
        let mut known = std::collections::HashSet::new();
        for number in [0, 1, 2, u32::MAX] {
            for row in [0, 1, u16::MAX] {
                let origin = Origin { tenant: 3, lane: row, number, row };
                let id = ours.encode(origin);
                assert!(known.insert(id));
                assert_eq!(ours.decode(id), Some(origin));
                assert_eq!(theirs.decode(id), None);
                assert_eq!(ours.decode(id ^ 1 << 77), None, "a changed id is noticed");
                let mut text = [0; Ids::LEN];
                Ids::write(id, &mut text);
                assert_eq!(Ids::parse(std::str::from_utf8(&text).expect("ascii")), Some(id));
            }
        }
        for bad in ["", "0", "zz000000-0000-0000-0000-000000000000", "00000000+0000-0000-0000-000000000000"] {
            assert_eq!(Ids::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_generator_never_changes() {
        // SplitMix64's published numbers for this seed.
        let mut rng = Rng(1_234_567);
        assert_eq!([rng.draw(), rng.draw()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        // How parts become a seed is our own; saved runs rest on it.
        assert_eq!(Rng::new(&[7, 1]).draw(), 8_792_913_229_860_602_091);
        assert_eq!(rng.hex(8).len(), 8);
        assert!((0..1000).all(|_| rng.skewed(10) < 10 && rng.unit() < 1.0));
    }
}
