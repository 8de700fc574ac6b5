//! What readers are made of, kept between requests.
//!
//! A request that asks for what its neighbour just asked for finds the trees its neighbour made, and
//! none pays for new inflate states and buffers. The parts of a few readers wait here, the warmest
//! last, within a bound in bytes for the whole process.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cache::BaseCache;
use super::loose::Scratch;
use crate::zlib::Inflater;

/// Bytes that waiting caches hold together.
const MAX_BYTES: usize = 32 << 20;
/// Bytes that the caches of all readers at work share, about: each gets a part of what is left, so
/// that many clones at once take hardly more memory than a few.
const MAX_LENT: usize = 64 << 20;
/// The share of what is left that the next reader gets.
const SHARE: usize = 4;
/// The least that any reader gets. Walking git's history costs a tenth more with it than with
/// four times as much, and with half of it a third more.
const LEAST: usize = 4 << 20;
/// The most that wait; one without a warm cache is worth its inflate state.
const MAX_WAITING: usize = 16;
/// A buffer above this is let go of: one large object should not cost memory for ever.
const MAX_BUFFER: usize = 1 << 20;

/// All that a reader owns.
pub(super) struct Parts {
    pub(super) inflater: Inflater,
    pub(super) cache: BaseCache,
    pub(super) delta: Vec<u8>,
    pub(super) loose: Vec<u8>,
    pub(super) scratch: Scratch,
    pub(super) piece: Vec<u8>,
}

impl Parts {
    fn new(budget: usize) -> Self {
        Self {
            inflater: Inflater::new(),
            cache: BaseCache::new(budget),
            delta: Vec::new(),
            loose: Vec::new(),
            scratch: Scratch::default(),
            piece: Vec::new(),
        }
    }

    fn shrink(&mut self) {
        for buffer in [&mut self.delta, &mut self.loose] {
            if buffer.capacity() > MAX_BUFFER {
                *buffer = Vec::new();
            }
        }
    }
}

/// The parts while a reader has them; they wait for the next when it is dropped.
pub(super) struct Lent {
    snapshot: u64,
    budget: usize,
    parts: ManuallyDrop<Box<Parts>>,
}

impl Lent {
    /// Parts for a reader of this snapshot, warm if there are any; their cache keeps `most` bytes,
    /// or less when there are many readers.
    pub(super) fn take(snapshot: u64, most: usize) -> Self {
        let left = MAX_LENT.saturating_sub(LENT.load(Ordering::Relaxed));
        let budget = (left / SHARE).max(LEAST).min(most);
        LENT.fetch_add(budget, Ordering::Relaxed);
        Self { snapshot, budget, parts: ManuallyDrop::new(take(snapshot, budget)) }
    }
}

impl Deref for Lent {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: nothing looks at the parts again, because they are taken only here, where their
        // owner ends.
        let parts = unsafe { ManuallyDrop::take(&mut self.parts) };
        LENT.fetch_sub(self.budget, Ordering::Relaxed);
        give_back(self.snapshot, parts);
    }
}

struct Waiting {
    /// The snapshot whose objects the cache holds.
    snapshot: u64,
    parts: Box<Parts>,
}

/// The budgets of all readers at work.
static LENT: AtomicUsize = AtomicUsize::new(0);
static WAITING: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());

fn waiting() -> MutexGuard<'static, Vec<Waiting>> {
    // each change leaves a valid list
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(snapshot: u64, budget: usize) -> Box<Parts> {
    let mut list = waiting();
    let is_ours = |entry: &Waiting| entry.snapshot == snapshot;
    // a large cache is not to become a small one while there is another
    let fits = |entry: &Waiting| is_ours(entry) && entry.parts.cache.used() <= budget;
    let warm = list.iter().rposition(fits).or_else(|| list.iter().rposition(is_ours));
    // those of another snapshot are taken only when there is no room for more: it may come back
    let any = || (list.len() >= MAX_WAITING).then_some(0);
    let Some(at) = warm.or_else(any) else {
        drop(list);
        return Box::new(Parts::new(budget));
    };
    let mut parts = list.remove(at).parts;
    drop(list);
    match warm {
        Some(_) => parts.cache.set_budget(budget),
        None => parts.cache = BaseCache::new(budget),
    }
    parts
}

fn give_back(snapshot: u64, mut parts: Box<Parts>) {
    parts.shrink();
    let mut gone = Vec::new();
    let mut list = waiting();
    list.push(Waiting { snapshot, parts });
    let mut bytes: usize = list.iter().map(|entry| entry.parts.cache.used()).sum();
    while list.len() > MAX_WAITING || bytes > MAX_BYTES && list.len() > 1 {
        let oldest = list.remove(0);
        bytes -= oldest.parts.cache.used();
        gone.push(oldest);
    }
    drop(list);
    // freeing thousands of objects takes a while, and nobody should wait for it
    drop(gone);
}

/// A snapshot ends, and with it what was kept of its objects.
pub(super) fn forget(snapshot: u64) {
    let mut list = waiting();
    let gone: Vec<_> = list.extract_if(.., |entry| entry.snapshot == snapshot).collect();
    drop(list);
    drop(gone);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::object::ObjectKind;
    use crate::pack::made::Made;

    fn made(content: Vec<u8>) -> Arc<Made> {
        Arc::new(Made { kind: ObjectKind::Tree, content })
    }

    #[test]
    fn the_warm_one_comes_back_to_its_snapshot() {
        // numbers that no snapshot of another test has
        let (ours, theirs) = (u64::MAX - 1, u64::MAX - 2);
        let mut parts = take(ours, 1000);
        parts.cache.insert((0, 7), made(b"tree".to_vec()));
        give_back(ours, parts);
        assert!(take(theirs, 1000).cache.find((0, 7)).is_none());
        assert!(take(ours, 1000).cache.find((0, 7)).is_some());
        assert!(take(ours, 1000).cache.find((0, 7)).is_none(), "taken is taken");
    }

    #[test]
    fn many_readers_share_what_there_is() {
        let ours = u64::MAX - 4;
        let lent: Vec<_> = (0..40).map(|_| Lent::take(ours, 16 << 20)).collect();
        assert!(lent.iter().all(|one| (LEAST..=16 << 20).contains(&one.budget)));
        assert_eq!(lent[39].budget, LEAST);
        assert!(Lent::take(ours, 1000).budget == 1000);
        drop(lent);
        forget(ours);
    }

    #[test]
    fn what_waits_is_bounded_and_ends_with_its_snapshot() {
        let ours = u64::MAX - 3;
        for offset in 0..10 {
            let mut parts = Box::new(Parts::new(MAX_BYTES));
            parts.cache.insert((0, offset), made(vec![0; MAX_BYTES / 4]));
            give_back(ours, parts);
            assert!(
                waiting().iter().map(|entry| entry.parts.cache.used()).sum::<usize>() <= MAX_BYTES
            );
        }
        forget(ours);
        assert!(waiting().iter().all(|entry| entry.snapshot != ours));
    }
}
