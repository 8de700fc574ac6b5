//! The objects a reader has lately made, which are the bases of what it will be asked for next.
//!
//! Walks go from tree to tree along the order of deltas, so that nearly every base was the
//! result of a read before. Bounded in bytes; what was used longest ago goes first.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::object::ObjectKind;
use crate::pack::made::Made;

/// Pack, offset.
pub(super) type Key = (u32, u64);

const NONE: u32 = u32::MAX;

/// See the module.
pub(super) struct BaseCache {
    budget: usize,
    used: usize,
    places: HashMap<Key, u32, BuildHasherDefault<KeyHasher>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
}

struct Slot {
    key: Key,
    made: Option<Arc<Made>>,
    newer: u32,
    older: u32,
}

impl BaseCache {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            used: 0,
            places: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// Bytes it holds.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// The slot of an object, which becomes the newest.
    #[inline]
    pub(super) fn find(&mut self, key: Key) -> Option<u32> {
        let slot = *self.places.get(&key)?;
        if slot != self.newest {
            self.unlink(slot);
            self.link(slot);
        }
        Some(slot)
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> (ObjectKind, &[u8]) {
        let made = self.slots[slot as usize].made.as_ref();
        let made = made.expect("a slot that was given out is full until the next call");
        (made.kind, &made.content)
    }

    /// Takes an object in, lets go of old ones; the slot stays valid until the next call.
    pub(super) fn insert(&mut self, key: Key, made: Arc<Made>) -> u32 {
        self.used += made.content.capacity();
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] =
                    Slot { key, made: Some(made), newer: NONE, older: NONE };
                slot
            }
            None => {
                self.slots.push(Slot { key, made: Some(made), newer: NONE, older: NONE });
                self.slots.len() as u32 - 1
            }
        };
        self.link(slot);
        if let Some(doubled) = self.places.insert(key, slot) {
            self.remove(doubled);
        }
        self.make_room(slot);
        slot
    }

    /// Keeps another number of bytes from now on.
    pub(super) fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
        self.make_room(NONE);
    }

    /// Lets go of the oldest, but not of `kept`.
    fn make_room(&mut self, kept: u32) {
        while self.used > self.budget && self.oldest != kept {
            let oldest = self.oldest;
            self.places.remove(&self.slots[oldest as usize].key);
            self.remove(oldest);
        }
    }

    fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        let made = self.slots[slot as usize].made.take();
        self.used -= made.map_or(0, |made| made.content.capacity());
        self.free.push(slot);
    }

    fn link(&mut self, slot: u32) {
        let newest = self.newest;
        let entry = &mut self.slots[slot as usize];
        (entry.older, entry.newer) = (newest, NONE);
        match newest {
            NONE => self.oldest = slot,
            newest => self.slots[newest as usize].newer = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { newer, older, .. } = self.slots[slot as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
    }
}

/// Pack and offset are hashed by one multiplication each.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(32) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: ObjectKind, content: Vec<u8>) -> Arc<Made> {
        Arc::new(Made { kind, content })
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let mut cache = BaseCache::new(300);
        for at in 0..3 {
            cache.insert((0, at), made(ObjectKind::Tree, Vec::with_capacity(100)));
        }
        assert!(cache.find((0, 0)).is_some());
        cache.insert((0, 3), made(ObjectKind::Blob, Vec::with_capacity(100)));
        assert!(cache.find((0, 1)).is_none());
        assert!(cache.find((0, 0)).is_some() && cache.find((0, 2)).is_some());
        assert_eq!(cache.used, 300);
    }

    #[test]
    fn one_larger_than_the_budget_stays_alone() {
        let mut cache = BaseCache::new(10);
        cache.insert((0, 1), made(ObjectKind::Tree, vec![1; 5]));
        let slot = cache.insert((0, 2), made(ObjectKind::Tree, vec![2; 500]));
        assert_eq!(cache.get(slot), (ObjectKind::Tree, &[2; 500][..]));
        assert_eq!(cache.places.len(), 1);
        cache.insert((0, 3), made(ObjectKind::Tree, vec![3; 5]));
        assert!(cache.find((0, 2)).is_none());
    }

    #[test]
    fn a_smaller_budget_holds_at_once() {
        let mut cache = BaseCache::new(300);
        for at in 0..3 {
            cache.insert((0, at), made(ObjectKind::Tree, Vec::with_capacity(100)));
        }
        cache.set_budget(150);
        assert!(cache.used == 100 && cache.find((0, 2)).is_some());
        cache.set_budget(0);
        assert!(cache.used == 0 && cache.find((0, 2)).is_none());
    }

    #[test]
    fn the_same_key_twice_is_kept_once() {
        let mut cache = BaseCache::new(1000);
        cache.insert((0, 1), made(ObjectKind::Tree, vec![1; 5]));
        let slot = cache.insert((0, 1), made(ObjectKind::Tree, vec![2; 5]));
        assert_eq!(cache.find((0, 1)), Some(slot));
        assert_eq!((cache.places.len(), cache.used), (1, 5));
    }
}
