//! Reachability bitmaps of a new pack (`gitformat-bitmap`), beside it before anybody sees it.
//!
//! In: a pack in quarantine, and all that refs reach in the order of a walk. Out: `pack-….bitmap`,
//! with bitmaps of branches, of the newest commits and of some before them, the fewer the older; or
//! nothing, when the pack lacks something that is reachable. Each bitmap is made of those of its
//! ancestors and a walk of the rest, the oldest first.

mod select;

use std::collections::HashMap;
use std::path::Path;

use super::MaintainError;
use crate::bitmap::{Bits, encode, encode_shortest};
use crate::graph::Found;
use crate::hash::ObjectId;
use crate::ingest::HashedFile;
use crate::object::{Commit, ObjectKind, TreeIter};
use crate::pack::Pack;
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, SourceError};
use crate::store::Snapshot;
use crate::watch::{Phase, Watch};

/// Bytes of bitmaps that are kept until all are made.
const MOST_BYTES: usize = 256 << 20;
/// Of so many bitmaps before it, the one is looked for from which a bitmap differs least; git's own
/// number, and its limit is 160.
const MOST_DISTANCE: usize = 10;
/// All of the pack is in the pack; there are path hashes.
const FLAGS: u16 = 0x1 | 0x4;
/// No bit.
const NONE: u32 = u32::MAX;

/// Writes the bitmaps; of how many commits. 0: none could be made.
pub(super) fn write(
    index: &Path,
    source: &Snapshot,
    found: &[Found],
    tips: &[ObjectId],
    watch: &Watch,
) -> Result<usize, MaintainError> {
    let pack = Pack::open(index, source.hash_kind())?;
    let Some(mut walk) = Walk::new(&pack, source, found, watch)? else { return Ok(0) };
    let room = MOST_BYTES / ((pack.object_count() as usize).div_ceil(64) * 8).max(1);
    let chosen = select::choose(&walk.commits, &walk.places_of(tips), room);
    watch.begin(Phase::Indexing, Some(chosen.len() as u64));
    let mut made: Vec<(u32, Bits)> = Vec::with_capacity(chosen.len());
    // the oldest first, whose bitmaps the others are made of
    for &commit in chosen.iter().rev() {
        let Some(bits) = walk.reach(commit, &made)? else { return Ok(0) };
        walk.made.insert(commit, made.len());
        made.push((commit, bits));
        watch.add(1);
    }
    let mut file = HashedFile::create(index.with_extension("bitmap"), source.hash_kind())?;
    file.write(b"BITM\0\x01")?;
    file.write(&FLAGS.to_be_bytes())?;
    file.write(&(made.len() as u32).to_be_bytes())?;
    file.write(pack.trailer())?;
    let mut out = Vec::new();
    for kind in [ObjectKind::Commit, ObjectKind::Tree, ObjectKind::Blob, ObjectKind::Tag] {
        let mut bits = Bits::new(pack.object_count());
        found.iter().filter(|found| found.kind == kind).for_each(|found| {
            bits.insert(walk.bits[found.number as usize]);
        });
        encode(&bits, &mut out);
    }
    file.write(&out)?;
    for (at, (commit, bits)) in made.iter().enumerate() {
        let before = made[at.saturating_sub(MOST_DISTANCE)..at].iter().rev().map(|(_, bits)| bits);
        out.clear();
        let distance = encode_shortest(bits, before, &mut out);
        let id = source.id(walk.commits[*commit as usize].number);
        let position = pack.position(&id).ok_or(SourceError::Missing(id))?;
        file.write(&position.to_be_bytes())?;
        file.write(&[distance, 0])?;
        file.write(&out)?;
    }
    let mut hashes = vec![0u32; pack.object_count() as usize];
    let positions = pack.positions_by_offset()?;
    for found in found {
        hashes[positions[walk.bits[found.number as usize] as usize] as usize] = found.name_hash;
    }
    out.clear();
    hashes.iter().for_each(|hash| out.extend(hash.to_be_bytes()));
    file.write(&out)?;
    let file = file.finish()?;
    file.handle().sync_all().map_err(MaintainError::io(index))?;
    watch.end();
    Ok(made.len())
}

/// A commit of the pack, by the place of its like in the list.
struct Row {
    number: ObjectNumber,
    parents: Vec<u32>,
    tree: ObjectId,
}

