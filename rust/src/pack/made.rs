//! Objects that any reader of the process has lately made of packed entries, for all other readers.
//!
//! Requests that are served at the same time read much the same trees, each on threads of its own.
//! Bounded in bytes, for the process; what nobody asked for goes first. Keyed by the pack as it is
//! open, so that it outlives a snapshot whose packs the next one has too; what is left of a closed one
//! nobody asks for.

use std::hash::BuildHasherDefault;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::Pack;
use crate::clock::Clock;
use crate::hash::IdHasher;
use crate::object::ObjectKind;

/// Bytes of all of them.
const MAX_BYTES: usize = 32 << 20;
/// Locks, and parts of the bound.
const SHARDS: usize = 16;
/// A larger one is not kept for others.
const LARGEST: usize = 256 << 10;
/// What is made of a smaller pack is not kept for others: it is a push's, mostly, which is read once,
/// and thousands of these would push out what is read by all.
const SMALLEST_PACK: usize = if cfg!(test) { 1 } else { 1 << 20 };
/// What an object costs beside its content: tables, allocations.
const OVERHEAD: usize = 128;

/// An object, inflated and whole.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) kind: ObjectKind,
    pub(crate) content: Vec<u8>,
}

/// [`Pack::serial`] and the offset of the entry.
type Place = (u64, u64);

type Shard = Clock<Place, Made, BuildHasherDefault<IdHasher>>;

static ALL: LazyLock<[Mutex<Shard>; SHARDS]> =
    LazyLock::new(|| std::array::from_fn(|_| Mutex::default()));

/// What somebody made of the entry.
pub(crate) fn find(pack: &Pack, offset: u64) -> Option<Arc<Made>> {
    if !is_shared(pack) {
        return None;
    }
    let place = (pack.serial(), offset);
    locked(shard(place)).get(&place)
}

/// Keeps what was made of the entry.
pub(crate) fn keep(pack: &Pack, offset: u64, made: &Arc<Made>) {
    let cost = made.content.capacity() + OVERHEAD;
    if cost > LARGEST || !is_shared(pack) {
        return;
    }
    let place = (pack.serial(), offset);
    let (.., gone) = locked(shard(place)).put(&place, Arc::clone(made), cost, MAX_BYTES / SHARDS);
    drop(gone);
}

/// As [`keep`], of what somebody else owns.
pub(crate) fn keep_copy(pack: &Pack, offset: u64, kind: ObjectKind, content: &[u8]) {
    if content.len() + OVERHEAD <= LARGEST && is_shared(pack) {
        keep(pack, offset, &Arc::new(Made { kind, content: content.to_vec() }));
    }
}

fn is_shared(pack: &Pack) -> bool {
    pack.data().len() >= SMALLEST_PACK
}

fn shard((pack, offset): Place) -> &'static Mutex<Shard> {
    let mixed = (pack ^ offset).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    &ALL[(mixed >> 60) as usize % SHARDS]
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // nothing that can panic runs between two changes
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashKind;
    use crate::source::ObjectSource;
    use crate::store::Store;
    use crate::store::testing::TestRepo;

    fn packed() -> (TestRepo, Arc<Store>) {
        let repo = TestRepo::with_history(HashKind::Sha1, 5);
        repo.git(&["repack", "-adq"]);
        let store = repo.store();
        (repo, store)
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (_repo, store) = packed();
        let snapshot = store.snapshot().unwrap();
        let pack = snapshot.pack(0).unwrap();
        let made = |len| Arc::new(Made { kind: ObjectKind::Tree, content: vec![1; len] });
        for nth in 0..2000 {
            keep(pack, nth, &made(100_000));
        }
        let found = (0..2000).filter(|&nth| find(pack, nth).is_some()).count();
        assert!((1..=MAX_BYTES / 100_000).contains(&found), "{found}");
        keep(pack, 5000, &made(LARGEST));
        keep_copy(pack, 5001, ObjectKind::Blob, &vec![0; LARGEST]);
        assert!(find(pack, 5000).is_none() && find(pack, 5001).is_none());
    }

    #[test]
    fn it_serves_other_readers_of_the_same_open_pack() {
        let (repo, store) = packed();
        let snapshot = store.snapshot().unwrap();
        let number = snapshot.lookup(&repo.id("main^{tree}")).unwrap().unwrap();
        let at = snapshot.packed_at(number).unwrap();
        let pack = Arc::clone(snapshot.pack(at.pack).unwrap());
        let again = Pack::open(&pack.path().with_extension("idx"), HashKind::Sha1).unwrap();
        // told apart from what a reader would make; other tests may push it out, but not each time
        let is_taken = || {
            keep_copy(&pack, at.offset, ObjectKind::Tree, b"another reader's");
            let mut content = Vec::new();
            snapshot.reader().read_into(number, &mut content).unwrap();
            content == b"another reader's"
        };
        assert!((0..50).any(|_| is_taken()));
        assert!(find(&again, at.offset).is_none());
    }
}
