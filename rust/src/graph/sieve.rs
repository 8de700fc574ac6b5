//! A filter, ready to be asked about each object of a walk.

use super::filter::Filter;
use crate::object::ObjectKind;

/// What a filter lets through; the parts of a `combine:` folded into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sieve {
    pub(super) commits: bool,
    pub(super) tags: bool,
    pub(super) trees: bool,
    pub(super) blobs: bool,
    /// Blobs of this size or more stay behind.
    pub(super) blob_limit: Option<u64>,
    /// Trees and blobs this deep or deeper stay behind; root trees have depth 0.
    pub(super) depth: Option<u64>,
    /// What is not here stays where it is.
    pub(super) leave_missing: bool,
}

impl Sieve {
    pub(super) fn new(filter: &Filter) -> Self {
        let mut sieve = Self {
            commits: true,
            tags: true,
            trees: true,
            blobs: true,
            blob_limit: None,
            depth: None,
            leave_missing: false,
        };
        for part in filter.parts() {
            match *part {
                Filter::BlobNone => sieve.blobs = false,
                Filter::BlobLimit(limit) => {
                    sieve.blob_limit = Some(sieve.blob_limit.map_or(limit, |l| l.min(limit)));
                }
                Filter::TreeDepth(depth) => {
                    sieve.depth = Some(sieve.depth.map_or(depth, |d| d.min(depth)));
                }
                Filter::ObjectType(kind) => {
                    sieve.commits &= kind == ObjectKind::Commit;
                    sieve.tags &= kind == ObjectKind::Tag;
                    sieve.trees &= kind == ObjectKind::Tree;
                    sieve.blobs &= kind == ObjectKind::Blob;
                }
                // by path, not by object: another stage's business
                Filter::None | Filter::Combine(_) | Filter::SparseOid(_) => {}
            }
        }
        sieve
    }

    /// Does it hold nothing back?
    pub(super) fn lets_all_through(&self) -> bool {
        let kinds = self.commits && self.tags && self.trees && self.blobs;
        kinds && self.blob_limit.is_none() && self.depth.is_none()
    }

    /// Is there anything to be found in a tree at this depth?
    #[inline]
    pub(super) fn enters(&self, depth: u64) -> bool {
        (self.trees || self.blobs) && self.depth.is_none_or(|limit| depth < limit)
    }

    /// Does the depth at which a tree is met decide what of it is sent?
    pub(super) fn minds_depth(&self) -> bool {
        self.depth.is_some_and(|limit| limit > 1)
    }
}
