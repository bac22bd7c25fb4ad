//! How many strangers may be in the middle of their authentication, and who has to go when there are more.

use std::collections::{BTreeMap, VecDeque};

/// Connections that may be waiting at a time.
pub(crate) const MOST: usize = 64;
/// Those of one user or one address.
pub(crate) const MOST_PER_SOURCE: usize = 8;

/// What becomes of one that has just come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It may try.
    Admitted,
    /// It may try in the place of this one, which is to be refused.
    Instead(u64),
    /// It is to be refused.
    Refused,
}

/// Who is waiting, by source. `S` is a user or an address; each connection has a number of its own.
#[derive(Debug)]
pub(crate) struct Lobby<S> {
    /// The numbers of each source's connections, the youngest last.
    waiting: BTreeMap<S, VecDeque<u64>>,
    count: usize,
}

impl<S> Default for Lobby<S> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), count: 0 }
    }
}

impl<S: Ord + Clone> Lobby<S> {
    /// Connection `number` has come from `source`. When all places are taken, the youngest of the heaviest source goes.
    pub(crate) fn enter(&mut self, source: &S, number: u64) -> Entry {
        let own = self.waiting.get(source).map_or(0, VecDeque::len);
        if own >= MOST_PER_SOURCE {
            return Entry::Refused;
        }
        let mut entry = Entry::Admitted;
        if self.count >= MOST {
            match self.heaviest().filter(|(_, weight)| *weight > own) {
                None => return Entry::Refused,
                Some((heaviest, _)) => {
                    let Some(youngest) = self.waiting.get_mut(&heaviest).and_then(VecDeque::pop_back) else {
                        return Entry::Refused;
                    };
                    self.count -= 1;
                    entry = Entry::Instead(youngest);
                }
            }
        }
        self.waiting.entry(source.clone()).or_default().push_back(number);
        self.count += 1;
        entry
    }

    fn heaviest(&self) -> Option<(S, usize)> {
        let weights = self.waiting.iter().map(|(source, numbers)| (source, numbers.len()));
        weights.max_by_key(|(_, weight)| *weight).map(|(source, weight)| (source.clone(), weight))
    }

    /// Connection `number` of `source` is not waiting any more, however that came.
    pub(crate) fn leave(&mut self, source: &S, number: u64) {
        let Some(numbers) = self.waiting.get_mut(source) else { return };
        let before = numbers.len();
        numbers.retain(|other| *other != number);
        self.count -= before - numbers.len();
        if numbers.is_empty() {
            self.waiting.remove(source);
        }
    }

    /// How many are waiting.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x05_one_source_has_eight_places() {
        let mut lobby = Lobby::default();
        for number in 0..8 {
            assert_eq!(lobby.enter(&"a", number), Entry::Admitted);
        }
        assert_eq!(lobby.enter(&"a", 8), Entry::Refused);
        assert_eq!(lobby.enter(&"b", 9), Entry::Admitted, "another one is not in its way");
        lobby.leave(&"a", 3);
        assert_eq!(lobby.enter(&"a", 10), Entry::Admitted);
        assert_eq!(lobby.len(), 9);
    }

    #[test]
    fn x05_of_sixty_four_the_youngest_of_the_heaviest_source_makes_room() {
        let mut lobby = Lobby::default();
        for number in 0..64 {
            assert_eq!(lobby.enter(&(number / 8), number), Entry::Admitted);
        }
        // All eight weigh the same: that of the last number is taken, whose youngest is 63.
        assert_eq!(lobby.enter(&100, 64), Entry::Instead(63));
        assert_eq!(lobby.len(), 64);
        lobby.leave(&7, 63);
        assert_eq!(lobby.len(), 64, "it had left already");
    }

    #[test]
    fn x05_nobody_makes_room_for_one_who_has_as_many() {
        let mut lobby = Lobby::default();
        for number in 0..64 {
            assert_eq!(lobby.enter(&number, number), Entry::Admitted);
        }
        assert_eq!(lobby.enter(&0, 64), Entry::Refused);
        assert_eq!(lobby.enter(&64, 65), Entry::Instead(63));
    }
}
