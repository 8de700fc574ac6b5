//! Which deltas have which base.
//!
//! In: the entries. Out: for an entry, the deltas against its offset, and for a name, the deltas
//! against that name, as ranges of two arrays: nothing is allocated for a base.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::entries::{Entries, Stored};
use crate::hash::ObjectId;

/// No entry claims this delta yet. No entry has this number (`MOST_ENTRIES`).
const NOBODY: u32 = u32::MAX;

/// A delta against a named base.
struct Named {
    base: ObjectId,
    entry: u32,
    /// The entry that turned out to be the base.
    parent: AtomicU32,
}

/// The deltas of a pack by their bases.
pub(super) struct Children {
    /// Where each entry's deltas begin in `by_offset`; one more row than entries.
    starts: Vec<u32>,
    /// Deltas against offsets, in the order of their bases.
    by_offset: Vec<u32>,
    /// Deltas against names, sorted by name.
    named: Vec<Named>,
    /// The row in `named` of each delta against a name, sorted by entry.
    rows: Vec<(u32, u32)>,
}

/// The deltas of one base that are still to be resolved.
#[derive(Debug, Clone, Default)]
pub(super) struct Brood {
    by_offset: Range<u32>,
    named: Range<u32>,
}

impl Brood {
    /// Gives away the latter half of what is left, or all of a single delta when `even_one`.
    pub(super) fn split(&mut self, even_one: bool) -> Option<Brood> {
        let count = self.by_offset.len() + self.named.len();
        if count == 0 || (count == 1 && !even_one) {
            return None;
        }
        if count == 1 {
            return Some(std::mem::take(self));
        }
        let half = |range: &mut Range<u32>, keep: usize| {
            let middle = range.start + keep as u32;
            let given = middle..range.end;
            range.end = middle;
            given
        };
        let (offsets, names) = (self.by_offset.len() / 2, self.named.len() / 2);
        // of one and one, the one by offset may have most behind it
        let names = if offsets == 0 { self.named.len().div_ceil(2) } else { names };
        Some(Brood {
            by_offset: half(&mut self.by_offset, offsets),
            named: half(&mut self.named, names),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_offset.is_empty() && self.named.is_empty()
    }
}

impl Children {
    pub(super) fn new(entries: &Entries) -> Self {
        let n = entries.len() as usize;
        let mut starts = vec![0u32; n + 1];
        let mut named = Vec::new();
        for entry in 0..entries.len() {
            match entries.stored(entry) {
                Stored::Offset(base) => starts[base as usize + 1] += 1,
                Stored::Named => named.push(Named {
                    base: entries.id(entry),
                    entry,
                    parent: AtomicU32::new(NOBODY),
                }),
                Stored::Whole(_) => {}
            }
        }
        for at in 0..n {
            starts[at + 1] += starts[at];
        }
        let mut by_offset = vec![0u32; starts[n] as usize];
        let mut next = starts.clone();
        for entry in 0..entries.len() {
            if let Stored::Offset(base) = entries.stored(entry) {
                let place = &mut next[base as usize];
                by_offset[*place as usize] = entry;
                *place += 1;
            }
        }
        named.sort_unstable_by_key(|delta| (delta.base, delta.entry));
        let mut rows: Vec<(u32, u32)> =
            named.iter().enumerate().map(|(row, delta)| (delta.entry, row as u32)).collect();
        rows.sort_unstable();
        let mut children = Self { starts, by_offset, named, rows };
        children.heaviest_last(entries);
        children
    }

    /// Puts the delta with most deltas behind it last among its siblings.
    ///
    /// A base's content is let go when its last delta is taken up, so that whoever goes down
    /// the forest holds contents only where he went into a lighter branch: as many as the
    /// logarithm of the number of entries, however long the chains are.
    fn heaviest_last(&mut self, entries: &Entries) {
        let mut weights = vec![1u32; self.starts.len() - 1];
        // bases lie before their deltas
        for entry in (0..entries.len()).rev() {
            if let Stored::Offset(base) = entries.stored(entry) {
                weights[base as usize] += weights[entry as usize];
            }
        }
        for pair in self.starts.windows(2) {
            let brood = &mut self.by_offset[pair[0] as usize..pair[1] as usize];
            let heaviest = (0..brood.len()).max_by_key(|&at| weights[brood[at] as usize]);
            if let Some(at) = heaviest {
                let last = brood.len() - 1;
                brood.swap(at, last);
            }
        }
    }

    /// Deltas against the offset of `entry`; none for bases from outside the pack.
    pub(super) fn of_entry(&self, entry: u32) -> Brood {
        let at = entry as usize;
        match (self.starts.get(at), self.starts.get(at + 1)) {
            (Some(&start), Some(&end)) => Brood { by_offset: start..end, named: 0..0 },
            _ => Brood::default(),
        }
    }

    /// Deltas against the offset of `entry` and against its name.
    pub(super) fn of_object(&self, entry: u32, id: &[u8]) -> Brood {
        Brood { named: self.of_name(id), ..self.of_entry(entry) }
    }

    /// Deltas against its name, of an object whose deltas against its offset were taken up before.
    pub(super) fn of_name_alone(&self, id: &[u8]) -> Brood {
        Brood { named: self.of_name(id), ..Brood::default() }
    }

    fn of_name(&self, id: &[u8]) -> Range<u32> {
        if self.named.is_empty() {
            return 0..0;
        }
        let start = self.named.partition_point(|delta| delta.base.as_bytes() < id);
        let len = self.named[start..].partition_point(|delta| delta.base.as_bytes() == id);
        start as u32..(start + len) as u32
    }

    /// Takes the next delta of a brood of `parent`.
    ///
    /// Each delta is given out once, even when several entries have its base's name.
    pub(super) fn take(&self, brood: &mut Brood, parent: u32) -> Option<u32> {
        // the heaviest is the last by offset, so those by name come first
        for row in brood.named.by_ref() {
            let delta = &self.named[row as usize];
            let order = Ordering::AcqRel;
            if delta.parent.compare_exchange(NOBODY, parent, order, Ordering::Acquire).is_ok() {
                return Some(delta.entry);
            }
        }
        brood.by_offset.next().map(|at| self.by_offset[at as usize])
    }

    /// The base of a delta; `None` for whole objects and where the base is not known yet.
    pub(super) fn parent(&self, entries: &Entries, entry: u32) -> Option<u32> {
        match entries.stored(entry) {
            Stored::Whole(_) => None,
            Stored::Offset(base) => Some(base),
            Stored::Named => {
                let row = self.rows.binary_search_by_key(&entry, |&(entry, _)| entry).ok()?;
                let parent = &self.named[self.rows[row].1 as usize].parent;
                Some(parent.load(Ordering::Acquire)).filter(|&parent| parent != NOBODY)
            }
        }
    }

    /// The names that deltas wait for, each once, sorted.
    pub(super) fn names_waited_for(&self) -> Vec<ObjectId> {
        let mut names: Vec<ObjectId> = self
            .named
            .iter()
            .filter(|delta| delta.parent.load(Ordering::Acquire) == NOBODY)
            .map(|delta| delta.base)
            .collect();
        names.dedup();
        names
    }
}
