//! Writes a multi-pack-index (`gitformat-pack`, "multi-pack-index (MIDX) files").
//!
//! In: the packs that it is to cover, one of them preferred. Out: `multi-pack-index`, waiting to take
//! its place, and the order of objects that its bitmap goes by. Of objects in several packs the
//! preferred one's copy counts, else the youngest's.

use std::cmp::Reverse;
use std::path::Path;
use std::time::SystemTime;

use super::MaintainError;
use super::chunks::Chunks;
use super::pending::Pending;
use crate::hash::{HashKind, ObjectId};
use crate::pack::Pack;

/// Set in an offset that is a place in the chunk of large ones.
const LARGE: u32 = 1 << 31;

/// A pack that is covered.
pub(super) struct Covered {
    pub(super) pack: Pack,
    pub(super) modified: SystemTime,
}

impl Covered {
    fn name(&self) -> String {
        let name = self.pack.path().with_extension("idx");
        name.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// An object: its name, how far behind its pack is in the choice of copies, pack and offset.
struct Row {
    id: ObjectId,
    rank: u32,
    pack: u32,
    offset: u64,
}

/// What a multi-pack-index says, before it is a file.
pub(super) struct Midx {
    names: Vec<String>,
    rows: Vec<Row>,
    /// Positions in the order of bitmaps.
    pub(super) order: Vec<u32>,
}

impl Midx {
    /// Of these packs, the one at `preferred` before all others.
    pub(super) fn of(mut packs: Vec<Covered>, preferred: usize) -> Self {
        let preferred = packs.get(preferred).map(Covered::name);
        packs.sort_by_cached_key(Covered::name);
        let names: Vec<String> = packs.iter().map(Covered::name).collect();
        let preferred = names.iter().position(|name| Some(name) == preferred.as_ref());
        let mut ranked: Vec<usize> = (0..packs.len()).collect();
        ranked.sort_by_key(|&at| (Some(at) != preferred, Reverse(packs[at].modified), at));
        let mut rows = Vec::new();
        for (rank, &at) in (0..).zip(&ranked) {
            let pack = &packs[at].pack;
            rows.extend((0..pack.object_count()).map(|position| Row {
                id: pack.id_at(position),
                rank,
                pack: at as u32,
                offset: pack.offset_at(position),
            }));
        }
        rows.sort_unstable_by_key(|row| (row.id, row.rank));
        rows.dedup_by_key(|row| row.id);
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_unstable_by_key(|&at| {
            let row = &rows[at as usize];
            (row.rank != 0, row.pack, row.offset)
        });
        Self { names, rows, order }
    }

    /// The name at a position.
    pub(super) fn id_at(&self, position: u32) -> ObjectId {
        self.rows[position as usize].id
    }

    /// Are its packs there? Somebody may have repacked them while bitmaps were made.
    pub(super) fn check_packs(&self, folder: &Path) -> Result<(), MaintainError> {
        for name in &self.names {
            let path = folder.join(name);
            std::fs::metadata(&path).map_err(MaintainError::io(&path))?;
        }
        Ok(())
    }

    /// Writes it beside `folder/multi-pack-index`; with what bitmaps need if there are to be some.
    pub(super) fn write(
        &self,
        folder: &Path,
        hash: HashKind,
        with_order: bool,
    ) -> Result<Pending, MaintainError> {
        let chunks = self.layout(with_order);
        let mut head = vec![b'M', b'I', b'D', b'X', 1, hash.file_version(), chunks.count(), 0];
        head.extend((self.names.len() as u32).to_be_bytes());
        Pending::write(&folder.join("multi-pack-index"), hash, &head, &chunks)
    }

    fn layout(&self, with_order: bool) -> Chunks {
        let mut chunks = Chunks::new();
        let mut names = Vec::new();
        for name in &self.names {
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
        names.resize(names.len().next_multiple_of(4), 0);
        chunks.add(b"PNAM", names);
        chunks.add_names(self.rows.iter().map(|row| row.id.as_bytes()));
        let (mut offsets, mut large) = (Vec::new(), Vec::new());
        let has_large = self.rows.iter().any(|row| row.offset > u64::from(u32::MAX));
        for row in &self.rows {
            offsets.extend(row.pack.to_be_bytes());
            match u32::try_from(row.offset).ok().filter(|&at| !has_large || at & LARGE == 0) {
                Some(offset) => offsets.extend(offset.to_be_bytes()),
                None => {
                    offsets.extend((LARGE | (large.len() / 8) as u32).to_be_bytes());
                    large.extend(row.offset.to_be_bytes());
                }
            }
        }
        chunks.add(b"OOFF", offsets);
        chunks.add_some(b"LOFF", large);
        if with_order {
            chunks.add(b"RIDX", self.order.iter().flat_map(|at| at.to_be_bytes()).collect());
            chunks.add(b"BTMP", self.stretches());
        }
        chunks
    }

    /// Where in the order of bitmaps each pack's objects begin, and how many there are.
    fn stretches(&self) -> Vec<u8> {
        let mut stretches = vec![(0u32, 0u32); self.names.len()];
        for (bit, &at) in (0..).zip(&self.order) {
            let (first, count) = &mut stretches[self.rows[at as usize].pack as usize];
            if *count == 0 {
                *first = bit;
            }
            *count += 1;
        }
        stretches
            .iter()
            .flat_map(|(first, count)| [*first, *count])
            .flat_map(u32::to_be_bytes)
            .collect()
    }
}
