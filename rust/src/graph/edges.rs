//! What the client has at the boundary: the trees of commits it has next to those it lacks.
//!
//! Two ways lead to it. For a small request only the directories that the new commits touch are
//! opened ([`Edges`], a tree of paths that grows with the walk), so that the cost follows the
//! change and not the size of the repository; a file that moved between directories may then be
//! sent again, as by git's sparse algorithm. For a large request everything in the boundary
//! trees is marked first ([`mark_whole`]).

use std::collections::HashMap;

use super::GraphError;
use super::name_hash;
use super::recent::{self, Recent};
use super::request::Found;
use super::seen::SeenSet;
use super::table::CommitReader;
use crate::hash::{HashKind, ObjectId};
use crate::object::{ObjectKind, TreeIter};
use crate::source::{ObjectNumber, SourceError};
use crate::watch::Watch;

/// Index of a node of [`Edges`].
pub(super) type NodeIndex = u32;
/// A path that no boundary tree has.
pub(super) const NOWHERE: NodeIndex = u32::MAX;

/// How often marking looks whether it should stop.
const CHECK_EVERY: usize = 256;

struct Node {
    /// Boundary trees at this path.
    trees: Vec<ObjectNumber>,
    children: HashMap<Box<[u8]>, NodeIndex>,
    hash: u32,
    open: bool,
}

/// The directories of the boundary, opened as the walk comes to them.
pub(super) struct Edges<'a> {
    has: &'a SeenSet,
    nodes: Vec<Node>,
    /// Where deltas may find bases; only when the pack may be thin.
    pub(super) bases: Vec<Found>,
    thin: bool,
    /// Blobs marked last: the trees of neighbouring commits are nearly the same.
    recent: Recent,
}

impl<'a> Edges<'a> {
    /// With these root trees; what is met goes into `has`.
    pub(super) fn new(
        roots: Vec<ObjectNumber>,
        has: &'a SeenSet,
        thin: bool,
        kind: HashKind,
    ) -> Self {
        let recent = Recent::new(kind, recent::FEW);
        let mut edges = Self { has, nodes: Vec::new(), bases: Vec::new(), thin, recent };
        for &root in &roots {
            edges.mark(root, 0, ObjectKind::Tree);
        }
        edges.nodes.push(Node { trees: roots, children: HashMap::new(), hash: 0, open: false });
        edges
    }

    /// The node of the root directory.
    pub(super) fn root(&self) -> NodeIndex {
        if self.nodes[0].trees.is_empty() { NOWHERE } else { 0 }
    }

    /// Marks what the boundary has in this directory.
    pub(super) fn open(
        &mut self,
        at: NodeIndex,
        reader: &mut CommitReader<'_>,
    ) -> Result<(), GraphError> {
        let Some(node) = self.nodes.get_mut(at as usize).filter(|node| !node.open) else {
            return Ok(());
        };
        node.open = true;
        let hash = node.hash;
        for tree in std::mem::take(&mut node.trees) {
            self.open_tree(at, hash, tree, reader)?;
        }
        Ok(())
    }

    fn open_tree(
        &mut self,
        at: NodeIndex,
        hash: u32,
        tree: ObjectNumber,
        reader: &mut CommitReader<'_>,
    ) -> Result<(), GraphError> {
        let source = reader.source;
        let Some(content) = read_tolerant(reader, tree)? else { return Ok(()) };
        for entry in TreeIter::new(content, source.hash_kind()) {
            // a tree that cannot be read to its end proves nothing about the rest
            let Ok(entry) = entry else { break };
            let is_tree = entry.mode.is_tree();
            if entry.mode.is_gitlink() || !is_tree && self.recent.note(entry.id) {
                continue;
            }
            let Some(number) = lookup_raw(source, entry.id)? else { continue };
            let child_hash = name_hash::extend(hash, entry.name);
            if !is_tree {
                self.mark(number, child_hash, ObjectKind::Blob);
                continue;
            }
            self.mark(number, child_hash, ObjectKind::Tree);
            let child = self.child_or_new(at, entry.name, name_hash::extend(child_hash, b"/"));
            let trees = &mut self.nodes[child as usize].trees;
            if !trees.contains(&number) {
                trees.push(number);
            }
        }
        Ok(())
    }

    fn mark(&mut self, number: ObjectNumber, name_hash: u32, kind: ObjectKind) {
        if self.has.insert(number) && self.thin {
            self.bases.push(Found { number, name_hash, kind });
        }
    }

    fn child_or_new(&mut self, at: NodeIndex, name: &[u8], hash: u32) -> NodeIndex {
        if let Some(&child) = self.nodes[at as usize].children.get(name) {
            return child;
        }
        let child = self.nodes.len() as NodeIndex;
        self.nodes.push(Node { trees: Vec::new(), children: HashMap::new(), hash, open: false });
        self.nodes[at as usize].children.insert(name.into(), child);
        child
    }

    /// The directory `name` in an opened one.
    pub(super) fn child(&self, at: NodeIndex, name: &[u8]) -> NodeIndex {
        self.nodes
            .get(at as usize)
            .and_then(|node| node.children.get(name))
            .copied()
            .unwrap_or(NOWHERE)
    }
}

/// Marks everything in these trees, at any depth.
pub(super) fn mark_whole(
    roots: &[ObjectNumber],
    has: &SeenSet,
    thin: bool,
    reader: &mut CommitReader<'_>,
    watch: &Watch,
) -> Result<Vec<Found>, GraphError> {
    let source = reader.source;
    let mut recent = Recent::new(source.hash_kind(), recent::MANY);
    let mut bases = Vec::new();
    let mut note = |number, name_hash, kind| {
        let new = has.insert(number);
        if new && thin {
            bases.push(Found { number, name_hash, kind });
        }
        new
    };
    let mut stack = Vec::new();
    let mut steps = 0usize;
    for &root in roots {
        if note(root, 0, ObjectKind::Tree) {
            stack.push((root, 0));
        }
        while let Some((tree, hash)) = stack.pop() {
            steps += 1;
            if steps.is_multiple_of(CHECK_EVERY) {
                watch.check()?;
            }
            let Some(content) = read_tolerant(reader, tree)? else { continue };
            for entry in TreeIter::new(content, source.hash_kind()) {
                let Ok(entry) = entry else { break };
                if entry.mode.is_gitlink() || recent.note(entry.id) {
                    continue;
                }
                let Some(number) = lookup_raw(source, entry.id)? else { continue };
                let hash = name_hash::extend(hash, entry.name);
                if !entry.mode.is_tree() {
                    note(number, hash, ObjectKind::Blob);
                } else if note(number, hash, ObjectKind::Tree) {
                    stack.push((number, name_hash::extend(hash, b"/")));
                }
            }
        }
    }
    Ok(bases)
}

/// A tree of the client's side: what is missing or no tree there is ignored.
fn read_tolerant<'r>(
    reader: &'r mut CommitReader<'_>,
    tree: ObjectNumber,
) -> Result<Option<&'r [u8]>, GraphError> {
    let source = reader.source;
    match reader.objects().read_as(source, tree, ObjectKind::Tree) {
        Ok(content) => Ok(Some(content)),
        Err(SourceError::Missing(_) | SourceError::WrongKind { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

#[inline]
pub(super) fn lookup_raw(
    source: &dyn crate::source::ObjectSource,
    id: &[u8],
) -> Result<Option<ObjectNumber>, SourceError> {
    match ObjectId::from_bytes(id) {
        Some(id) => source.lookup(&id),
        None => Ok(None),
    }
}
