//! The directories a walk comes through, as a tree of paths that grows with it.
//!
//! Each has the boundary's trees at its path, which are opened when the walk comes there, and keeps
//! the tree that was met there last, so that of the next one only what differs is looked at
//! ([`super::differ`]), and is not even read where an earlier request did ([`super::differences`]).

use std::collections::HashMap;
use std::sync::Arc;

use super::GraphError;
use super::differ::{Differ, Former};
use super::differences::Differences;
use super::edges::{BoundaryNames, read_tolerant};
use super::name_hash;
use super::table::CommitReader;
use crate::hash::{HashKind, ObjectId};
use crate::object::{ObjectKind, TreeEntry, TreeError, TreeIter};
use crate::source::{ObjectNumber, SourceError};

/// Index of a directory in [`Paths`].
pub(super) type NodeIndex = u32;
/// A path of which nothing is known.
pub(super) const NOWHERE: NodeIndex = u32::MAX;
/// The root directory.
pub(super) const ROOT: NodeIndex = 0;

/// Bytes of trees that are kept; all trees of a commit of Linux take half of it.
const MOST_KEPT: usize = 8 << 20;
/// Bytes of an entry beside its id, about.
const NAME_LEN: usize = 16;
/// Entries for which there is room before they are met.
const MOST_RESERVED: usize = 1 << 12;
/// Directories that are told apart: a quarter of a million are those of the largest repositories,
/// and beyond them more is sent than need be.
const MOST_NODES: usize = 1 << 18;
/// Bytes of their names: a name may have as many as a tree.
const MOST_NAMES: usize = 32 << 20;
/// Trees that are met at a second path, or a third: a move brings some hundred, and trees in trees
/// in trees have paths without end.
const MOST_AGAIN: u32 = 1 << 16;
/// Bytes of such trees; what is moved has some hundred KB of them.
const MOST_BYTES_AGAIN: u64 = 64 << 20;
/// Trees of the boundary at one path: those of so many commits, which a hostile tree may well exceed.
const MOST_CLOSED: usize = 1 << 12;
/// Trees met at a path that are remembered: one that comes back after more is met again.
const MOST_MET: usize = 64;
/// What is held of a directory beside its name and its tree.
const NODE_BYTES: usize = size_of::<Node>() + size_of::<(Box<[u8]>, NodeIndex)>() * 2;

#[derive(Default)]
struct Node {
    /// The tree met last.
    last: Option<ObjectId>,
    /// The tree that `former` holds.
    held: Option<ObjectId>,
    former: Former,
    /// Trees that were met here, the latest of so many.
    met: Vec<ObjectId>,
    meetings: usize,
    /// Boundary trees at this path, of which so many were opened.
    boundary: Vec<ObjectId>,
    opened: usize,
    children: HashMap<Box<[u8]>, NodeIndex>,
}

/// See the module.
pub(super) struct Paths<'m> {
    hash: HashKind,
    nodes: Vec<Node>,
    /// So many trees may be met again at other paths; nobody minds moves when it is none.
    again: u32,
    /// With so many bytes.
    bytes_again: u64,
    /// Trees that are remembered at paths beside what `boundary` knows.
    noted: usize,
    kept: usize,
    names: usize,
    differ: Differ,
    memory: Option<&'m Differences>,
    /// Trees of the boundary that were met at other paths, after these had been walked.
    pub(super) late: Vec<ObjectId>,
    /// What its opened directories hold.
    pub(super) boundary: BoundaryNames,
}

impl<'m> Paths<'m> {
    /// With the root trees of boundary commits.
    pub(super) fn new(
        hash: HashKind,
        roots: Vec<ObjectId>,
        memory: Option<&'m Differences>,
    ) -> Self {
        let mut boundary = BoundaryNames::default();
        for root in &roots {
            boundary.insert(*root, 0, ObjectKind::Tree);
        }
        let nodes = vec![Node { boundary: roots, ..Node::default() }];
        Self {
            hash,
            nodes,
            again: 0,
            bytes_again: MOST_BYTES_AGAIN,
            noted: 0,
            kept: 0,
            names: 0,
            differ: Differ::default(),
            memory,
            late: Vec::new(),
            boundary,
        }
    }

    /// Finds out what of the boundary moved elsewhere.
    pub(super) fn minding_moves(self) -> Self {
        Self { again: MOST_AGAIN, ..self }
    }

    /// What is held of all of them.
    pub(super) fn bytes(&self) -> usize {
        let noted = self.noted * 2 * size_of::<ObjectId>();
        self.kept + self.names + noted + self.nodes.len() * NODE_BYTES + self.boundary.bytes()
    }

