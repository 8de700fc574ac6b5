//! The directories a walk comes through, as a tree of paths that grows with it.
//!
//! Each has the boundary's trees at its path, which are opened when the walk comes there, and keeps
//! the tree that was met there last, so that of the next one only what differs is looked at
//! ([`super::differ`]).

use std::collections::HashMap;

use super::GraphError;
use super::differ::{Differ, Former};
use super::edges::{BoundaryNames, read_tolerant};
use super::name_hash;
use super::table::CommitReader;
use crate::hash::{HashKind, ObjectId};
use crate::object::{ObjectKind, TreeEntry, TreeError, TreeIter};

/// Index of a directory in [`Paths`].
pub(super) type NodeIndex = u32;
/// A path of which nothing is known.
pub(super) const NOWHERE: NodeIndex = u32::MAX;
/// The root directory.
pub(super) const ROOT: NodeIndex = 0;

/// Bytes of trees that are kept; all trees of a commit of Linux take half of it.
const MOST_KEPT: usize = 8 << 20;
/// Directories that are told apart: a quarter of a million are those of the largest repositories,
/// and beyond them more is sent than need be.
const MOST_NODES: usize = 1 << 18;
/// Bytes of their names: a name may have as many as a tree.
const MOST_NAMES: usize = 32 << 20;
/// What is held of a directory beside its name and its tree.
const NODE_BYTES: usize = size_of::<Node>() + size_of::<(Box<[u8]>, NodeIndex)>() * 2;

#[derive(Default)]
struct Node {
    former: Former,
    /// Boundary trees at this path that were not opened yet.
    closed: Vec<ObjectId>,
    children: HashMap<Box<[u8]>, NodeIndex>,
}

/// See the module.
pub(super) struct Paths {
    hash: HashKind,
    nodes: Vec<Node>,
    kept: usize,
    names: usize,
    differ: Differ,
    /// What its opened directories hold.
    pub(super) boundary: BoundaryNames,
}

impl Paths {
    /// With the root trees of boundary commits.
    pub(super) fn new(hash: HashKind, roots: Vec<ObjectId>) -> Self {
        let mut boundary = BoundaryNames::default();
        for root in &roots {
            boundary.insert(*root, 0, ObjectKind::Tree);
        }
        let nodes = vec![Node { closed: roots, ..Node::default() }];
        Self { hash, nodes, kept: 0, names: 0, differ: Differ::default(), boundary }
    }

    /// What is held of all of them.
    pub(super) fn bytes(&self) -> usize {
        self.kept + self.names + self.nodes.len() * NODE_BYTES + self.boundary.bytes()
    }

    /// Opens the boundary's trees at this path, whose name hash with a slash behind is `prefix`:
    /// what is in them is known from now on.
    pub(super) fn open(
        &mut self,
        at: NodeIndex,
        prefix: u32,
        reader: &mut CommitReader<'_>,
    ) -> Result<(), GraphError> {
        let Some(node) = self.nodes.get_mut(at as usize) else { return Ok(()) };
        for tree in std::mem::take(&mut node.closed) {
            let Some(number) = reader.source.lookup(&tree)? else { continue };
            let Some(content) = read_tolerant(reader, number)? else { continue };
            // a tree that cannot be read to its end proves nothing about the rest
            let _ = self.compare(at, content);
            for nth in 0..self.differ.fresh.len() {
                self.note(at, prefix, self.entry(content, self.differ.fresh[nth]));
            }
        }
        Ok(())
    }

    /// Is the object of this raw name known to be the client's?
    #[inline]
    pub(super) fn has_boundary(&self, id: &[u8]) -> bool {
        ObjectId::from_bytes(id).is_some_and(|id| self.boundary.contains(&id))
    }

    fn note(&mut self, at: NodeIndex, prefix: u32, entry: Option<TreeEntry<'_>>) {
        let Some(entry) = entry.filter(|entry| !entry.mode.is_gitlink()) else { return };
        let Some(id) = ObjectId::from_bytes(entry.id) else { return };
        let name_hash = name_hash::extend(prefix, entry.name);
        if !entry.mode.is_tree() {
            self.boundary.insert(id, name_hash, ObjectKind::Blob);
            return;
        }
        self.boundary.insert(id, name_hash, ObjectKind::Tree);
        let child = self.child(at, entry.name);
        if let Some(child) = self.nodes.get_mut(child as usize)
            && !child.closed.contains(&id)
        {
            child.closed.push(id);
        }
    }

    /// Compares a tree with the one met last at its path, which it becomes; what differs is then
    /// to be had of [`Paths::fresh`].
    pub(super) fn compare(&mut self, at: NodeIndex, content: &[u8]) -> Result<(), TreeError> {
        let former = &mut self.nodes[at as usize].former;
        let before = former.size();
        let outcome = self.differ.compare(former, content, self.hash);
        self.kept = self.kept - before + former.size();
        if self.kept > MOST_KEPT {
            self.nodes.iter_mut().for_each(|node| node.former = Former::default());
            self.kept = 0;
        }
        outcome
    }

    /// Of the entries that the last comparison found, the one of this number.
    pub(super) fn fresh<'c>(&self, content: &'c [u8], nth: usize) -> Option<TreeEntry<'c>> {
        self.differ.fresh.get(nth).and_then(|&start| self.entry(content, start))
    }

    fn entry<'c>(&self, content: &'c [u8], start: u32) -> Option<TreeEntry<'c>> {
        TreeIter::new(&content[start as usize..], self.hash).next()?.ok()
    }

    /// The directory `name` in another.
    pub(super) fn child(&mut self, at: NodeIndex, name: &[u8]) -> NodeIndex {
        let Some(node) = self.nodes.get(at as usize) else { return NOWHERE };
        if let Some(&child) = node.children.get(name) {
            return child;
        }
        if self.nodes.len() >= MOST_NODES || self.names + name.len() > MOST_NAMES {
            return NOWHERE;
        }
        let child = self.nodes.len() as NodeIndex;
        self.names += name.len();
        self.nodes.push(Node::default());
        self.nodes[at as usize].children.insert(name.into(), child);
        child
    }
}
