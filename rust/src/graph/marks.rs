//! One byte of flags for each commit, for the time of one walk.

use super::table::CommitNumber;

const PAGE: usize = 1024;

/// Flags by commit number; pages are made when first touched.
#[derive(Default)]
pub(super) struct Marks {
    pages: Vec<Option<Box<[u8; PAGE]>>>,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The flags of a commit.
    #[inline]
    pub(super) fn get(&self, commit: CommitNumber) -> u8 {
        match self.pages.get(commit as usize / PAGE) {
            Some(Some(page)) => page[commit as usize % PAGE],
            _ => 0,
        }
    }

    /// Adds flags; returns those it had before.
    #[inline]
    pub(super) fn set(&mut self, commit: CommitNumber, flags: u8) -> u8 {
        let at = commit as usize / PAGE;
        if at >= self.pages.len() {
            self.pages.resize_with(at + 1, || None);
        }
        let page = self.pages[at].get_or_insert_with(|| Box::new([0; PAGE]));
        let cell = &mut page[commit as usize % PAGE];
        let before = *cell;
        *cell |= flags;
        before
    }

    /// Takes flags away.
    pub(super) fn clear(&mut self, commit: CommitNumber, flags: u8) {
        if let Some(Some(page)) = self.pages.get_mut(commit as usize / PAGE) {
            page[commit as usize % PAGE] &= !flags;
        }
    }
}
