//! A walk that bears what is missing: of reflogs and of what nobody names, some may be gone. What
//! is damaged it bears where it only puts objects in order; who asks what is reachable is told.
//!
//! In: objects to begin at. Out: what they reach and has not been seen, each with the hash of the
//! path it was found at. What refs reach is walked by [`crate::graph`], which is faster and tells
//! of everything that is missing.

use std::sync::Arc;

use crate::graph::{Found, SeenSet, name_hash};
use crate::hash::{HashKind, ObjectId};
use crate::object::{Commit, ObjectKind, Tag, TreeIter};
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, SourceError};
use crate::watch::Watch;

/// Objects between two looks at the watch.
const CHECK_EVERY: usize = 256;

/// Walks for one thread.
pub(super) struct Walker<'a> {
    source: &'a dyn ObjectSource,
    reader: Box<dyn ObjectReader + 'a>,
    /// Only these are walked; all where there is none.
    within: Option<&'a SeenSet>,
    seen: &'a SeenSet,
    watch: &'a Watch,
    bears_damage: bool,
}

/// Where a tree was found.
type Path = Arc<[u8]>;

impl<'a> Walker<'a> {
    pub(super) fn new(
        source: &'a dyn ObjectSource,
        seen: &'a SeenSet,
        within: Option<&'a SeenSet>,
        watch: &'a Watch,
    ) -> Self {
        Self { source, reader: source.reader(), within, seen, watch, bears_damage: true }
    }

    /// Makes an error of what cannot be read: nobody knows what it leads to.
    pub(super) fn strictly(mut self) -> Self {
        self.bears_damage = false;
        self
    }

    /// Gives `visit` each object that `root` reaches and nobody has seen, and marks it.
    pub(super) fn walk(
        &mut self,
        root: &ObjectId,
        visit: &mut impl FnMut(Found),
    ) -> Result<(), SourceError> {
        let mut stack: Vec<(ObjectId, Path, Option<ObjectKind>)> = vec![(*root, [].into(), None)];
        let mut steps = 0;
        while let Some((id, path, kind)) = stack.pop() {
            steps += 1;
            if steps % CHECK_EVERY == 0 {
                self.watch.check()?;
            }
            let Some(number) = self.take(&id)? else { continue };
            let name_hash = if path.is_empty() { 0 } else { name_hash(&path) };
            if kind == Some(ObjectKind::Blob) {
                visit(Found { number, name_hash, kind: ObjectKind::Blob });
                continue;
            }
            let found = read(&mut *self.reader, number, self.bears_damage)?;
            let Some((kind, content)) = found else { continue };
            visit(Found { number, name_hash, kind });
            let hash = self.source.hash_kind();
            let understood = push_children(kind, content, &path, hash, &mut stack);
            if understood.is_none() && !self.bears_damage {
                return Err(SourceError::Malformed { id, kind });
            }
        }
        Ok(())
    }

    /// The number of an object that is to be visited now.
    fn take(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        let Some(number) = self.source.lookup(id)? else { return Ok(None) };
        let wanted = self.within.is_none_or(|within| within.contains(number));
        Ok((wanted && self.seen.insert(number)).then_some(number))
    }
}

/// `None`: it cannot be read, or is gone meanwhile.
fn read(
    reader: &mut dyn ObjectReader,
    number: ObjectNumber,
    bears_damage: bool,
) -> Result<Option<(ObjectKind, &[u8])>, SourceError> {
    match reader.header(number) {
        // a blob need not be read
        Ok((ObjectKind::Blob, _)) => return Ok(Some((ObjectKind::Blob, &[]))),
        Ok(_) => {}
        Err(error) => return passed_over(error, bears_damage).map(|()| None),
    }
    match reader.read(number) {
        Ok((kind, content)) => Ok(Some((kind, content))),
        Err(error) => passed_over(error, bears_damage).map(|()| None),
    }
}

fn passed_over(error: SourceError, bears_damage: bool) -> Result<(), SourceError> {
    match error {
        SourceError::Missing(_) => Ok(()),
        SourceError::Cancelled | SourceError::Busy | SourceError::Io { .. } => Err(error),
        _ if bears_damage => Ok(()),
        _ => Err(error),
    }
}

/// `None`: not all of what it leads to is understood.
fn push_children(
    kind: ObjectKind,
    content: &[u8],
    path: &Path,
    hash: HashKind,
    stack: &mut Vec<(ObjectId, Path, Option<ObjectKind>)>,
) -> Option<()> {
    let none: Path = [].into();
    match kind {
        ObjectKind::Blob => {}
        ObjectKind::Tag => stack.push((Tag::parse(content).ok()?.target, none, None)),
        ObjectKind::Commit => {
            let commit = Commit::parse(content).ok()?;
            stack.extend(commit.parents.iter().map(|&id| (id, Arc::clone(&none), None)));
            stack.push((commit.tree, none, None));
        }
        ObjectKind::Tree => {
            let before = stack.len();
            let mut is_whole = true;
            for entry in TreeIter::new(content, hash) {
                let Ok(entry) = entry else {
                    is_whole = false;
                    break;
                };
                if entry.mode.is_gitlink() {
                    continue;
                }
                let Some(id) = ObjectId::from_bytes(entry.id) else { continue };
                let kind = (!entry.mode.is_tree()).then_some(ObjectKind::Blob);
                stack.push((id, join(path, entry.name), kind));
            }
            // the first entry is walked first
            stack[before..].reverse();
            is_whole.then_some(())?;
        }
    }
    Some(())
}

fn join(path: &[u8], name: &[u8]) -> Path {
    let mut joined = Vec::with_capacity(path.len() + 1 + name.len());
    joined.extend_from_slice(path);
    if !path.is_empty() {
        joined.push(b'/');
    }
    joined.extend_from_slice(name);
    joined.into()
}
