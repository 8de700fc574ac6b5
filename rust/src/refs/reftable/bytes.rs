//! Reading and writing the small pieces: fixed-width numbers in network byte order, varints.

use super::Flaw;

/// Bytes that are read one after the other; flaws are told by their offset in the file.
#[derive(Debug, Clone)]
pub(super) struct Bytes<'a> {
    data: &'a [u8],
    at: usize,
    /// Where `data` begins in the file.
    base: u64,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(data: &'a [u8], base: u64) -> Self {
        Self { data, at: 0, base }
    }

    /// How far they have been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.data.len()
    }

    /// Something is wrong where the next byte is read.
    pub(super) fn flaw(&self, what: &'static str) -> Flaw {
        Flaw { offset: self.base.saturating_add(self.at as u64), what }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Flaw> {
        let taken = self.data.get(self.at..).and_then(|rest| rest.get(..len));
        let taken = taken.ok_or_else(|| self.flaw("ends too early"))?;
        self.at += len;
        Ok(taken)
    }

    /// What was read since `from`, a value of [`Bytes::at`].
    pub(super) fn since(&self, from: usize) -> &'a [u8] {
        &self.data[from.min(self.at)..self.at]
    }

    /// An unsigned number of `N` bytes, at most eight.
    pub(super) fn number<const N: usize>(&mut self) -> Result<u64, Flaw> {
        let bytes = self.take(N)?;
        Ok(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A number as packs write the offsets of deltas.
    pub(super) fn varint(&mut self) -> Result<u64, Flaw> {
        let mut value: u64 = 0;
        loop {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            value = value
                .checked_add(1)
                .filter(|value| value.leading_zeros() >= 7)
                .ok_or_else(|| self.flaw("number is too large"))?
                << 7;
        }
    }

    /// A varint that counts bytes, no more than `limit`, and these bytes.
    pub(super) fn counted(&mut self, limit: usize) -> Result<&'a [u8], Flaw> {
        let len = self.varint()?;
        match usize::try_from(len) {
            Ok(len) if len <= limit => self.take(len),
            _ => Err(self.flaw("text is too long")),
        }
    }
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; 10];
    let mut at = bytes.len() - 1;
    let mut rest = value;
    bytes[at] = (rest & 0x7f) as u8;
    rest >>= 7;
    while rest > 0 {
        rest -= 1;
        at -= 1;
        bytes[at] = 0x80 | (rest & 0x7f) as u8;
        rest >>= 7;
    }
    out.extend_from_slice(&bytes[at..]);
}

/// Appends a number of three bytes; blocks are never larger.
pub(super) fn put_u24(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_there_and_back() {
        for value in [0, 1, 127, 128, 129, 16511, 16512, 1 << 32, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut bytes = Bytes::new(&out, 0);
            assert_eq!(bytes.varint().unwrap(), value);
            assert!(bytes.is_empty());
        }
        let mut out = Vec::new();
        put_varint(&mut out, 128);
        assert_eq!(out, [0x80, 0]);
    }

    #[test]
    fn numbers_that_end_or_overflow_are_flaws() {
        let flaw = Bytes::new(&[0x80], 7).varint().unwrap_err();
        assert_eq!((flaw.offset, flaw.what), (8, "ends too early"));
        assert!(Bytes::new(&[0xff; 11], 0).varint().is_err());
        assert!(Bytes::new(&[5, 1, 2], 0).counted(9).is_err());
        assert_eq!(Bytes::new(&[2, 1, 2], 0).counted(1).unwrap_err().what, "text is too long");
    }
}
