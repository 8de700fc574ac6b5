use super::{ObjectKind, header_line};
use crate::hash::ObjectId;

/// A tag without `object` or `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed tag")]
pub struct TagError;

/// The fields of an annotated tag that walks use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it points at; may be a tag again.
    pub target: ObjectId,
    /// The kind of that object, as the tag claims.
    pub kind: ObjectKind,
}

impl Tag {
    /// Parses the content of a tag object.
    pub fn parse(data: &[u8]) -> Result<Self, TagError> {
        let (target, rest) = header_line(data, b"object").ok_or(TagError)?;
        let (kind, _) = header_line(rest, b"type").ok_or(TagError)?;
        Ok(Self {
            target: ObjectId::from_hex(target).ok_or(TagError)?,
            kind: ObjectKind::from_name(kind).ok_or(TagError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_and_kind() {
        let tag =
            Tag::parse(b"object da39a3ee5e6b4b0d3255bfef95601890afd80709\ntype tree\ntag x\n")
                .unwrap();
        assert_eq!(tag.kind, ObjectKind::Tree);
        assert!(Tag::parse(b"object da39a3ee5e6b4b0d3255bfef95601890afd80709\n").is_err());
        assert!(Tag::parse(b"").is_err());
    }
}
