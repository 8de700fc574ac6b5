//! Making deltas: copy and insert instructions that turn a base into a target.
//!
//! In: two byte strings. Out: a delta in the format of `gitformat-pack`, "Deltified
//! representation", never longer than asked. Which objects are worth trying against each other
//! is not known here but in [`crate::plan`]; what came of it is kept in a [`DeltaMemory`].

mod index;
mod memory;

pub use index::{BLOCK, DeltaIndex, MAX_BASE};
pub use memory::{DeltaMemory, Known, KnownDelta, Outcome, Tried, set_memory_limit, short};

/// The longest copy one instruction makes. The format has a third size byte; git has never
/// written it, and readers exist that do not know it.
const MAX_COPY: usize = 0x10000;

/// The longest literal one instruction inserts.
const MAX_INSERT: usize = 127;

/// Writes instructions until the limit.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    max_len: usize,
}

impl<'a> Writer<'a> {
    fn new(base_len: usize, target_len: usize, max_len: usize, out: &'a mut Vec<u8>) -> Self {
        out.clear();
        write_size(base_len, out);
        write_size(target_len, out);
        Self { out, max_len }
    }

    /// Bytes so far.
    #[inline]
    fn len(&self) -> usize {
        self.out.len()
    }

    /// Would a literal of this length still fit?
    #[inline]
    fn can_insert(&self, len: usize) -> bool {
        self.out.len().saturating_add(len) <= self.max_len
    }

    #[inline]
    fn insert(&mut self, literal: &[u8]) -> bool {
        if !self.can_insert(literal.len() + literal.len().div_ceil(MAX_INSERT)) {
            return false;
        }
        for piece in literal.chunks(MAX_INSERT) {
            self.out.push(piece.len() as u8);
            self.out.extend_from_slice(piece);
        }
        true
    }

    #[inline]
    fn copy(&mut self, mut offset: usize, mut len: usize) -> bool {
        while len > 0 {
            let now = len.min(MAX_COPY);
            let at = self.out.len();
            let mut op = 0x80;
            self.out.push(op);
            for byte in 0..4 {
                let value = (offset >> (8 * byte)) as u8;
                if value != 0 {
                    op |= 1 << byte;
                    self.out.push(value);
                }
            }
            // a size of zero means 0x10000
            for byte in 0..2 {
                let value = ((now & 0xffff) >> (8 * byte)) as u8;
                if value != 0 {
                    op |= 0x10 << byte;
                    self.out.push(value);
                }
            }
            self.out[at] = op;
            offset += now;
            len -= now;
            if self.out.len() > self.max_len {
                return false;
            }
        }
        true
    }
}

fn write_size(mut size: usize, out: &mut Vec<u8>) {
    while size >= 0x80 {
        out.push(size as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
}

#[cfg(test)]
mod tests;
