//! What trees reach, by the lists of a scan.

use super::listing::{Listing, NONE};
use crate::graph::GraphError;
use crate::graph::edges::lookup_raw;
use crate::graph::name_hash;
use crate::graph::recent::{self, Recent};
use crate::graph::request::Found;
use crate::graph::table::CommitReader;
use crate::graph::trees::missing;
use crate::object::{ObjectKind, TreeIter};
use crate::source::{ObjectNumber, SourceError};
use crate::watch::Watch;

/// How often a walk looks whether it should stop.
const CHECK_EVERY: usize = 1024;

/// Met as a tree.
const TREE: u8 = 1;
/// Met as something else.
const BLOB: u8 = 2;
/// Was given out.
const GIVEN: u8 = 4;

/// Where the list of a tree is.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    listing: u32,
    at: u32,
}

const NOWHERE: Place = Place { listing: u32::MAX, at: 0 };
/// Of a tree that the pack holds more than once: one copy's list may leave to another's what that
/// leaves to it, so it is read the ordinary way.
const TWICE: Place = Place { listing: u32::MAX, at: 1 };

/// Bytes of each object of the repository.
pub(super) const BYTES_AN_OBJECT: usize = size_of::<Place>() + size_of::<u8>() + size_of::<u32>();

/// What was met.
pub(super) struct Reach<'w, 'a> {
    reader: CommitReader<'a>,
    listings: &'w [Listing],
    /// By number.
    places: Vec<Place>,
    flags: Vec<u8>,
    hashes: Vec<u32>,
    /// Trees to enter, with the hash of what goes before the names in them.
    stack: Vec<(ObjectNumber, u32)>,
    /// Trees of which only what their bases lack was entered.
    partial: Vec<(ObjectNumber, u32)>,
    /// What trees that had to be read named last.
    recent: Recent,
    watch: &'w Watch,
    met: u64,
}

impl<'w, 'a> Reach<'w, 'a> {
    pub(super) fn new(reader: CommitReader<'a>, listings: &'w [Listing], watch: &'w Watch) -> Self {
        let bound = reader.source.number_bound() as usize;
        let mut places = vec![NOWHERE; bound];
        for (listing, list) in (0..).zip(listings) {
            for (at, tree) in (0..).zip(&list.trees) {
                if let Some(place) = places.get_mut(tree.tree as usize) {
                    *place = if *place == NOWHERE { Place { listing, at } } else { TWICE };
                }
            }
        }
        let (flags, hashes) = (vec![0; bound], vec![0; bound]);
        let (stack, partial) = (Vec::new(), Vec::new());
        let recent = Recent::new(reader.source.hash_kind(), recent::FEW);
        Self { reader, listings, places, flags, hashes, stack, partial, recent, watch, met: 0 }
    }

    /// Meets a tree or a blob at no path.
    pub(super) fn meet(&mut self, number: ObjectNumber, kind: ObjectKind) {
        self.visit(number, kind == ObjectKind::Tree, || 0);
    }

    #[inline]
    fn visit(&mut self, number: ObjectNumber, is_tree: bool, hash: impl FnOnce() -> u32) {
        let flag = if is_tree { TREE } else { BLOB };
        let at = number as usize;
        if at >= self.flags.len() {
            // loose objects get numbers when they are first met
            self.flags.resize(at + 1, 0);
            self.hashes.resize(at + 1, 0);
        }
        if self.flags[at] & flag != 0 {
            return;
        }
        self.flags[at] |= flag;
        self.met += 1;
        let hash = hash();
        self.hashes[at] = hash;
        if is_tree {
            let prefix = if hash == 0 { 0 } else { name_hash::extend(hash, b"/") };
            self.stack.push((number, prefix));
        }
    }

    fn is_tree(&self, number: ObjectNumber) -> bool {
        self.flags.get(number as usize).is_some_and(|flags| flags & TREE != 0)
    }

    /// Enters everything that was met, and all it leads to.
    pub(super) fn run(&mut self) -> Result<(), GraphError> {
        let mut steps = 0usize;
        loop {
            while let Some((tree, prefix)) = self.stack.pop() {
                steps += 1;
                if steps.is_multiple_of(CHECK_EVERY) {
                    self.watch.check()?;
                    self.watch.add(std::mem::take(&mut self.met));
                }
                self.enter(tree, prefix)?;
            }
            // what a tree shares with its base was entered with that, if that is reachable as well
            let Some((tree, prefix)) = self.partial.pop() else { break };
            if !self.is_tree(self.base(tree)) {
                self.read(tree, prefix)?;
            }
        }
        self.watch.add(std::mem::take(&mut self.met));
        Ok(())
    }

    fn place(&self, tree: ObjectNumber) -> Option<(&'w Listing, usize)> {
        let Place { listing, at } = *self.places.get(tree as usize)?;
        Some((self.listings.get(listing as usize)?, at as usize))
    }

    fn base(&self, tree: ObjectNumber) -> ObjectNumber {
        self.place(tree).map_or(NONE, |(listing, at)| listing.trees[at].base)
    }

    fn enter(&mut self, tree: ObjectNumber, prefix: u32) -> Result<(), GraphError> {
        let Some((listing, at)) = self.place(tree) else { return self.read(tree, prefix) };
        let first = self.stack.len();
        for &edge in listing.edges(at) {
            self.visit(edge.child, edge.is_tree(), || {
                name_hash::extend(prefix, listing.name(edge))
            });
        }
        self.stack[first..].reverse();
        let base = listing.trees[at].base;
        if base != NONE && !self.is_tree(base) {
            self.partial.push((tree, prefix));
        }
        Ok(())
    }

    /// The ordinary way: the whole tree.
    fn read(&mut self, tree: ObjectNumber, prefix: u32) -> Result<(), GraphError> {
        let source = self.reader.source;
        self.watch.check()?;
        // what is in it is visited when the reader is free again
        let mut entries = Vec::new();
        let content = self.reader.objects().read_as(source, tree, ObjectKind::Tree)?;
        for entry in TreeIter::new(content, source.hash_kind()) {
            let entry = entry.map_err(|_| {
                let (id, kind) = (source.id(tree), ObjectKind::Tree);
                SourceError::Malformed { id, kind }
            })?;
            if entry.mode.is_gitlink() || self.recent.note(entry.id) {
                continue;
            }
            let number = lookup_raw(source, entry.id)?.ok_or_else(|| missing(entry.id))?;
            let hash = name_hash::extend(prefix, entry.name);
            entries.push((number, entry.mode.is_tree(), hash));
        }
        for (number, is_tree, hash) in entries {
            self.visit(number, is_tree, || hash);
        }
        Ok(())
    }

    /// Everything met: first what is among `numbers`, in their order.
    pub(super) fn found(
        mut self,
        numbers: impl Iterator<Item = ObjectNumber>,
        out: &mut Vec<Found>,
    ) {
        let all = 0..self.flags.len() as ObjectNumber;
        for number in numbers.chain(all) {
            let Some(flags) = self.flags.get_mut(number as usize) else { continue };
            if *flags & GIVEN != 0 || *flags & (TREE | BLOB) == 0 {
                continue;
            }
            let kind = if *flags & TREE != 0 { ObjectKind::Tree } else { ObjectKind::Blob };
            *flags |= GIVEN;
            out.push(Found { number, name_hash: self.hashes[number as usize], kind });
        }
    }
}
