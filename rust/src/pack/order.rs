//! The order of a pack's entries by offset: where each ends, and which object is at an offset.
//!
//! Git keeps it in `.rev` files (`gitformat-pack`, "pack-*.rev files"), which spare the sorting
//! but not the reading of offsets; so what either yields is kept in memory as one dense table.

use std::path::Path;

use super::index::PackIndex;
use super::map::{be32, corrupt, map_file};
use crate::hash::HashKind;
use crate::source::SourceError;

/// `"RIDX"`, version, hash function: 12 bytes.
const HEADER_LEN: usize = 12;

/// Entries in the order in which they stand in the pack.
#[derive(Debug)]
pub struct PackOrder {
    positions: Vec<u32>,
    offsets: Offsets,
    end: u64,
}

/// Nearly all packs are smaller than 4 GiB; their table then takes half the space.
#[derive(Debug)]
enum Offsets {
    Small(Vec<u32>),
    Large(Vec<u64>),
}

impl PackOrder {
    /// From the `.rev` file's list of positions, which is believed only if offsets rise along it.
    pub(super) fn from_positions(
        index: &PackIndex,
        positions: Vec<u32>,
        start: u64,
        end: u64,
    ) -> Result<Self, &'static str> {
        let count = index.count();
        if positions.len() != count as usize {
            return Err("wrong number of entries");
        }
        let mut offsets = if end <= u64::from(u32::MAX) {
            Offsets::Small(vec![])
        } else {
            Offsets::Large(vec![])
        };
        match &mut offsets {
            Offsets::Small(table) => table.reserve_exact(positions.len()),
            Offsets::Large(table) => table.reserve_exact(positions.len()),
        }
        let mut last = start.checked_sub(1).ok_or("entries begin at 0")?;
        for &position in &positions {
            if position >= count {
                return Err("position beyond the index");
            }
            let offset = index.offset_at(position);
            if offset <= last || offset >= end {
                return Err("offsets do not rise from entry to entry within the pack");
            }
            last = offset;
            match &mut offsets {
                Offsets::Small(table) => table.push(offset as u32),
                Offsets::Large(table) => table.push(offset),
            }
        }
        Ok(Self { positions, offsets, end })
    }

    /// By sorting what the index says.
    pub(super) fn by_sorting(
        index: &PackIndex,
        start: u64,
        end: u64,
    ) -> Result<Self, &'static str> {
        let mut pairs: Vec<(u64, u32)> =
            (0..index.count()).map(|position| (index.offset_at(position), position)).collect();
        pairs.sort_unstable();
        let positions = pairs.into_iter().map(|(_, position)| position).collect();
        Self::from_positions(index, positions, start, end)
    }

    /// Index positions in the order of offsets.
    #[inline]
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// The offset of the entry that is this many entries into the pack; the end of entries for
    /// the number of entries and beyond.
    #[inline]
    pub fn offset(&self, rank: usize) -> u64 {
        match &self.offsets {
            Offsets::Small(table) => table.get(rank).map_or(self.end, |&offset| offset.into()),
            Offsets::Large(table) => table.get(rank).copied().unwrap_or(self.end),
        }
    }

    /// How many entries are before the one at exactly this offset; `None` where none begins.
    #[inline]
    pub fn rank(&self, offset: u64) -> Option<usize> {
        match &self.offsets {
            Offsets::Small(table) => search(table, u32::try_from(offset).ok()?),
            Offsets::Large(table) => search(table, offset),
        }
    }

    /// The same for an entry before the one of this rank, and mostly near it.
    #[inline]
    pub fn rank_before(&self, rank: usize, offset: u64) -> Option<usize> {
        match &self.offsets {
            Offsets::Small(table) => search_back(table.get(..rank)?, u32::try_from(offset).ok()?),
            Offsets::Large(table) => search_back(table.get(..rank)?, offset),
        }
    }
}

/// Where `wanted` is in a rising table, looked for in growing steps from the end.
fn search_back<T: Ord>(table: &[T], wanted: T) -> Option<usize> {
    let (mut step, mut high) = (1, table.len());
    while high > 0 {
        let low = high.saturating_sub(step);
        if table[low] <= wanted {
            return table[low..high].binary_search(&wanted).ok().map(|at| low + at);
        }
        high = low;
        step *= 2;
    }
    None
}

/// Binary search without branches that depend on the values, which the processor cannot guess.
fn search<T: Ord + Copy>(table: &[T], wanted: T) -> Option<usize> {
    let (mut base, mut size) = (0, table.len());
    while size > 1 {
        let half = size / 2;
        base = if table[base + half] <= wanted { base + half } else { base };
        size -= half;
    }
    (table.get(base) == Some(&wanted)).then_some(base)
}

/// The positions that a `.rev` file lists, if it is one and belongs to this pack.
pub(super) fn read_rev(
    path: &Path,
    hash: HashKind,
    count: u32,
    pack_checksum: &[u8],
) -> Result<Vec<u32>, SourceError> {
    let data = map_file(path)?;
    let body = u64::from(count) * 4;
    let wanted = HEADER_LEN as u64 + body + 2 * hash.len() as u64;
    if data.len() as u64 != wanted {
        return Err(corrupt(path, "size does not match the pack's object count"));
    }
    if &data[..4] != b"RIDX" || be32(&data, 4) != 1 {
        return Err(corrupt(path, "no reverse index of version 1"));
    }
    if be32(&data, 8) != u32::from(hash.file_version()) {
        return Err(corrupt(path, "made for another hash function"));
    }
    let end = HEADER_LEN + count as usize * 4;
    if &data[end..end + hash.len()] != pack_checksum {
        return Err(corrupt(path, "belongs to another pack"));
    }
    Ok(data[HEADER_LEN..end].chunks_exact(4).map(|four| be32(four, 0)).collect())
}
