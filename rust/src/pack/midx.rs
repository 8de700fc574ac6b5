//! The multi-pack-index, version 1 (`gitformat-pack`, "multi-pack-index (MIDX) files").
//!
//! In flows the file, out flow names, and which pack has each object at which offset. Packs are
//! named, not opened.

use std::path::Path;

use super::map::{Mapping, be32, be64, corrupt, map_file};
use super::names::{FANOUT_LEN, NameTable, fanout_count};
use super::order::read_rev;
use crate::hash::{HashKind, Hasher, ObjectId};
use crate::source::SourceError;

/// Signature, version, hash function, chunk count, base count, pack count.
const HEADER_LEN: usize = 12;
/// A chunk's four letters and its offset.
const CHUNK_ENTRY_LEN: usize = 12;
/// Set in an offset that is a place in the table of 64-bit ones.
const LARGE: u32 = 1 << 31;
/// Up to this size the checksum is verified on opening, as for pack indexes.
const VERIFY_UP_TO: usize = 2 << 20;

/// An open multi-pack-index.
#[derive(Debug)]
pub struct MultiPackIndex {
    data: Mapping,
    names: NameTable,
    packs: Vec<String>,
    offsets: usize,
    /// Start and number of the 64-bit offsets.
    large: (usize, usize),
    /// Start and size of the reverse index.
    reverse: Option<(usize, usize)>,
    hash: HashKind,
}

impl MultiPackIndex {
    /// Its file changed under us: it is not to be used any more.
    pub(crate) fn is_faulted(&self) -> bool {
        self.data.is_faulted()
    }

    /// Maps and checks the file.
    pub fn open(path: &Path, hash: HashKind) -> Result<Self, SourceError> {
        let data = map_file(path)?;
        let parts = read_parts(&data, hash).map_err(|what| corrupt(path, what))?;
        if data.len() <= VERIFY_UP_TO {
            let (body, trailer) = data.split_at(data.len() - hash.len());
            let mut hasher = Hasher::new(hash);
            hasher.update(body);
            if hasher.finish().as_bytes() != trailer {
                return Err(corrupt(path, "checksum does not match"));
            }
        }
        let Parts { names, packs, offsets, large, reverse } = parts;
        Ok(Self { data, names, packs, offsets, large, reverse, hash })
    }

    /// The `.idx` names of its packs, in its own order.
    pub fn packs(&self) -> &[String] {
        &self.packs
    }

    /// The object format.
    pub fn hash_kind(&self) -> HashKind {
        self.hash
    }

    /// The checksum at its end, by which its bitmap and reverse index are found.
    pub fn checksum(&self) -> &[u8] {
        &self.data[self.data.len() - self.hash.len()..]
    }

    /// Positions by pack and offset, the preferred pack's first: the chunk `RIDX`, or the `.rev`
    /// file beside `path` that earlier versions of git wrote.
    pub fn reverse_index(&self, path: &Path) -> Result<Vec<u32>, SourceError> {
        let Some((at, len)) = self.reverse else {
            let checksum = self.checksum();
            let hex: String = checksum.iter().map(|byte| format!("{byte:02x}")).collect();
            let rev = path.with_file_name(format!("multi-pack-index-{hex}.rev"));
            return read_rev(&rev, self.hash, self.count(), checksum);
        };
        Ok(self.data[at..at + len].chunks_exact(4).map(|four| be32(four, 0)).collect())
    }

    /// How many objects it knows.
    #[inline]
    pub fn count(&self) -> u32 {
        self.names.count()
    }

    /// The position of a name.
    #[inline]
    pub fn position(&self, id: &ObjectId) -> Option<u32> {
        self.names.position(&self.data, id.as_bytes())
    }

    /// The name at a position below [`MultiPackIndex::count`].
    #[inline]
    pub fn id_at(&self, position: u32) -> ObjectId {
        ObjectId::from_bytes(self.names.name(&self.data, position))
            .expect("names have the length of their kind because the table says so")
    }

    /// Pack (a place in [`MultiPackIndex::packs`]) and offset of the object at a position below
    /// the count; both may be out of range in a corrupt file.
    #[inline]
    pub fn place_at(&self, position: u32) -> (u32, u64) {
        let at = self.offsets + position as usize * 8;
        let (pack, offset) = (be32(&self.data, at), be32(&self.data, at + 4));
        let (large, large_count) = self.large;
        // without a table of large ones all 32 bits are offset
        if offset & LARGE == 0 || large_count == 0 {
            return (pack, u64::from(offset));
        }
        let place = (offset & !LARGE) as usize;
        let offset =
            if place < large_count { be64(&self.data, large + place * 8) } else { u64::MAX };
        (pack, offset)
    }
}

