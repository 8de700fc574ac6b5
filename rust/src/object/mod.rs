//! Objects as bytes: their kinds and the fields of them that a server reads.
//!
//! The parsers are for servers: they find what a walk needs (parents, trees, targets) and are
//! lenient about the rest, as git's are. Whether an object is *well formed* is `fsck`'s question.

mod commit;
mod tag;
mod tree;

pub use commit::{Commit, CommitError};
pub use tag::{Tag, TagError};
pub use tree::{Mode, TreeEntry, TreeError, TreeIter};

use crate::hash::{CheckedHasher, CollisionAttack, HashKind, Hasher, ObjectId};

/// The four kinds of object, numbered as in packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// A commit.
    Commit = 1,
    /// A tree.
    Tree = 2,
    /// A blob.
    Blob = 3,
    /// An annotated tag.
    Tag = 4,
}

impl ObjectKind {
    /// The name in loose object headers and tags.
    pub const fn name(self) -> &'static str {
        match self {
            ObjectKind::Commit => "commit",
            ObjectKind::Tree => "tree",
            ObjectKind::Blob => "blob",
            ObjectKind::Tag => "tag",
        }
    }

    /// The inverse of [`ObjectKind::name`].
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"commit" => Some(ObjectKind::Commit),
            b"tree" => Some(ObjectKind::Tree),
            b"blob" => Some(ObjectKind::Blob),
            b"tag" => Some(ObjectKind::Tag),
            _ => None,
        }
    }
}

/// `"<kind> <size>\0"`: what is hashed, and stored in loose objects, before the content.
pub fn loose_header(kind: ObjectKind, size: u64) -> Vec<u8> {
    format!("{} {size}\0", kind.name()).into_bytes()
}

/// The same without a place in memory of its own: millions are made while packs come in.
#[derive(Clone, Copy)]
pub struct LooseHeader {
    bytes: [u8; LOOSE_HEADER_MAX],
    start: u8,
}

/// The longest kind, a space, the digits of the largest size, a NUL.
const LOOSE_HEADER_MAX: usize = 6 + 1 + 20 + 1;

impl LooseHeader {
    /// See [`loose_header`].
    pub fn new(kind: ObjectKind, size: u64) -> Self {
        let mut bytes = [0; LOOSE_HEADER_MAX];
        // written from its end
        let mut start = LOOSE_HEADER_MAX - 1;
        let mut rest = size;
        loop {
            start -= 1;
            bytes[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        start -= 1;
        bytes[start] = b' ';
        let name = kind.name().as_bytes();
        start -= name.len();
        bytes[start..start + name.len()].copy_from_slice(name);
        Self { bytes, start: start as u8 }
    }

    /// `"<kind> <size>\0"`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

/// The name of an object we made or trust.
pub fn object_id(hash: HashKind, kind: ObjectKind, content: &[u8]) -> ObjectId {
    let mut hasher = Hasher::new(hash);
    hasher.update(&loose_header(kind, content.len() as u64));
    hasher.update(content);
    hasher.finish()
}

/// The name of an object that a stranger sent.
pub fn checked_object_id(
    hash: HashKind,
    kind: ObjectKind,
    content: &[u8],
) -> Result<ObjectId, CollisionAttack> {
    let mut hasher = CheckedHasher::new(hash);
    hasher.update(&loose_header(kind, content.len() as u64));
    hasher.update(content);
    hasher.finish()
}

/// One `"name value\n"` header line off the front of a commit or tag.
fn header_line<'a>(data: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let value = data.strip_prefix(name)?.strip_prefix(b" ")?;
    let end = value.iter().position(|&b| b == b'\n')?;
    Some((&value[..end], &value[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_are_the_same() {
        for kind in [ObjectKind::Commit, ObjectKind::Tree, ObjectKind::Blob, ObjectKind::Tag] {
            for size in [0, 1, 9, 10, 4711, u64::MAX] {
                assert_eq!(LooseHeader::new(kind, size).as_bytes(), loose_header(kind, size));
            }
        }
    }
}
