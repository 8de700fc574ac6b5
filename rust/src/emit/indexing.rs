//! What an index says of each entry, noted while a pack is written.

use crate::hash::ObjectId;

/// An entry as it was written, for an index.
#[derive(Debug, Clone, Copy)]
pub struct WrittenEntry {
    /// The object.
    pub id: ObjectId,
    /// Where its entry begins.
    pub offset: u64,
    /// The CRC-32 of the entry's bytes.
    pub crc: u32,
}

/// Entries so far, and the checksum of the one being written.
#[derive(Default)]
pub(super) struct Indexing {
    entries: Vec<WrittenEntry>,
    crc: crc32fast::Hasher,
    in_run: bool,
}

impl Indexing {
    /// Another entry begins. `in_run`: many do, which are known by the index of the pack that they
    /// come from.
    pub(super) fn begin(&mut self, in_run: bool) {
        self.crc = crc32fast::Hasher::new();
        self.in_run = in_run;
    }

    /// These bytes were written.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        if !self.in_run {
            self.crc.update(bytes);
        }
    }

    /// The entry of this object ends.
    pub(super) fn end(&mut self, id: ObjectId, offset: u64) {
        let crc = std::mem::take(&mut self.crc).finalize();
        self.entries.push(WrittenEntry { id, offset, crc });
    }

    /// One of a run.
    pub(super) fn push(&mut self, entry: WrittenEntry) {
        self.entries.push(entry);
    }

    pub(super) fn into_entries(self) -> Vec<WrittenEntry> {
        self.entries
    }
}
