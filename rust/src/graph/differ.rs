//! What of a tree differs from the one that was met before at its path.
//!
//! Two versions of a directory have nearly all their entries in common, and what they have in
//! common was looked at when the first was. So entries are compared as bytes, run by run, and
//! only those that differ are given out to be looked at.
//!
//! An entry is passed over only when the former tree has the very same bytes as an entry of its
//! own; where trees are sorted strangely more is given out than need be, never less.

use std::cmp::Ordering;

use crate::hash::HashKind;
use crate::object::{TreeEntry, TreeError, TreeIter};

/// A tree that was met, and where its entries begin.
#[derive(Debug, Default)]
pub(super) struct Former {
    content: Vec<u8>,
    /// One for each entry, and the end.
    starts: Vec<u32>,
}

/// Room for one comparison after the other.
#[derive(Debug, Default)]
pub(super) struct Differ {
    /// Where the entries begin that the former tree has not.
    pub(super) fresh: Vec<u32>,
    starts: Vec<u32>,
}

impl Former {
    /// Bytes it holds.
    pub(super) fn size(&self) -> usize {
        self.content.capacity() + self.starts.capacity() * size_of::<u32>()
    }

    fn entry(&self, at: usize, hash: HashKind) -> Option<TreeEntry<'_>> {
        let start = *self.starts.get(at)? as usize;
        TreeIter::new(&self.content[start..], hash).next()?.ok()
    }
}

impl Differ {
    /// Finds the entries of `content` that `former` has not, in order, and makes `content` the
    /// former one. Of a tree that breaks off, what comes before is found.
    pub(super) fn compare(
        &mut self,
        former: &mut Former,
        content: &[u8],
        hash: HashKind,
    ) -> Result<(), TreeError> {
        let Self { fresh, starts } = self;
        fresh.clear();
        starts.clear();
        if u32::try_from(content.len()).is_err() {
            return Err(TreeError);
        }
        let (mut at, mut other) = (0, 0);
        let entries = former.starts.len().saturating_sub(1);
        let mut outcome = Ok(());
        if entries == 0 {
            let mut all = TreeIter::new(content, hash);
            while let Some(entry) = all.next() {
                if entry.is_err() {
                    outcome = Err(TreeError);
                    break;
                }
                starts.push(at as u32);
                at = content.len() - all.rest().len();
            }
            fresh.extend_from_slice(starts);
        }
        while entries > 0 && at < content.len() {
            if other < entries {
                let begin = former.starts[other] as usize;
                let same = common(&content[at..], &former.content[begin..]);
                let end = begin + same;
                let run = &former.starts[other..];
                // the entries that lie whole in what is the same
                let whole = run.partition_point(|&start| start as usize <= end) - 1;
                if whole > 0 {
                    let shift = (at as u32).wrapping_sub(begin as u32);
                    starts.extend(run[..whole].iter().map(|start| start.wrapping_add(shift)));
                    at += run[whole] as usize - begin;
                    other += whole;
                    continue;
                }
            }
            let mut rest = TreeIter::new(&content[at..], hash);
            let Some(Ok(entry)) = rest.next() else {
                outcome = Err(TreeError);
                break;
            };
            let mut order = Ordering::Greater;
            let passed = other;
            while let Some(theirs) = former.entry(other, hash) {
                order = compare(theirs, entry);
                if order != Ordering::Less {
                    break;
                }
                other += 1;
            }
            if order == Ordering::Equal {
                if other > passed {
                    // some are gone, and here both may be the same again
                    continue;
                }
                other += 1;
            }
            fresh.push(at as u32);
            starts.push(at as u32);
            at = content.len() - rest.rest().len();
        }
        starts.push(at as u32);
        former.content.clear();
        former.content.extend_from_slice(&content[..at]);
        std::mem::swap(&mut former.starts, starts);
        outcome
    }
}

/// The order of entries in a tree: by name, where that of a tree ends in a slash.
fn compare(one: TreeEntry<'_>, other: TreeEntry<'_>) -> Ordering {
    let len = one.name.len().min(other.name.len());
    let next = |entry: TreeEntry<'_>| match entry.name.get(len) {
        Some(&byte) => byte,
        None if entry.mode.is_tree() => b'/',
        None => 0,
    };
    one.name[..len].cmp(&other.name[..len]).then_with(|| next(one).cmp(&next(other)))
}

