//! Trees and what is in them: each tree that was not met before is read once.
//!
//! A tree is put out first, then the new blobs in it, then its new subtrees, each in the same
//! way: depth first without recursion, four words for each subtree that waits.

use super::GraphError;
use super::edges::lookup_raw;
use super::name_hash;
use super::paths::{NOWHERE, NodeIndex, Paths, ROOT};
use super::recent::{self, Recent};
use super::request::Found;
use super::seen::{Lowest, SeenSet};
use super::sieve::Sieve;
use super::table::CommitReader;
use crate::allowance::Held;
use crate::hash::{HashKind, ObjectId};
use crate::object::{ObjectKind, TreeEntry, TreeIter};
use crate::source::{ObjectNumber, SourceError};
use crate::watch::Watch;

/// How often a walk looks whether it should stop, and says how far it is.
const CHECK_EVERY: usize = 64;

/// Where it is noted that an object was met.
#[derive(Clone, Copy)]
pub(super) enum Noted<'a> {
    /// Met or not.
    Once(&'a SeenSet),
    /// Met first in this part of the work: what a later part met before is met again, so that
    /// the result does not depend on who was faster.
    Part(&'a Lowest, u32),
    /// Met at this depth: under a depth filter a tree that is met higher up is entered again.
    Depth(&'a SeenSet, &'a Lowest),
}

/// A subtree that waits.
struct Visit {
    tree: ObjectNumber,
    hash: u32,
    depth: u32,
    node: NodeIndex,
    /// It was met before, at another path.
    again: bool,
}

/// Walks trees on one thread.
pub(super) struct TreeWalk<'w, 'a> {
    pub(super) reader: CommitReader<'a>,
    pub(super) noted: Noted<'w>,
    pub(super) out: Vec<Found>,
    sieve: Sieve,
    /// What the client has, where that is known beforehand.
    has: Option<&'w SeenSet>,
    paths: Option<Paths<'w>>,
    /// Every blob has to be one.
    check_kinds: bool,
    recent: Option<Recent>,
    stack: Vec<Visit>,
    /// Blobs of the current tree whose headers have to be looked at.
    doubtful: Vec<Found>,
    watch: &'w Watch,
    steps: usize,
    told: usize,
    hash: HashKind,
    held: Held<'w>,
}

impl<'w, 'a> TreeWalk<'w, 'a> {
    pub(super) fn new(
        reader: CommitReader<'a>,
        noted: Noted<'w>,
        sieve: Sieve,
        has: Option<&'w SeenSet>,
        watch: &'w Watch,
    ) -> Self {
        let hash = reader.source.hash_kind();
        // what was met at one depth may have to be met again at another
        let recent = (!matches!(noted, Noted::Depth(..))).then(|| Recent::new(hash, recent::MANY));
        Self {
            reader,
            noted,
            out: Vec::new(),
            sieve,
            has,
            paths: None,
            check_kinds: false,
            recent,
            stack: Vec::new(),
            doubtful: Vec::new(),
            watch,
            steps: 0,
            told: 0,
            hash,
            held: Held::new(watch.allowance()),
        }
    }

    /// Opens the boundary's directories along with the new ones, and compares each tree with the
    /// one before it at its path.
    pub(super) fn along(mut self, paths: Paths<'w>) -> Self {
        self.paths = Some(paths);
        // such a request is small
        self.recent = self.recent.map(|_| Recent::new(self.hash, recent::FEW));
        self
    }

    /// Makes sure that each blob exists and is a blob.
    pub(super) fn checking_kinds(mut self) -> Self {
        self.check_kinds = true;
        self
    }

    /// Gives back what it was made of.
    pub(super) fn finish(mut self) -> (Vec<Found>, Option<Paths<'w>>, CommitReader<'a>) {
        self.tell();
        (self.out, self.paths, self.reader)
    }

    /// Walks the tree of a commit.
    pub(super) fn walk_commit_tree(&mut self, id: &ObjectId) -> Result<(), GraphError> {
        if !self.sieve.enters(0) {
            return Ok(());
        }
        let root = match self.reader.source.lookup(id)? {
            Some(root) => root,
            None if self.sieve.leave_missing => return Ok(()),
            None => return Err(SourceError::Missing(*id).into()),
        };
        if self.has.is_some_and(|has| has.contains(root)) {
            return Ok(());
        }
        let new = self.note(root, 0);
        let (node, enters) = match &mut self.paths {
            Some(paths) if paths.boundary.contains(id) => {
                paths.note_had_root(id);
                return Ok(());
            }
            // what is a root now may have been met as a directory
            Some(paths) => (ROOT, new || paths.is_elsewhere_root(id)),
            None => (NOWHERE, new),
        };
        if !enters {
            return Ok(());
        }
        self.stack.push(Visit { tree: root, hash: 0, depth: 0, node, again: !new });
        self.drain()
    }

    /// Walks a tree that was asked for by its id: it is sent whatever the filter says, and its
    /// entries count as those of a root.
    pub(super) fn walk_wanted_tree(&mut self, root: ObjectNumber) -> Result<(), GraphError> {
        if self.has.is_some_and(|has| has.contains(root)) || !self.note(root, 0) {
            return Ok(());
        }
        self.out.push(Found { number: root, name_hash: 0, kind: ObjectKind::Tree });
        if self.sieve.enters(0) {
            self.enter(&Visit { tree: root, hash: 0, depth: 0, node: NOWHERE, again: false }, 0)?;
            self.drain()?;
        }
        Ok(())
    }

    fn affords(&mut self, tree: ObjectNumber) -> Result<bool, GraphError> {
        let Some(paths) = &mut self.paths else { return Ok(true) };
        Ok(paths.affords(self.reader.objects().header(tree)?.1))
    }

    fn drain(&mut self) -> Result<(), GraphError> {
        while let Some(visit) = self.stack.pop() {
            self.steps += 1;
            if self.steps.is_multiple_of(CHECK_EVERY) {
                self.watch.check()?;
                self.tell();
            }
            if visit.again && !self.affords(visit.tree)? {
                continue;
            }
            if self.sieve.trees && !visit.again && self.is_new_output(visit.tree) {
                let Visit { tree: number, hash: name_hash, .. } = visit;
                self.out.push(Found { number, name_hash, kind: ObjectKind::Tree });
            }
            if self.sieve.enters(u64::from(visit.depth) + 1) {
                let below = visit.depth + 1;
                self.enter(&visit, below)?;
                self.count_held()?;
            }
        }
        Ok(())
    }

    fn count_held(&mut self) -> Result<(), SourceError> {
        let Self { held, stack, out, doubtful, paths, .. } = self;
        held.set(|| {
            let found = (out.capacity() + doubtful.capacity()) * size_of::<Found>();
            let paths = paths.as_ref().map_or(0, Paths::bytes);
            stack.capacity() * size_of::<Visit>() + found + paths
        })?;
        Ok(())
    }

    /// Reads a tree and meets its entries, which are at depth `below`.
    fn enter(&mut self, visit: &Visit, below: u32) -> Result<(), GraphError> {
        // the name hash of a root is 0 and stays so; of others it goes on behind a slash
        let prefix = if visit.hash == 0 { 0 } else { name_hash::extend(visit.hash, b"/") };
        let mut paths = self.paths.as_mut().filter(|_| visit.node != NOWHERE);
        if let Some(paths) = &mut paths {
            paths.open(visit.node, prefix, &mut self.reader)?;
        }
        let source = self.reader.source;
        let fresh;
        let content = match &mut paths {
            Some(paths) => {
                fresh = paths.fresh(visit.node, visit.tree, &mut self.reader)?;
                &*fresh
            }
            None => self.reader.objects().read_as(source, visit.tree, ObjectKind::Tree)?,
        };
        let first = self.stack.len();
        for entry in TreeIter::new(content, self.hash) {
            let entry = entry.map_err(|_| {
                let (id, kind) = (source.id(visit.tree), ObjectKind::Tree);
                SourceError::Malformed { id, kind }
            })?;
            let is_tree = entry.mode.is_tree();
            if entry.mode.is_gitlink() || !is_tree && !self.sieve.blobs {
                continue;
            }
            if let Some(paths) = &mut paths
                && paths.has_boundary(entry.id)
            {
                if is_tree {
                    paths.note_had(visit.node, entry);
                }
                continue;
            }
            let known = self.recent.as_mut().is_some_and(|recent| recent.note(entry.id));
            if known && !goes_again(&mut paths, visit.node, entry) {
                continue;
            }
            let Some(number) = lookup_raw(source, entry.id)? else {
                if self.sieve.leave_missing {
                    continue;
                }
                return Err(missing(entry.id));
            };
            if self.has.is_some_and(|has| has.contains(number)) {
                continue;
            }
            let new = match self.noted {
                Noted::Once(seen) => seen.insert(number),
                Noted::Part(lowest, part) => lowest.lower(number, part),
                Noted::Depth(_, lowest) if is_tree => lowest.lower(number, below),
                Noted::Depth(seen, _) => seen.insert(number),
            };
            let again = known || !new;
            if again && !known && !goes_again(&mut paths, visit.node, entry) {
                continue;
            }
            let hash = name_hash::extend(prefix, entry.name);
            if is_tree {
                let node = match &mut paths {
                    Some(paths) => paths.child(visit.node, entry.name),
                    None => NOWHERE,
                };
                self.stack.push(Visit { tree: number, hash, depth: below, node, again });
            } else {
                let found = Found { number, name_hash: hash, kind: ObjectKind::Blob };
                if self.check_kinds || self.sieve.blob_limit.is_some() {
                    self.doubtful.push(found);
                } else {
                    self.out.push(found);
                }
            }
        }
        // the first subtree is to be visited first
        self.stack[first..].reverse();
        self.look_at_doubtful()
    }

    fn look_at_doubtful(&mut self) -> Result<(), GraphError> {
        let mut doubtful = std::mem::take(&mut self.doubtful);
        for found in doubtful.drain(..) {
            let (kind, size) = self.reader.objects().header(found.number)?;
            if self.check_kinds && kind != ObjectKind::Blob {
                let id = self.reader.source.id(found.number);
                let wanted = ObjectKind::Blob;
                return Err(SourceError::WrongKind { id, found: kind, wanted }.into());
            }
            if self.sieve.blob_limit.is_none_or(|limit| size < limit) {
                self.out.push(found);
            }
        }
        self.doubtful = doubtful;
        Ok(())
    }

    fn note(&self, number: ObjectNumber, depth: u32) -> bool {
        match self.noted {
            Noted::Once(seen) => seen.insert(number),
            Noted::Part(lowest, part) => lowest.lower(number, part),
            Noted::Depth(_, lowest) => lowest.lower(number, depth),
        }
    }

    /// A tree entered a second time, nearer to the root, is not sent a second time.
    fn is_new_output(&self, tree: ObjectNumber) -> bool {
        match self.noted {
            Noted::Once(_) | Noted::Part(..) => true,
            Noted::Depth(seen, _) => seen.insert(tree),
        }
    }

    fn tell(&mut self) {
        let new = self.out.len().saturating_sub(self.told);
        self.watch.add(new as u64);
        self.told = self.out.len();
    }

    /// Takes what was found so far.
    pub(super) fn take(&mut self) -> Vec<Found> {
        self.tell();
        self.told = 0;
        std::mem::take(&mut self.out)
    }
}

/// Is what was met before to be met at this path as well?
fn goes_again(paths: &mut Option<&mut Paths<'_>>, at: NodeIndex, entry: TreeEntry<'_>) -> bool {
    entry.mode.is_tree() && paths.as_mut().is_some_and(|paths| paths.is_elsewhere(at, entry))
}

pub(super) fn missing(id: &[u8]) -> GraphError {
    match ObjectId::from_bytes(id) {
        Some(id) => SourceError::Missing(id).into(),
        None => SourceError::Foreign("a tree names an id of the wrong length".into()).into(),
    }
}
