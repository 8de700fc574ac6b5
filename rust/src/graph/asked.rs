//! What a request names, sorted by what it is.

use super::GraphError;
use super::request::{Found, WalkRequest};
use super::roots::{Root, resolve};
use super::seen::SeenSet;
use super::table::{CommitNumber, CommitReader, CommitTable};
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, SourceError};
use crate::watch::Watch;

/// The wanted ids, sorted by what they are.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) commits: Vec<CommitNumber>,
    pub(super) tags: Vec<Found>,
    pub(super) trees: Vec<ObjectNumber>,
    pub(super) blobs: Vec<ObjectNumber>,
}

/// The ids that the client has.
#[derive(Default)]
pub(super) struct Had {
    pub(super) commits: Vec<CommitNumber>,
    pub(super) trees: Vec<ObjectNumber>,
}

pub(super) fn sort_wants(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    request: &WalkRequest,
    has: &SeenSet,
    watch: &Watch,
) -> Result<Wanted, GraphError> {
    let mut wanted = Wanted::default();
    let seen = SeenSet::new();
    let mut pace = watch.pace();
    for id in &request.wants {
        pace.step()?;
        let tags = &mut wanted.tags;
        let root = resolve(table, reader, id, |number| {
            let new = !has.contains(number) && seen.insert(number);
            if new {
                tags.push(Found { number, name_hash: 0, kind: ObjectKind::Tag });
            }
            new
        })?;
        match root {
            Some(Root::Commit(commit)) => wanted.commits.push(commit),
            Some(Root::Tree(tree)) if seen.insert(tree) => wanted.trees.push(tree),
            Some(Root::Blob(blob)) if seen.insert(blob) => wanted.blobs.push(blob),
            _ => {}
        }
    }
    for id in &request.shallow.unshallow {
        // the client has the commit and lacks its parents; ours may be lacking, too
        if request.shallow.server.contains(id) {
            continue;
        }
        let commit = table.number(id)?;
        wanted.commits.extend(table.load(commit, reader)?.parents());
    }
    Ok(wanted)
}

pub(super) fn sort_haves(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    request: &WalkRequest,
    has: &SeenSet,
    watch: &Watch,
) -> Result<Had, GraphError> {
    let mut had = Had::default();
    let shallow = &request.shallow;
    let mut pace = watch.pace();
    for id in request.haves.iter().chain(&shallow.unshallow) {
        pace.step()?;
        let root = match resolve(table, reader, id, |tag| has.insert(tag)) {
            Ok(root) => root,
            // more than needed is sent then
            Err(GraphError::Source(SourceError::Missing(_) | SourceError::Corrupt { .. })) => {
                continue;
            }
            Err(other) => return Err(other),
        };
        match root {
            Some(Root::Commit(commit)) => had.commits.push(commit),
            Some(Root::Tree(tree)) => had.trees.push(tree),
            Some(Root::Blob(blob)) => {
                has.insert(blob);
            }
            None => {}
        }
    }
    Ok(had)
}