/// How many bytes both begin with.
fn common(one: &[u8], other: &[u8]) -> usize {
    let len = one.len().min(other.len());
    let at = common_steps::<256>(one, other, 0, len);
    let at = common_steps::<16>(one, other, at, len);
    at + one[at..len].iter().zip(&other[at..len]).take_while(|(a, b)| a == b).count()
}

/// The same in whole steps from `at` on: the library compares hundreds of bytes in a few cycles.
#[inline]
fn common_steps<const STEP: usize>(one: &[u8], other: &[u8], at: usize, len: usize) -> usize {
    let steps = one[at..len].chunks_exact(STEP).zip(other[at..len].chunks_exact(STEP));
    at + steps.take_while(|(a, b)| a == b).count() * STEP
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(entries: &[(bool, Vec<u8>, u8)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (is_tree, name, id) in entries {
            out.extend_from_slice(if *is_tree { b"40000 " } else { b"100644 " });
            out.extend_from_slice(name);
            out.push(0);
            out.extend([*id; 20]);
        }
        out
    }

    fn all(content: &[u8]) -> Vec<TreeEntry<'_>> {
        TreeIter::new(content, HashKind::Sha1).map_while(Result::ok).collect()
    }

    fn fresh(former: &mut Former, content: &[u8]) -> Vec<u8> {
        let mut differ = Differ::default();
        let outcome = differ.compare(former, content, HashKind::Sha1);
        assert_eq!(outcome.is_err(), TreeIter::new(content, HashKind::Sha1).any(|e| e.is_err()));
        let entries = differ.fresh.iter().map(|&at| all(&content[at as usize..])[0].id[0]);
        entries.collect()
    }

    fn named(names: &[(&str, u8)]) -> Vec<u8> {
        let entries: Vec<_> =
            names.iter().map(|&(name, id)| (false, name.as_bytes().to_vec(), id)).collect();
        tree(&entries)
    }

    #[test]
    fn only_what_changed_is_given_out() {
        let mut former = Former::default();
        let base = [("a", 1), ("bb", 2), ("c", 3), ("d", 4)];
        assert_eq!(fresh(&mut former, &named(&base)), [1, 2, 3, 4]);
        assert!(fresh(&mut former, &named(&base)).is_empty());
        assert_eq!(fresh(&mut former, &named(&[("a", 1), ("bb", 9), ("c", 3), ("d", 4)])), [9]);
        // one gone, one come, one at the end
        assert_eq!(
            fresh(&mut former, &named(&[("a", 1), ("c", 3), ("cc", 8), ("d", 4), ("e", 5)])),
            [8, 5]
        );
        assert!(fresh(&mut former, &named(&[("d", 4), ("e", 5)])).is_empty());
        assert_eq!(fresh(&mut former, &named(&base)), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn what_is_not_given_out_was_there(
            versions in proptest::collection::vec(
                proptest::collection::vec((any::<bool>(), "[ab0]{1,3}", 0u8..4), 0..12), 1..6),
            sorted in any::<bool>(),
            cut in 0usize..40,
        ) {
            let mut former = Former::default();
            let mut before: Vec<u8> = Vec::new();
            for mut version in versions {
                if sorted {
                    version.sort();
                    version.dedup_by(|a, b| a.1 == b.1);
                }
                let entries: Vec<_> =
                    version.into_iter().map(|(tree, name, id)| (tree, name.into_bytes(), id)).collect();
                let mut content = tree(&entries);
                content.truncate(content.len().max(cut) - cut.min(content.len()) / 7);
                let mut differ = Differ::default();
                let _ = differ.compare(&mut former, &content, HashKind::Sha1);
                let (old, new) = (all(&before), all(&content));
                let starts: Vec<usize> = new
                    .iter()
                    .scan(0, |at, entry| {
                        let start = *at;
                        let mode = if entry.mode.is_tree() { 6 } else { 7 };
                        *at += mode + entry.name.len() + 1 + 20;
                        Some(start)
                    })
                    .collect();
                prop_assert_eq!(&former.starts[..starts.len()], &starts.iter().map(|&s| s as u32).collect::<Vec<_>>()[..]);
                for (entry, start) in new.iter().zip(&starts) {
                    let given = differ.fresh.contains(&(*start as u32));
                    prop_assert!(given || old.contains(entry));
                }
                before = content;
            }
        }
    }
}
