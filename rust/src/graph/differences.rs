//! What requests learnt of trees that follow each other: the entries that one has and the one met
//! before it at its path has not.
//!
//! The next request walks mostly the same commits in the same order. What it finds here it neither
//! reads nor compares. All of it follows from two names, so it never goes stale. Bounded in bytes:
//! two halves, of which the one that was asked for less lately goes when the other is full.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hash::{IdHasher, ObjectId};

/// Bytes of both halves; some ten thousand commits' worth.
const MOST: usize = 4 << 20;
/// Trees that differ in more are not two versions of one.
const MOST_OF_ONE: usize = 4 << 10;
/// What one takes beside its entries.
const OVERHEAD: usize = 144;

type Half = HashMap<Pair, Arc<[u8]>, BuildHasherDefault<IdHasher>>;

#[derive(PartialEq, Eq)]
struct Pair {
    former: ObjectId,
    tree: ObjectId,
}

impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // a tree follows few others
        self.tree.hash(state);
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Differences {
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    young: Half,
    old: Half,
    /// Bytes of the young one.
    used: usize,
}

impl Differences {
    /// The entries of `tree` that `former` has not, as they lie in it.
    pub(super) fn get(&self, former: &ObjectId, tree: &ObjectId) -> Option<Arc<[u8]>> {
        let pair = Pair { former: *former, tree: *tree };
        let mut halves = self.lock();
        if let Some(known) = halves.young.get(&pair) {
            return Some(Arc::clone(known));
        }
        let known = halves.old.remove(&pair)?;
        let found = Arc::clone(&known);
        let gone = halves.keep(pair, known);
        drop(halves);
        drop(gone);
        Some(found)
    }

    /// Keeps what was found out.
    pub(super) fn put(&self, former: ObjectId, tree: ObjectId, entries: &Arc<[u8]>) {
        if entries.len() > MOST_OF_ONE {
            return;
        }
        let gone = self.lock().keep(Pair { former, tree }, Arc::clone(entries));
        // thousands may go, and nobody should wait for it
        drop(gone);
    }

    #[cfg(test)]
    pub(super) fn clear(&self) {
        *self.lock() = Halves::default();
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        // each change leaves whole entries
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn keep(&mut self, pair: Pair, entries: Arc<[u8]>) -> Half {
        self.used += OVERHEAD + entries.len();
        self.young.insert(pair, entries);
        if self.used <= MOST / 2 {
            return Half::default();
        }
        self.used = 0;
        mem::replace(&mut self.old, mem::take(&mut self.young))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashKind;
    use crate::object::{ObjectKind, object_id};

    fn id(nth: usize) -> ObjectId {
        object_id(HashKind::Sha1, ObjectKind::Tree, &nth.to_be_bytes())
    }

    #[test]
    fn what_is_asked_for_stays_and_the_bound_holds() {
        let known = Differences::default();
        let entries = |nth: usize| -> Arc<[u8]> { nth.to_be_bytes().into() };
        let many = 3 * MOST / OVERHEAD;
        for nth in 0..many {
            known.put(id(nth), id(nth + 1), &entries(nth));
            assert_eq!(known.get(&id(0), &id(1)).as_deref(), Some(&*entries(0)));
        }
        assert_eq!(known.get(&id(many - 1), &id(many)).as_deref(), Some(&*entries(many - 1)));
        assert!(known.get(&id(1), &id(2)).is_none(), "nobody asked");
        assert!(known.get(&id(many), &id(many - 1)).is_none(), "the other way round");
        let halves = known.lock();
        assert!((halves.young.len() + halves.old.len()) * OVERHEAD <= MOST);
    }

    #[test]
    fn much_is_not_kept() {
        let known = Differences::default();
        known.put(id(1), id(2), &vec![0; MOST_OF_ONE + 1].into());
        assert!(known.get(&id(1), &id(2)).is_none());
    }
}
