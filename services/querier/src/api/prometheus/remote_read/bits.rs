//! Bits as Prometheus's chunks have them, the highest of a byte first, and its ways to write numbers in few of them.
//!
//! Source of the formats: Prometheus's `tsdb/docs/format/chunks.md`.

/// Numbers of up to so many bits have a prefix of one more 1 each.
const VARBIT: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];

#[derive(Default)]
pub struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not used yet.
    free: u32,
}

impl Bits {
    /// After some whole bytes.
    pub fn after(bytes: &[u8]) -> Bits {
        Bits { bytes: bytes.to_vec(), free: 0 }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The `count` lowest bits of a number.
    pub fn put(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = left.min(self.free);
            let part = (value >> (left - now)) as u8 & (0xff >> (8 - now));
            if let Some(last) = self.bytes.last_mut() {
                *last |= part << (self.free - now);
            }
            self.free -= now;
            left -= now;
        }
    }

    /// In bytes of seven bits, the lowest first.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    pub fn zigzag(&mut self, value: i64) {
        self.varint((value << 1 ^ value >> 63) as u64);
    }

    /// A difference of differences of times: 0, 14, 17, 20 or 64 bits.
    pub fn time(&mut self, value: i64) {
        match [14, 17, 20].iter().position(|bits| fits(value, *bits)) {
            _ if value == 0 => self.put(0, 1),
            Some(at) => {
                self.put((0b10 << (at + 1)) - 2, at as u32 + 2);
                self.put(value as u64, [14, 17, 20][at]);
            }
            None => {
                self.put(0b1111, 4);
                self.put(value as u64, 64);
            }
        }
    }

    pub fn varbit(&mut self, value: i64) {
        self.prefixed(value as u64, value == 0, |bits| fits(value, bits));
    }

    pub fn varbit_unsigned(&mut self, value: u64) {
        self.prefixed(value, value == 0, |bits| value >> bits == 0);
    }

    fn prefixed(&mut self, value: u64, is_zero: bool, fits: impl Fn(u32) -> bool) {
        match VARBIT.iter().position(|bits| fits(*bits)) {
            _ if is_zero => self.put(0, 1),
            Some(at) => {
                self.put((1 << (at + 2)) - 2, at as u32 + 2);
                self.put(value, VARBIT[at]);
            }
            None => {
                self.put(0xff, 8);
                self.put(value, 64);
            }
        }
    }
}

/// Whether a number is within -(2^(bits-1) - 1) and 2^(bits-1), as the formats count.
fn fits(value: i64, bits: u32) -> bool {
    let most = 1i64 << (bits - 1);
    (1 - most..=most).contains(&value)
}

/// A float by what differs from the one before.
#[derive(Clone, Copy)]
pub struct Xor {
    value: u64,
    /// Zeros before and after what differed last; none before the first difference.
    window: Option<(u32, u32)>,
}

impl Xor {
    pub fn first(out: &mut Bits, value: f64) -> Xor {
        out.put(value.to_bits(), 64);
        Xor { value: value.to_bits(), window: None }
    }

    pub fn put(&mut self, out: &mut Bits, value: f64) {
        let differs = value.to_bits() ^ self.value;
        self.value = value.to_bits();
        if differs == 0 {
            return out.put(0, 1);
        }
        let (leading, trailing) = (differs.leading_zeros().min(31), differs.trailing_zeros());
        match self.window.filter(|window| leading >= window.0 && trailing >= window.1) {
            Some((leading, trailing)) => {
                out.put(0b10, 2);
                out.put(differs >> trailing, 64 - leading - trailing);
            }
            None => {
                self.window = Some((leading, trailing));
                let bits = 64 - leading - trailing;
                out.put(0b11, 2);
                out.put(u64::from(leading), 5);
                // All 64 are written as 0.
                out.put(u64::from(bits) & 63, 6);
                out.put(differs >> trailing, bits);
            }
        }
    }
}
