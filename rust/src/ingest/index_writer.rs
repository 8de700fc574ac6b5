//! Writes the index (`.idx` version 2) and the reverse index (`.rev` version 1) of a pack.
//!
//! In: the entries with their names, offsets and checksums, sorted by name. Out: the two files,
//! byte for byte what git writes for the same pack. `gitformat-pack` describes both.

use std::path::PathBuf;

use super::error::IngestError;
use super::pack_file::{HashedFile, NewFile};
use crate::hash::{HashKind, ObjectId};

const IDX_SIGNATURE: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
const REV_SIGNATURE: [u8; 8] = [b'R', b'I', b'D', b'X', 0, 0, 0, 1];

/// Offsets from here on do not fit the 31 bits of the first offset table.
const LARGE_OFFSET: u64 = 1 << 31;

/// Rows gathered before they are handed to the hash and the file.
const ROWS: usize = 4096;

/// The entries of a pack, numbered in its order.
pub(crate) trait IndexRows {
    /// The object format.
    fn hash_kind(&self) -> HashKind;
    /// The object's name.
    fn id_bytes(&self, entry: u32) -> &[u8];
    /// Where the entry begins.
    fn offset(&self, entry: u32) -> u64;
    /// The CRC-32 of its bytes in the pack.
    fn crc(&self, entry: u32) -> u32;
}

/// Writes the index. `order` has all entries, sorted by name.
pub(crate) fn write_idx(
    path: PathBuf,
    entries: &impl IndexRows,
    order: &[u32],
    pack: &ObjectId,
) -> Result<NewFile, IngestError> {
    let mut file = HashedFile::create(path, entries.hash_kind())?;
    file.write(&IDX_SIGNATURE)?;
    file.write(&fan_out(entries, order))?;
    rows(&mut file, order, |entry, out| out.extend_from_slice(entries.id_bytes(entry)))?;
    rows(&mut file, order, |entry, out| out.extend(entries.crc(entry).to_be_bytes()))?;
    let mut large = Vec::new();
    rows(&mut file, order, |entry, out| {
        let offset = entries.offset(entry);
        let row = if offset < LARGE_OFFSET {
            offset as u32
        } else {
            large.extend(offset.to_be_bytes());
            // fits 31 bits because a receiver takes no more entries (`MOST_ENTRIES`)
            (large.len() / 8 - 1) as u32 | 1 << 31
        };
        out.extend(row.to_be_bytes());
    })?;
    file.write(&large)?;
    file.write(pack.as_bytes())?;
    file.finish()
}

/// Writes the reverse index: positions in the `.idx`, sorted by offset in the pack.
pub(crate) fn write_rev(
    path: PathBuf,
    entries: &impl IndexRows,
    order: &[u32],
    pack: &ObjectId,
) -> Result<NewFile, IngestError> {
    let mut positions = vec![0u32; order.len()];
    for (position, &entry) in order.iter().enumerate() {
        positions[entry as usize] = position as u32;
    }
    let hash = entries.hash_kind();
    let mut file = HashedFile::create(path, hash)?;
    file.write(&REV_SIGNATURE)?;
    file.write(&u32::from(hash.file_version()).to_be_bytes())?;
    rows(&mut file, &positions, |position, out| out.extend(position.to_be_bytes()))?;
    file.write(pack.as_bytes())?;
    file.finish()
}

/// 256 counts: the names whose first byte is no greater than the row's.
fn fan_out(entries: &impl IndexRows, order: &[u32]) -> Vec<u8> {
    let mut counts = [0u32; 256];
    for &entry in order {
        counts[usize::from(entries.id_bytes(entry)[0])] += 1;
    }
    let mut out = Vec::with_capacity(counts.len() * 4);
    let mut sum = 0u32;
    for count in counts {
        sum += count;
        out.extend(sum.to_be_bytes());
    }
    out
}

fn rows(
    file: &mut HashedFile,
    items: &[u32],
    mut row: impl FnMut(u32, &mut Vec<u8>),
) -> Result<(), IngestError> {
    let mut out = Vec::new();
    for group in items.chunks(ROWS) {
        out.clear();
        for &item in group {
            row(item, &mut out);
        }
        file.write(&out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::entries::{Entries, Stored};
    use super::super::tests::git;
    use super::*;
    use crate::hash::HashKind;
    use crate::object::ObjectKind;

    #[test]
    fn offsets_beyond_31_bits_are_read_by_git() {
        let folder = tempfile::tempdir().unwrap();
        let mut entries = Entries::new(HashKind::Sha1);
        let offsets = [12, (1 << 31) - 1, 1 << 31, (1 << 32) + 5, 1 << 40];
        let mut wanted = Vec::new();
        for (at, &offset) in offsets.iter().enumerate() {
            let entry = entries.len();
            entries.push(offset, Stored::Whole(ObjectKind::Blob), None);
            // names in another order than offsets
            entries.set_id(entry, &[(at as u8).wrapping_mul(77).wrapping_add(9); 20]);
            entries.set_crc(entry, 0xdead_0000 + entry);
            wanted.push(format!("{offset} {} ({:08x})", entries.id(entry), entries.crc(entry)));
        }
        let path = folder.path().join("x.idx");
        let pack = ObjectId::null(HashKind::Sha1);
        write_idx(path.clone(), &entries, &entries.sorted_by_id(), &pack).unwrap();
        let idx = std::fs::read(path).unwrap();
        let shown =
            String::from_utf8(git(folder.path(), &["show-index", "--object-format=sha1"], &idx))
                .unwrap();
        let mut shown: Vec<_> = shown.lines().map(str::to_owned).collect();
        shown.sort();
        wanted.sort();
        assert_eq!(shown, wanted);
    }
}
