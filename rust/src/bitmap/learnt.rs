//! Bitmaps made of what requests walked, in memory.
//!
//! The objects that were met are put in the order in which they are packed, so that whole packs
//! are recognised as they are with stored bitmaps; what is met later goes behind. A bitmap never
//! changes: it may be shorter than there are objects now, and has none of those behind its end.
//!
//! A repack gives every object another number. The bits stay what they are then, and only the
//! numbers behind them change ([`Reachability::carried`]); [`Reachability::sorted`] puts them in
//! the order of the new packs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::bits::Bits;
use super::order::{NONE, Order};
use super::reachability::{Kept, Reachability};
use super::unions::Unions;
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectSource, PackedAt, SourceError};

/// What all learnt bitmaps of the process may take, unless told otherwise: about two dozen
/// repositories of 100,000 objects, with what it takes to answer any fetch from them.
const DEFAULT_LIMIT: usize = 256 << 20;
/// What part of that one repository may take.
const SHARE: usize = 2;
/// An object's number, bit, name hash and kinds.
const BYTES_AN_OBJECT: usize = 13;
/// Orders with more places than this where it goes back are worth sorting.
const MANY_BREAKS: usize = 64;

static LIMIT: AtomicUsize = AtomicUsize::new(DEFAULT_LIMIT);
static USED: AtomicUsize = AtomicUsize::new(0);

/// Sets what learnt bitmaps may take in this process; 0: nothing is learnt.
pub fn set_memory_limit(bytes: usize) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// An object that was walked.
#[derive(Debug, Clone, Copy)]
pub struct Learning {
    /// Which.
    pub number: ObjectNumber,
    /// The hash of the path it was found at.
    pub name_hash: u32,
    /// Its kind.
    pub kind: ObjectKind,
}

/// Bitmaps in memory.
pub(super) struct Learnt {
    /// By bit.
    hashes: Vec<u32>,
    /// By the bit of the commit.
    commits: RwLock<HashMap<u32, Arc<Bits>>>,
    unions: Unions,
    charge: Charge,
}

/// Bytes counted in [`USED`] until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Charge(AtomicUsize);

impl Charge {
    pub(super) fn force(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        USED.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn fits(&self, bytes: usize) -> bool {
        let limit = LIMIT.load(Ordering::Relaxed);
        let (own, all) = (self.0.load(Ordering::Relaxed), USED.load(Ordering::Relaxed));
        own.saturating_add(bytes) <= limit / SHARE && all.saturating_add(bytes) <= limit
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        USED.fetch_sub(*self.0.get_mut(), Ordering::Relaxed);
    }
}

impl Learnt {
    fn new(hashes: Vec<u32>) -> Self {
        let (commits, unions) = (RwLock::default(), Unions::default());
        let charge = Charge::default();
        charge.force(hashes.len() * BYTES_AN_OBJECT);
        Self { hashes, commits, unions, charge }
    }

    #[inline]
    pub(super) fn name_hash(&self, bit: u32) -> u32 {
        self.hashes.get(bit as usize).copied().unwrap_or(0)
    }

    pub(super) fn has(&self, bit: u32) -> bool {
        read(&self.commits).contains_key(&bit)
    }

    pub(super) fn get(&self, bit: u32) -> Option<Arc<Bits>> {
        read(&self.commits).get(&bit).cloned()
    }

    fn put(&self, bit: u32, bits: Arc<Bits>) {
        let bytes = bits.bytes();
        if write(&self.commits).insert(bit, bits).is_none() {
            self.charge.force(bytes);
        }
    }

    /// Has the repository's share room for so many bytes?
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.charge.fits(bytes)
    }

    pub(super) fn unions(&self) -> &Unions {
        &self.unions
    }

