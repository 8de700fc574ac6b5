//! A sparse array that grows without moving: pages are made when first touched.
//!
//! Readers take no lock and hold plain references, which stay good while others add pages.

use std::sync::OnceLock;

/// Pages a directory block holds.
const BLOCK: usize = 512;

type Block<P> = Box<[OnceLock<Box<P>>]>;

/// Up to `blocks * 512` pages of type `P`.
pub(super) struct Paged<P> {
    blocks: Box<[OnceLock<Block<P>>]>,
}

impl<P> Paged<P> {
    /// Empty, with room for this many pages.
    pub(super) fn new(max_pages: usize) -> Self {
        let blocks = max_pages.div_ceil(BLOCK);
        Self { blocks: std::iter::repeat_with(OnceLock::new).take(blocks).collect() }
    }

    /// The page of this number if it was ever made.
    #[inline]
    pub(super) fn get(&self, page: usize) -> Option<&P> {
        self.blocks.get(page / BLOCK)?.get()?[page % BLOCK].get().map(|page| &**page)
    }

    /// The page of this number, made now if need be; `None` beyond the last possible one.
    #[inline]
    pub(super) fn get_or_make(&self, page: usize, make: impl FnOnce() -> P) -> Option<&P> {
        let block = self
            .blocks
            .get(page / BLOCK)?
            .get_or_init(|| std::iter::repeat_with(OnceLock::new).take(BLOCK).collect());
        Some(block[page % BLOCK].get_or_init(|| Box::new(make())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_made_once_and_stay() {
        let paged: Paged<u32> = Paged::new(2000);
        assert!(paged.get(1999).is_none());
        let first = paged.get_or_make(1999, || 7).unwrap();
        assert_eq!(paged.get_or_make(1999, || 8), Some(&7));
        paged.get_or_make(0, || 1);
        assert_eq!((*first, paged.get(1999), paged.get(0)), (7, Some(&7), Some(&1)));
        assert!(paged.get(1).is_none());
        // 2000 pages round up to four blocks
        assert!(paged.get_or_make(2048, || 1).is_none());
    }
}
