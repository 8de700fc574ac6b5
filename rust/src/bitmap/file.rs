//! The layout of a `.bitmap` file: header, kinds, entries, extensions, checksum.
//!
//! Everything is found and measured when the file is opened, so that later nothing can be out of
//! bounds. The lookup table extension is stepped over: it serves readers that do not want to come
//! by every entry, and whoever has verified the checksum has been at every byte.

use std::ops::Range;

use super::ewah::Ewah;
use crate::hash::{HashKind, Hasher};

/// `"BITM"`, version, flags, number of entries; then comes a checksum.
pub(super) const HEADER_LEN: usize = 12;
/// The only flag that has to be there: everything in the pack finds all it needs in the pack.
const FULL_DAG: u16 = 0x1;
const HASH_CACHE: u16 = 0x4;
const LOOKUP_TABLE: u16 = 0x10;
const PSEUDO_MERGES: u16 = 0x20;
/// Flags announce extensions, which stand behind each other: who does not know one cannot find
/// the next.
const KNOWN: u16 = FULL_DAG | HASH_CACHE | LOOKUP_TABLE | PSEUDO_MERGES;

/// Position, offset, row: 16 bytes for each entry.
const LOOKUP_ROW_LEN: usize = 4 + 8 + 4;
/// Number of merges, number of commits, offset of their table, size of the extension.
const MERGES_TAIL_LEN: usize = 4 + 4 + 8 + 8;
/// Position, distance, flags: in front of the bitmap of an entry.
const ENTRY_HEAD_LEN: usize = 6;
/// An entry with an empty bitmap.
const ENTRY_MIN_LEN: usize = ENTRY_HEAD_LEN + 12;

/// The bitmap of a commit, or what distinguishes it from that of another.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Index position of the commit.
    pub(super) position: u32,
    /// How many entries before this one is the one it has to be XORed with; 0: none.
    pub(super) distance: u8,
    /// Its words in the file.
    pub(super) words: Range<usize>,
}

/// What several commits reach together.
#[derive(Debug, Clone)]
pub(super) struct Merge {
    /// The words of the set of commits.
    pub(super) commits: Range<usize>,
    /// The words of all they reach.
    pub(super) reach: Range<usize>,
}

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout {
    /// Words of the bitmaps of commits, trees, blobs, tags.
    pub(super) kinds: [Range<usize>; 4],
    pub(super) entries: Vec<Entry>,
    pub(super) merges: Vec<Merge>,
    /// Where the path hashes begin, one for each index position.
    pub(super) hashes: Option<usize>,
}

/// Is this the beginning of a bitmap for the pack or multi-pack-index with this checksum?
pub(crate) fn check_head(data: &[u8], checksum: &[u8]) -> Result<(), &'static str> {
    let head = data.get(..HEADER_LEN).ok_or("too short for a bitmap")?;
    if &head[..4] != b"BITM" {
        return Err("no bitmap signature");
    }
    if head[4..6] != [0, 1] {
        return Err("unknown bitmap version");
    }
    match data.get(HEADER_LEN..HEADER_LEN + checksum.len()) {
        Some(found) if found == checksum => Ok(()),
        Some(_) => Err("belongs to another pack or multi-pack-index"),
        None => Err("too short for a bitmap"),
    }
}

