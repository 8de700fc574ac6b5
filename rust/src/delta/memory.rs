//! What was learnt about deltas, kept from request to request.
//!
//! A search costs seconds where copying costs milliseconds, and the next request mostly asks for
//! the same objects. For each object that was searched for: which bases were tried and how that
//! went, the compressed deltas that were chosen, and its own compressed form. All of it follows
//! from object names alone, so it never goes stale. One memory belongs to one repository: content
//! that one repository vouches for must not reach the clients of another.
//!
//! Bounded in bytes, for each repository and for the process. Shards keep threads apart.

use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::clock::Clock;
use crate::hash::{IdHasher, ObjectId};
use crate::object::ObjectKind;

/// Bytes that all memories of the process may hold together, unless told otherwise. One
/// repository's part is several times what a shallow clone of git's own repository needs, and less
/// than the deltas of one search may take.
const DEFAULT_LIMIT: usize = 128 << 20;

/// What part of that one repository may take.
const SHARE: usize = 2;

static LIMIT: AtomicUsize = AtomicUsize::new(DEFAULT_LIMIT);

/// Sets what remembered deltas may take in this process; 0: nothing is remembered.
pub fn set_memory_limit(bytes: usize) {
    LIMIT.store(bytes, Ordering::Relaxed);
    relieve();
}

/// Locks, and parts of the bound, by the first bits of the object's name.
const SHARDS: usize = 16;

/// Bases whose outcome is kept for an object: several windows' worth.
const MAX_TRIED: usize = 48;

/// Deltas kept for an object, each against another base.
const MAX_DELTAS: usize = 8;

/// What an object costs beside its bytes: tables, allocations.
const OVERHEAD: usize = 224;

/// How it went to make a delta against a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The delta weighs this much ([`super::DeltaIndex::encode`]).
    Fits(u64),
    /// It weighs more than this.
    Exceeds(u64),
}

/// A base that was tried, and what came of it; as small as can be, because there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// [`short`] name of the base: a mistake would cost a few bytes of pack, nothing else.
    base: u32,
    /// The number of bytes above the lowest bit, which says of which outcome.
    outcome: u32,
}

impl Tried {
    /// `None` when the sizes are too large to be noted.
    pub fn new(base: u32, outcome: Outcome) -> Option<Self> {
        let (size, fits) = match outcome {
            Outcome::Fits(size) => (u32::try_from(size).ok()?, 1),
            Outcome::Exceeds(limit) => (u32::try_from(limit).ok()?, 0),
        };
        let outcome = size.checked_mul(2)? | fits;
        Some(Self { base, outcome })
    }

    fn outcome(self) -> Outcome {
        let size = u64::from(self.outcome >> 1);
        if self.outcome & 1 == 1 { Outcome::Fits(size) } else { Outcome::Exceeds(size) }
    }
}

/// A delta that was worth compressing.
#[derive(Debug, Clone)]
pub struct KnownDelta {
    /// What it is a delta of.
    pub base: ObjectId,
    /// Its inflated size.
    pub size: u64,
    /// The zlib stream.
    pub deflated: Arc<[u8]>,
}

/// What is known of one object. Immutable: whoever learns more puts a new one in its place.
#[derive(Debug, Clone)]
pub struct Known {
    /// The object's kind.
    pub kind: ObjectKind,
    /// Its inflated size.
    pub size: u64,
    /// Bases that were tried, the latest last.
    tried: Box<[Tried]>,
    /// Deltas that were chosen, the latest last.
    deltas: Box<[KnownDelta]>,
    /// The whole object as a zlib stream.
    pub whole: Option<Arc<[u8]>>,
}

impl Known {
    /// Nothing but what a header says.
    pub fn new(kind: ObjectKind, size: u64) -> Self {
        Self { kind, size, tried: Box::default(), deltas: Box::default(), whole: None }
    }

    /// How it went with this base.
    #[inline]
    pub fn outcome(&self, base: u32) -> Option<Outcome> {
        self.tried.iter().find(|tried| tried.base == base).map(|tried| tried.outcome())
    }

    /// The delta against this base.
    pub fn delta(&self, base: &ObjectId) -> Option<&KnownDelta> {
        self.deltas.iter().find(|delta| delta.base == *base)
    }

