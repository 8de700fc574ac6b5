//! Tags that are sent because what they tag is (`include-tag`).

use super::GraphError;
use super::request::{Found, WalkRequest};
use super::roots::resolve;
use super::seen::SeenSet;
use super::table::{CommitReader, CommitTable};
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::Watch;

/// The tags that are to go along because their targets are sent, with the tags between.
pub(super) fn tags_of(
    table: &CommitTable,
    source: &dyn ObjectSource,
    request: &WalkRequest,
    watch: &Watch,
    is_sent: impl Fn(ObjectNumber) -> bool,
) -> Result<Vec<Found>, GraphError> {
    let mut reader = CommitReader::new(source);
    let (mut tags, added) = (Vec::new(), SeenSet::new());
    let mut pace = watch.pace();
    for (tag, peeled) in &request.tags {
        pace.step()?;
        if !source.lookup(peeled)?.is_some_and(&is_sent) {
            continue;
        }
        let outcome = resolve(table, &mut reader, tag, |number| {
            let new = !is_sent(number) && added.insert(number);
            if new {
                tags.push(Found { number, name_hash: 0, kind: ObjectKind::Tag });
            }
            new
        });
        match outcome {
            // a ref to a tag that was pruned meanwhile is no reason to send nothing
            Ok(_) | Err(GraphError::Source(SourceError::Missing(_))) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(tags)
}

/// Puts tags in their place: before the first tree.
pub(super) fn insert_tags(objects: &mut Vec<Found>, tags: Vec<Found>) {
    let first_tree = objects
        .iter()
        .position(|found| matches!(found.kind, ObjectKind::Tree | ObjectKind::Blob))
        .unwrap_or(objects.len());
    objects.splice(first_tree..first_tree, tags);
}
