//! Answering from bitmaps: what the wants reach without what the haves reach, by bit operations.
//!
//! A side (wants, or haves) is the union of the bitmaps of its commits. From commits without one
//! history is walked until bitmaps take over; of the commits on the way only the trees and blobs
//! that no bitmap named are walked. The result is exact. Objects outside the bitmap's packs are
//! kept in a list beside the bits.
//!
//! Shallow boundaries and depths of trees are not in bitmaps: such requests go the long way.

use std::collections::BinaryHeap;
use std::sync::Arc;

use super::GraphError;
use super::edges::lookup_raw;
use super::name_hash;
use super::recent::{self, Recent};
use super::request::{Enumeration, Found, Stored, WalkRequest};
use super::roots::{Root, resolve};
use super::seen::SeenSet;
use super::sieve::Sieve;
use super::table::{CommitNumber, CommitReader, CommitTable};
use crate::bitmap::{Bits, Reachability};
use crate::hash::ObjectId;
use crate::object::{ObjectKind, TreeIter};
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::Watch;

/// How often a walk looks whether it should stop.
const CHECK_EVERY: usize = 256;

/// Bytes of bases that are kept while what no bitmap names is read: the trees of a few hundred
/// commits.
pub(super) const KEPT: usize = 4 << 20;
/// The same for clones, which have no other side that is read, and of which many may run at once.
const KEPT_FOR_CLONES: usize = 1 << 20;

/// Can bitmaps answer this request?
pub(super) fn suit(request: &WalkRequest) -> bool {
    let shallow = &request.shallow;
    let bounded = [&shallow.client, &shallow.server, &shallow.new_boundary, &shallow.unshallow];
    // which trees are root trees, and how deep the others are, bitmaps do not tell
    let minds_depth = Sieve::new(&request.filter).depth.is_some_and(|limit| limit > 0);
    let plain = !request.no_bitmaps && !request.leave_missing && !minds_depth;
    plain && bounded.iter().all(|ids| ids.is_empty())
}

/// What `request` asks for, by these bitmaps. Tags to be included are left to the caller.
pub(super) fn enumerate(
    source: &dyn ObjectSource,
    table: &CommitTable,
    reach: &Arc<Reachability>,
    request: &WalkRequest,
    watch: &Watch,
) -> Result<Enumeration, GraphError> {
    let kept = if request.haves.is_empty() { KEPT_FOR_CLONES } else { KEPT };
    let mut gather = Gather::new(source, table, reach, watch, kept);
    let had = match request.haves.is_empty() {
        true => None,
        false => Some(gather.side(&request.haves, None, true)?),
    };
    gather.explicit.clear();
    let mut wanted = gather.side(&request.wants, had.as_ref(), false)?;
    super::learn::ask_after(source, reach, &request.wants, wanted.walked, wanted.found.len());
    match &had {
        Some(had) => wanted.bits.and_not(&had.bits),
        None => super::learn::keep_walked(source, table, reach, &wanted)?,
    }
    gather.sift(&mut wanted, Sieve::new(&request.filter))?;
    let Side { bits, mut found, .. } = wanted;
    found.sort_by_key(|found| match found.kind {
        ObjectKind::Commit => 0,
        ObjectKind::Tag => 1,
        ObjectKind::Tree | ObjectKind::Blob => 2,
    });
    let client_has = had.filter(|_| request.thin).map(|had| had.into_seen(reach));
    let stored = Some(Stored { reach: Arc::clone(reach), bits });
    let (client_has, preferred_bases) = (client_has.unwrap_or_default().into(), Vec::new());
    Ok(Enumeration { objects: found, stored, client_has, preferred_bases, left_out: Vec::new() })
}

/// All that some tips reach.
pub(super) struct Side {
    pub(super) bits: Bits,
    /// The same for objects without a bit.
    beside: SeenSet,
    /// Those objects, as they were met.
    pub(super) found: Vec<Found>,
    /// Commits that no bitmap spared.
    pub(super) walked: usize,
    /// The commits that it begins at.
    pub(super) tips: Vec<CommitNumber>,
    /// The blobs.
    pub(super) blobs: Vec<ObjectNumber>,
    /// And trees.
    pub(super) has_trees: bool,
}

