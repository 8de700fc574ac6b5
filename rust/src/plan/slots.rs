use std::ops::Range;
use std::sync::Arc;

use crate::graph::Found;
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::store::Pack;
use crate::watch::Watch;

/// No pack: a loose or foreign object.
pub(super) const UNPACKED: u32 = u32::MAX;

/// Of less than one object in so many of the repository, a list takes less memory than a table: each
/// object would touch a page of its own in it, and a small answer from a huge repository is to pay
/// for its own objects only.
const FEW_IN: u64 = 256;

/// Objects between two looks at the watch.
pub(super) const CHECK_EVERY: usize = 1024;

/// How an object will be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Compressed anew.
    Anew,
    /// Copied: stored whole in a pack.
    Stored,
    /// Copied: a stored delta of the object in slot `base`.
    StoredDelta,
    /// Copied: a stored delta of object number `base`, which has no slot: the client has it, or it
    /// goes before all slots.
    StoredThin,
    /// A new delta of the object in slot `base`.
    NewDelta,
    /// A new delta of object number `base`, which has no slot.
    NewThin,
}

impl How {
    /// Does `base` name another slot?
    pub(super) fn needs_slot(self) -> bool {
        matches!(self, How::StoredDelta | How::NewDelta)
    }
}

/// How the stored entry of a delta names its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// It is no delta.
    None,
    /// By the distance to the entry of the slot that is its base.
    Near,
    /// By the distance to another copy of its base.
    Elsewhere,
    /// By name.
    Name,
}

/// One object to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Where its entry is, if it is in a pack.
    pub offset: u64,
    /// Length of that entry; see [`Slots::end_of`] for those beyond 32 bits.
    len: u32,
    /// The pack, or [`UNPACKED`].
    pub pack: u32,
    pub number: ObjectNumber,
    pub name_hash: u32,
    /// Its place in the enumeration: newer ones come first.
    pub seq: u32,
    /// A slot or an object number, as `how` says.
    pub base: u32,
    pub kind: ObjectKind,
    pub how: How,
    pub link: Link,
}

#[cfg(test)]
impl Slot {
    pub(super) fn for_test(offset: u64, kind: ObjectKind, how: How, base: u32) -> Self {
        let (len, pack, number, name_hash, seq, link) = (1, 0, 0, 0, 0, Link::None);
        Self { offset, len, pack, number, name_hash, seq, base, kind, how, link }
    }
}

/// The slots whose entries are in one pack, by offset.
pub(super) struct PackGroup {
    pub number: u32,
    pub pack: Arc<Pack>,
    pub slots: Range<usize>,
}

/// All objects to be sent: those of each pack by offset, then the unpacked ones as enumerated.
pub(super) struct Slots {
    pub all: Vec<Slot>,
    pub groups: Vec<PackGroup>,
    by_number: ByNumber,
}

/// Which slot an object has.
enum ByNumber {
    /// Slot + 1 of each object number, 0 for those not sent.
    Table(Vec<u32>),
    /// The number and slot of each object that is sent, by number.
    Few(Vec<(ObjectNumber, u32)>),
}

impl ByNumber {
    fn new(all: &[Slot], bound: u32) -> Self {
        let numbered = (0..).zip(all).map(|(at, slot): (u32, _)| (slot.number, at));
        if (all.len() as u64) * FEW_IN < u64::from(bound) {
            let mut few: Vec<_> = numbered.collect();
            few.sort_unstable();
            return Self::Few(few);
        }
        let mut table = vec![0; bound as usize];
        for (number, at) in numbered {
            if let Some(entry) = table.get_mut(number as usize) {
                *entry = at + 1;
            }
        }
        Self::Table(table)
    }
}

