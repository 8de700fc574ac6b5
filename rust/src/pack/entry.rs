//! The header of one entry in a pack: kind, size and, for deltas, the base.

use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;

/// What an entry is and where its base is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// The deflated object itself.
    Whole(ObjectKind),
    /// A delta against the entry this many bytes before this one.
    OfsDelta(u64),
    /// A delta against the object of this name.
    RefDelta(ObjectId),
}

/// A parsed entry header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHeader {
    /// What follows.
    pub kind: EntryKind,
    /// Inflated size of what follows: of the object, or of the delta.
    pub size: u64,
    /// Bytes from the entry's start to its zlib stream.
    pub len: usize,
}

/// Why a header could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// More bytes are needed.
    #[error("pack entry header is cut off")]
    Truncated,
    /// A type number that packs do not have (0 or 5).
    #[error("unknown pack entry type {0}")]
    UnknownType(u8),
    /// A size or offset that does not fit 64 bits, or an offset of zero.
    #[error("pack entry size or offset out of range")]
    OutOfRange,
}

/// Type number of a delta against a distance.
pub const OFS_DELTA: u8 = 6;
/// Type number of a delta against a name.
pub const REF_DELTA: u8 = 7;

/// The type number in the first byte of an entry.
#[inline]
pub const fn type_number(first: u8) -> u8 {
    (first >> 4) & 7
}

/// No header is longer: 10 bytes of size, then 10 of offset or an object name.
pub const MAX_HEADER_LEN: usize = 10 + 32;

impl EntryHeader {
    /// Parses the header at the start of `data`.
    #[inline]
    pub fn parse(data: &[u8], hash: HashKind) -> Result<Self, EntryError> {
        let first = *data.first().ok_or(EntryError::Truncated)?;
        let type_number = type_number(first);
        let mut size = u64::from(first & 15);
        let mut shift = 4;
        let mut at = 1;
        let mut byte = first;
        while byte & 0x80 != 0 {
            byte = *data.get(at).ok_or(EntryError::Truncated)?;
            at += 1;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || bits << shift >> shift != bits {
                return Err(EntryError::OutOfRange);
            }
            size |= bits << shift;
            shift += 7;
        }
        let kind = match type_number {
            1 => EntryKind::Whole(ObjectKind::Commit),
            2 => EntryKind::Whole(ObjectKind::Tree),
            3 => EntryKind::Whole(ObjectKind::Blob),
            4 => EntryKind::Whole(ObjectKind::Tag),
            OFS_DELTA => {
                let (distance, len) = parse_distance(&data[at..])?;
                at += len;
                EntryKind::OfsDelta(distance)
            }
            REF_DELTA => {
                let id = data.get(at..at + hash.len()).ok_or(EntryError::Truncated)?;
                at += hash.len();
                EntryKind::RefDelta(ObjectId::from_bytes(id).ok_or(EntryError::Truncated)?)
            }
            other => return Err(EntryError::UnknownType(other)),
        };
        Ok(Self { kind, size, len: at })
    }

    /// Appends the header for an entry of this kind and size.
    pub fn write(kind: &EntryKind, size: u64, out: &mut Vec<u8>) {
        let type_number = match kind {
            EntryKind::Whole(kind) => *kind as u8,
            EntryKind::OfsDelta(_) => OFS_DELTA,
            EntryKind::RefDelta(_) => REF_DELTA,
        };
        let mut byte = type_number << 4 | (size & 15) as u8;
        let mut rest = size >> 4;
        while rest != 0 {
            out.push(byte | 0x80);
            byte = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        out.push(byte);
        match kind {
            EntryKind::Whole(_) => {}
            EntryKind::OfsDelta(distance) => write_distance(*distance, out),
            EntryKind::RefDelta(id) => out.extend_from_slice(id.as_bytes()),
        }
    }
}

/// The offset encoding: big-endian base 128 where each continuation adds one.
#[inline]
fn parse_distance(data: &[u8]) -> Result<(u64, usize), EntryError> {
    let mut byte = *data.first().ok_or(EntryError::Truncated)?;
    let mut distance = u64::from(byte & 0x7f);
    let mut at = 1;
    while byte & 0x80 != 0 {
        byte = *data.get(at).ok_or(EntryError::Truncated)?;
        at += 1;
        distance =
            distance.checked_add(1).filter(|d| d >> 57 == 0).ok_or(EntryError::OutOfRange)? << 7
                | u64::from(byte & 0x7f);
    }
    if distance == 0 { Err(EntryError::OutOfRange) } else { Ok((distance, at)) }
}

fn write_distance(mut distance: u64, out: &mut Vec<u8>) {
    let mut buffer = [0u8; 10];
    let mut at = buffer.len() - 1;
    buffer[at] = (distance & 0x7f) as u8;
    while distance >> 7 != 0 {
        distance = (distance >> 7) - 1;
        at -= 1;
        buffer[at] = 0x80 | (distance & 0x7f) as u8;
    }
    out.extend_from_slice(&buffer[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = EntryKind> {
        prop_oneof![
            Just(EntryKind::Whole(ObjectKind::Blob)),
            Just(EntryKind::Whole(ObjectKind::Commit)),
            (1u64..1 << 62).prop_map(EntryKind::OfsDelta),
            (1u64..70_000).prop_map(EntryKind::OfsDelta),
            any::<[u8; 20]>()
                .prop_map(|b| EntryKind::RefDelta(ObjectId::from_bytes(&b).expect("20 bytes"))),
        ]
    }

    proptest! {
        #[test]
        fn headers_go_both_ways(kind in kinds(), size in any::<u64>()) {
            let mut out = Vec::new();
            EntryHeader::write(&kind, size, &mut out);
            prop_assert!(out.len() <= MAX_HEADER_LEN);
            let parsed = EntryHeader::parse(&out, HashKind::Sha1).unwrap();
            prop_assert_eq!(parsed, EntryHeader { kind, size, len: out.len() });
            for cut in 0..out.len() {
                prop_assert_eq!(EntryHeader::parse(&out[..cut], HashKind::Sha1), Err(EntryError::Truncated));
            }
        }

        #[test]
        fn any_bytes_are_survived(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = EntryHeader::parse(&data, HashKind::Sha1);
            let _ = EntryHeader::parse(&data, HashKind::Sha256);
        }
    }

    #[test]
    fn sizes_beyond_64_bits_are_refused() {
        assert_eq!(EntryHeader::parse(&[0xbf; 20], HashKind::Sha1), Err(EntryError::OutOfRange));
        let mut ofs = vec![0x60];
        ofs.extend([0xff; 20]);
        assert_eq!(EntryHeader::parse(&ofs, HashKind::Sha1), Err(EntryError::OutOfRange));
        assert_eq!(EntryHeader::parse(&[0x61, 0], HashKind::Sha1), Err(EntryError::OutOfRange));
        assert_eq!(EntryHeader::parse(&[0x01], HashKind::Sha1), Err(EntryError::UnknownType(0)));
        assert_eq!(EntryHeader::parse(&[0x51], HashKind::Sha1), Err(EntryError::UnknownType(5)));
    }
}
