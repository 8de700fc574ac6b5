//! Blocks: records in order of their keys, each without what it shares with the one before.

use super::Flaw;
use super::bytes::Bytes;
use crate::refs::name::MAX_NAME;

/// A log's key is a name, a NUL and eight bytes.
const MAX_KEY: usize = MAX_NAME + 9;

/// A block's type and the length of it.
pub(super) const BLOCK_HEADER: usize = 4;

/// The records of one block, read one after the other.
#[derive(Debug)]
pub(super) struct Records<'a> {
    /// Behind the key of a record its value comes; whoever asks for the next key has read it.
    pub(super) value: Bytes<'a>,
    key: Vec<u8>,
}

impl<'a> Records<'a> {
    /// `block`: from the byte that its length counts from, at `base` in the file, to its end.
    /// Records begin `skip` bytes in: behind the block's header, and in the first block behind the
    /// file's too.
    pub(super) fn new(block: &'a [u8], skip: usize, base: u64) -> Result<Self, Flaw> {
        let flaw = |what| Flaw { offset: base, what };
        let count_at = block.len().checked_sub(2).ok_or(flaw("block is too short"))?;
        let restarts = usize::from(block[count_at]) << 8 | usize::from(block[count_at + 1]);
        let end = count_at.checked_sub(3 * restarts).filter(|&end| end >= skip);
        let end = end.ok_or(flaw("block has more restarts than room"))?;
        let value = Bytes::new(&block[skip..end], base.saturating_add(skip as u64));
        Ok(Self { value, key: Vec::new() })
    }

    /// Reads the next record's key; returns the three bits beside it. `None` at the end.
    pub(super) fn next_key(&mut self) -> Result<Option<u8>, Flaw> {
        let bytes = &mut self.value;
        if bytes.is_empty() {
            return Ok(None);
        }
        let flaw = bytes.flaw("keys are out of order");
        let shared = usize::try_from(bytes.varint()?).unwrap_or(usize::MAX);
        let suffix = bytes.varint()?;
        let extra = (suffix & 7) as u8;
        let suffix = usize::try_from(suffix >> 3).unwrap_or(usize::MAX);
        if shared > self.key.len() {
            return Err(bytes.flaw("key shares more than there is"));
        }
        if shared.saturating_add(suffix) > MAX_KEY {
            return Err(bytes.flaw("key is too long"));
        }
        let suffix = bytes.take(suffix)?;
        // the key before ends where this one goes on, or goes on lower
        if suffix <= &self.key[shared..] {
            return Err(flaw);
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        Ok(Some(extra))
    }

    /// The key that was read last.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }
}
