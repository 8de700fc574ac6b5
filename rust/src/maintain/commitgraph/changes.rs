//! Which files a commit changes against its first parent.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::bloom::MOST_PATHS;
use crate::hash::{HashKind, ObjectId};
use crate::object::{ObjectKind, TreeEntry, TreeIter};
use crate::source::{ObjectReader, ObjectSource, SourceError};

/// Folders in folders; a deeper one is taken for a change of too much.
const MAX_DEPTH: u32 = 1000;

/// What one comparison may read and note, in bytes: where more than that leads to few files somebody
/// has put the same folder, empty, into itself many times over.
const MOST_BYTES: usize = 128 << 20;
/// What a tree costs besides its bytes.
const TREE_COST: usize = 8 << 10;

/// Compares trees for one thread.
pub(super) struct Comparer<'a> {
    source: &'a dyn ObjectSource,
    reader: Box<dyn ObjectReader + 'a>,
    files: Vec<Vec<u8>>,
    /// Of [`MOST_BYTES`].
    left: usize,
}

/// Why a comparison ends early.
enum Stop {
    /// More than [`MOST_PATHS`] files, or [`MOST_BYTES`].
    TooMany,
    Failed(SourceError),
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Stop::Failed(error)
    }
}

impl<'a> Comparer<'a> {
    pub(super) fn new(source: &'a dyn ObjectSource) -> Self {
        Self { source, reader: source.reader(), files: Vec::new(), left: 0 }
    }

    /// The files that are not the same in both trees; `None`: more than are noted.
    pub(super) fn changed(
        &mut self,
        old: Option<&ObjectId>,
        new: &ObjectId,
    ) -> Result<Option<&[Vec<u8>]>, SourceError> {
        self.files.clear();
        self.left = MOST_BYTES;
        if old == Some(new) {
            return Ok(Some(&[]));
        }
        match self.compare(old, Some(new), &mut Vec::new(), 0) {
            Ok(()) => Ok(Some(&self.files)),
            Err(Stop::TooMany) => Ok(None),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn compare(
        &mut self,
        old: Option<&ObjectId>,
        new: Option<&ObjectId>,
        path: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::TooMany);
        }
        let old = old.map_or_else(|| Ok(Vec::new()), |id| self.read(id))?;
        let new = new.map_or_else(|| Ok(Vec::new()), |id| self.read(id))?;
        let hash = self.source.hash_kind();
        // what is malformed ends a tree, as for those who read it
        let entries = |data| TreeIter::new(data, hash).map_while(Result::ok).peekable();
        let (mut old, mut new) = (entries(&old), entries(&new));
        while let Some((left, right)) = next_pair(&mut old, &mut new) {
            if let (Some(left), Some(right)) = (&left, &right)
                && left.id == right.id
                && left.mode == right.mode
            {
                continue;
            }
            let name = left.or(right).map_or(&[][..], |entry| entry.name);
            let len = path.len();
            if len > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let is_tree = |entry: &Option<TreeEntry<'_>>| entry.is_some_and(|e| e.mode.is_tree());
            if is_tree(&left) || is_tree(&right) {
                let tree = |entry: Option<TreeEntry<'_>>| entry.and_then(|e| object(&e, hash));
                self.compare(tree(left).as_ref(), tree(right).as_ref(), path, depth + 1)?;
            } else {
                self.note(path)?;
            }
            path.truncate(len);
        }
        Ok(())
    }

    fn note(&mut self, path: &[u8]) -> Result<(), Stop> {
        if self.files.len() >= MOST_PATHS {
            return Err(Stop::TooMany);
        }
        self.spend(path.len())?;
        self.files.push(path.to_vec());
        Ok(())
    }

    fn read(&mut self, id: &ObjectId) -> Result<Vec<u8>, Stop> {
        let number = self.source.lookup(id)?.ok_or(SourceError::Missing(*id))?;
        let content = self.reader.read_as(self.source, number, ObjectKind::Tree)?.to_vec();
        self.spend(content.len() + TREE_COST)?;
        Ok(content)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Stop> {
        self.left = self.left.checked_sub(bytes).ok_or(Stop::TooMany)?;
        Ok(())
    }
}

fn object(entry: &TreeEntry<'_>, hash: HashKind) -> Option<ObjectId> {
    ObjectId::from_bytes(entry.id).filter(|id| id.kind() == hash)
}

type Pair<'t> = (Option<TreeEntry<'t>>, Option<TreeEntry<'t>>);

/// The next of both trees where they have the same name and are both folders or both not; else
/// that which comes first.
fn next_pair<'t>(
    old: &mut Peekable<impl Iterator<Item = TreeEntry<'t>>>,
    new: &mut Peekable<impl Iterator<Item = TreeEntry<'t>>>,
) -> Option<Pair<'t>> {
    let order = match (old.peek(), new.peek()) {
        (None, None) => return None,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(left), Some(right)) => in_order(left, right),
    };
    let left = if order == Ordering::Greater { None } else { old.next() };
    let right = if order == Ordering::Less { None } else { new.next() };
    Some((left, right))
}

/// The order of entries in trees: folders as if their names ended with a slash.
fn in_order(left: &TreeEntry<'_>, right: &TreeEntry<'_>) -> Ordering {
    let common = left.name.len().min(right.name.len());
    let next = |entry: &TreeEntry<'_>| match entry.name.get(common) {
        Some(&byte) => byte,
        None if entry.mode.is_tree() => b'/',
        None => 0,
    };
    left.name[..common].cmp(&right.name[..common]).then_with(|| next(left).cmp(&next(right)))
}