    /// What it holds, with each set of bits changed; sets that `change` gives nothing for go.
    fn copy_to(
        &self,
        to: &Learnt,
        bit: impl Fn(u32) -> u32,
        change: impl Fn(&Arc<Bits>) -> Option<Arc<Bits>>,
    ) {
        for (&commit, bits) in &*read(&self.commits) {
            if let Some(bits) = change(bits) {
                to.put(bit(commit), bits);
            }
        }
        self.unions.each(|commits, reached| {
            if let (Some(commits), Some(reached)) = (change(commits), change(reached)) {
                to.unions.put(commits, reached);
            }
        });
    }
}

impl Reachability {
    /// No objects and no bitmaps yet.
    pub fn empty() -> Self {
        Self::of_learnt(
            Vec::new(),
            0,
            std::array::from_fn(|_| Bits::new(0)),
            Learnt::new(Vec::new()),
        )
    }

    fn of_learnt(
        numbers: Vec<ObjectNumber>,
        leading: u32,
        kinds: [Bits; 4],
        learnt: Learnt,
    ) -> Self {
        let (count, order) = (numbers.len() as u32, Order::of_numbers(numbers, leading));
        Self::of_parts("learnt bitmaps".to_owned(), order, count, kinds, Kept::Learnt(learnt))
    }

    /// Was it learnt, so that it can learn more?
    pub fn is_learnt(&self) -> bool {
        self.as_learnt().is_some()
    }

    fn as_learnt(&self) -> Option<&Learnt> {
        match &self.kept {
            Kept::Learnt(learnt) => Some(learnt),
            Kept::Stored(_) => None,
        }
    }

    /// The same and these objects, as far as they are new; `None` when there is no room for them.
    pub fn with(&self, source: &dyn ObjectSource, objects: &[Learning]) -> Option<Self> {
        let old = self.as_learnt()?;
        let new = |learning: &&Learning| self.bit(learning.number).is_none();
        let mut places: Vec<(u64, u32)> = (0..)
            .zip(objects)
            .filter(|(_, o)| new(o))
            .map(|(at, object): (u32, _)| (place_key(source.packed_at(object.number)), at))
            .collect();
        if !old.charge.fits((self.numbers().len() + places.len()) * BYTES_AN_OBJECT) {
            return None;
        }
        places.sort_unstable();
        let mut numbers = Vec::with_capacity(self.numbers().len() + places.len());
        numbers.extend_from_slice(self.numbers());
        let mut hashes = Vec::with_capacity(numbers.capacity());
        hashes.extend_from_slice(&old.hashes);
        let mut kinds = self.kinds.clone();
        let total = u32::try_from(numbers.len() + places.len()).ok().filter(|&n| n < NONE)?;
        kinds.iter_mut().for_each(|kind| kind.grow(total));
        let mut last = NONE;
        for (_, at) in places {
            let object = &objects[at as usize];
            // the same object twice has the same place
            if object.number == last {
                continue;
            }
            last = object.number;
            kinds[object.kind as usize - 1].insert(numbers.len() as u32);
            numbers.push(object.number);
            hashes.push(object.name_hash);
        }
        kinds.iter_mut().for_each(|kind| kind.grow(numbers.len() as u32));
        let leading = leading(source, &numbers);
        let learnt = Learnt::new(hashes);
        old.copy_to(&learnt, |bit| bit, |bits| Some(Arc::clone(bits)));
        Some(Self::of_learnt(numbers, leading, kinds, learnt))
    }

