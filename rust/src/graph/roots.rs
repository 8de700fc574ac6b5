//! What the ids of a request are: commits, tags to be followed, trees and blobs.

use super::GraphError;
use super::table::{CommitNumber, CommitReader, CommitTable};
use crate::hash::ObjectId;
use crate::object::{ObjectKind, Tag};
use crate::source::{ObjectNumber, SourceError};

/// One id of a request, with the tags on the way peeled off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// A commit.
    Commit(CommitNumber),
    /// A tree.
    Tree(ObjectNumber),
    /// A blob.
    Blob(ObjectNumber),
}

/// Follows `id` through tags to what it is about, telling `on_tag` of each tag.
///
/// `on_tag` returns false to stop, for a tag that was followed before. No tag can lead to
/// itself, so this ends.
pub(super) fn resolve(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    id: &ObjectId,
    mut on_tag: impl FnMut(ObjectNumber) -> bool,
) -> Result<Option<Root>, GraphError> {
    let mut id = *id;
    let mut claimed = None;
    loop {
        let number = reader.source.lookup(&id)?.ok_or(SourceError::Missing(id))?;
        if let Some(commit) = table.find(&id).filter(|&commit| table.loaded(commit).is_some()) {
            check_claim(&id, claimed, ObjectKind::Commit)?;
            return Ok(Some(Root::Commit(commit)));
        }
        let (kind, _) = reader.objects().header(number)?;
        check_claim(&id, claimed, kind)?;
        match kind {
            ObjectKind::Commit => return Ok(Some(Root::Commit(table.number(&id)?))),
            ObjectKind::Tree => return Ok(Some(Root::Tree(number))),
            ObjectKind::Blob => return Ok(Some(Root::Blob(number))),
            ObjectKind::Tag => {
                if !on_tag(number) {
                    return Ok(None);
                }
                let source = reader.source;
                let content = reader.objects().read_as(source, number, ObjectKind::Tag)?;
                let tag = Tag::parse(content)
                    .map_err(|_| SourceError::Malformed { id, kind: ObjectKind::Tag })?;
                (id, claimed) = (tag.target, Some(tag.kind));
            }
        }
    }
}

/// A tag says what kind its target is; a lie means that something is broken.
fn check_claim(
    id: &ObjectId,
    claimed: Option<ObjectKind>,
    found: ObjectKind,
) -> Result<(), SourceError> {
    match claimed {
        Some(wanted) if wanted != found => Err(SourceError::WrongKind { id: *id, found, wanted }),
        _ => Ok(()),
    }
}
