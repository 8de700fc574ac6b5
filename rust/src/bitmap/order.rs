//! Which object a bit stands for: the order of a pack, or of all packs of a multi-pack-index.

use std::path::Path;
use std::sync::Arc;

use crate::pack::{MultiPackIndex, Pack};
use crate::source::SourceError;

/// Stands for no bit, and for no object.
pub(super) const NONE: u32 = u32::MAX;

/// Bits to index positions and back.
#[derive(Debug)]
pub(super) struct Order {
    positions: Positions,
    /// The bit of each index position.
    bits: Vec<u32>,
    /// How many bits from the first on stand for objects of one pack, in its order.
    pub(super) leading: u32,
}

#[derive(Debug)]
enum Positions {
    /// The pack keeps them.
    Pack(Arc<Pack>),
    Own(Vec<u32>),
}

impl Order {
    /// The entries of a pack by their offsets.
    pub(super) fn of_pack(pack: &Arc<Pack>) -> Result<Self, SourceError> {
        let positions = pack.positions_by_offset()?;
        let bits = invert(positions, pack.object_count())
            .ok_or_else(|| SourceError::corrupt_at(pack.name(), 0, "two entries at one offset"))?;
        let leading = pack.object_count();
        Ok(Self { positions: Positions::Pack(Arc::clone(pack)), bits, leading })
    }

    /// The objects of a multi-pack-index by pack and offset, the preferred pack first; as its
    /// reverse index has them.
    pub(super) fn of_midx(midx: &MultiPackIndex, path: &Path) -> Result<Self, SourceError> {
        let corrupt = |what: &str| SourceError::Corrupt {
            file: path.display().to_string(),
            what: what.into(),
        };
        let positions = midx.reverse_index(path)?;
        let bits = invert(&positions, midx.count())
            .ok_or_else(|| corrupt("reverse index lists an object twice or not at all"))?;
        let mut seen = vec![false; midx.packs().len()];
        let mut leading = 0;
        let mut last: Option<(u32, u64)> = None;
        for (bit, &position) in positions.iter().enumerate() {
            let (pack, offset) = midx.place_at(position);
            match last {
                Some((same, before)) if same == pack => {
                    if offset <= before {
                        return Err(corrupt("reverse index is not in the order of offsets"));
                    }
                }
                _ => {
                    let new = seen.get_mut(pack as usize).filter(|seen| !**seen);
                    *new.ok_or_else(|| corrupt("reverse index mixes packs"))? = true;
                    if last.is_some() && leading == 0 {
                        leading = bit as u32;
                    }
                }
            }
            last = Some((pack, offset));
        }
        if leading == 0 {
            leading = midx.count();
        }
        Ok(Self { positions: Positions::Own(positions), bits, leading })
    }

    /// Any objects by their numbers, [`NONE`] for those that are gone.
    pub(super) fn of_numbers(numbers: Vec<u32>, leading: u32) -> Self {
        let bound = numbers.iter().filter(|&&n| n != NONE).max().map_or(0, |&n| n as usize + 1);
        let mut bits = vec![NONE; bound];
        for (bit, &number) in numbers.iter().enumerate() {
            if number != NONE {
                bits[number as usize] = bit as u32;
            }
        }
        Self { positions: Positions::Own(numbers), bits, leading }
    }

    #[inline]
    pub(super) fn positions(&self) -> &[u32] {
        match &self.positions {
            // it was there when this was made, and is kept for the life of the pack
            Positions::Pack(pack) => pack.positions_by_offset().unwrap_or(&[]),
            Positions::Own(positions) => positions,
        }
    }

    #[inline]
    pub(super) fn bit(&self, position: u32) -> Option<u32> {
        self.bits.get(position as usize).copied().filter(|&bit| bit != NONE)
    }
}

/// `None` unless each number below `count` is there once.
fn invert(positions: &[u32], count: u32) -> Option<Vec<u32>> {
    if positions.len() != count as usize {
        return None;
    }
    let mut bits = vec![NONE; positions.len()];
    for (bit, &position) in positions.iter().enumerate() {
        let slot = bits.get_mut(position as usize).filter(|slot| **slot == NONE)?;
        *slot = bit as u32;
    }
    Some(bits)
}