    /// The same with the numbers that another source gives to the objects. What reaches an object
    /// that is gone is forgotten.
    pub fn carried(
        &self,
        from: &dyn ObjectSource,
        to: &dyn ObjectSource,
    ) -> Result<Option<Self>, SourceError> {
        let Some(old) = self.as_learnt() else { return Ok(None) };
        let bulk = to.bulk_lookup();
        let mut gone = Bits::new(self.count());
        let mut numbers = Vec::with_capacity(self.numbers().len());
        for (bit, &number) in (0..).zip(self.numbers()) {
            let found = match (number, &bulk) {
                (NONE, _) => None,
                (number, Some(bulk)) => bulk.find(&from.id(number))?,
                (number, None) => to.lookup(&from.id(number))?,
            };
            if found.is_none() {
                gone.insert(bit);
            }
            numbers.push(found.unwrap_or(NONE));
        }
        let leading = leading(to, &numbers);
        let learnt = Learnt::new(old.hashes.clone());
        let is_whole = |bits: &Arc<Bits>| (!bits.intersects(&gone)).then(|| Arc::clone(bits));
        old.copy_to(&learnt, |bit| bit, is_whole);
        Ok(Some(Self::of_learnt(numbers, leading, self.kinds.clone(), learnt)))
    }

    /// The same in the order of the packs, if it is in no order now.
    pub fn sorted(&self, source: &dyn ObjectSource) -> Option<Self> {
        let old = self.as_learnt()?;
        let keys: Vec<u64> = self
            .numbers()
            .iter()
            .map(|&number| match number {
                NONE => u64::MAX,
                number => place_key(source.packed_at(number)),
            })
            .collect();
        if keys.windows(2).filter(|pair| pair[0] > pair[1]).count() <= MANY_BREAKS {
            return None;
        }
        let mut bits: Vec<u32> = (0..self.count()).collect();
        bits.sort_by_key(|&bit| keys[bit as usize]);
        let mut moved = vec![0; bits.len()];
        for (new, &bit) in (0..).zip(&bits) {
            moved[bit as usize] = new;
        }
        let change = |bits: &Bits| {
            let mut changed = Bits::new(self.count());
            for bit in bits.ones() {
                changed.insert(moved[bit as usize]);
            }
            changed
        };
        let numbers: Vec<_> = bits.iter().map(|&bit| self.numbers()[bit as usize]).collect();
        let learnt = Learnt::new(bits.iter().map(|&bit| old.name_hash(bit)).collect());
        old.copy_to(&learnt, |bit| moved[bit as usize], |bits| Some(Arc::new(change(bits))));
        let kinds = self.kinds.each_ref().map(change);
        let leading = leading(source, &numbers);
        Some(Self::of_learnt(numbers, leading, kinds, learnt))
    }

    /// Has any commit a learnt bitmap?
    pub fn has_commits(&self) -> bool {
        self.as_learnt().is_some_and(|learnt| !read(&learnt.commits).is_empty())
    }

    /// Is there room for this many more bitmaps?
    pub fn has_room_for(&self, bitmaps: usize) -> bool {
        let size = (self.count() as usize).div_ceil(64) * 8;
        self.as_learnt().is_some_and(|learnt| learnt.charge.fits(size.saturating_mul(bitmaps)))
    }

    /// Keeps what a commit reaches, which is all in [`Reachability::numbers`].
    pub fn keep(&self, commit: ObjectNumber, reached: Bits) {
        if let Some(learnt) = self.as_learnt()
            && let Some(bit) = self.bit(commit).filter(|&bit| reached.contains(bit))
        {
            learnt.put(bit, Arc::new(reached));
        }
    }
}

/// Sorts as packs and entries lie; approximate for what no repository has.
fn place_key(at: Option<PackedAt>) -> u64 {
    at.map_or(u64::MAX, |at| (u64::from(at.pack) << 42) | at.offset.min((1 << 42) - 1))
}

/// How many of the objects, from the first on, are those of one pack in its order.
fn leading(source: &dyn ObjectSource, numbers: &[ObjectNumber]) -> u32 {
    let mut last: Option<PackedAt> = None;
    let in_order = numbers.iter().take_while(|&&number| {
        let at = if number == NONE { None } else { source.packed_at(number) };
        let goes_on = at.is_some_and(|at| {
            last.is_none_or(|last| last.pack == at.pack && last.offset < at.offset)
        });
        last = at;
        goes_on
    });
    in_order.count() as u32
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    // whoever panicked left a whole value
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