impl Slots {
    /// Finds where the objects are stored.
    pub(super) fn gather(
        source: &dyn ObjectSource,
        objects: &[Found],
        watch: &Watch,
    ) -> Result<Self, SourceError> {
        let mut all = Vec::with_capacity(objects.len());
        for (seq, found) in objects.iter().enumerate() {
            if seq % CHECK_EVERY == 0 {
                watch.check()?;
            }
            let at = source.packed_at(found.number);
            all.push(Slot {
                offset: at.map_or(0, |at| at.offset),
                len: 0,
                pack: at.map_or(UNPACKED, |at| at.pack),
                number: found.number,
                name_hash: found.name_hash,
                seq: seq as u32,
                base: 0,
                kind: found.kind,
                how: if at.is_some() { How::Stored } else { How::Anew },
                link: Link::None,
            });
        }
        // the unpacked ones go last: what they are deltas of is then written before them, and
        // the runs of the packs stay whole
        all.sort_unstable_by_key(|slot| {
            (slot.pack, slot.offset, if slot.pack == UNPACKED { slot.seq } else { 0 })
        });
        all.dedup_by_key(|slot| slot.number);
        let groups = group(source, &mut all, watch)?;
        let by_number = ByNumber::new(&all, source.number_bound());
        Ok(Self { all, groups, by_number })
    }

    /// The slot of an object, if it is sent.
    #[inline]
    pub(super) fn of(&self, number: ObjectNumber) -> Option<u32> {
        match &self.by_number {
            ByNumber::Table(table) => table.get(number as usize)?.checked_sub(1),
            ByNumber::Few(few) => {
                let at = few.binary_search_by_key(&number, |&(number, _)| number).ok()?;
                Some(few[at].1)
            }
        }
    }

    /// Where the entry of a packed slot ends.
    pub(super) fn end_of(&self, slot: &Slot) -> Result<u64, SourceError> {
        if slot.len != u32::MAX {
            return Ok(slot.offset + u64::from(slot.len));
        }
        let group = self.groups.iter().find(|group| group.number == slot.pack);
        let group = group.expect("every packed slot has a group because groups are made of them");
        group.pack.entry_end(slot.offset)
    }
}

/// Cuts the sorted slots into packs and notes the length of each entry.
fn group(
    source: &dyn ObjectSource,
    all: &mut [Slot],
    watch: &Watch,
) -> Result<Vec<PackGroup>, SourceError> {
    let mut groups = Vec::new();
    let mut start = 0;
    while let Some(first) = all.get(start).filter(|slot| slot.pack != UNPACKED) {
        let number = first.pack;
        let end = start + all[start..].partition_point(|slot| slot.pack == number);
        let pack = source.pack(number).ok_or_else(|| SourceError::Corrupt {
            file: format!("pack {number}"),
            what: "named by an object, but not there".to_owned(),
        })?;
        lengths(pack, &mut all[start..end], watch)?;
        groups.push(PackGroup { number, pack: Arc::clone(pack), slots: start..end });
        start = end;
    }
    Ok(groups)
}

/// The length of each entry, walking the reverse index beside the slots.
fn lengths(pack: &Pack, slots: &mut [Slot], watch: &Watch) -> Result<(), SourceError> {
    let order = pack.order()?;
    let count = order.positions().len();
    // a few objects of a large pack: look each up; many: walk
    let sparse = slots.len() < count / 16;
    let mut rank = 0;
    for (done, slot) in slots.iter_mut().enumerate() {
        if done % CHECK_EVERY == 0 {
            watch.check()?;
        }
        let end = if sparse {
            pack.entry_end(slot.offset)?
        } else {
            while rank < count && order.offset(rank) < slot.offset {
                rank += 1;
            }
            if rank == count || order.offset(rank) != slot.offset {
                return Err(SourceError::corrupt_at(
                    pack.name(),
                    slot.offset,
                    "no entry begins here by the reverse index",
                ));
            }
            rank += 1;
            order.offset(rank)
        };
        slot.len = u32::try_from(end.saturating_sub(slot.offset)).unwrap_or(u32::MAX);
    }
    Ok(())
}