struct Parts {
    names: NameTable,
    packs: Vec<String>,
    offsets: usize,
    large: (usize, usize),
    reverse: Option<(usize, usize)>,
}

fn read_parts(data: &[u8], hash: HashKind) -> Result<Parts, &'static str> {
    if data.len() < HEADER_LEN + CHUNK_ENTRY_LEN + hash.len() {
        return Err("too short for a multi-pack-index");
    }
    if &data[..4] != b"MIDX" || data[4] != 1 {
        return Err("no multi-pack-index of version 1");
    }
    if data[5] != hash.file_version() {
        return Err("made for another hash function");
    }
    if data[7] != 0 {
        return Err("part of a chain, which is not supported");
    }
    let pack_count = be32(data, 8);
    let chunks = Chunks::read(data, data[6] as usize, data.len() - hash.len())?;
    let (fanout, fanout_len) = chunks.find(b"OIDF").ok_or("no fan-out")?;
    if fanout_len != FANOUT_LEN {
        return Err("fan-out of the wrong size");
    }
    let count = fanout_count(data, fanout).ok_or("fan-out table is not in order")?;
    let (names, names_len) = chunks.find(b"OIDL").ok_or("no names")?;
    if names_len as u64 != u64::from(count) * hash.len() as u64 {
        return Err("size of the names does not match the object count");
    }
    let (offsets, offsets_len) = chunks.find(b"OOFF").ok_or("no offsets")?;
    if offsets_len as u64 != u64::from(count) * 8 {
        return Err("size of the offsets does not match the object count");
    }
    let large = match chunks.find(b"LOFF") {
        Some((_, len)) if len % 8 != 0 => return Err("size of the large offsets is odd"),
        Some((at, len)) => (at, len / 8),
        None => (0, 0),
    };
    // only its bitmap needs it, and does without when it is unsound
    let reverse = chunks.find(b"RIDX").filter(|&(_, len)| len as u64 == u64::from(count) * 4);
    let (at, len) = chunks.find(b"PNAM").ok_or("no pack names")?;
    let packs = pack_names(&data[at..at + len], pack_count)?;
    let names = NameTable::new(fanout, names, hash.len(), hash.len(), count);
    Ok(Parts { names, packs, offsets, large, reverse })
}

/// Names end with a zero byte each; more of them pad the chunk.
fn pack_names(mut chunk: &[u8], count: u32) -> Result<Vec<String>, &'static str> {
    let mut packs = Vec::new();
    for _ in 0..count {
        let end = chunk.iter().position(|&b| b == 0).ok_or("pack names are cut off")?;
        let name = std::str::from_utf8(&chunk[..end]).map_err(|_| "pack name is no text")?;
        if !name.ends_with(".idx") || name.contains('/') {
            return Err("pack name is no name of an index");
        }
        packs.push(name.to_owned());
        chunk = &chunk[end + 1..];
    }
    Ok(packs)
}

/// The table of contents: each chunk ends where the next begins.
struct Chunks(Vec<([u8; 4], usize, usize)>);

impl Chunks {
    fn read(data: &[u8], count: usize, end: usize) -> Result<Self, &'static str> {
        let table_end = HEADER_LEN + (count + 1) * CHUNK_ENTRY_LEN;
        if table_end > end {
            return Err("table of contents is cut off");
        }
        let offset = |nth: usize| be64(data, HEADER_LEN + nth * CHUNK_ENTRY_LEN + 4);
        let mut chunks = Vec::with_capacity(count);
        for nth in 0..count {
            let (from, to) = (offset(nth), offset(nth + 1));
            if from < table_end as u64 || to < from || to > end as u64 {
                return Err("chunk is out of bounds");
            }
            let at = HEADER_LEN + nth * CHUNK_ENTRY_LEN;
            let name = [data[at], data[at + 1], data[at + 2], data[at + 3]];
            chunks.push((name, from as usize, (to - from) as usize));
        }
        Ok(Self(chunks))
    }

    fn find(&self, name: &[u8; 4]) -> Option<(usize, usize)> {
        self.0.iter().find(|chunk| &chunk.0 == name).map(|&(_, at, len)| (at, len))
    }
}
