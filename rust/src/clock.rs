//! A map that is bounded in bytes: what was not asked for lately goes first.
//!
//! A clock and not a list by age: a walk through more than fits, again and again, would push
//! everything out before it is asked for a second time. What was found once stays over newcomers
//! that nobody has asked for.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// How many places are looked at to make room for one more. Beyond that the newcomer has to wait.
const PATIENCE: usize = 8;

/// The hand stays on a place for so many newcomers, each of which pushes out the one before, and
/// only then goes on: a third of a cycle thrice the bound is then found (with 1 nothing is, with
/// 16 nearly all that fits), and what is asked for from now on settles within a few rounds.
const STAY: u32 = 4;

struct Place<K, T> {
    key: K,
    value: Arc<T>,
    cost: usize,
    asked: bool,
}

/// See the module.
pub(crate) struct Clock<K, T, S> {
    index: HashMap<K, u32, S>,
    places: Vec<Place<K, T>>,
    hand: usize,
    /// Newcomers at the hand's place.
    stayed: u32,
    used: usize,
}

impl<K, T, S: Default> Default for Clock<K, T, S> {
    fn default() -> Self {
        Self { index: HashMap::default(), places: Vec::new(), hand: 0, stayed: 0, used: 0 }
    }
}

impl<K: Copy + Eq + Hash, T, S: BuildHasher> Clock<K, T, S> {
    /// Bytes it holds.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, key: &K) -> Option<Arc<T>> {
        let place = &mut self.places[*self.index.get(key)? as usize];
        place.asked = true;
        Some(Arc::clone(&place.value))
    }

    /// Keeps a value of this cost if `budget` allows; bytes gained, bytes freed, and what went.
    ///
    /// The caller drops what went when it no longer holds a lock.
    pub(crate) fn put(
        &mut self,
        key: &K,
        value: Arc<T>,
        cost: usize,
        budget: usize,
    ) -> (usize, usize, Vec<Arc<T>>) {
        let before = self.used;
        let mut gone = Vec::new();
        let known = self.index.get(key).map(|&at| at as usize);
        let old = known.map_or(0, |at| self.places[at].cost);
        if cost > budget {
            return (0, 0, gone);
        }
        if let Some(at) = known {
            // so that the search for room passes it by
            self.places[at].asked = true;
        }
        let mut looks = 0;
        while self.used - old + cost > budget {
            if looks == PATIENCE || self.places.is_empty() {
                return (0, before - self.used, gone);
            }
            looks += 1;
            self.hand = if self.hand < self.places.len() { self.hand } else { 0 };
            let place = &mut self.places[self.hand];
            if std::mem::take(&mut place.asked) || place.key == *key {
                self.hand += 1;
                continue;
            }
            // the newest takes its place
            gone.push(self.remove(self.hand));
            self.stayed += 1;
            if self.stayed == STAY {
                self.stayed = 0;
                self.hand += 1;
            }
        }
        let freed = before - self.used;
        self.used = self.used - old + cost;
        match self.index.get(key) {
            Some(&at) => {
                let place = &mut self.places[at as usize];
                place.cost = cost;
                gone.push(std::mem::replace(&mut place.value, value));
            }
            None => {
                self.index.insert(*key, self.places.len() as u32);
                self.places.push(Place { key: *key, value, cost, asked: false });
            }
        }
        (cost, freed + old, gone)
    }

    fn remove(&mut self, at: usize) -> Arc<T> {
        let place = self.places.swap_remove(at);
        self.index.remove(&place.key);
        if let Some(moved) = self.places.get(at) {
            self.index.insert(moved.key, at as u32);
        }
        self.used -= place.cost;
        place.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasherDefault;

    use crate::hash::{HashKind, IdHasher, ObjectId};
    use crate::object::{ObjectKind, object_id};

    type OfIds = Clock<ObjectId, usize, BuildHasherDefault<IdHasher>>;

    fn id(nth: u32) -> ObjectId {
        object_id(HashKind::Sha256, ObjectKind::Blob, &nth.to_be_bytes())
    }

    #[test]
    fn what_is_asked_for_outlives_what_is_not() {
        let mut clock = OfIds::default();
        for nth in 0..10 {
            clock.put(&id(nth), Arc::new(nth as usize), 10, 100);
        }
        for round in 0..50 {
            assert_eq!(clock.get(&id(3)).as_deref(), Some(&3));
            clock.put(&id(100 + round), Arc::new(0), 10, 100);
            assert!(clock.used() <= 100);
        }
        assert!(clock.get(&id(5)).is_none());
    }

    #[test]
    fn a_walk_through_too_much_still_finds_some_of_it() {
        let mut clock = OfIds::default();
        let mut found = 0;
        for round in 0..5 {
            for nth in 0..300 {
                match clock.get(&id(nth)) {
                    Some(_) => found += usize::from(round > 0),
                    None => drop(clock.put(&id(nth), Arc::new(0), 1, 100)),
                }
            }
        }
        assert!(found > 100, "{found} of 1,200");
    }

    #[test]
    fn replacing_counts_once() {
        let mut clock = OfIds::default();
        let mut held = 0;
        for (nth, cost) in [(1, 10), (2, 20), (1, 50), (1, 5), (2, 90), (3, 60), (2, 101)] {
            let (gained, freed, _) = clock.put(&id(nth), Arc::new(cost), cost, 100);
            held = held + gained - freed;
            assert_eq!(held, clock.used());
            let listed: usize = clock.places.iter().map(|place| place.cost).sum();
            assert_eq!(listed, clock.used());
            assert!(clock.used() <= 100 && clock.index.len() == clock.places.len());
        }
    }
}
