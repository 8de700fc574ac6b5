//! The bitmaps of a repository, from a file or from what requests learnt.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bits::Bits;
use super::ewah::{Ewah, Into};
use super::file::{Layout, read_layout};
use super::learnt::Learnt;
use super::order::Order;
use super::unions::Unions;
use crate::hash::HashKind;
use crate::object::ObjectKind;
use crate::pack::{Mapping, MultiPackIndex, Pack, map_file};
use crate::source::{ObjectNumber, SourceError};

/// Decoded bitmaps kept, in bytes: 600 of a repository of 400,000 objects. A clone decodes a few
/// dozen, and the next one the same.
const KEEP_DECODED: usize = 32 << 20;

/// What some commits reach: of a pack, of the packs of a multi-pack-index, or of whatever
/// earlier requests walked.
///
/// Objects are called by their numbers in the source that hands this out
/// ([`crate::source::ObjectSource::reachability`]); in a file they are index positions.
pub struct Reachability {
    pub(super) name: String,
    pub(super) order: Order,
    pub(super) count: u32,
    pub(super) kinds: [Bits; 4],
    pub(super) kept: Kept,
    problem: Mutex<Option<String>>,
}

/// Where the bitmaps are.
pub(super) enum Kept {
    Stored(Box<Stored>),
    Learnt(Learnt),
}

/// A mapped file, and what was decoded of it.
pub(super) struct Stored {
    data: Mapping,
    layout: Layout,
    /// The entry of each bitmapped commit, by index position.
    entries: HashMap<u32, u32>,
    count: u32,
    decoded: Mutex<Decoded>,
    unions: Unions,
}

