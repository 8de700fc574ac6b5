//! The packed objects of a snapshot as one dense space of numbers.
//!
//! Each multi-pack-index, and each pack that none covers, is a segment: its positions are the
//! numbers from the segment's first on. An object that several segments hold has the number that
//! the earliest gives it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::tail::Tail;
use crate::hash::ObjectId;
use crate::pack::{MultiPackIndex, Pack};

/// A run of numbers.
#[derive(Debug, Clone)]
struct Segment {
    first: u32,
    table: Table,
}

#[derive(Debug, Clone)]
enum Table {
    Pack {
        place: u32,
        pack: Arc<Pack>,
    },
    Midx {
        midx: Arc<MultiPackIndex>,
        /// The place in the snapshot of each of its packs.
        places: Arc<[u32]>,
    },
}

impl Segment {
    #[inline]
    fn find(&self, id: &ObjectId) -> Option<u32> {
        let position = match &self.table {
            Table::Pack { pack, .. } => pack.position(id),
            Table::Midx { midx, .. } => midx.position(id),
        };
        Some(self.first + position?)
    }
}

/// All segments.
#[derive(Debug, Default)]
pub(super) struct Segments {
    list: Vec<Segment>,
    bound: u32,
    /// Probes made in segments behind the first.
    probes: AtomicU64,
    tail: OnceLock<Tail>,
}

/// Up to this many segments are probed one after the other.
const FEW: usize = 3;
/// What a probe of a segment costs, in objects put into the [`Tail`].
const PROBE_COST: u64 = 2;

impl Segments {
    /// Adds a pack; false when numbers have run out.
    pub(super) fn add_pack(&mut self, place: u32, pack: Arc<Pack>) -> bool {
        self.add(pack.object_count(), Table::Pack { place, pack })
    }

    /// Adds a multi-pack-index; false when numbers have run out.
    pub(super) fn add_midx(&mut self, midx: Arc<MultiPackIndex>, places: Vec<u32>) -> bool {
        self.add(midx.count(), Table::Midx { midx, places: places.into() })
    }

    /// The same numbers for the same objects, to which others are to be added.
    pub(super) fn extended(&self) -> Self {
        Self { list: self.list.clone(), bound: self.bound, ..Self::default() }
    }

    fn add(&mut self, count: u32, table: Table) -> bool {
        let first = self.bound;
        let Some(bound) = first.checked_add(count) else { return false };
        self.bound = bound;
        self.list.push(Segment { first, table });
        true
    }

    /// Did a file of it change under us?
    pub(super) fn is_faulted(&self) -> bool {
        self.list.iter().any(|segment| match &segment.table {
            Table::Pack { pack, .. } => pack.is_faulted(),
            Table::Midx { midx, .. } => midx.is_faulted(),
        })
    }

    /// All numbers are below this.
    #[inline]
    pub(super) fn bound(&self) -> u32 {
        self.bound
    }

    /// The number of an object, which is the one that the earliest segment gives it.
    #[inline]
    pub(super) fn find(&self, id: &ObjectId) -> Option<u32> {
        let (first, rest) = self.list.split_first()?;
        match first.find(id) {
            None if !rest.is_empty() => self.find_behind(rest, id),
            found => found,
        }
    }

    fn find_behind(&self, rest: &[Segment], id: &ObjectId) -> Option<u32> {
        if let Some(tail) = self.tail.get() {
            return tail.find(id, |number| self.known_id(number));
        }
        let first = rest[0].first;
        if self.list.len() > FEW {
            let probes = self.probes.fetch_add(rest.len() as u64, Ordering::Relaxed);
            if probes * PROBE_COST >= u64::from(self.bound - first) {
                let build = || Tail::build(first, self.bound, |number| self.known_id(number));
                return self.tail.get_or_init(build).find(id, |number| self.known_id(number));
            }
        }
        rest.iter().find_map(|segment| segment.find(id))
    }

    fn known_id(&self, number: u32) -> ObjectId {
        self.id(number).expect("the table holds only numbers below the bound")
    }

    /// The name behind a number below the bound.
    #[inline]
    pub(super) fn id(&self, number: u32) -> Option<ObjectId> {
        let (segment, position) = self.segment(number)?;
        Some(match &segment.table {
            Table::Pack { pack, .. } => pack.id_at(position),
            Table::Midx { midx, .. } => midx.id_at(position),
        })
    }

    /// The place of the pack and the offset in it.
    #[inline]
    pub(super) fn packed_at(&self, number: u32) -> Option<(u32, u64)> {
        let (segment, position) = self.segment(number)?;
        match &segment.table {
            Table::Pack { place, pack } => Some((*place, pack.offset_at(position))),
            Table::Midx { midx, places } => {
                let (pack, offset) = midx.place_at(position);
                Some((*places.get(pack as usize)?, offset))
            }
        }
    }

    /// The number that position in the pack at `place` has, when that pack is the first segment
    /// and so the first to number anything.
    #[inline]
    pub(super) fn number_in_first(&self, place: u32, position: u32) -> Option<u32> {
        match self.list.first()?.table {
            Table::Pack { place: first, .. } if first == place => Some(position),
            _ => None,
        }
    }

    #[inline]
    fn segment(&self, number: u32) -> Option<(&Segment, u32)> {
        if number >= self.bound {
            return None;
        }
        let nth = match self.list.len() {
            1 => 0,
            _ => self.list.partition_point(|segment| segment.first <= number).checked_sub(1)?,
        };
        let segment = &self.list[nth];
        Some((segment, number - segment.first))
    }
}
