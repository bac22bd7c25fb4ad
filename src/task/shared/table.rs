//! Which resource a key has at the moment.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard};

use super::life::Watcher;
use super::user::{Slot, User};
use crate::task::cancel::CancelScope;

/// Keys are hashed and compared outside the lock, because that is the user's code: under it only their hashes are looked at.
pub(super) struct Table<K, V> {
    hasher: RandomState,
    buckets: Mutex<HashMap<u64, Bucket<K, V>>>,
}

/// Entries whose keys have the same hash.
type Bucket<K, V> = Vec<Arc<Entry<K, V>>>;

pub(super) struct Entry<K, V> {
    key: K,
    hash: u64,
    slot: Arc<Slot<V>>,
}

/// How a user finds its resource.
pub(super) enum Entered<V> {
    /// With others who use it, or have it opened.
    Open(User<V>),
    /// It has to be opened.
    New(User<V>),
    /// It is being cleaned up, and will be gone after that.
    Closing(Watcher),
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), buckets: Mutex::default() }
    }
}

impl<K, V> Table<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Bucket<K, V>>> {
        self.buckets.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many resources there are.
    pub(super) fn len(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    /// From here on whoever comes opens the resource anew.
    pub(super) fn remove(&self, entry: &Arc<Entry<K, V>>) {
        let mut buckets = self.lock();
        let Some(bucket) = buckets.get_mut(&entry.hash) else { return };
        let at = bucket.iter().position(|other| Arc::ptr_eq(other, entry));
        let gone = at.map(|at| bucket.remove(at));
        if bucket.is_empty() {
            buckets.remove(&entry.hash);
        }
        drop(buckets);
        drop(gone);
    }
}

impl<K: Eq + Hash, V> Table<K, V> {
    /// An entry that is in no table, for a resource that may have to be opened.
    pub(super) fn entry(&self, key: K) -> Arc<Entry<K, V>> {
        let hash = self.hasher.hash_one(&key);
        Arc::new(Entry { key, hash, slot: Arc::default() })
    }

    /// Makes a user of the resource that has the key of `entry`, which is that of `entry` itself if there is none.
    pub(super) fn enter(
        &self,
        entry: &Arc<Entry<K, V>>,
        scope: &CancelScope,
        at: &'static Location<'static>,
    ) -> Entered<V> {
        loop {
            let known = self.lock().get(&entry.hash).cloned().unwrap_or_default();
            if let Some(found) = known.iter().find(|found| found.key == entry.key) {
                let user = User::join(&found.slot, scope, at);
                return user.map_or_else(|| Entered::Closing(found.slot.watch()), Entered::Open);
            }
            if let Some(user) = self.add(entry, &known, scope, at) {
                return Entered::New(user);
            }
        }
    }

    /// Puts the entry in if the bucket is still the one that is known, with its first user: nobody else sees it before.
    fn add(
        &self,
        entry: &Arc<Entry<K, V>>,
        known: &Bucket<K, V>,
        scope: &CancelScope,
        at: &'static Location<'static>,
    ) -> Option<User<V>> {
        let mut buckets = self.lock();
        let bucket = buckets.entry(entry.hash).or_default();
        let same =
            bucket.len() == known.len() && bucket.iter().zip(known).all(|(here, there)| Arc::ptr_eq(here, there));
        if !same {
            return None;
        }
        bucket.push(entry.clone());
        User::join(&entry.slot, scope, at)
    }
}