impl std::fmt::Debug for Reachability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reachability").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Reachability {
    /// The bitmap of a pack.
    pub fn of_pack(path: &Path, pack: &Arc<Pack>) -> Result<Self, SourceError> {
        let (hash, count) = (pack.hash_kind(), pack.object_count());
        Self::open(path, hash, count, pack.trailer(), || Order::of_pack(pack))
    }

    /// The bitmap of a multi-pack-index, which is the file at `midx_path`.
    pub fn of_midx(
        path: &Path,
        midx: &MultiPackIndex,
        midx_path: &Path,
    ) -> Result<Self, SourceError> {
        Self::open(path, midx.hash_kind(), midx.count(), midx.checksum(), || {
            Order::of_midx(midx, midx_path)
        })
    }

    fn open(
        path: &Path,
        hash: HashKind,
        count: u32,
        checksum: &[u8],
        order: impl FnOnce() -> Result<Order, SourceError>,
    ) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let corrupt =
            |what: &str| SourceError::Corrupt { file: name.clone(), what: what.to_owned() };
        let data = map_file(path)?;
        let layout = read_layout(&data, hash, count, checksum).map_err(corrupt)?;
        let kinds = layout.kinds.clone().map(|words| decode(&data[words], count));
        let mut all = Bits::new(count);
        kinds.iter().for_each(|kind| all.or(kind));
        let total: u64 = kinds.iter().map(|kind| u64::from(kind.count())).sum();
        if total != u64::from(count) || all.count() != count {
            return Err(corrupt("not each object is of one kind"));
        }
        let order = order()?;
        let entries = layout.entries.iter().zip(0..).map(|(entry, nth)| (entry.position, nth));
        let entries = entries.collect();
        let decoded = Mutex::new(Decoded::default());
        let unions = Unions::default();
        let kept = Kept::Stored(Box::new(Stored { data, layout, entries, count, decoded, unions }));
        Ok(Self::of_parts(name, order, count, kinds, kept))
    }

    pub(super) fn of_parts(
        name: String,
        order: Order,
        count: u32,
        kinds: [Bits; 4],
        kept: Kept,
    ) -> Self {
        Self { name, order, count, kinds, kept, problem: Mutex::new(None) }
    }

    /// The file, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many objects it knows: those whose numbers are below this.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The bit of an object; `None` when it is not in the pack.
    #[inline]
    pub fn bit(&self, number: ObjectNumber) -> Option<u32> {
        self.order.bit(number)
    }

    /// The objects by bit.
    #[inline]
    pub fn numbers(&self) -> &[ObjectNumber] {
        self.order.positions()
    }

    /// This many bits from the first on stand for objects of one pack, in the order of the pack.
    pub fn leading_pack(&self) -> u32 {
        self.order.leading
    }

    /// The objects of one kind.
    pub fn of_kind(&self, kind: ObjectKind) -> &Bits {
        &self.kinds[kind as usize - 1]
    }

    /// The kind of the object of this bit.
    #[inline]
    pub fn kind(&self, bit: u32) -> ObjectKind {
        // trees and blobs are most of all objects
        let kinds = [ObjectKind::Blob, ObjectKind::Tree, ObjectKind::Commit];
        kinds.into_iter().find(|&kind| self.of_kind(kind).contains(bit)).unwrap_or(ObjectKind::Tag)
    }

    /// The hash of the path at which an object was found when the bitmap was made; 0 when it is
    /// not known.
    #[inline]
    pub fn name_hash(&self, number: ObjectNumber) -> u32 {
        match &self.kept {
            Kept::Stored(stored) => stored.name_hash(number),
            Kept::Learnt(learnt) => self.bit(number).map_or(0, |bit| learnt.name_hash(bit)),
        }
    }

    /// The commits that have a bitmap of their own in a file; none where they were learnt.
    pub fn commits(&self) -> Vec<ObjectNumber> {
        match &self.kept {
            Kept::Stored(stored) => stored.entries.keys().copied().collect(),
            Kept::Learnt(_) => Vec::new(),
        }
    }

    /// Has this commit a bitmap?
    #[inline]
    pub fn has_commit(&self, number: ObjectNumber) -> bool {
        match &self.kept {
            Kept::Stored(stored) => stored.entries.contains_key(&number),
            Kept::Learnt(learnt) => self.bit(number).is_some_and(|bit| learnt.has(bit)),
        }
    }

    /// All that a commit reaches, itself included; `None` when it has no bitmap.
    pub fn commit(&self, number: ObjectNumber) -> Option<Arc<Bits>> {
        let stored = match &self.kept {
            Kept::Stored(stored) => stored,
            Kept::Learnt(learnt) => return learnt.get(self.bit(number)?),
        };
        let entry = *stored.entries.get(&number)?;
        if let Some(bits) = stored.decoded().get(entry) {
            return Some(bits);
        }
        let bits = Arc::new(stored.decode(entry));
        if stored.data.is_faulted() {
            *lock(&self.problem) = Some(format!("{}: it shrank", self.name));
            return None;
        }
        let own = self.bit(number)?;
        if !bits.contains(own) || !self.of_kind(ObjectKind::Commit).contains(own) {
            // whoever wrote it did not know what he wrote: better to walk
            let what = format!("{}: bitmap lacks its own commit", self.name);
            *lock(&self.problem) = Some(what);
            return None;
        }
        stored.decoded().put(entry, &bits);
        Some(bits)
    }

    /// Adds what pseudo-merges say: all that their commits reach, when those are all in `tips`
    /// or in `bits`.
    pub fn add_merges(&self, tips: &Bits, bits: &mut Bits) {
        let (data, merges) = match &self.kept {
            Kept::Stored(stored) => (&stored.data, &stored.layout.merges),
            Kept::Learnt(_) => return,
        };
        for merge in merges {
            let commits = decode(&data[merge.commits.clone()], self.count);
            if commits.is_empty() || commits.is_subset(bits) {
                continue;
            }
            let mut known = tips.clone();
            known.or(bits);
            if commits.is_subset(&known) {
                let words = Ewah::of_checked(&data[merge.reach.clone()]);
                words.apply(bits.words_mut(), Into::Or);
                bits.trim();
            }
        }
    }

    /// Has it pseudo-merges?
    pub fn has_merges(&self) -> bool {
        match &self.kept {
            Kept::Stored(stored) => !stored.layout.merges.is_empty(),
            Kept::Learnt(_) => false,
        }
    }

    /// Adds what earlier requests found that `tips` reach together, or some of them with what is in
    /// `bits`.
    pub fn add_unions(&self, tips: &Bits, bits: &mut Bits) {
        match &self.kept {
            Kept::Stored(stored) => stored.unions.add(tips, bits),
            Kept::Learnt(learnt) => learnt.unions().add(tips, bits),
        }
    }

    /// Keeps what some commits reach together, all of which has bits here. Tags lead to commits and
    /// not the other way: they are left out.
    pub fn keep_union(&self, tips: &[ObjectNumber], mut reached: Bits) {
        reached.and_not(self.of_kind(ObjectKind::Tag));
        let mut commits = Bits::new(self.count());
        for bit in tips.iter().filter_map(|&tip| self.bit(tip)) {
            commits.insert(bit);
        }
        let unions = match &self.kept {
            Kept::Stored(stored) => &stored.unions,
            Kept::Learnt(learnt) if !learnt.has_room(commits.bytes() + reached.bytes()) => return,
            Kept::Learnt(learnt) => learnt.unions(),
        };
        unions.put(Arc::new(commits), Arc::new(reached));
    }

    /// What turned out to be wrong with it; for the log. Given once.
    pub fn take_problem(&self) -> Option<String> {
        lock(&self.problem).take()
    }
}

