//! What the trees of a pack name, each tree's list without what its delta base names as well.

use crate::hash::HashKind;
use crate::object::TreeEntry;
use crate::source::{ObjectNumber, ObjectSource};

use super::grow::Unfit;
use crate::graph::edges::lookup_raw;

/// Set in [`Edge::name`]: the entry is a tree.
const TREE: u32 = 1 << 31;
/// Names take less than this many bytes in all.
const MAX_NAMES: usize = TREE as usize;
/// A longer name is nobody's file.
const MAX_NAME: usize = 1 << 12;
/// Bytes of names, for each entry there is room for.
const NAME_SHARE: usize = 4;
/// Slots for names met lately: a tree has hundreds, and the next one the same.
const NAMES: usize = 1 << 14;
/// Slots for objects met lately; they take 1.3 MB a thread.
const KNOWN: usize = 1 << 15;

/// Bytes of a [`Lister`] beside its listing.
pub(super) const BYTES_A_LISTER: usize =
    KNOWN * size_of::<([u8; 32], ObjectNumber)>() + NAMES * size_of::<u32>();
/// Bytes of listings, for each entry there is room for.
pub(super) const BYTES_AN_ENTRY: usize = size_of::<Edge>() + NAME_SHARE;
/// And for each tree.
pub(super) const BYTES_A_TREE: usize = size_of::<Listed>();

/// No tree.
pub(super) const NONE: ObjectNumber = ObjectNumber::MAX;

/// An entry of a tree.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    pub(super) child: ObjectNumber,
    name: u32,
}

impl Edge {
    #[inline]
    pub(super) fn is_tree(self) -> bool {
        self.name & TREE != 0
    }
}

/// A tree whose entries are listed.
#[derive(Clone, Copy)]
pub(super) struct Listed {
    pub(super) tree: ObjectNumber,
    /// The rest of its entries are among this tree's; [`NONE`]: there is no rest.
    pub(super) base: ObjectNumber,
    first: u32,
}

/// The lists that one thread made.
#[derive(Default)]
pub(in crate::graph) struct Listing {
    pub(super) trees: Vec<Listed>,
    edges: Vec<Edge>,
    /// Each with two bytes of length before it.
    names: Vec<u8>,
}

impl Listing {
    /// The entries of the tree that is this many trees into the listing.
    #[inline]
    pub(super) fn edges(&self, at: usize) -> &[Edge] {
        let end = self.trees.get(at + 1).map_or(self.edges.len(), |next| next.first as usize);
        &self.edges[self.trees[at].first as usize..end]
    }

    /// The name of an entry.
    #[inline]
    pub(super) fn name(&self, edge: Edge) -> &[u8] {
        let at = (edge.name & !TREE) as usize;
        let len = usize::from(u16::from_le_bytes([self.names[at], self.names[at + 1]]));
        &self.names[at + 2..at + 2 + len]
    }
}

/// Writes a [`Listing`].
pub(super) struct Lister<'a> {
    source: &'a dyn ObjectSource,
    listing: Listing,
    /// Entries there is room for.
    room: usize,
    known: Box<[([u8; 32], ObjectNumber)]>,
    /// Where names met lately are.
    lately: Box<[u32]>,
}

impl<'a> Lister<'a> {
    pub(super) fn new(source: &'a dyn ObjectSource, room: usize) -> Self {
        let known = vec![([0; 32], NONE); KNOWN].into_boxed_slice();
        let lately = vec![0; NAMES].into_boxed_slice();
        // the name of no length
        let listing = Listing { names: vec![0; 2], ..Listing::default() };
        Self { source, listing, room: room.min(u32::MAX as usize), known, lately }
    }

    /// Whatever is met from now on is in this tree.
    pub(super) fn begin(&mut self, tree: ObjectNumber, base: ObjectNumber) {
        let first = self.listing.edges.len() as u32;
        self.listing.trees.push(Listed { tree, base, first });
    }

    /// The tree begun last was none.
    pub(super) fn give_up(&mut self) {
        if let Some(listed) = self.listing.trees.pop() {
            self.listing.edges.truncate(listed.first as usize);
        }
    }

    /// An entry of the tree.
    #[inline]
    pub(super) fn met(&mut self, entry: TreeEntry<'_>) -> Result<(), Unfit> {
        if entry.mode.is_gitlink() {
            return Ok(());
        }
        if self.listing.edges.len() >= self.room {
            return Err(Unfit);
        }
        let child = self.number(entry.id)?;
        let name = self.name(entry.name)? | if entry.mode.is_tree() { TREE } else { 0 };
        self.listing.edges.push(Edge { child, name });
        Ok(())
    }

    #[inline]
    fn number(&mut self, id: &[u8]) -> Result<ObjectNumber, Unfit> {
        let slot = usize::from(u16::from_le_bytes([id[0], id[1]])) % KNOWN;
        let (known, number) = &mut self.known[slot];
        if *number != NONE && &known[..id.len()] == id {
            return Ok(*number);
        }
        // what is wrong is told when somebody needs the tree
        let found = lookup_raw(self.source, id).ok().flatten().ok_or(Unfit)?;
        known[..id.len()].copy_from_slice(id);
        *number = found;
        Ok(found)
    }

    #[inline]
    fn name(&mut self, name: &[u8]) -> Result<u32, Unfit> {
        let slot = crc32fast::hash(name) as usize % NAMES;
        let at = self.lately[slot];
        if self.listing.name(Edge { child: NONE, name: at }) == name {
            return Ok(at);
        }
        let names = &mut self.listing.names;
        let at = names.len();
        if name.len() > MAX_NAME
            || at + 2 + name.len() > MAX_NAMES.min(self.room.saturating_mul(NAME_SHARE))
        {
            return Err(Unfit);
        }
        names.extend((name.len() as u16).to_le_bytes());
        names.extend_from_slice(name);
        self.lately[slot] = at as u32;
        Ok(at as u32)
    }

    pub(super) fn finish(self) -> Listing {
        self.listing
    }

    pub(super) fn hash(&self) -> HashKind {
        self.source.hash_kind()
    }
}
