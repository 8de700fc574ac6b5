//! What the bits of a bitmap stand for: the objects of a pack, or of the packs of a
//! multi-pack-index, each in its order.

use crate::hash::ObjectId;
use crate::maintain::MaintainError;
use crate::pack::Pack;
use crate::source::{ObjectNumber, ObjectSource};
use crate::store::Snapshot;

/// No bit.
const NONE: u32 = u32::MAX;

/// See the module.
pub(in crate::maintain) struct Target {
    /// Of the pack or multi-pack-index.
    pub(super) checksum: ObjectId,
    /// The index position of each bit.
    pub(super) positions: Vec<u32>,
    /// The object of each bit.
    pub(super) numbers: Vec<ObjectNumber>,
    /// The bit of each object number.
    bits: Vec<u32>,
}

impl Target {
    /// `None`: the source lacks one of its objects.
    pub(in crate::maintain) fn of_pack(
        pack: &Pack,
        source: &Snapshot,
    ) -> Result<Option<Self>, MaintainError> {
        let Some(checksum) = ObjectId::from_bytes(pack.trailer()) else { return Ok(None) };
        let positions = pack.positions_by_offset()?.to_vec();
        Self::of(checksum, positions, |position| pack.id_at(position), source)
    }

    /// Of the objects in their order: the index positions, whose names `id_at` knows.
    pub(in crate::maintain) fn of(
        checksum: ObjectId,
        positions: Vec<u32>,
        id_at: impl Fn(u32) -> ObjectId,
        source: &Snapshot,
    ) -> Result<Option<Self>, MaintainError> {
        let mut numbers = Vec::with_capacity(positions.len());
        for &position in &positions {
            let Some(number) = source.lookup(&id_at(position))? else { return Ok(None) };
            numbers.push(number);
        }
        let mut bits = vec![NONE; source.number_bound() as usize];
        for (bit, &number) in (0..).zip(&numbers) {
            bits[number as usize] = bit;
        }
        Ok(Some(Self { checksum, positions, numbers, bits }))
    }

    pub(super) fn count(&self) -> u32 {
        self.positions.len() as u32
    }

    pub(super) fn bit(&self, number: ObjectNumber) -> Option<u32> {
        self.bits.get(number as usize).copied().filter(|&bit| bit != NONE)
    }
}
