//! The first and the last bytes of a table: what it is of, and where its sections begin.

use super::Flaw;
use super::bytes::Bytes;
use crate::hash::HashKind;

const MAGIC: &[u8] = b"REFT";
const SHA1: &[u8] = b"sha1";
const SHA256: &[u8] = b"s256";

/// The longest header, of version 2.
pub(super) const MAX_HEADER: usize = 28;
/// Behind the repeated header: five positions and a checksum.
const POSITIONS: usize = 5 * 8;

/// What a table is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: HashKind,
    /// What blocks are aligned to; 0 when they are not.
    pub(super) block_size: usize,
    pub(super) min_update_index: u64,
    pub(super) max_update_index: u64,
    /// How long it is: 24 bytes in version 1, 28 in version 2.
    pub(super) len: usize,
}

/// Where sections begin; 0 for those that are missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) ref_index: u64,
    /// With the length of abbreviations in the lowest five bits.
    pub(super) obj: u64,
    pub(super) obj_index: u64,
    pub(super) log: u64,
    pub(super) log_index: u64,
}

impl Header {
    /// Version 1 for SHA-1, as the document recommends; version 2 names the hash.
    pub(super) fn new(kind: HashKind, block_size: usize, min: u64, max: u64) -> Self {
        let len = if kind == HashKind::Sha1 { 24 } else { MAX_HEADER };
        Self { kind, block_size, min_update_index: min, max_update_index: max, len }
    }

    pub(super) fn parse(data: &[u8], base: u64) -> Result<Self, Flaw> {
        let mut bytes = Bytes::new(data, base);
        if bytes.take(MAGIC.len())? != MAGIC {
            return Err(Flaw { offset: base, what: "is no reftable" });
        }
        let version = bytes.number::<1>()?;
        let block_size = bytes.number::<3>()? as usize;
        let (min, max) = (bytes.number::<8>()?, bytes.number::<8>()?);
        let kind = match version {
            1 => HashKind::Sha1,
            2 => match bytes.take(SHA1.len())? {
                SHA1 => HashKind::Sha1,
                SHA256 => HashKind::Sha256,
                _ => return Err(bytes.flaw("has an unknown hash")),
            },
            _ => return Err(bytes.flaw("has an unknown version")),
        };
        if min > max {
            return Err(bytes.flaw("has its update indexes the wrong way round"));
        }
        let len = bytes.at();
        Ok(Self { kind, block_size, min_update_index: min, max_update_index: max, len })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let version = if self.len == MAX_HEADER { 2 } else { 1 };
        out.extend_from_slice(MAGIC);
        out.push(version);
        super::bytes::put_u24(out, self.block_size);
        out.extend_from_slice(&self.min_update_index.to_be_bytes());
        out.extend_from_slice(&self.max_update_index.to_be_bytes());
        if version == 2 {
            out.extend_from_slice(if self.kind == HashKind::Sha1 { SHA1 } else { SHA256 });
        }
    }

    /// How long the footer of such a table is.
    pub(super) fn footer_len(&self) -> usize {
        self.len + POSITIONS + 4
    }
}

impl Footer {
    /// `data`: the last [`Header::footer_len`] bytes, which begin at `base`. Sections lie between
    /// the header and the footer.
    pub(super) fn parse(data: &[u8], header: &Header, base: u64) -> Result<Self, Flaw> {
        let checked = data.len() - 4;
        if crc32fast::hash(&data[..checked]).to_be_bytes() != data[checked..] {
            return Err(Flaw { offset: base, what: "footer has a wrong checksum" });
        }
        if Header::parse(data, base)? != *header {
            return Err(Flaw { offset: base, what: "footer and header differ" });
        }
        let mut bytes = Bytes::new(&data[header.len..checked], base + header.len as u64);
        let mut position = |shift: u32| {
            let found = bytes.number::<8>()?;
            match found >> shift {
                0 => Ok(found),
                at if at >= header.len as u64 && at < base => Ok(found),
                _ => Err(bytes.flaw("section is outside the file")),
            }
        };
        let footer = Self {
            ref_index: position(0)?,
            obj: position(5)?,
            obj_index: position(0)?,
            log: position(0)?,
            log_index: position(0)?,
        };
        Ok(footer)
    }

    /// The footer behind `header`, with its checksum.
    pub(super) fn write(&self, header: &Header, out: &mut Vec<u8>) {
        let begin = out.len();
        header.write(out);
        for position in [self.ref_index, self.obj, self.obj_index, self.log, self.log_index] {
            out.extend_from_slice(&position.to_be_bytes());
        }
        let checksum = crc32fast::hash(&out[begin..]);
        out.extend_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footers_there_and_back() {
        for (kind, len) in [(HashKind::Sha1, 68), (HashKind::Sha256, 72)] {
            let header = Header::new(kind, 4096, 3, 9);
            let footer = Footer { log: 100, ..Footer::default() };
            let mut out = Vec::new();
            footer.write(&header, &mut out);
            assert_eq!((out.len(), header.footer_len()), (len, len));
            assert_eq!(Header::parse(&out, 0).unwrap(), header);
            assert_eq!(Footer::parse(&out, &header, 200).unwrap(), footer);
            assert!(Footer::parse(&out, &header, 100).is_err(), "a section in the footer");
            out[30] ^= 1;
            let flaw = Footer::parse(&out, &header, 200).unwrap_err();
            assert_eq!(flaw.what, "footer has a wrong checksum");
        }
    }
}
