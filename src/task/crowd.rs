//! Those who wait for the same news.
//!
//! All of them are woken, so that none has anything to pass on if it does not come. Wakers are taken out under the lock
//! of whoever has the list, and woken or dropped outside.

use std::task::Waker;

use slab::Slab;

#[derive(Default)]
pub(super) struct Crowd {
    /// A place has a waker as long as its owner waits and was not woken.
    places: Slab<Option<Waker>>,
}

impl Crowd {
    /// How many have a place.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// A place, for as long as its owner lives.
    pub(super) fn join(&mut self) -> usize {
        self.places.insert(None)
    }

    /// Gives a waker to drop.
    #[must_use = "a waker is dropped outside the lock"]
    pub(super) fn leave(&mut self, place: usize) -> Option<Waker> {
        self.places.remove(place)
    }

    /// The owner of the place waits with this waker. Gives one to drop.
    #[must_use = "a waker is dropped outside the lock"]
    pub(super) fn wait(&mut self, place: usize, waker: &Waker) -> Option<Waker> {
        match &mut self.places[place] {
            Some(known) if known.will_wake(waker) => None,
            known => known.replace(waker.clone()),
        }
    }

    /// There is news: those to wake, who keep their places.
    #[must_use = "they wait to be woken"]
    pub(super) fn take(&mut self) -> Vec<Waker> {
        self.places.iter_mut().filter_map(|(_, waker)| waker.take()).collect()
    }
}

pub(super) fn wake_all(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