impl Stored {
    #[inline]
    fn name_hash(&self, number: ObjectNumber) -> u32 {
        let hash = self.layout.hashes.and_then(|start| {
            self.data.get(start + number as usize * 4..)?.first_chunk::<4>().copied()
        });
        hash.map_or(0, u32::from_be_bytes)
    }

    /// Follows the chain of XORs down to an entry that stands for itself, or is decoded already.
    ///
    /// Each step goes to an earlier entry, so there are at most as many as there are entries.
    fn decode(&self, entry: u32) -> Bits {
        let mut bits = Bits::new(self.count);
        let mut at = entry;
        loop {
            let link = &self.layout.entries[at as usize];
            Ewah::of_checked(&self.data[link.words.clone()]).apply(bits.words_mut(), Into::Xor);
            if link.distance == 0 {
                break;
            }
            at -= u32::from(link.distance);
            if let Some(known) = self.decoded().get(at) {
                bits.xor(&known);
                break;
            }
        }
        bits.trim();
        bits
    }

    fn decoded(&self) -> MutexGuard<'_, Decoded> {
        lock(&self.decoded)
    }
}

fn decode(words: &[u8], count: u32) -> Bits {
    let mut bits = Bits::new(count);
    Ewah::of_checked(words).apply(bits.words_mut(), Into::Or);
    bits.trim();
    bits
}

/// Bitmaps by entry, those used last.
#[derive(Default)]
struct Decoded {
    bits: HashMap<u32, (Arc<Bits>, u64)>,
    bytes: usize,
    turn: u64,
}

impl Decoded {
    fn get(&mut self, entry: u32) -> Option<Arc<Bits>> {
        self.turn += 1;
        let (bits, used) = self.bits.get_mut(&entry)?;
        *used = self.turn;
        Some(Arc::clone(bits))
    }

    fn put(&mut self, entry: u32, bits: &Arc<Bits>) {
        let size = bits.bytes();
        if size > KEEP_DECODED {
            return;
        }
        while self.bytes + size > KEEP_DECODED {
            let oldest = self.bits.iter().min_by_key(|(_, (_, used))| *used);
            let Some((&oldest, _)) = oldest else { break };
            self.bits.remove(&oldest);
            self.bytes -= size;
        }
        self.turn += 1;
        if self.bits.insert(entry, (Arc::clone(bits), self.turn)).is_none() {
            self.bytes += size;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // whoever panicked left a whole value
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
