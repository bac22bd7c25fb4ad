//! How deep in a value a serializer is.
#![forbid(unsafe_code)]

use super::rules::DEPTH;

/// The levels that are left, and whether nothing but newtypes is between here and an option.
///
/// Both are in one byte: a reference and one more number are handed on in registers, but three parts in memory, and a small value takes
/// a tenth longer for that.
#[derive(Clone, Copy)]
pub(super) struct Level(u8);

const IN_OPTION: u8 = 0x80;
const _: () = assert!(DEPTH < IN_OPTION);

impl Level {
    /// Where a value begins.
    pub(super) const TOP: Self = Self(DEPTH);

    /// One level down, and in no option; nothing if no level is left.
    #[inline]
    pub(super) fn deeper(self) -> Option<Self> {
        (self.0 & !IN_OPTION).checked_sub(1).map(Self)
    }

    /// The same level, in an option or not.
    #[inline]
    pub(super) fn in_option(self, is_in_option: bool) -> Self {
        Self(self.0 & !IN_OPTION | if is_in_option { IN_OPTION } else { 0 })
    }

    #[inline]
    pub(super) fn is_in_option(self) -> bool {
        self.0 & IN_OPTION != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_options_there_are_as_many_levels_as_elsewhere() {
        for is_in_option in [false, true] {
            let mut level = Level::TOP;
            for _ in 0..DEPTH {
                assert!(!level.is_in_option());
                let there = level.in_option(is_in_option);
                assert_eq!(there.is_in_option(), is_in_option);
                level = there.deeper().expect("one is left");
            }
            assert!(level.in_option(is_in_option).deeper().is_none());
        }
    }
}
