//! What each entry of a pack is made of: the ranks of delta bases, read off the headers once.
//!
//! Whoever sends most of a pack asks of every entry whether its base goes along and whether
//! anything between the two is left out. A header says it by distance, which is a look into the
//! pack and a search among the offsets; here it is four bytes in a table.

use super::entry::{EntryHeader, EntryKind};
use super::order::PackOrder;
use crate::hash::HashKind;
use crate::object::ObjectKind;

/// Stands for whatever is not plain: a base given by name, a distance to no entry, a header that
/// cannot be read.
const OTHER: u32 = u32::MAX;
/// From here on no rank is meant: the entry is stored whole, and the difference from [`OTHER`] is
/// its kind.
const WHOLE: u32 = OTHER - ObjectKind::Tag as u32;

/// What the entry of one rank is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryBase {
    /// It is stored whole.
    Whole(ObjectKind),
    /// A delta of the entry of this rank, which is lower than its own, by distance.
    Rank(u32),
    /// Something that has to be looked at by itself.
    Unclear,
}

/// The bases of all entries of a pack, by rank.
#[derive(Debug)]
pub struct PackBases {
    table: Vec<u32>,
}

impl PackBases {
    /// Reads the headers of all entries; `entries` is the pack file without its trailer.
    pub(super) fn read(entries: &[u8], order: &PackOrder, hash: HashKind) -> Self {
        let count = order.positions().len();
        let mut table = Vec::with_capacity(count);
        for rank in 0..count {
            let offset = order.offset(rank);
            let header = usize::try_from(offset).ok().and_then(|at| entries.get(at..));
            let base = match header.map(|data| EntryHeader::parse(data, hash)) {
                Some(Ok(EntryHeader { kind: EntryKind::Whole(kind), .. })) => OTHER - kind as u32,
                Some(Ok(EntryHeader { kind: EntryKind::OfsDelta(distance), .. })) => offset
                    .checked_sub(distance)
                    .and_then(|base| order.rank_before(rank, base))
                    .and_then(|base| u32::try_from(base).ok().filter(|&base| base < WHOLE))
                    .unwrap_or(OTHER),
                _ => OTHER,
            };
            table.push(base);
        }
        Self { table }
    }

    /// What the entry of this rank is made of.
    #[inline]
    pub fn of(&self, rank: u32) -> EntryBase {
        match self.table.get(rank as usize) {
            None | Some(&OTHER) => EntryBase::Unclear,
            Some(&base) if base < WHOLE => EntryBase::Rank(base),
            Some(whole) => EntryBase::Whole(match OTHER - whole {
                1 => ObjectKind::Commit,
                2 => ObjectKind::Tree,
                3 => ObjectKind::Blob,
                _ => ObjectKind::Tag,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::TestRepo;

    #[test]
    fn bases_are_those_of_the_headers() {
        let repo = TestRepo::with_history(HashKind::Sha1, 40);
        for by_name in [false, true] {
            let distances = format!("repack.useDeltaBaseOffset={}", !by_name);
            repo.git(&["-c", &distances, "repack", "-adfq"]);
            let snapshot = repo.snapshot();
            let pack = &snapshot.packs()[0];
            let (order, bases) = (pack.order().unwrap(), pack.bases().unwrap());
            let (mut whole, mut deltas) = (0, 0);
            for rank in 0..order.positions().len() {
                let offset = order.offset(rank);
                let header = pack.header_at(offset).unwrap();
                match (header.kind, bases.of(rank as u32)) {
                    (EntryKind::Whole(kind), EntryBase::Whole(found)) if kind == found => {
                        whole += 1
                    }
                    (EntryKind::OfsDelta(distance), EntryBase::Rank(base)) => {
                        assert_eq!(order.offset(base as usize), offset - distance);
                        deltas += 1;
                    }
                    (EntryKind::RefDelta(_), EntryBase::Unclear) => deltas += 1,
                    (kind, base) => panic!("{kind:?} {base:?}"),
                }
            }
            assert!(whole > 0 && deltas > 20);
            assert_eq!(bases.of(order.positions().len() as u32), EntryBase::Unclear);
        }
    }
}