    /// The same and what was learnt since.
    pub fn with(
        &self,
        learnt: &[Tried],
        delta: Option<KnownDelta>,
        whole: Option<Arc<[u8]>>,
    ) -> Self {
        let mut tried = Vec::with_capacity((self.tried.len() + learnt.len()).min(MAX_TRIED));
        let old = self.tried.iter().filter(|old| learnt.iter().all(|new| new.base != old.base));
        let room = MAX_TRIED.saturating_sub(learnt.len());
        let surplus = old.clone().count().saturating_sub(room);
        tried.extend(old.skip(surplus));
        tried.extend(&learnt[learnt.len().saturating_sub(MAX_TRIED)..]);
        let mut deltas = Vec::with_capacity(self.deltas.len() + 1);
        let replaced = |old: &&KnownDelta| delta.as_ref().is_none_or(|new| new.base != old.base);
        deltas.extend(self.deltas.iter().filter(replaced).cloned());
        deltas.extend(delta);
        if deltas.len() > MAX_DELTAS {
            deltas.remove(0);
        }
        let whole = whole.or_else(|| self.whole.clone());
        let (tried, deltas) = (tried.into(), deltas.into());
        Self { kind: self.kind, size: self.size, tried, deltas, whole }
    }

    /// Bytes it takes in memory.
    fn cost(&self) -> usize {
        let deflated = |bytes: &Arc<[u8]>| bytes.len() + 2 * size_of::<usize>();
        OVERHEAD
            + size_of_val(&*self.tried)
            + size_of_val(&*self.deltas)
            + self.deltas.iter().map(|delta| deflated(&delta.deflated)).sum::<usize>()
            + self.whole.as_ref().map_or(0, deflated)
    }
}

/// The first bytes of a name.
#[inline]
pub fn short(id: &ObjectId) -> u32 {
    id.as_bytes().iter().take(4).fold(0, |word, &byte| word << 8 | u32::from(byte))
}

type Shard = Clock<ObjectId, Known, BuildHasherDefault<IdHasher>>;

/// See the module.
pub struct DeltaMemory {
    shards: [Mutex<Shard>; SHARDS],
    per_shard: usize,
    bytes: AtomicUsize,
    /// When it was last asked, in requests of the whole process.
    used: AtomicU64,
}

/// All memories of the process, for the bound on their sum.
static ALL: Mutex<Vec<Weak<DeltaMemory>>> = Mutex::new(Vec::new());
static TOTAL: AtomicUsize = AtomicUsize::new(0);
static REQUESTS: AtomicU64 = AtomicU64::new(0);

