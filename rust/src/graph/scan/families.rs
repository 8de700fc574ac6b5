//! The trees of a pack by what they are deltas of.

use crate::object::ObjectKind;
use crate::pack::{EntryBase, Pack};
use crate::source::SourceError;

/// What is known of an entry's kind so far.
const UNCLEAR: u8 = 0;

/// Trees stored whole, and below each the trees that are deltas of it. Entries go by rank.
pub(super) struct Families {
    /// Trees stored whole.
    pub(super) roots: Vec<u32>,
    /// Where in `children` those of each rank begin.
    first: Vec<u32>,
    children: Vec<u32>,
    /// How many commits the pack has.
    pub(super) commits: usize,
}

impl Families {
    /// Reads all headers of the pack, if nobody did before.
    pub(super) fn of(pack: &Pack) -> Result<Self, SourceError> {
        let bases = pack.bases()?;
        let count = pack.object_count();
        let (tree, commit) = (ObjectKind::Tree as u8, ObjectKind::Commit as u8);
        let mut kinds = Vec::with_capacity(count as usize);
        let mut first = vec![0u32; count as usize + 1];
        let (mut roots, mut commits) = (Vec::new(), 0);
        for rank in 0..count {
            let kind = match bases.of(rank) {
                EntryBase::Whole(kind) => {
                    if kind == ObjectKind::Tree {
                        roots.push(rank);
                    }
                    kind as u8
                }
                EntryBase::Rank(base) => {
                    let kind = kinds[base as usize];
                    if kind == tree {
                        first[base as usize + 1] += 1;
                    }
                    kind
                }
                EntryBase::Unclear => UNCLEAR,
            };
            commits += usize::from(kind == commit);
            kinds.push(kind);
        }
        for rank in 0..count as usize {
            first[rank + 1] += first[rank];
        }
        let mut children = vec![0; first[count as usize] as usize];
        // each list is filled from its end, so that in the end the starts are where they were
        let mut next = first.clone();
        for rank in 0..count {
            if let EntryBase::Rank(base) = bases.of(rank)
                && kinds[base as usize] == tree
            {
                let at = &mut next[base as usize];
                children[*at as usize] = rank;
                *at += 1;
            }
        }
        Ok(Self { roots, first, children, commits })
    }

    /// The trees that are deltas of the one of this rank.
    #[inline]
    pub(super) fn children(&self, rank: u32) -> &[u32] {
        let (start, end) = (self.first[rank as usize], self.first[rank as usize + 1]);
        &self.children[start as usize..end as usize]
    }
}
