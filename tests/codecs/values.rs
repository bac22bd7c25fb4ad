//! Values by chance, the same in every run.

use std::collections::BTreeMap;

/// Xorshift: small, and good enough to find what a codec forgets.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The last of them alone are poor.
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.bits() >> 33) as usize % end
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.bits() >> 63 == 1
    }

    /// Of any length: small numbers and the ends of each size are as likely as the rest.
    pub(crate) fn unsigned(&mut self) -> u64 {
        match self.below(4) {
            0 => [0, 1, 23, 24, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), u64::MAX][self.below(12)],
            1 => self.below(300) as u64,
            _ => self.bits() >> self.below(64),
        }
    }

    pub(crate) fn signed(&mut self) -> i64 {
        let unsigned = self.unsigned();
        if self.coin() { unsigned as i64 } else { !((unsigned >> 1) as i64) }
    }

    pub(crate) fn large(&mut self) -> u128 {
        u128::from(self.unsigned()) << 64 | u128::from(self.unsigned())
    }

    pub(crate) fn finite(&mut self) -> f64 {
        match self.below(3) {
            0 => [0.0, -0.0, 1.0, 5e-324, f64::MIN_POSITIVE, f64::MAX, f64::MIN, 1e16, 0.1 + 0.2][self.below(9)],
            1 => self.signed() as f64 / 1000.0,
            _ => Some(f64::from_bits(self.bits())).filter(|float| float.is_finite()).unwrap_or(1.5),
        }
    }

    pub(crate) fn small(&mut self) -> f32 {
        match self.below(3) {
            0 => [0.0, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::MIN, 0.1][self.below(7)],
            _ => Some(f32::from_bits(self.bits() as u32)).filter(|float| float.is_finite()).unwrap_or(1.5),
        }
    }

    pub(crate) fn letter(&mut self) -> char {
        match self.below(3) {
            0 => ['\0', '"', '\\', '\n', '\u{7f}', '\u{e9}', '\u{2028}', '\u{1F33F}', char::MAX][self.below(9)],
            1 => char::from(self.below(128) as u8),
            _ => char::from_u32(self.bits() as u32 % 0x11_0000).unwrap_or('x'),
        }
    }

    /// Also text that a codec could take for something else.
    pub(crate) fn text(&mut self) -> String {
        match self.below(8) {
            0 => {
                let odd = [
                    "",
                    "null",
                    "true",
                    "1",
                    "1e3",
                    "base64:",
                    "base64:AQID",
                    "text:",
                    "text:base64:AQID",
                    "text:text:base64:",
                ];
                odd[self.below(10)].to_owned()
            }
            1 => "x".repeat([31, 32, 255, 256, 5000][self.below(5)]),
            _ => (0..self.below(12)).map(|_| self.letter()).collect(),
        }
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let length = if self.below(8) == 0 { 3000 + self.below(3000) } else { self.below(40) };
        (0..length).map(|_| self.bits() as u8).collect()
    }

    pub(crate) fn list<T>(&mut self, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(5)).map(|_| value(self)).collect()
    }

    pub(crate) fn option<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.coin() { Some(value(self)) } else { None }
    }

    pub(crate) fn map<K: Ord, V>(
        &mut self,
        mut key: impl FnMut(&mut Self) -> K,
        mut value: impl FnMut(&mut Self) -> V,
    ) -> BTreeMap<K, V> {
        (0..self.below(5)).map(|_| (key(self), value(self))).collect()
    }
}