impl DeltaMemory {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Self::with_budget(usize::MAX)
    }

    /// One that holds about so many bytes at most, and never more than its share.
    pub fn with_budget(budget: usize) -> Arc<Self> {
        let memory = Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::new(Clock::default())),
            per_shard: budget / SHARDS,
            bytes: AtomicUsize::new(0),
            used: AtomicU64::new(0),
        });
        let mut all = lock(&ALL);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&memory));
        memory
    }

    /// Another request begins to use it.
    pub fn begin_request(&self) {
        let now = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
        self.used.store(now, Ordering::Relaxed);
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What is known of an object.
    pub fn recall(&self, id: &ObjectId) -> Option<Arc<Known>> {
        lock(self.shard(id)).get(id)
    }

    /// Kind and inflated size of an object.
    pub fn shape(&self, id: &ObjectId) -> Option<(ObjectKind, u64)> {
        lock(self.shard(id)).get(id).map(|known| (known.kind, known.size))
    }

    /// Puts this in the place of what was known of an object, if there is room.
    pub fn learn(&self, id: &ObjectId, known: Known) {
        let cost = known.cost();
        let limit = LIMIT.load(Ordering::Relaxed);
        let room = self.per_shard.min(limit / SHARE / SHARDS);
        let (gained, freed, gone) = lock(self.shard(id)).put(id, Arc::new(known), cost, room);
        self.count(gained, freed);
        drop(gone);
        if TOTAL.load(Ordering::Relaxed) > limit {
            relieve();
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for shard in &self.shards {
            let old = std::mem::take(&mut *lock(shard));
            self.count(0, old.used());
        }
    }

    fn count(&self, gained: usize, freed: usize) {
        for counter in [&self.bytes, &TOTAL] {
            counter.fetch_add(gained, Ordering::Relaxed);
            counter.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    fn shard(&self, id: &ObjectId) -> &Mutex<Shard> {
        // the map inside uses other bits of the name
        &self.shards[usize::from(id.as_bytes()[id.as_bytes().len() - 1]) % SHARDS]
    }
}

impl Drop for DeltaMemory {
    fn drop(&mut self) {
        TOTAL.fetch_sub(self.bytes(), Ordering::Relaxed);
    }
}

impl std::fmt::Debug for DeltaMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaMemory").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// Empties the memories that were not asked for longest, until the process is within its bound.
fn relieve() {
    let mut all: Vec<_> = lock(&ALL).iter().filter_map(Weak::upgrade).collect();
    all.sort_by_key(|memory| memory.used.load(Ordering::Relaxed));
    for memory in all {
        if TOTAL.load(Ordering::Relaxed) <= LIMIT.load(Ordering::Relaxed) {
            return;
        }
        memory.clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // whoever panicked left a whole value: nothing that can panic runs between two changes
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashKind;
    use crate::object::object_id;

    fn id(nth: u32) -> ObjectId {
        object_id(HashKind::Sha1, ObjectKind::Blob, &nth.to_be_bytes())
    }

    fn whole(bytes: usize) -> Known {
        Known::new(ObjectKind::Blob, 1).with(&[], None, Some(vec![7; bytes].into()))
    }

    #[test]
    fn what_was_learnt_adds_up() {
        let tried = |base, size| Tried::new(base, Outcome::Fits(size)).unwrap();
        let delta =
            |nth, len: usize| KnownDelta { base: id(nth), size: 9, deflated: vec![1; len].into() };
        let known = Known::new(ObjectKind::Tree, 5);
        let known = known.with(&[tried(1, 10), tried(2, 20)], Some(delta(1, 3)), None);
        let known =
            known.with(&[tried(2, 21), tried(3, 30)], Some(delta(2, 4)), Some(vec![2].into()));
        let known = known.with(&[], Some(delta(1, 5)), None);
        assert_eq!(
            [1, 2, 3, 4].map(|base| known.outcome(base)),
            [Some(Outcome::Fits(10)), Some(Outcome::Fits(21)), Some(Outcome::Fits(30)), None,]
        );
        assert_eq!(known.delta(&id(1)).unwrap().deflated.len(), 5);
        assert_eq!(known.delta(&id(2)).unwrap().deflated.len(), 4);
        assert_eq!((known.deltas.len(), known.whole.as_deref()), (2, Some(&[2][..])));
        assert_eq!((known.kind, known.size), (ObjectKind::Tree, 5));
    }

    #[test]
    fn outcomes_are_what_was_noted() {
        for size in [0, 1, 77, (1 << 31) - 1] {
            for outcome in [Outcome::Fits(size), Outcome::Exceeds(size)] {
                assert_eq!(Tried::new(5, outcome).unwrap().outcome(), outcome);
            }
        }
        for size in [1 << 31, 1 << 32, u64::MAX] {
            assert_eq!(Tried::new(5, Outcome::Fits(size)), None);
        }
    }

    #[test]
    fn one_object_is_bounded() {
        let mut known = Known::new(ObjectKind::Blob, 5);
        for nth in 0..200u32 {
            let tried = Tried::new(nth, Outcome::Exceeds(1)).unwrap();
            let delta = KnownDelta { base: id(nth), size: 1, deflated: vec![0].into() };
            known = known.with(&[tried], Some(delta), None);
        }
        assert_eq!((known.tried.len(), known.deltas.len()), (MAX_TRIED, MAX_DELTAS));
        assert!(known.outcome(199).is_some() && known.delta(&id(199)).is_some());
        assert!(known.outcome(0).is_none() && known.delta(&id(0)).is_none());
    }

    #[test]
    fn the_bound_holds_and_is_counted() {
        let memory = DeltaMemory::with_budget(400_000);
        for nth in 0..5000 {
            memory.learn(&id(nth), whole(1000));
            assert!(memory.bytes() <= 400_000);
        }
        let kept = (0..5000).filter(|&nth| memory.recall(&id(nth)).is_some()).count();
        assert!((100..400).contains(&kept), "{kept}");
        memory.learn(&id(1), whole(50_000));
        assert!(
            memory.recall(&id(1)).is_none_or(|known| known.whole.as_ref().unwrap().len() == 1000)
        );
        memory.clear();
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn threads_share_it() {
        let memory = DeltaMemory::with_budget(100_000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let memory = &memory;
                scope.spawn(move || {
                    for nth in 0..2000 {
                        let nth = nth * (thread + 1) % 777;
                        match memory.recall(&id(nth)) {
                            Some(known) => {
                                assert_eq!(known.whole.as_ref().unwrap().len(), nth as usize)
                            }
                            None => memory.learn(&id(nth), whole(nth as usize)),
                        }
                    }
                });
            }
        });
        assert!((1..=100_000).contains(&memory.bytes()));
    }
}
