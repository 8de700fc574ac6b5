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
