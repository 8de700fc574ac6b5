//! What the client has at the boundary: the trees of commits it has next to those it lacks.
//!
//! Two ways lead to it. For a small request only the directories that the new commits touch are
//! opened ([`super::paths`]), and what is in them is known by name ([`BoundaryNames`]); so the
//! cost follows the change and not the size of the repository, and what moved out of a directory
//! where nothing else changed may be sent again, as by git's sparse algorithm. For a large request
//! everything in the boundary trees is marked first ([`mark_whole`]).

use super::GraphError;
use super::index::IdIndex;
use super::name_hash;
use super::recent::{self, Recent};
use super::request::Found;
use super::seen::SeenSet;
use super::table::CommitReader;
use crate::hash::ObjectId;
use crate::object::{ObjectKind, TreeIter};
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::Watch;

/// How often marking looks whether it should stop.
const CHECK_EVERY: usize = 256;

/// Trees and blobs of opened boundary directories. They are known by name alone: nine in ten are
/// never looked for, and finding an object's number costs more than all else that is done here.
#[derive(Default)]
pub struct BoundaryNames {
    index: Option<IdIndex>,
    names: Vec<BoundaryName>,
}

/// One of them, at the first path it was met.
struct BoundaryName {
    id: ObjectId,
    name_hash: u32,
    kind: ObjectKind,
}

impl std::fmt::Debug for BoundaryNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundaryNames").field("len", &self.names.len()).finish_non_exhaustive()
    }
}

impl BoundaryNames {
    /// Room for so many more, so that the table does not grow step by step.
    pub(super) fn reserve(&mut self, more: usize) {
        let Self { index, names } = self;
        let index = index.get_or_insert_with(IdIndex::new);
        index.reserve(more, |at| names[at as usize].id);
        names.reserve(more);
    }

    pub(super) fn insert(&mut self, id: ObjectId, name_hash: u32, kind: ObjectKind) {
        if self.contains(&id) {
            return;
        }
        let Self { index, names } = self;
        let index = index.get_or_insert_with(IdIndex::new);
        index.insert(&id, names.len() as u32, |at| names[at as usize].id);
        names.push(BoundaryName { id, name_hash, kind });
    }

    /// What is held of them, here and by who remembers to open the trees.
    pub(super) fn bytes(&self) -> usize {
        self.names.len() * (2 * size_of::<BoundaryName>() + 2 * size_of::<u32>())
    }

    /// Is the object of this name among them?
    #[inline]
    pub fn contains(&self, id: &ObjectId) -> bool {
        let Some(index) = &self.index else { return false };
        index.get(id, |at| self.names[at as usize].id == *id).is_some()
    }

    /// Those that lie at the paths of objects to be sent.
    pub(super) fn prefer(
        &self,
        source: &dyn ObjectSource,
        objects: &[Found],
    ) -> Result<Vec<Found>, GraphError> {
        let mut hashes: Vec<(ObjectKind, u32)> = objects
            .iter()
            .filter(|found| matches!(found.kind, ObjectKind::Tree | ObjectKind::Blob))
            .map(|found| (found.kind, found.name_hash))
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut bases = Vec::new();
        for &BoundaryName { id, name_hash, kind } in &self.names {
            if hashes.binary_search(&(kind, name_hash)).is_ok()
                && let Some(number) = source.lookup(&id)?
            {
                bases.push(Found { number, name_hash, kind });
            }
        }
        Ok(bases)
    }
}

/// Marks everything in these trees, at any depth.
pub(super) fn mark_whole(
    roots: &[ObjectNumber],
    has: &SeenSet,
    thin: bool,
    reader: &mut CommitReader<'_>,
    watch: &Watch,
) -> Result<Vec<Found>, GraphError> {
    let source = reader.source;
    let mut recent = Recent::new(source.hash_kind(), recent::MANY);
    let mut bases = Vec::new();
    let mut note = |number, name_hash, kind| {
        let new = has.insert(number);
        if new && thin {
            bases.push(Found { number, name_hash, kind });
        }
        new
    };
    let mut stack = Vec::new();
    let mut steps = 0usize;
    for &root in roots {
        if note(root, 0, ObjectKind::Tree) {
            stack.push((root, 0));
        }
        while let Some((tree, hash)) = stack.pop() {
            steps += 1;
            if steps.is_multiple_of(CHECK_EVERY) {
                watch.check()?;
            }
            let Some(content) = read_tolerant(reader, tree)? else { continue };
            for entry in TreeIter::new(content, source.hash_kind()) {
                let Ok(entry) = entry else { break };
                if entry.mode.is_gitlink() || recent.note(entry.id) {
                    continue;
                }
                // what is not there is sent
                let Some(id) = ObjectId::from_bytes(entry.id) else { continue };
                let Some(number) = source.lookup_usable(&id)? else { continue };
                let hash = name_hash::extend(hash, entry.name);
                if !entry.mode.is_tree() {
                    note(number, hash, ObjectKind::Blob);
                } else if note(number, hash, ObjectKind::Tree) {
                    stack.push((number, name_hash::extend(hash, b"/")));
                }
            }
        }
    }
    Ok(bases)
}

/// A tree of the client's side: what is missing or no tree there is ignored.
pub(super) fn read_tolerant<'r>(
    reader: &'r mut CommitReader<'_>,
    tree: ObjectNumber,
) -> Result<Option<&'r [u8]>, GraphError> {
    let source = reader.source;
    match reader.objects().read_as(source, tree, ObjectKind::Tree) {
        Ok(content) => Ok(Some(content)),
        Err(SourceError::Missing(_) | SourceError::WrongKind { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

#[inline]
pub(super) fn lookup_raw(
    source: &dyn crate::source::ObjectSource,
    id: &[u8],
) -> Result<Option<ObjectNumber>, SourceError> {
    match ObjectId::from_bytes(id) {
        Some(id) => source.lookup(&id),
        None => Ok(None),
    }
}
