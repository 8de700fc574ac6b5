//! Sets and small values by object number, shared by the threads of one walk.
//!
//! A small request in a large repository touches few pages, a large one all of them: nothing is
//! paid in advance for the size of the repository.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::paged::Paged;
use crate::source::ObjectNumber;

/// 64-bit words in a page: 4,096 objects in 512 bytes.
const WORDS: usize = 64;
const PAGES: usize = 1 << (32 - 12);

/// A concurrent set of object numbers.
pub struct SeenSet {
    pages: Paged<[AtomicU64; WORDS]>,
}

impl Default for SeenSet {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for SeenSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeenSet").finish_non_exhaustive()
    }
}

impl SeenSet {
    /// The empty set.
    pub fn new() -> Self {
        Self { pages: Paged::new(PAGES) }
    }

    /// Adds a number; true when it was not there.
    ///
    /// Of several threads that insert one number, exactly one is told so.
    #[inline]
    pub fn insert(&self, number: ObjectNumber) -> bool {
        let (page, word, bit) = place(number);
        let page = self
            .pages
            .get_or_make(page, || std::array::from_fn(|_| AtomicU64::new(0)))
            .expect("there is a page for each number because PAGES covers 32 bits");
        // looking first keeps the cache line shared: most insertions find the number there
        page[word].load(Ordering::Relaxed) & bit == 0
            && page[word].fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Is this number in the set?
    #[inline]
    pub fn contains(&self, number: ObjectNumber) -> bool {
        let (page, word, bit) = place(number);
        self.pages.get(page).is_some_and(|page| page[word].load(Ordering::Relaxed) & bit != 0)
    }
}

#[inline]
fn place(number: ObjectNumber) -> (usize, usize, u64) {
    (number as usize >> 12, number as usize >> 6 & (WORDS - 1), 1 << (number & 63))
}

/// Values in a page of [`Lowest`]: 4 KiB.
const VALUES: usize = 1024;

/// The lowest value that was noted for each object number; [`u32::MAX`] where none was.
pub(super) struct Lowest {
    pages: Paged<[AtomicU32; VALUES]>,
}

impl Lowest {
    /// Nothing noted.
    pub(super) fn new() -> Self {
        Self { pages: Paged::new(1 << (32 - 10)) }
    }

    /// Notes `value`; true when it is lower than all before.
    #[inline]
    pub(super) fn lower(&self, number: ObjectNumber, value: u32) -> bool {
        let page = self
            .pages
            .get_or_make(number as usize / VALUES, || {
                std::array::from_fn(|_| AtomicU32::new(u32::MAX))
            })
            .expect("there is a page for each number because 32 bits are covered");
        let cell = &page[number as usize % VALUES];
        cell.load(Ordering::Relaxed) > value && cell.fetch_min(value, Ordering::Relaxed) > value
    }

    /// The lowest value so far.
    #[inline]
    pub(super) fn get(&self, number: ObjectNumber) -> u32 {
        self.pages
            .get(number as usize / VALUES)
            .map_or(u32::MAX, |page| page[number as usize % VALUES].load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_in_once() {
        let set = SeenSet::new();
        for number in [0, 1, 63, 64, 4095, 4096, 1 << 20, u32::MAX] {
            assert!(!set.contains(number));
            assert!(set.insert(number));
            assert!(!set.insert(number));
            assert!(set.contains(number));
        }
        assert!(!set.contains(2) && !set.contains(u32::MAX - 1));
    }

    #[test]
    fn one_of_many_threads_is_told() {
        let set = SeenSet::new();
        let told: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..50_000).filter(|n| set.insert(n * 7)).count()))
                .collect();
            workers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert_eq!(told, 50_000);
    }

    #[test]
    fn the_lowest_value_stays() {
        let lowest = Lowest::new();
        assert_eq!(lowest.get(5_000_000), u32::MAX);
        assert!(lowest.lower(5_000_000, 9));
        assert!(!lowest.lower(5_000_000, 9));
        assert!(!lowest.lower(5_000_000, 10));
        assert!(lowest.lower(5_000_000, 3));
        assert_eq!((lowest.get(5_000_000), lowest.get(5_000_001)), (3, u32::MAX));
    }
}
