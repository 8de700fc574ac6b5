//! What tables hold: refs, and what became of refs.

use super::Flaw;
use super::block::Records;
use super::bytes::put_varint;
use crate::hash::{HashKind, ObjectId};
use crate::refs::name::MAX_NAME;

/// Longest text in a log record: a committer's name, address or message.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// What a ref holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RefValue {
    /// Nothing: whatever older tables say, it is gone.
    Deleted,
    /// An id that is no tag's.
    Id(ObjectId),
    /// A tag and what is behind it.
    Tag(Box<(ObjectId, ObjectId)>),
    /// Another ref's name.
    Symbolic(Box<[u8]>),
}

impl RefValue {
    /// Reads the value of the record whose key has just been read: when it was written (counted
    /// from the table's first) and what it is.
    pub(super) fn read(
        records: &mut Records<'_>,
        kind_of_value: u8,
        kind: HashKind,
    ) -> Result<(u64, Self), Flaw> {
        let bytes = &mut records.value;
        let delta = bytes.varint()?;
        let value = match kind_of_value {
            0 => RefValue::Deleted,
            1 => RefValue::Id(read_id(bytes, kind)?),
            2 => RefValue::Tag(Box::new((read_id(bytes, kind)?, read_id(bytes, kind)?))),
            3 => RefValue::Symbolic(bytes.counted(MAX_NAME)?.into()),
            _ => return Err(bytes.flaw("ref has an unknown type of value")),
        };
        Ok((delta, value))
    }

    /// The three bits beside the key.
    pub(super) fn extra(&self) -> u8 {
        match self {
            RefValue::Deleted => 0,
            RefValue::Id(_) => 1,
            RefValue::Tag(_) => 2,
            RefValue::Symbolic(_) => 3,
        }
    }

    /// Appends what comes behind the key.
    pub(super) fn write(&self, delta: u64, out: &mut Vec<u8>) {
        put_varint(out, delta);
        match self {
            RefValue::Deleted => {}
            RefValue::Id(id) => out.extend_from_slice(id.as_bytes()),
            RefValue::Tag(both) => {
                out.extend_from_slice(both.0.as_bytes());
                out.extend_from_slice(both.1.as_bytes());
            }
            RefValue::Symbolic(target) => {
                put_varint(out, target.len() as u64);
                out.extend_from_slice(target);
            }
        }
    }
}

fn read_id(bytes: &mut super::bytes::Bytes<'_>, kind: HashKind) -> Result<ObjectId, Flaw> {
    let flaw = bytes.flaw("holds no id");
    ObjectId::from_bytes(bytes.take(kind.len())?).ok_or(flaw)
}
