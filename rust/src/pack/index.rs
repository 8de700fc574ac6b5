//! Pack indexes, version 1 and 2 (`gitformat-pack`, "Original (version 1) pack-*.idx files" and
//! "Version 2 pack-*.idx files").
//!
//! In flows an `.idx` file, out flow positions (places in the order of names), names, offsets
//! and checksums. Every size is checked when the file is opened, so that look-ups need not be.

use std::path::{Path, PathBuf};

use super::map::{Mapping, be32, be64, corrupt, map_file};
use super::names::{FANOUT_LEN, NameTable, fanout_count};
use crate::hash::{HashKind, Hasher, ObjectId};
use crate::source::SourceError;

/// `"\377tOc"`, version 2.
const MAGIC: [u8; 4] = [0xff, b't', b'O', b'c'];
/// Set in a 32-bit offset that is a place in the table of 64-bit ones.
const LARGE: u32 = 1 << 31;
/// Indexes up to this size have their checksum verified when they are opened (a few
/// milliseconds at most); to read all of a larger one would make every start pay for its size.
const VERIFY_UP_TO: usize = 2 << 20;

/// An open pack index.
#[derive(Debug)]
pub struct PackIndex {
    path: PathBuf,
    data: Mapping,
    hash: HashKind,
    names: NameTable,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    /// Offsets stand before the names.
    V1,
    V2 {
        crcs: usize,
        offsets: usize,
        large: usize,
        large_count: usize,
    },
}

impl PackIndex {
    /// Its file changed under us: it is not to be used any more.
    pub(super) fn is_faulted(&self) -> bool {
        self.data.is_faulted()
    }

    /// Maps and checks an index.
    pub fn open(path: &Path, hash: HashKind) -> Result<Self, SourceError> {
        let data = map_file(path)?;
        let (names, layout) = read_layout(&data, hash).map_err(|what| corrupt(path, what))?;
        if data.len() <= VERIFY_UP_TO {
            let (body, trailer) = data.split_at(data.len() - hash.len());
            let mut hasher = Hasher::new(hash);
            hasher.update(body);
            if hasher.finish().as_bytes() != trailer {
                return Err(corrupt(path, "checksum does not match"));
            }
        }
        Ok(Self { path: path.to_owned(), data, hash, names, layout })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many objects the pack has.
    #[inline]
    pub fn count(&self) -> u32 {
        self.names.count()
    }

    /// The trailer of the pack that this index is for.
    pub fn pack_checksum(&self) -> &[u8] {
        let end = self.data.len() - self.hash.len();
        &self.data[end - self.hash.len()..end]
    }

    /// The position of a name.
    #[inline]
    pub fn position(&self, id: &ObjectId) -> Option<u32> {
        self.names.position(&self.data, id.as_bytes())
    }

    /// The name at a position below [`PackIndex::count`].
    #[inline]
    pub fn id_at(&self, position: u32) -> ObjectId {
        ObjectId::from_bytes(self.names.name(&self.data, position))
            .expect("names have the length of their kind because the table says so")
    }

    /// The offset of the object at a position below [`PackIndex::count`].
    ///
    /// `u64::MAX`, which is beyond any pack, where a corrupt index points out of its own table.
    #[inline]
    pub fn offset_at(&self, position: u32) -> u64 {
        let position = position as usize;
        match self.layout {
            Layout::V1 => {
                u64::from(be32(&self.data, FANOUT_LEN + position * (4 + self.hash.len())))
            }
            Layout::V2 { offsets, large, large_count, .. } => {
                let offset = be32(&self.data, offsets + position * 4);
                if offset & LARGE == 0 {
                    return u64::from(offset);
                }
                let place = (offset & !LARGE) as usize;
                if place < large_count { be64(&self.data, large + place * 8) } else { u64::MAX }
            }
        }
    }

    /// The CRC-32 of the entry at a position below [`PackIndex::count`]; version 1 has none.
    #[inline]
    pub fn crc32_at(&self, position: u32) -> Option<u32> {
        match self.layout {
            Layout::V1 => None,
            Layout::V2 { crcs, .. } => Some(be32(&self.data, crcs + position as usize * 4)),
        }
    }
}

/// Finds the tables of either version, and that the file has room for them and no more.
fn read_layout(data: &[u8], hash: HashKind) -> Result<(NameTable, Layout), &'static str> {
    let trailers = 2 * hash.len() as u64;
    let size = data.len() as u64;
    if data.len() < 8 + FANOUT_LEN + 2 * hash.len() && data.get(..4) == Some(&MAGIC)
        || data.len() < FANOUT_LEN + 2 * hash.len()
    {
        return Err("index is too short");
    }
    if data[..4] != MAGIC {
        let count = fanout_count(data, 0).ok_or("fan-out table is not in order")?;
        let stride = 4 + hash.len();
        if FANOUT_LEN as u64 + u64::from(count) * stride as u64 + trailers != size {
            return Err("size of a version 1 index does not match its object count");
        }
        let names = NameTable::new(0, FANOUT_LEN + 4, stride, hash.len(), count);
        return Ok((names, Layout::V1));
    }
    if be32(data, 4) != 2 {
        return Err("unknown index version");
    }
    let count = fanout_count(data, 8).ok_or("fan-out table is not in order")?;
    let start = 8 + FANOUT_LEN as u64;
    let fixed = start + u64::from(count) * (hash.len() as u64 + 8) + trailers;
    let Some(large_bytes) = size.checked_sub(fixed).filter(|rest| rest % 8 == 0) else {
        return Err("size of a version 2 index does not match its object count");
    };
    if large_bytes / 8 > u64::from(count) {
        return Err("more 64-bit offsets than objects");
    }
    // all of it fits the mapping, hence usize
    let (start, entries) = (start as usize, count as usize);
    let crcs = start + entries * hash.len();
    let offsets = crcs + entries * 4;
    let large = offsets + entries * 4;
    let names = NameTable::new(8, start, hash.len(), hash.len(), count);
    Ok((names, Layout::V2 { crcs, offsets, large, large_count: (large_bytes / 8) as usize }))
}
