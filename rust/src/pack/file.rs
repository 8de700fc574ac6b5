//! A pack with its index, open and checked (`gitformat-pack`, "pack-*.pack files").
//!
//! Out flow entry headers and the places of entries; compressed bytes are for whoever asks for
//! [`Pack::data`]. A pack does not know the other packs of its repository.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::PACK_HEADER_LEN;
use super::bases::PackBases;
use super::entry::EntryHeader;
use super::index::PackIndex;
use super::map::{Mapping, be32, corrupt, is_gone, map_file};
use super::order::{PackOrder, read_rev};
use super::verified::Verified;
use crate::hash::{HashKind, ObjectId};
use crate::source::SourceError;

/// An open pack. Both files are mapped and closed; it outlives their deletion.
#[derive(Debug)]
pub struct Pack {
    path: PathBuf,
    name: String,
    data: Mapping,
    index: PackIndex,
    hash: HashKind,
    order: OnceLock<Result<PackOrder, &'static str>>,
    bases: OnceLock<PackBases>,
    rev_problem: Mutex<Option<String>>,
    verified: Verified,
    serial: u64,
    /// While somebody sends from it.
    open: Mutex<Weak<File>>,
}

impl Pack {
    /// Opens the pack that belongs to this `.idx` file, and checks that it does.
    pub fn open(index_path: &Path, hash: HashKind) -> Result<Self, SourceError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = index_path.with_extension("pack");
        let index = PackIndex::open(index_path, hash)?;
        let data = map_file(&path)?;
        check(&data, &index, hash).map_err(|what| corrupt(&path, what))?;
        let name = path.display().to_string();
        let (order, rev_problem) = (OnceLock::new(), Mutex::new(None));
        let (bases, verified) = (OnceLock::new(), Verified::default());
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let open = Mutex::new(Weak::new());
        Ok(Self {
            path,
            name,
            data,
            index,
            hash,
            order,
            bases,
            rev_problem,
            verified,
            serial,
            open,
        })
    }

    /// Its files changed under us: it is not to be used any more.
    pub(crate) fn is_faulted(&self) -> bool {
        self.data.is_faulted() || self.index.is_faulted()
    }

    /// No other pack that this process opens has the same.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// The `.pack` file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path as text, for errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The index.
    pub fn index(&self) -> &PackIndex {
        &self.index
    }

    /// The object format.
    pub fn hash_kind(&self) -> HashKind {
        self.hash
    }

    /// The `.pack` file anew, to be sent from, the same for all who send at the same time; `None` when
    /// it is not at its path any more, or the process has too many files open.
    pub fn reopened(&self) -> Option<Arc<File>> {
        // nothing can panic while it is locked
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.upgrade() {
            return Some(file);
        }
        let file = Arc::new(self.data.reopened(&self.path)?);
        *open = Arc::downgrade(&file);
        Some(file)
    }

    /// The whole file.
    #[inline]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// How many objects it has.
    #[inline]
    pub fn object_count(&self) -> u32 {
        self.index.count()
    }

    /// Where the entries end and the trailer begins.
    #[inline]
    pub fn end_of_entries(&self) -> u64 {
        (self.data.len() - self.hash.len()) as u64
    }

    /// The checksum at its end.
    pub fn trailer(&self) -> &[u8] {
        &self.data[self.data.len() - self.hash.len()..]
    }

    /// The index position of an object.
    #[inline]
    pub fn position(&self, id: &ObjectId) -> Option<u32> {
        self.index.position(id)
    }

    /// The name at a position below the object count.
    #[inline]
    pub fn id_at(&self, position: u32) -> ObjectId {
        self.index.id_at(position)
    }

    /// The entry's offset for a position below the object count; beyond the pack when the index
    /// is corrupt there.
    #[inline]
    pub fn offset_at(&self, position: u32) -> u64 {
        self.index.offset_at(position)
    }

    /// The CRC-32 of the entry's bytes as stored; indexes of version 1 have none.
    #[inline]
    pub fn crc32_at(&self, position: u32) -> Option<u32> {
        self.index.crc32_at(position)
    }

    /// The bytes from `offset` to the trailer.
    #[inline]
    pub fn entry_data(&self, offset: u64) -> Result<&[u8], SourceError> {
        let end = self.end_of_entries();
        if offset < PACK_HEADER_LEN as u64 || offset >= end {
            return Err(SourceError::corrupt_at(&self.name, offset, "no entry can be here"));
        }
        Ok(&self.data[offset as usize..end as usize])
    }

    /// The header of the entry at `offset`.
    #[inline]
    pub fn header_at(&self, offset: u64) -> Result<EntryHeader, SourceError> {
        EntryHeader::parse(self.entry_data(offset)?, self.hash)
            .map_err(|error| SourceError::corrupt_at(&self.name, offset, error))
    }

    /// Where the entry at `offset` ends: the next one's offset, or the trailer's.
    pub fn entry_end(&self, offset: u64) -> Result<u64, SourceError> {
        let order = self.order()?;
        let rank = order
            .rank(offset)
            .ok_or_else(|| SourceError::corrupt_at(&self.name, offset, "no entry begins here"))?;
        Ok(order.offset(rank + 1))
    }

    /// The index position of the object whose entry begins at exactly `offset`.
    pub fn position_at_offset(&self, offset: u64) -> Option<u32> {
        let order = self.order().ok()?;
        Some(order.positions()[order.rank(offset)?])
    }

    /// Index positions in the order of offsets.
    pub fn positions_by_offset(&self) -> Result<&[u32], SourceError> {
        Ok(self.order()?.positions())
    }

    /// The entries in the order of the pack: from the `.rev` file where that is sound, else
    /// sorted. Read or made once, when first asked for.
    pub fn order(&self) -> Result<&PackOrder, SourceError> {
        self.order
            .get_or_init(|| self.read_order())
            .as_ref()
            .map_err(|what| corrupt(self.index.path(), what))
    }

    /// What each entry is a delta of. Every header is read, once, when first asked for.
    pub fn bases(&self) -> Result<&PackBases, SourceError> {
        let order = self.order()?;
        let entries = &self.data[..self.end_of_entries() as usize];
        Ok(self.bases.get_or_init(|| PackBases::read(entries, order, self.hash)))
    }

    /// Was [`Pack::note_verified`] told of all entries of these ranks?
    pub fn is_verified(&self, ranks: Range<usize>) -> bool {
        !self.is_faulted() && self.verified.all(ranks)
    }

    /// The entries of these ranks have the checksums of the index. Remembered as long as the pack
    /// is open.
    pub fn note_verified(&self, ranks: Range<usize>) {
        self.verified.note(ranks, self.object_count() as usize);
    }

    /// What is wrong with the `.rev` file, once somebody needed it; for the log. Given once.
    pub fn take_rev_problem(&self) -> Option<String> {
        self.rev_problem().take()
    }

    fn rev_problem(&self) -> MutexGuard<'_, Option<String>> {
        // nothing can panic while it is locked
        self.rev_problem.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_order(&self) -> Result<PackOrder, &'static str> {
        let (start, end) = (PACK_HEADER_LEN as u64, self.end_of_entries());
        let rev_path = self.path.with_extension("rev");
        let checksum = self.index.pack_checksum();
        match read_rev(&rev_path, self.hash, self.object_count(), checksum) {
            Ok(positions) => match PackOrder::from_positions(&self.index, positions, start, end) {
                Ok(order) => return Ok(order),
                Err(what) => {
                    *self.rev_problem() = Some(format!("{}: {what}", rev_path.display()));
                }
            },
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                *self.rev_problem() = Some(error.to_string());
            }
        }
        PackOrder::by_sorting(&self.index, start, end)
    }
}

fn check(data: &[u8], index: &PackIndex, hash: HashKind) -> Result<(), &'static str> {
    if data.len() < PACK_HEADER_LEN + hash.len() {
        return Err("too short for a pack");
    }
    if &data[..4] != b"PACK" {
        return Err("no pack signature");
    }
    if !matches!(be32(data, 4), 2 | 3) {
        return Err("unknown pack version");
    }
    if be32(data, 8) != index.count() {
        return Err("object count differs from its index");
    }
    if &data[data.len() - hash.len()..] != index.pack_checksum() {
        return Err("checksum differs from its index");
    }
    Ok(())
}
