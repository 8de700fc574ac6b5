//! What tables hold: refs, and what became of refs.

use super::Flaw;
use super::block::Records;
use super::bytes::put_varint;
use crate::hash::{HashKind, ObjectId};
use crate::refs::name::MAX_NAME;

/// Longest text in a log record: a committer's name, address or message.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// Behind the name in a log's key: a zero and eight bytes.
const LOG_SUFFIX: usize = 9;

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

/// One move of a ref, as a log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogEntry<'a> {
    pub(super) old: ObjectId,
    pub(super) new: ObjectId,
    pub(super) name: &'a [u8],
    pub(super) email: &'a [u8],
    /// Seconds since 1970.
    pub(super) time: u64,
    /// As git writes it, which is not in minutes: -230 for two and a half hours west of Greenwich.
    pub(super) zone: i16,
    /// With a line feed at its end.
    pub(super) message: &'a [u8],
}

impl LogEntry<'_> {
    /// Appends what comes behind the key.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.old.as_bytes());
        out.extend_from_slice(self.new.as_bytes());
        for text in [self.name, self.email] {
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text);
        }
        put_varint(out, self.time);
        out.extend_from_slice(&self.zone.to_be_bytes());
        put_varint(out, self.message.len() as u64);
        out.extend_from_slice(self.message);
    }
}

/// The key of a log record: of one ref the newest comes first.
pub(super) fn log_key(name: &[u8], update_index: u64) -> Vec<u8> {
    [name, b"\0", &(!update_index).to_be_bytes()].concat()
}

/// A record of a log, as it lies in its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogRecord {
    pub(super) key: Vec<u8>,
    /// `None`: whatever older tables say, it is gone.
    pub(super) entry: Option<Vec<u8>>,
}

impl LogRecord {
    /// Reads the value of the record whose key has just been read.
    pub(super) fn read(
        records: &mut Records<'_>,
        kind_of_value: u8,
        kind: HashKind,
    ) -> Result<Self, Flaw> {
        let key = records.key().to_vec();
        let bytes = &mut records.value;
        if key.len() < LOG_SUFFIX || key[key.len() - LOG_SUFFIX] != 0 {
            return Err(bytes.flaw("log has no update index"));
        }
        let entry = match kind_of_value {
            0 => None,
            1 => {
                let begin = bytes.at();
                bytes.take(2 * kind.len())?;
                bytes.counted(MAX_TEXT)?;
                bytes.counted(MAX_TEXT)?;
                bytes.varint()?;
                bytes.take(2)?;
                bytes.counted(MAX_TEXT)?;
                Some(bytes.since(begin).to_vec())
            }
            _ => return Err(bytes.flaw("log has an unknown type of value")),
        };
        Ok(Self { key, entry })
    }

    /// Is it of this ref?
    pub(super) fn is_of(&self, name: &[u8]) -> bool {
        self.key.len() == name.len() + LOG_SUFFIX && self.key.starts_with(name)
    }
}

fn read_id(bytes: &mut super::bytes::Bytes<'_>, kind: HashKind) -> Result<ObjectId, Flaw> {
    let flaw = bytes.flaw("holds no id");
    ObjectId::from_bytes(bytes.take(kind.len())?).ok_or(flaw)
}