impl Side {
    fn new(reach: &Reachability) -> Self {
        let (beside, found) = (SeenSet::new(), Vec::new());
        let bits = Bits::new(reach.count());
        let (tips, blobs) = (Vec::new(), Vec::new());
        Self { bits, beside, found, walked: 0, tips, blobs, has_trees: false }
    }

    #[inline]
    fn contains(&self, reach: &Reachability, number: ObjectNumber) -> bool {
        match reach.bit(number) {
            Some(bit) => self.bits.contains(bit),
            None => self.beside.contains(number),
        }
    }

    #[inline]
    fn insert(&mut self, reach: &Reachability, found: Found) {
        if let Some(bit) = reach.bit(found.number) {
            self.bits.insert(bit);
        } else if self.beside.insert(found.number) {
            self.found.push(found);
        }
    }

    /// As a set of numbers.
    fn into_seen(self, reach: &Reachability) -> SeenSet {
        let numbers = reach.numbers();
        for bit in self.bits.ones() {
            self.beside.insert(numbers[bit as usize]);
        }
        self.beside
    }
}

/// A commit without a bitmap that waits to be walked: newest first, as bitmaps are of the newest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    time: u64,
    commit: CommitNumber,
}

pub(super) struct Gather<'a> {
    source: &'a dyn ObjectSource,
    table: &'a CommitTable,
    reader: CommitReader<'a>,
    reach: &'a Reachability,
    watch: &'a Watch,
    /// What was asked for by its id, and the tags on the way: filters leave it alone.
    explicit: Vec<ObjectNumber>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(
        source: &'a dyn ObjectSource,
        table: &'a CommitTable,
        reach: &'a Reachability,
        watch: &'a Watch,
        kept: usize,
    ) -> Self {
        let reader = CommitReader::keeping(source, kept);
        Self { source, table, reader, reach, watch, explicit: Vec::new() }
    }

    /// All that `ids` reach; what `had` has need not be in it.
    ///
    /// `tolerant`: these are the client's, and what is missing here is missing.
    pub(super) fn side(
        &mut self,
        ids: &[ObjectId],
        had: Option<&Side>,
        tolerant: bool,
    ) -> Result<Side, GraphError> {
        let reach = self.reach;
        let mut side = Side::new(reach);
        let (mut commits, mut trees) = (Vec::new(), Vec::new());
        for id in ids {
            match self.root(id, &mut side, had) {
                Ok(Some(Root::Commit(commit))) => commits.push(commit),
                Ok(Some(Root::Tree(tree))) => trees.push(tree),
                Ok(Some(Root::Blob(number))) => {
                    side.blobs.push(number);
                    self.explicit.push(number);
                    let known = had.is_some_and(|had| had.contains(reach, number));
                    if !known {
                        side.insert(reach, Found { number, name_hash: 0, kind: ObjectKind::Blob });
                    }
                }
                Ok(None) => {}
                Err(GraphError::Source(SourceError::Missing(_))) if tolerant => {}
                Err(other) => return Err(other),
            }
        }
        let left = self.by_bitmaps(&commits, &mut side)?;
        let walked = self.walk(left, &mut side, had, tolerant)?;
        side.walked = walked.len();
        side.tips = commits;
        side.has_trees = !trees.is_empty();
        self.explicit.extend(&trees);
        let mut filling = Filling {
            side: &mut side,
            had,
            tolerant,
            recent: Recent::new(self.source.hash_kind(), recent::FEW),
        };
        for tree in trees {
            self.fill(tree, &mut filling)?;
        }
        for commit in walked {
            let tree = self.table.load(commit, &mut self.reader)?.tree();
            match self.source.lookup(&tree)? {
                Some(tree) => self.fill(tree, &mut filling)?,
                None if tolerant => {}
                None => return Err(SourceError::Missing(tree).into()),
            }
        }
        Ok(side)
    }

    /// What an id is about; the tags on the way go into the side.
    fn root(
        &mut self,
        id: &ObjectId,
        side: &mut Side,
        had: Option<&Side>,
    ) -> Result<Option<Root>, GraphError> {
        let (reach, explicit) = (self.reach, &mut self.explicit);
        resolve(self.table, &mut self.reader, id, |number| {
            let known = had.is_some_and(|had| had.contains(reach, number));
            if known || side.contains(reach, number) {
                return false;
            }
            explicit.push(number);
            side.insert(reach, Found { number, name_hash: 0, kind: ObjectKind::Tag });
            true
        })
    }

    /// Adds the bitmaps of those commits that have one; returns those that are still not covered.
    fn by_bitmaps(
        &mut self,
        commits: &[CommitNumber],
        side: &mut Side,
    ) -> Result<Vec<CommitNumber>, GraphError> {
        let reach = self.reach;
        let mut left = Vec::new();
        let mut bits: Vec<(u32, ObjectNumber, CommitNumber)> = Vec::new();
        for &commit in commits {
            let id = self.table.id(commit);
            // resolved a moment ago
            let number = self.source.lookup(&id)?.ok_or(SourceError::Missing(id))?;
            self.explicit.push(number);
            match reach.bit(number) {
                Some(bit) => bits.push((bit, number, commit)),
                None => left.push(commit),
            }
        }
        // new commits stand before old ones in a pack, and mostly reach them: one bitmap that is
        // decoded spares many others
        bits.sort_unstable();
        let mut tips = Bits::new(reach.count());
        for &(bit, ..) in &bits {
            tips.insert(bit);
        }
        reach.add_unions(&tips, &mut side.bits);
        let mut uncovered = Vec::new();
        for &(bit, number, commit) in &bits {
            if side.bits.contains(bit) {
                continue;
            }
            match reach.commit(number) {
                Some(reached) => side.bits.or(&reached),
                None => uncovered.push((bit, commit)),
            }
        }
        if !uncovered.is_empty() && reach.has_merges() {
            reach.add_merges(&tips, &mut side.bits);
        }
        uncovered.retain(|&(bit, _)| !side.bits.contains(bit));
        left.extend(uncovered.into_iter().map(|(_, commit)| commit));
        Ok(left)
    }

    /// Walks from commits without a bitmap until bitmaps take over; returns the commits met.
    fn walk(
        &mut self,
        from: Vec<CommitNumber>,
        side: &mut Side,
        had: Option<&Side>,
        tolerant: bool,
    ) -> Result<Vec<CommitNumber>, GraphError> {
        let (reach, table) = (self.reach, self.table);
        let mut waiting = BinaryHeap::new();
        let mut met = Vec::new();
        for commit in from {
            let time = table.load(commit, &mut self.reader)?.time();
            waiting.push(Waiting { time, commit });
        }
        let mut steps = 0usize;
        while let Some(Waiting { commit, .. }) = waiting.pop() {
            steps += 1;
            if steps.is_multiple_of(CHECK_EVERY) {
                self.watch.check()?;
            }
            let id = table.id(commit);
            let Some(number) = self.source.lookup(&id)? else {
                if tolerant {
                    continue;
                }
                return Err(SourceError::Missing(id).into());
            };
            if side.contains(reach, number) || had.is_some_and(|had| had.contains(reach, number)) {
                continue;
            }
            if let Some(reached) = reach.commit(number) {
                side.bits.or(&reached);
                continue;
            }
            side.insert(reach, Found { number, name_hash: 0, kind: ObjectKind::Commit });
            met.push(commit);
            for parent in table.load(commit, &mut self.reader)?.parents() {
                match table.load(parent, &mut self.reader) {
                    Ok(fields) => waiting.push(Waiting { time: fields.time(), commit: parent }),
                    Err(GraphError::Source(SourceError::Missing(_))) if tolerant => {}
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(met)
    }

    /// Adds a tree with what is in it, as far as that is not known.
    fn fill(&mut self, root: ObjectNumber, into: &mut Filling<'_>) -> Result<(), GraphError> {
        let (reach, source) = (self.reach, self.source);
        if into.knows(reach, root) {
            return Ok(());
        }
        into.side.insert(reach, Found { number: root, name_hash: 0, kind: ObjectKind::Tree });
        let mut waiting = vec![(root, 0)];
        let mut steps = 0usize;
        while let Some((tree, prefix)) = waiting.pop() {
            steps += 1;
            if steps.is_multiple_of(CHECK_EVERY) {
                self.watch.check()?;
            }
            let content = match self.reader.objects().read_as(source, tree, ObjectKind::Tree) {
                Ok(content) => content,
                Err(SourceError::Missing(_) | SourceError::WrongKind { .. }) if into.tolerant => {
                    continue;
                }
                Err(other) => return Err(other.into()),
            };
            let first = waiting.len();
            for entry in TreeIter::new(content, source.hash_kind()) {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(_) if into.tolerant => break,
                    Err(_) => {
                        let (id, kind) = (source.id(tree), ObjectKind::Tree);
                        return Err(SourceError::Malformed { id, kind }.into());
                    }
                };
                if entry.mode.is_gitlink() || into.recent.note(entry.id) {
                    continue;
                }
                let number = match lookup_raw(source, entry.id)? {
                    Some(number) => number,
                    None if into.tolerant => continue,
                    None => return Err(super::trees::missing(entry.id)),
                };
                if into.knows(reach, number) {
                    continue;
                }
                let name_hash = name_hash::extend(prefix, entry.name);
                let is_tree = entry.mode.is_tree();
                let kind = if is_tree { ObjectKind::Tree } else { ObjectKind::Blob };
                into.side.insert(reach, Found { number, name_hash, kind });
                if is_tree {
                    waiting.push((number, name_hash::extend(name_hash, b"/")));
                }
            }
            waiting[first..].reverse();
        }
        Ok(())
    }

    /// Takes away what the filter holds back.
    fn sift(&mut self, side: &mut Side, sieve: Sieve) -> Result<(), GraphError> {
        let reach = self.reach;
        let explicit = SeenSet::new();
        for &number in &self.explicit {
            explicit.insert(number);
        }
        let no_trees = sieve.depth == Some(0);
        let held_back = [
            (ObjectKind::Commit, !sieve.commits),
            (ObjectKind::Tree, !sieve.trees || no_trees),
            (ObjectKind::Blob, !sieve.blobs || no_trees),
        ];
        for (kind, _) in held_back.into_iter().filter(|&(_, held)| held) {
            let mut away = reach.of_kind(kind).clone();
            let bits = self.explicit.iter().filter_map(|&number| reach.bit(number));
            bits.for_each(|bit| away.remove(bit));
            side.bits.and_not(&away);
            side.found.retain(|found| found.kind != kind || explicit.contains(found.number));
        }
        let Some(limit) = sieve.blob_limit else { return Ok(()) };
        let mut blobs = side.bits.clone();
        blobs.and(reach.of_kind(ObjectKind::Blob));
        for (nth, bit) in blobs.ones().enumerate() {
            if nth % CHECK_EVERY == 0 {
                self.watch.check()?;
            }
            let number = reach.numbers()[bit as usize];
            if !explicit.contains(number) && self.reader.objects().header(number)?.1 >= limit {
                side.bits.remove(bit);
            }
        }
        let mut found = std::mem::take(&mut side.found);
        let mut outcome = Ok(());
        found.retain(|found| {
            if found.kind != ObjectKind::Blob || explicit.contains(found.number) || outcome.is_err()
            {
                return true;
            }
            match self.reader.objects().header(found.number) {
                Ok((_, size)) => size < limit,
                Err(error) => {
                    outcome = Err(error);
                    true
                }
            }
        });
        side.found = found;
        Ok(outcome?)
    }
}

/// Where trees are filled in.
struct Filling<'f> {
    side: &'f mut Side,
    had: Option<&'f Side>,
    tolerant: bool,
    recent: Recent,
}

impl Filling<'_> {
    #[inline]
    fn knows(&self, reach: &Reachability, number: ObjectNumber) -> bool {
        self.side.contains(reach, number) || self.had.is_some_and(|had| had.contains(reach, number))
    }
}
