//! Files of chunks (`gitformat-chunk`): a header, a table of contents, the chunks, a checksum.

use crate::ingest::{HashedFile, IngestError, NewFile};

/// A chunk's four letters and its offset.
const ROW_LEN: usize = 12;

/// The chunks of one file, in their order.
pub(super) struct Chunks(Vec<([u8; 4], Vec<u8>)>);

impl Chunks {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn add(&mut self, id: &[u8; 4], content: Vec<u8>) {
        self.0.push((*id, content));
    }

    /// The same where there is something in it.
    pub(super) fn add_some(&mut self, id: &[u8; 4], content: Vec<u8>) {
        if !content.is_empty() {
            self.add(id, content);
        }
    }

    /// The fan-out and the names, which both kinds of file begin with.
    pub(super) fn add_names<'n>(&mut self, names: impl Iterator<Item = &'n [u8]>) {
        let (mut counts, mut lookup) = ([0u32; 256], Vec::new());
        for name in names {
            counts[usize::from(name[0])] += 1;
            lookup.extend_from_slice(name);
        }
        let mut total = 0;
        let fanout = counts.iter().flat_map(|count| {
            total += count;
            u32::to_be_bytes(total)
        });
        self.add(b"OIDF", fanout.collect());
        self.add(b"OIDL", lookup);
    }

    /// How many there are; a handful by construction.
    pub(super) fn count(&self) -> u8 {
        self.0.len() as u8
    }

    /// Writes `head`, the table, the chunks and the checksum.
    pub(super) fn write(&self, mut file: HashedFile, head: &[u8]) -> Result<NewFile, IngestError> {
        file.write(head)?;
        let mut at = (head.len() + (self.0.len() + 1) * ROW_LEN) as u64;
        for (id, content) in &self.0 {
            file.write(id)?;
            file.write(&at.to_be_bytes())?;
            at += content.len() as u64;
        }
        file.write(&[0; 4])?;
        file.write(&at.to_be_bytes())?;
        for (_, content) in &self.0 {
            file.write(content)?;
        }
        file.finish()
    }
}