    /// Opens the boundary's trees at this path, whose name hash with a slash behind is `prefix`:
    /// what is in them is known from now on.
    pub(super) fn open(
        &mut self,
        at: NodeIndex,
        prefix: u32,
        reader: &mut CommitReader<'_>,
    ) -> Result<(), GraphError> {
        while let Some(tree) = self.next_closed(at) {
            if let Some(known) = self.known(at, &tree) {
                self.note_all(at, prefix, &known);
                continue;
            }
            self.hold_last(at, reader)?;
            let Some(number) = reader.source.lookup(&tree)? else { continue };
            let Some(content) = read_tolerant(reader, number)? else { continue };
            // a tree that cannot be read to its end proves nothing about the rest
            let is_first = self.nodes[at as usize].last.is_none();
            if is_first && self.note_all(at, prefix, content) {
                // it is held when something is to be compared with it
                self.nodes[at as usize].last = Some(tree);
            } else if !is_first {
                let (fresh, _) = self.compare(at, tree, content);
                self.note_all(at, prefix, &fresh);
            }
        }
        Ok(())
    }

    /// The next boundary tree at this path that was not opened; it is now.
    fn next_closed(&mut self, at: NodeIndex) -> Option<ObjectId> {
        let node = self.nodes.get_mut(at as usize)?;
        let tree = *node.boundary.get(node.opened)?;
        node.opened += 1;
        Some(tree)
    }

    /// The entries of a tree that the one met last at its path has not; it is the last one now.
    pub(super) fn fresh(
        &mut self,
        at: NodeIndex,
        tree: ObjectNumber,
        reader: &mut CommitReader<'_>,
    ) -> Result<Arc<[u8]>, GraphError> {
        let source = reader.source;
        let id = source.id(tree);
        self.note_met(at, id);
        if let Some(known) = self.known(at, &id) {
            return Ok(known);
        }
        self.hold_last(at, reader)?;
        let content = reader.objects().read_as(source, tree, ObjectKind::Tree)?;
        let (fresh, outcome) = self.compare(at, id, content);
        let malformed = |_| SourceError::Malformed { id, kind: ObjectKind::Tree };
        outcome.map_err(malformed)?;
        Ok(fresh)
    }

    /// Is the object of this raw name known to be the client's?
    #[inline]
    pub(super) fn has_boundary(&self, id: &[u8]) -> bool {
        ObjectId::from_bytes(id).is_some_and(|id| self.boundary.contains(&id))
    }

    /// Notes what the client has; false when that cannot be read to its end.
    fn note_all(&mut self, at: NodeIndex, prefix: u32, entries: &[u8]) -> bool {
        // what a tree promises by its length is believed so far
        let about = (entries.len() / (self.hash.len() + NAME_LEN)).min(MOST_RESERVED);
        self.boundary.reserve(about);
        let mut all = TreeIter::new(entries, self.hash);
        all.try_for_each(|entry| entry.map(|entry| self.note(at, prefix, entry))).is_ok()
    }

    fn note(&mut self, at: NodeIndex, prefix: u32, entry: TreeEntry<'_>) {
        if entry.mode.is_gitlink() {
            return;
        }
        let Some(id) = ObjectId::from_bytes(entry.id) else { return };
        let name_hash = name_hash::extend(prefix, entry.name);
        if !entry.mode.is_tree() {
            self.boundary.insert(id, name_hash, ObjectKind::Blob);
            return;
        }
        self.boundary.insert(id, name_hash, ObjectKind::Tree);
        let child = self.child(at, entry.name);
        if let Some(child) = self.nodes.get_mut(child as usize)
            && child.boundary.len() < MOST_CLOSED
            && !child.boundary.contains(&id)
        {
            child.boundary.push(id);
        }
    }

    /// What differs, if it was found out before; the tree is the last one then.
    fn known(&mut self, at: NodeIndex, tree: &ObjectId) -> Option<Arc<[u8]>> {
        let node = &mut self.nodes[at as usize];
        let known = self.memory?.get(&node.last?, tree)?;
        node.last = Some(*tree);
        Some(known)
    }

    /// Has the tree met last at hand. What is missing is compared with nothing.
    fn hold_last(
        &mut self,
        at: NodeIndex,
        reader: &mut CommitReader<'_>,
    ) -> Result<(), GraphError> {
        let node = &mut self.nodes[at as usize];
        let Some(last) = node.last.filter(|_| node.held != node.last) else { return Ok(()) };
        self.kept -= node.former.size();
        (node.former, node.held) = (Former::default(), None);
        let Some(number) = reader.source.lookup(&last)? else { return Ok(()) };
        let Some(content) = read_tolerant(reader, number)? else { return Ok(()) };
        let _ = self.put_last(at, last, content);
        Ok(())
    }

