//! What commits reach, each from what others before it reach and a walk of the rest.

use std::collections::HashMap;

use super::target::Target;
use crate::bitmap::{Bits, Reachability};
use crate::graph::{Found, extend_name_hash};
use crate::hash::ObjectId;
use crate::maintain::MaintainError;
use crate::object::{Commit, ObjectKind, TreeIter};
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, SourceError};
use crate::store::Snapshot;
use crate::watch::Watch;

/// A commit.
pub(super) struct Row {
    pub(super) parents: Vec<ObjectNumber>,
    pub(super) tree: ObjectId,
    pub(super) time: u64,
}

/// What is known so far.
pub(super) struct Walk<'a> {
    source: &'a Snapshot,
    reader: Box<dyn ObjectReader + 'a>,
    watch: &'a Watch,
    target: &'a Target,
    rows: HashMap<ObjectNumber, Row>,
    /// Commits, trees, blobs, tags.
    pub(super) kinds: [Bits; 4],
    /// Of the path of each object, by bit.
    pub(super) hashes: Vec<u32>,
    /// Bitmaps, those of ancestors before those of descendants as far as they were made here.
    pub(super) made: Vec<(ObjectNumber, Bits)>,
    places: HashMap<ObjectNumber, usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(source: &'a Snapshot, target: &'a Target, watch: &'a Watch) -> Self {
        Self {
            source,
            reader: source.reader(),
            watch,
            target,
            rows: HashMap::new(),
            kinds: std::array::from_fn(|_| Bits::new(target.count())),
            hashes: vec![0; target.count() as usize],
            made: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Takes in what a walk found. False: something of it has no bit.
    pub(super) fn note(&mut self, found: &[Found]) -> bool {
        for object in found {
            let Some(bit) = self.target.bit(object.number) else { return false };
            self.kinds[object.kind as usize - 1].insert(bit);
            self.hashes[bit as usize] = object.name_hash;
        }
        true
    }

    /// Takes in what earlier bitmaps say of objects, and the bitmaps of those commits that are
    /// `wanted`, as far as all of it has bits here.
    pub(super) fn take_over(
        &mut self,
        earlier: &Reachability,
        wanted: &[ObjectNumber],
    ) -> Result<(), MaintainError> {
        let bits: Vec<Option<u32>> =
            earlier.numbers().iter().map(|&number| self.target.bit(number)).collect();
        let same = (0..).zip(&bits).take_while(|&(old, &new)| new == Some(old)).count() as u32;
        for kind in [ObjectKind::Commit, ObjectKind::Tree, ObjectKind::Blob, ObjectKind::Tag] {
            for old in earlier.of_kind(kind).ones() {
                if let Some(new) = bits[old as usize] {
                    self.kinds[kind as usize - 1].insert(new);
                }
            }
        }
        for (&number, &bit) in earlier.numbers().iter().zip(&bits) {
            if let Some(bit) = bit {
                self.hashes[bit as usize] = earlier.name_hash(number);
            }
        }
        for &commit in wanted {
            self.watch.check()?;
            let Some(old) = earlier.commit(commit) else { continue };
            let mut new = Bits::new(self.target.count());
            new.copy_leading(&old, same);
            let mut rest = old.ones_from(same).map(|bit| bits[bit as usize]);
            // one that reaches what is not here any more is of no use
            if rest.all(|bit| bit.map(|bit| new.insert(bit)).is_some()) {
                self.keep(commit, new);
            }
        }
        Ok(())
    }

    /// Notes the kinds of objects that nobody came across. False: something has two, for folders
    /// say of it what it is not.
    pub(super) fn complete_kinds(&mut self) -> Result<bool, MaintainError> {
        let mut known = Bits::new(self.target.count());
        self.kinds.iter().for_each(|kind| known.or(kind));
        for bit in (0..self.target.count()).filter(|&bit| !known.contains(bit)) {
            self.watch.check()?;
            let (kind, _) = self.reader.header(self.target.numbers[bit as usize])?;
            self.kinds[kind as usize - 1].insert(bit);
        }
        let total: u64 = self.kinds.iter().map(|kind| u64::from(kind.count())).sum();
        Ok(total == u64::from(self.target.count()))
    }

    /// A commit; `None` when a parent has no bit, as in shallow histories.
    pub(super) fn row(&mut self, commit: ObjectNumber) -> Result<Option<&Row>, SourceError> {
        if !self.rows.contains_key(&commit) {
            let id = self.source.id(commit);
            let content = self.reader.read_as(self.source, commit, ObjectKind::Commit)?;
            let malformed = |_| SourceError::Malformed { id, kind: ObjectKind::Commit };
            let parsed = Commit::parse(content).map_err(malformed)?;
            let mut parents = Vec::with_capacity(parsed.parents.len());
            for parent in &parsed.parents {
                let number = self.source.lookup(parent)?;
                let Some(number) = number.filter(|&number| self.target.bit(number).is_some())
                else {
                    return Ok(None);
                };
                parents.push(number);
            }
            let (tree, time) = (parsed.tree, parsed.time);
            self.rows.insert(commit, Row { parents, tree, time });
        }
        Ok(self.rows.get(&commit))
    }

    pub(super) fn has(&self, commit: ObjectNumber) -> bool {
        self.places.contains_key(&commit)
    }

    /// Makes the bitmap of a commit. False: something that it reaches has no bit.
    pub(super) fn make(&mut self, commit: ObjectNumber) -> Result<bool, MaintainError> {
        if self.has(commit) {
            return Ok(true);
        }
        let Some(bits) = self.reach(commit)? else { return Ok(false) };
        self.keep(commit, bits);
        Ok(true)
    }

    fn keep(&mut self, commit: ObjectNumber, bits: Bits) {
        self.places.insert(commit, self.made.len());
        self.made.push((commit, bits));
    }

    fn reach(&mut self, commit: ObjectNumber) -> Result<Option<Bits>, MaintainError> {
        let mut reached = Bits::new(self.target.count());
        let (mut stack, mut new) = (vec![commit], Vec::new());
        while let Some(at) = stack.pop() {
            let Some(bit) = self.target.bit(at) else { return Ok(None) };
            if reached.contains(bit) {
                continue;
            }
            if let Some(&known) = self.places.get(&at) {
                reached.or(&self.made[known].1);
                continue;
            }
            self.watch.check()?;
            reached.insert(bit);
            self.kinds[ObjectKind::Commit as usize - 1].insert(bit);
            let Some(row) = self.row(at)? else { return Ok(None) };
            new.push((row.time, at, row.tree));
            stack.extend(&row.parents);
        }
        // the oldest first: of each tree only what is new in it is opened
        new.sort_unstable_by_key(|&(time, at, _)| (time, at));
        for (_, _, tree) in new {
            if !self.add_tree(tree, &mut reached)? {
                return Ok(None);
            }
        }
        Ok(Some(reached))
    }

    fn add_tree(&mut self, root: ObjectId, reached: &mut Bits) -> Result<bool, MaintainError> {
        // with the hash of its path, which may be long where folders are deep
        let mut stack: Vec<(ObjectId, bool, Option<u32>)> = vec![(root, true, None)];
        while let Some((id, is_tree, path)) = stack.pop() {
            let number = self.source.lookup(&id)?;
            let bit = number.and_then(|number| self.target.bit(number));
            let (Some(number), Some(bit)) = (number, bit) else { return Ok(false) };
            if !reached.insert(bit) {
                continue;
            }
            let hash = &mut self.hashes[bit as usize];
            if *hash == 0 {
                *hash = path.unwrap_or(0);
            }
            if !is_tree {
                self.kinds[ObjectKind::Blob as usize - 1].insert(bit);
                continue;
            }
            self.kinds[ObjectKind::Tree as usize - 1].insert(bit);
            self.watch.check()?;
            let content = self.reader.read_as(self.source, number, ObjectKind::Tree)?;
            for entry in TreeIter::new(content, self.source.hash_kind()) {
                let malformed = |_| SourceError::Malformed { id, kind: ObjectKind::Tree };
                let entry = entry.map_err(malformed)?;
                if entry.mode.is_gitlink() {
                    continue;
                }
                let Some(child) = ObjectId::from_bytes(entry.id) else { continue };
                let folder = path.map_or(0, |path| extend_name_hash(path, b"/"));
                let below = extend_name_hash(folder, entry.name);
                stack.push((child, entry.mode.is_tree(), Some(below)));
            }
        }
        Ok(true)
    }
}