/// Finds and checks all parts of a bitmap for `count` objects.
pub(super) fn read_layout(
    data: &[u8],
    hash: HashKind,
    count: u32,
    checksum: &[u8],
) -> Result<Layout, &'static str> {
    check_head(data, checksum)?;
    verify(data, hash)?;
    let flags = u16::from_be_bytes([data[6], data[7]]);
    if flags & FULL_DAG == 0 {
        return Err("bitmap of a pack that needs others");
    }
    if flags & !KNOWN != 0 {
        return Err("bitmap with unknown extensions");
    }
    let entry_count = be32(data, 8).ok_or("too short for a bitmap")? as usize;
    let words = (count as usize).div_ceil(64);
    let has = |flag| flags & flag != 0;

    // the extensions, from the end of the file to the front
    let mut end = data.len() - hash.len();
    let mut take = |len: Option<usize>| -> Result<usize, &'static str> {
        let start = len.and_then(|len| end.checked_sub(len)).filter(|&start| start > HEADER_LEN);
        end = start.ok_or("bitmap extension is cut off")?;
        Ok(end)
    };
    let hashes = match has(HASH_CACHE) {
        true => Some(take((count as usize).checked_mul(4))?),
        false => None,
    };
    if has(LOOKUP_TABLE) {
        take(entry_count.checked_mul(LOOKUP_ROW_LEN))?;
    }
    let merges = match has(PSEUDO_MERGES) {
        true => read_merges(data, words, &mut end)?,
        false => Vec::new(),
    };

    let mut at = HEADER_LEN + hash.len();
    let body = data.get(..end).ok_or("too short for a bitmap")?;
    let mut kinds: [Range<usize>; 4] = Default::default();
    for kind in &mut kinds {
        *kind = next_words(body, &mut at, words)?;
    }
    let mut entries = Vec::with_capacity(entry_count.min(body.len() / ENTRY_MIN_LEN));
    for nth in 0..entry_count {
        let head = body.get(at..at + ENTRY_HEAD_LEN).ok_or("bitmap entry is cut off")?;
        let position = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let distance = head[4];
        if position >= count {
            return Err("bitmap of a commit beyond the index");
        }
        if usize::from(distance) > nth {
            return Err("bitmap is based on one before the first");
        }
        at += ENTRY_HEAD_LEN;
        let words = next_words(body, &mut at, words)?;
        entries.push(Entry { position, distance, words });
    }
    if at != end {
        return Err("bytes between the bitmaps and the extensions");
    }
    Ok(Layout { kinds, entries, merges, hashes })
}

/// Is the file as it was written? One flipped bit would give answers that are wrong and look right.
fn verify(data: &[u8], hash: HashKind) -> Result<(), &'static str> {
    let end = data.len().checked_sub(hash.len()).ok_or("too short for a bitmap")?;
    let (body, trailer) = data.split_at(end);
    let mut hasher = Hasher::new(hash);
    hasher.update(body);
    if hasher.finish().as_bytes() == trailer { Ok(()) } else { Err("checksum does not match") }
}

/// The place of the words of the bitmap at `at`, which is then behind it.
fn next_words(body: &[u8], at: &mut usize, words: usize) -> Result<Range<usize>, &'static str> {
    let rest = body.get(*at..).ok_or("bitmap is cut off")?;
    let (ewah, len) = Ewah::split(rest, words)?;
    // two numbers stand before the words
    let start = *at + 8;
    *at += len;
    Ok(start..start + ewah.body().len())
}

/// The pseudo-merges, by the table of their places at the end of the extension that ends at `end`.
fn read_merges(data: &[u8], words: usize, end: &mut usize) -> Result<Vec<Merge>, &'static str> {
    let cut_off = "pseudo-merges are cut off";
    let tail = end.checked_sub(MERGES_TAIL_LEN).ok_or(cut_off)?;
    let number = |at: usize| {
        let bytes = data.get(at..)?.first_chunk::<8>()?;
        usize::try_from(u64::from_be_bytes(*bytes)).ok()
    };
    let count = be32(data, tail).ok_or(cut_off)? as usize;
    let size = number(tail + 16).ok_or(cut_off)?;
    let start = end.checked_sub(size).filter(|&start| start > HEADER_LEN).ok_or(cut_off)?;
    let table = count.checked_mul(8).and_then(|len| tail.checked_sub(len)).ok_or(cut_off)?;
    if table < start {
        return Err(cut_off);
    }
    let section = data.get(..table).ok_or(cut_off)?;
    let mut merges = Vec::with_capacity(count);
    for nth in 0..count {
        let place = number(table + nth * 8).filter(|&place| place >= start);
        let mut at = place.ok_or("pseudo-merge is out of place")?;
        let commits = next_words(section, &mut at, words)?;
        let reach = next_words(section, &mut at, words)?;
        merges.push(Merge { commits, reach });
    }
    *end = start;
    Ok(merges)
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}