    /// Compares a tree with the one met last at its path, which it becomes.
    fn compare(
        &mut self,
        at: NodeIndex,
        tree: ObjectId,
        content: &[u8],
    ) -> (Arc<[u8]>, Result<(), TreeError>) {
        let node = &self.nodes[at as usize];
        let before = node.last.filter(|_| node.held == node.last);
        let outcome = self.put_last(at, tree, content);
        let mut fresh = Vec::new();
        for &start in &self.differ.fresh {
            let rest = &content[start as usize..];
            let mut entries = TreeIter::new(rest, self.hash);
            if let Some(Ok(_)) = entries.next() {
                fresh.extend_from_slice(&rest[..rest.len() - entries.rest().len()]);
            }
        }
        let fresh = Arc::from(fresh);
        if let (Some(before), Some(memory), Ok(())) = (before, self.memory, &outcome) {
            memory.put(before, tree, &fresh);
        }
        (fresh, outcome)
    }

    fn put_last(&mut self, at: NodeIndex, tree: ObjectId, content: &[u8]) -> Result<(), TreeError> {
        let node = &mut self.nodes[at as usize];
        let before = node.former.size();
        let outcome = self.differ.compare(&mut node.former, content, self.hash);
        node.last = outcome.is_ok().then_some(tree);
        node.held = node.last;
        if outcome.is_err() {
            node.former = Former::default();
        }
        self.kept = self.kept - before + node.former.size();
        if self.kept > MOST_KEPT {
            for node in &mut self.nodes {
                (node.former, node.held) = (Former::default(), None);
            }
            self.kept = 0;
        }
        outcome
    }

    fn note_met(&mut self, at: NodeIndex, tree: ObjectId) {
        if self.again == 0 {
            return;
        }
        let node = &mut self.nodes[at as usize];
        if node.met.len() < MOST_MET {
            node.met.push(tree);
            self.noted += 1;
        } else {
            node.met[node.meetings % MOST_MET] = tree;
        }
        node.meetings += 1;
    }

    /// A commit's tree was met before: is it new as one?
    pub(super) fn is_elsewhere_root(&mut self, tree: &ObjectId) -> bool {
        self.is_elsewhere_at(ROOT, tree)
    }

    /// A directory's tree was met before: is it new here, where the boundary has something that
    /// may hold what is in it?
    pub(super) fn is_elsewhere(&mut self, at: NodeIndex, entry: TreeEntry<'_>) -> bool {
        let Some(id) = ObjectId::from_bytes(entry.id) else { return false };
        let node = self.nodes.get(at as usize);
        let child = node.and_then(|node| node.children.get(entry.name).copied());
        child.is_some_and(|child| self.is_elsewhere_at(child, &id))
    }

    fn is_elsewhere_at(&mut self, at: NodeIndex, tree: &ObjectId) -> bool {
        let Some(node) = self.nodes.get(at as usize) else { return false };
        if self.again == 0 || node.boundary.is_empty() || node.met.contains(tree) {
            return false;
        }
        self.again -= 1;
        true
    }

    /// Is a tree of so many bytes to be met again, or is it enough? Then more is sent.
    pub(super) fn affords(&mut self, bytes: u64) -> bool {
        self.bytes_again = self.bytes_again.saturating_sub(bytes);
        if self.bytes_again == 0 {
            self.again = 0;
        }
        self.bytes_again > 0
    }

    /// Notes that the walk met a directory's tree that the boundary has, maybe at another path.
    pub(super) fn note_had(&mut self, at: NodeIndex, entry: TreeEntry<'_>) {
        if self.again == 0 {
            return;
        }
        let child = self.child(at, entry.name);
        if let Some(id) = ObjectId::from_bytes(entry.id) {
            self.note_had_at(child, &id);
        }
    }

    /// The same of a commit's tree.
    pub(super) fn note_had_root(&mut self, tree: &ObjectId) {
        self.note_had_at(ROOT, tree);
    }

    fn note_had_at(&mut self, at: NodeIndex, tree: &ObjectId) {
        let Some(node) = self.nodes.get_mut(at as usize) else { return };
        let has_room = self.again > 0 && node.boundary.len() < MOST_CLOSED;
        if has_room && !node.boundary.contains(tree) {
            node.boundary.push(*tree);
            self.noted += 1;
            if !node.met.is_empty() {
                node.opened = node.boundary.len();
                self.late.push(*tree);
            }
        }
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
