//! Are objects what their names say? Asked before another copy of them is removed.

use crate::hash::{Hasher, ObjectId};
use crate::object::loose_header;
use crate::pack::Pack;
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, SourceError};
use crate::store::Snapshot;
use crate::watch::Watch;

/// Does the copy that the source reads, the packed one if there is one, have the name's hash?
pub(super) fn is_sound(
    source: &Snapshot,
    number: ObjectNumber,
    watch: &Watch,
) -> Result<bool, SourceError> {
    has_name(&mut source.disk_reader(), source, number, watch)
}

/// Hashes what a source reads from a pack whose index has no checksums of the entries (version 1).
pub(super) fn check_pack(source: &Snapshot, pack: &Pack, watch: &Watch) -> Result<(), SourceError> {
    if pack.object_count() == 0 || pack.crc32_at(0).is_some() {
        return Ok(());
    }
    check_names(source, pack, watch)
}

/// Has each entry of a pack the checksum that its index gives, if it gives any?
pub(super) fn check_sums(source: &Snapshot, pack: &Pack, watch: &Watch) -> Result<(), SourceError> {
    debug_assert_eq!(source.hash_kind(), pack.hash_kind());
    for position in 0..pack.object_count() {
        watch.check()?;
        let Some(crc) = pack.crc32_at(position) else { return Ok(()) };
        let offset = pack.offset_at(position);
        let end = pack.entry_end(offset)?;
        let entry = pack.data().get(offset as usize..end as usize);
        if entry.is_none_or(|entry| crc32fast::hash(entry) != crc) {
            return Err(wrong(pack.name(), offset, &pack.id_at(position)));
        }
    }
    Ok(())
}

/// Has what a source reads from a pack the names that it goes by?
pub(super) fn check_names(
    source: &Snapshot,
    pack: &Pack,
    watch: &Watch,
) -> Result<(), SourceError> {
    let mut numbers = Vec::with_capacity(pack.object_count() as usize);
    for position in 0..pack.object_count() {
        let number = source.lookup(&pack.id_at(position))?;
        let at = number.and_then(|number| source.packed_at(number));
        let is_here =
            at.and_then(|at| source.pack(at.pack)).is_some_and(|p| p.path() == pack.path());
        numbers.extend(number.filter(|_| is_here));
    }
    hash_packed(source, numbers.into_iter(), watch, |_| true)
}

/// Hashes what is to be copied from packs whose index has no checksums of the entries (version 1).
pub(super) fn check_unindexed(
    source: &Snapshot,
    numbers: impl Iterator<Item = ObjectNumber>,
    watch: &Watch,
) -> Result<(), SourceError> {
    // an index has all of them or none
    hash_packed(source, numbers, watch, |pack| pack.crc32_at(0).is_none())
}

fn hash_packed(
    source: &Snapshot,
    numbers: impl Iterator<Item = ObjectNumber>,
    watch: &Watch,
    is_meant: impl Fn(&Pack) -> bool,
) -> Result<(), SourceError> {
    let mut unchecked = Vec::new();
    for number in numbers {
        let Some(at) = source.packed_at(number) else { continue };
        if source.pack(at.pack).is_some_and(|pack| is_meant(pack)) {
            unchecked.push((at.pack, at.offset, number));
        }
    }
    // bases are at hand that way
    unchecked.sort_unstable();
    let mut reader = source.disk_reader();
    for (pack, offset, number) in unchecked {
        if !has_name(&mut reader, source, number, watch)? {
            let name = source.pack(pack).map_or("a pack", |pack| pack.name());
            return Err(wrong(name, offset, &source.id(number)));
        }
    }
    Ok(())
}

fn wrong(pack: &str, offset: u64, id: &ObjectId) -> SourceError {
    SourceError::corrupt_at(pack, offset, format!("object {id} has a wrong checksum"))
}

fn has_name(
    reader: &mut dyn ObjectReader,
    source: &Snapshot,
    number: ObjectNumber,
    watch: &Watch,
) -> Result<bool, SourceError> {
    watch.check()?;
    let (kind, size) = reader.header(number)?;
    let mut hasher = Hasher::new(source.hash_kind());
    hasher.update(&loose_header(kind, size));
    reader.stream(number, &mut |piece| {
        hasher.update(piece);
        !watch.is_cancelled()
    })?;
    let found: ObjectId = hasher.finish();
    Ok(found == source.id(number))
}
