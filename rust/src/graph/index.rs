//! Commit id -> commit number: an open-addressing table of numbers, the ids being elsewhere.

use crate::hash::ObjectId;

/// A free slot.
const FREE: u32 = u32::MAX;

/// Slots are at most half full.
pub(super) struct IdIndex {
    slots: Vec<u32>,
    len: usize,
}

impl IdIndex {
    pub(super) fn new() -> Self {
        Self { slots: vec![FREE; 1024], len: 0 }
    }

    /// The number of `id`, where `is` tells whether a number is this id's.
    #[inline]
    pub(super) fn get(&self, id: &ObjectId, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash(id) & mask;
        loop {
            match self.slots[at] {
                FREE => return None,
                number if is(number) => return Some(number),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Adds an id that is not there. `hash_of` gives the ids of the numbers that have to move.
    pub(super) fn insert(&mut self, id: &ObjectId, number: u32, id_of: impl Fn(u32) -> ObjectId) {
        self.reserve(1, id_of);
        self.place(id, number);
        self.len += 1;
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, more: usize, id_of: impl Fn(u32) -> ObjectId) {
        let needed = (self.len + more).saturating_mul(2);
        if needed > self.slots.len() {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![FREE; needed.next_power_of_two()];
            for number in old.into_iter().filter(|&slot| slot != FREE) {
                self.place(&id_of(number), number);
            }
        }
    }

    fn place(&mut self, id: &ObjectId, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash(id) & mask;
        while self.slots[at] != FREE {
            at = (at + 1) & mask;
        }
        self.slots[at] = number;
    }
}

/// Folds the whole id, so that ids made alike in some bytes do not all meet in one place.
#[inline]
fn hash(id: &ObjectId) -> usize {
    use std::hash::{BuildHasher as _, BuildHasherDefault};
    BuildHasherDefault::<crate::hash::IdHasher>::default().hash_one(id) as usize
}
