//! The file of a pack: a header, the pack, a checksum for each of its blocks.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::key::Key;

/// Where the pack begins.
pub(super) const HEADER_LEN: u64 = 128;
/// Bytes of the pack that have a checksum together, and are read at once.
pub(super) const BLOCK: usize = 256 << 10;
/// Bytes of a checksum.
pub(super) const CHECKSUM: usize = 4;

const MAGIC: &[u8; 8] = b"GSPACK1\0";
/// The header up to its own checksum.
const CHECKED: usize = 124;

/// What the last line of progress says of the pack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Made {
    /// Objects in the pack.
    pub objects: u32,
    /// Deltas among them.
    pub deltas: u32,
    /// Objects whose compressed bytes were copied.
    pub reused: u32,
    /// Deltas among those.
    pub reused_deltas: u32,
    /// Objects of whole stretches that were copied unseen.
    pub verbatim: u32,
}

/// How far a pack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its bytes so far are those in the file.
    Growing,
    /// All of it is there.
    Complete,
    /// It is not worth a file: make it yourself.
    Declined,
    /// It could not be made.
    Failed,
}

/// What stands in front of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) key: Key,
    pub(super) state: State,
    /// Bytes of the pack, when it is complete.
    pub(super) length: u64,
    /// Bytes that the file will take at most.
    pub(super) reserved: u64,
    pub(super) made: Made,
    /// The pack's own hash, padded with zeros.
    pub(super) trailer: [u8; 32],
    /// Bytes of that hash.
    pub(super) trailer_len: u8,
    /// Of the checksums behind the pack.
    pub(super) table: u32,
}

impl Header {
    pub(super) fn growing(key: Key, reserved: u64) -> Self {
        Self {
            key,
            state: State::Growing,
            length: 0,
            reserved,
            made: Made::default(),
            trailer: [0; 32],
            trailer_len: 0,
            table: 0,
        }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_LEN as usize] {
        let Made { objects, deltas, reused, reused_deltas, verbatim } = self.made;
        let mut out = Vec::with_capacity(HEADER_LEN as usize);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(&[self.state as u8, self.trailer_len, 0, 0]);
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.reserved.to_le_bytes());
        for count in [objects, deltas, reused, reused_deltas, verbatim] {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&self.trailer);
        out.extend_from_slice(&self.table.to_le_bytes());
        out.resize(CHECKED, 0);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        let mut header = [0; HEADER_LEN as usize];
        header.copy_from_slice(&out);
        header
    }

    /// `None` for anything that is no header, or not wholly written yet.
    pub(super) fn decode(bytes: &[u8; HEADER_LEN as usize]) -> Option<Self> {
        let number = |at: usize| u32::from_le_bytes(array(bytes, at));
        let long = |at: usize| u64::from_le_bytes(array(bytes, at));
        if &array::<8>(bytes, 0) != MAGIC || number(CHECKED) != crc32fast::hash(&bytes[..CHECKED]) {
            return None;
        }
        let state = match bytes[40] {
            0 => State::Growing,
            1 => State::Complete,
            2 => State::Declined,
            3 => State::Failed,
            _ => return None,
        };
        let [objects, deltas, reused, reused_deltas, verbatim] = [60, 64, 68, 72, 76].map(number);
        Some(Self {
            key: Key::from_bytes(array(bytes, 8)),
            state,
            trailer_len: bytes[41],
            length: long(44),
            reserved: long(52),
            made: Made { objects, deltas, reused, reused_deltas, verbatim },
            trailer: array(bytes, 80),
            table: number(112),
        })
    }

    /// That of a file, if it has one.
    pub(super) fn read(file: &File) -> Option<Self> {
        let mut bytes = [0; HEADER_LEN as usize];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Self::decode(&bytes)
    }

    /// Bytes of a file with a complete pack.
    pub(super) fn file_len(&self) -> Option<u64> {
        let blocks = self.length.div_ceil(BLOCK as u64);
        let table = blocks.checked_mul(CHECKSUM as u64)?;
        HEADER_LEN.checked_add(self.length)?.checked_add(table)
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
