//! Refs that no file holds: a snapshot of what somebody's own store says.

use std::path::Path;
use std::sync::Arc;

use super::packed::PackedRefs;
use super::read::RawRef;
use super::{RefError, RefSnapshot};
use crate::hash::{HashKind, ObjectId};

/// What HEAD is in a store of somebody's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenHead {
    /// There is none.
    Missing,
    /// It names a branch, which need not exist.
    Branch(Vec<u8>),
    /// It is detached at this commit.
    Detached(ObjectId),
}

impl RefSnapshot {
    /// Of names and ids in any order. Names that Git does not allow are left out with a warning,
    /// as they are when they stand in `packed-refs`. `before`: what the same store said earlier, so
    /// that tags are not read again.
    pub fn given<'a>(
        kind: HashKind,
        refs: impl IntoIterator<Item = (&'a [u8], ObjectId)>,
        head: GivenHead,
        before: Option<&Self>,
    ) -> Result<Self, RefError> {
        // packed-refs is the table that everything else works on, so the refs become one
        let mut text = Vec::new();
        for (name, id) in refs.into_iter().filter(|(name, _)| !name.contains(&b'\n')) {
            id.write_hex(&mut text);
            text.push(b' ');
            text.extend_from_slice(name);
            text.push(b'\n');
        }
        let packed = PackedRefs::parse(text, kind, Path::new("given refs"))?;
        let head = match head {
            GivenHead::Missing => None,
            GivenHead::Branch(target) => Some(RawRef::Symbolic(target)),
            GivenHead::Detached(id) => Some(RawRef::Id(id)),
        };
        let peels = match before.filter(|before| before.core.kind == kind) {
            Some(before) => Arc::clone(&before.core.peels),
            None => Arc::default(),
        };
        let warnings = packed.warnings.clone();
        Ok(Self::new(kind, head, Arc::new(packed), Arc::default(), peels, warnings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_refs_are_refs() {
        let id = |byte: u8| ObjectId::from_bytes(&[byte; 20]).unwrap();
        let refs = [(&b"refs/tags/b"[..], id(2)), (b"refs/heads/a", id(1)), (b"refs/../x", id(3))];
        let head = GivenHead::Branch(b"refs/heads/a".to_vec());
        let snapshot = RefSnapshot::given(HashKind::Sha1, refs, head, None).unwrap();
        let names: Vec<_> = snapshot.items(b"").map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names, [b"refs/heads/a".to_vec(), b"refs/tags/b".to_vec()]);
        assert_eq!(snapshot.get(b"HEAD"), Some(id(1)));
        assert_eq!(snapshot.symbolic(b"HEAD"), Some(&b"refs/heads/a"[..]));
        assert_eq!(snapshot.warnings().len(), 1);
        let head = GivenHead::Detached(id(7));
        let detached = RefSnapshot::given(HashKind::Sha1, [], head, Some(&snapshot)).unwrap();
        assert!(Arc::ptr_eq(&detached.core.peels, &snapshot.core.peels));
        assert_eq!(detached.get(b"HEAD"), Some(id(7)));
        assert!(detached.is_empty());
        let other = RefSnapshot::given(HashKind::Sha256, [], GivenHead::Missing, Some(&snapshot));
        assert!(!Arc::ptr_eq(&other.unwrap().core.peels, &snapshot.core.peels));
    }
}