struct Walk<'a> {
    source: &'a Snapshot,
    reader: Box<dyn ObjectReader + 'a>,
    watch: &'a Watch,
    /// The bit of each object number.
    bits: Vec<u32>,
    count: u32,
    /// The newest first.
    commits: Vec<Row>,
    places: HashMap<ObjectNumber, u32>,
    /// Which bitmap is of which commit.
    made: HashMap<u32, usize>,
}

impl<'a> Walk<'a> {
    /// `None`: the pack does not have all of it.
    fn new(
        pack: &Pack,
        source: &'a Snapshot,
        found: &[Found],
        watch: &'a Watch,
    ) -> Result<Option<Self>, MaintainError> {
        if found.len() != pack.object_count() as usize {
            return Ok(None);
        }
        let order = pack.order()?;
        let mut bits = vec![NONE; source.number_bound() as usize];
        for object in found {
            let at = pack.position(&source.id(object.number)).map(|at| pack.offset_at(at));
            let rank = at.and_then(|at| order.rank(at));
            let (Some(rank), Some(bit)) = (rank, bits.get_mut(object.number as usize)) else {
                return Ok(None);
            };
            *bit = rank as u32;
        }
        let mut reader: Box<dyn ObjectReader + 'a> = source.reader();
        let of_commits = || found.iter().filter(|found| found.kind == ObjectKind::Commit);
        let places: HashMap<ObjectNumber, u32> =
            of_commits().map(|found| found.number).zip(0..).collect();
        let mut commits = Vec::with_capacity(places.len());
        for found in of_commits() {
            watch.check()?;
            let id = source.id(found.number);
            let commit = Commit::parse(reader.read_as(source, found.number, found.kind)?)
                .map_err(|_| SourceError::Malformed { id, kind: found.kind })?;
            let mut parents = Vec::with_capacity(commit.parents.len());
            for parent in &commit.parents {
                // a shallow repository's commits have parents that are not here: no bitmaps
                let place = source.lookup(parent)?.and_then(|number| places.get(&number));
                let Some(&place) = place else { return Ok(None) };
                parents.push(place);
            }
            commits.push(Row { number: found.number, parents, tree: commit.tree });
        }
        let count = pack.object_count();
        let made = HashMap::new();
        Ok(Some(Self { source, reader, watch, bits, count, commits, places, made }))
    }

    fn places_of(&self, tips: &[ObjectId]) -> Vec<u32> {
        let place = |id| self.places.get(&self.source.lookup(id).ok()??).copied();
        tips.iter().filter_map(place).collect()
    }

    /// What a commit reaches. `None`: something of it has no bit.
    fn reach(&mut self, commit: u32, made: &[(u32, Bits)]) -> Result<Option<Bits>, MaintainError> {
        let mut reached = Bits::new(self.count);
        let (mut stack, mut new) = (vec![commit], Vec::new());
        while let Some(at) = stack.pop() {
            let row = &self.commits[at as usize];
            let bit = self.bits[row.number as usize];
            if reached.contains(bit) {
                continue;
            }
            if let Some(&known) = self.made.get(&at) {
                reached.or(&made[known].1);
                continue;
            }
            reached.insert(bit);
            new.push(at);
            stack.extend(&row.parents);
        }
        // the oldest first: of each tree only what is new in it is opened
        new.sort_unstable();
        for &at in new.iter().rev() {
            let tree = self.commits[at as usize].tree;
            if !self.add_tree(tree, &mut reached)? {
                return Ok(None);
            }
        }
        Ok(Some(reached))
    }

    fn add_tree(&mut self, root: ObjectId, reached: &mut Bits) -> Result<bool, MaintainError> {
        let mut stack = vec![(root, true)];
        while let Some((id, is_tree)) = stack.pop() {
            let number = self.source.lookup(&id)?;
            let bit = number.and_then(|number| self.bits.get(number as usize).copied());
            let (Some(number), Some(bit)) = (number, bit.filter(|&bit| bit != NONE)) else {
                return Ok(false);
            };
            if !reached.insert(bit) || !is_tree {
                continue;
            }
            self.watch.check()?;
            let content = self.reader.read_as(self.source, number, ObjectKind::Tree)?;
            for entry in TreeIter::new(content, self.source.hash_kind()) {
                let malformed = |_| SourceError::Malformed { id, kind: ObjectKind::Tree };
                let entry = entry.map_err(malformed)?;
                if !entry.mode.is_gitlink() {
                    let child = ObjectId::from_bytes(entry.id);
                    stack.extend(child.map(|child| (child, entry.mode.is_tree())));
                }
            }
        }
        Ok(true)
    }
}
