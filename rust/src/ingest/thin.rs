//! Completes thin packs: appends the bases that the repository has and the pack has not.
//!
//! In: the names that deltas wait for, and the repository. Out: a pack that holds every base of
//! its deltas, with its count and trailer made right (`git index-pack --fix-thin`).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::children::Children;
use super::entries::{Entries, Stored};
use super::error::IngestError;
use super::pack_file::NewFile;
use super::resolve::Outside;
use crate::hash::{HashKind, Hasher, ObjectId};
use crate::object::loose_header;
use crate::pack::PACK_HEADER_LEN;
use crate::pack::entry::{EntryHeader, EntryKind};
use crate::source::{ObjectSource, SourceError};
use crate::zlib::{DEFAULT_LEVEL, Deflater};

/// Bytes read at once when the file is hashed anew.
const PIECE: usize = 256 * 1024;

/// Those of the names waited for that the repository has.
pub(super) fn find_bases(
    base: &dyn ObjectSource,
    children: &Children,
) -> Result<Vec<Outside>, IngestError> {
    let mut reader = base.reader();
    let mut found = Vec::new();
    for id in children.names_waited_for() {
        if let Some(number) = base.lookup(&id)? {
            let (kind, _) = reader.header(number)?;
            found.push(Outside { id, kind, number });
        }
    }
    Ok(found)
}

/// Those of the bases that the pack did not turn out to have itself, all deltas being resolved.
///
/// A delta that was applied to the repository's copy of an object which the pack has too must not
/// be, by way of that, its own base: such packs could not be read again.
pub(super) fn still_missing(
    entries: &Entries,
    children: &Children,
    outside: Vec<Outside>,
) -> Result<Vec<Outside>, IngestError> {
    let order = entries.sorted_by_id();
    let in_pack: Vec<Option<u32>> = outside
        .iter()
        .map(|base| {
            let wanted = base.id.as_bytes();
            let at = order.binary_search_by(|&entry| entries.id_bytes(entry).cmp(wanted)).ok()?;
            Some(order[at])
        })
        .collect();
    if in_pack.iter().any(Option::is_some) {
        check_acyclic(entries, children, &in_pack)?;
    }
    Ok(outside
        .into_iter()
        .zip(in_pack)
        .filter(|(_, at)| at.is_none())
        .map(|(base, _)| base)
        .collect())
}

/// Follows each entry's bases within the pack down to a whole object or a base outside.
fn check_acyclic(
    entries: &Entries,
    children: &Children,
    in_pack: &[Option<u32>],
) -> Result<(), IngestError> {
    const GOOD: u32 = u32::MAX;
    let n = entries.len();
    let mut marks = vec![0u32; n as usize];
    let mut way = Vec::new();
    for start in 0..n {
        let mut at = Some(start);
        while let Some(entry) = at {
            match marks[entry as usize] {
                GOOD => break,
                mark if mark == start + 1 => {
                    return Err(IngestError::Unresolved { count: way.len() });
                }
                _ => marks[entry as usize] = start + 1,
            }
            way.push(entry);
            at = match children.parent(entries, entry) {
                Some(parent) if parent >= n => in_pack[(parent - n) as usize],
                parent => parent,
            };
        }
        for entry in way.drain(..) {
            marks[entry as usize] = GOOD;
        }
    }
    Ok(())
}

/// Appends the bases as whole objects behind `end`; the new trailer.
pub(super) fn append_bases(
    file: &mut NewFile,
    entries: &mut Entries,
    base: &dyn ObjectSource,
    bases: &[Outside],
    end: u64,
    trailer: &ObjectId,
) -> Result<ObjectId, IngestError> {
    let hash = entries.hash_kind();
    let mut reader = base.reader();
    let mut deflater = Deflater::new(DEFAULT_LEVEL);
    let mut at = end;
    file.seek(end)?;
    for object in bases {
        let (kind, size) = reader.header(object.number)?;
        let mut entry = Appending {
            file: &mut *file,
            crc: crc32fast::Hasher::new(),
            hasher: Hasher::new(hash),
            len: 0,
        };
        let mut packed = Vec::new();
        EntryHeader::write(&EntryKind::Whole(kind), size, &mut packed);
        entry.hasher.update(&loose_header(kind, size));
        deflater.reset();
        let mut outcome = Ok(());
        let streamed = reader.stream(object.number, &mut |piece| {
            entry.hasher.update(piece);
            deflater.push(piece, false, &mut packed);
            outcome = entry.write(&mut packed);
            outcome.is_ok()
        });
        outcome?;
        streamed?;
        deflater.push(&[], true, &mut packed);
        entry.write(&mut packed)?;
        let Appending { crc, hasher, len, .. } = entry;
        // a damaged base must not spread under the name of the sound one
        if hasher.finish() != object.id {
            let (file, what) =
                ("repository".to_owned(), format!("object {} is corrupt", object.id));
            return Err(SourceError::Corrupt { file, what }.into());
        }
        let number = entries.len();
        entries.push(at, Stored::Whole(kind), None);
        entries.set_crc(number, crc.finalize());
        entries.set_id(number, object.id.as_bytes());
        at += len;
    }
    file.flush()?;
    let count = entries.len().to_be_bytes();
    let fixed = fix_header(file.handle(), file.path(), hash, count, (end, at), trailer)?;
    file.write(fixed.as_bytes())?;
    Ok(fixed)
}

struct Appending<'a> {
    file: &'a mut NewFile,
    crc: crc32fast::Hasher,
    hasher: Hasher,
    len: u64,
}

impl Appending<'_> {
    fn write(&mut self, packed: &mut Vec<u8>) -> Result<(), IngestError> {
        self.crc.update(packed);
        self.len += packed.len() as u64;
        self.file.write(packed)?;
        packed.clear();
        Ok(())
    }
}

/// Puts the new count into the header, and hashes the file anew.
///
/// What was received is hashed as it came, too: the new trailer must not bless a file that did not
/// read back as it was written.
fn fix_header(
    file: &File,
    path: &Path,
    hash: HashKind,
    count: [u8; 4],
    (old_end, new_end): (u64, u64),
    old_trailer: &ObjectId,
) -> Result<ObjectId, IngestError> {
    let mut header = [0u8; PACK_HEADER_LEN];
    file.read_exact_at(&mut header, 0).map_err(IngestError::io(path))?;
    let (mut old, mut new) = (Hasher::new(hash), Hasher::new(hash));
    old.update(&header);
    header[8..].copy_from_slice(&count);
    new.update(&header);
    file.write_all_at(&header, 0).map_err(IngestError::io(path))?;
    let mut piece = vec![0u8; PIECE];
    let mut at = PACK_HEADER_LEN as u64;
    while at < new_end {
        let stop = if at < old_end { old_end } else { new_end };
        let len = usize::try_from(stop - at).unwrap_or(PIECE).min(PIECE);
        file.read_exact_at(&mut piece[..len], at).map_err(IngestError::io(path))?;
        if at < old_end {
            old.update(&piece[..len]);
        }
        new.update(&piece[..len]);
        at += len as u64;
    }
    if old.finish() != *old_trailer {
        return Err(IngestError::ReadBack { file: path.display().to_string() });
    }
    Ok(new.finish())
}
