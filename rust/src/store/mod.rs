//! The objects on disk: packs, multi-pack-indexes, loose objects, alternates.
//!
//! One [`Store`] per `objects/` folder and process, shared by all requests. A request works on a
//! [`Snapshot`], an immutable value that a repack beside it does not disturb, through one
//! [`Reader`] a thread. Nothing here knows what objects mean to each other; that is
//! [`crate::graph`].

mod abbreviate;
mod alternates;
mod bitmaps;
mod cache;
mod growth;
mod loose;
mod loose_names;
mod packs;
mod reader;
mod registry;
mod scan;
mod segments;
mod snapshot;
mod spare;
mod tail;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod unpack;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use crate::pack::Pack;
pub use reader::Reader;
pub use snapshot::Snapshot;
pub use unpack::unpack;

use crate::delta::DeltaMemory;
use crate::graph::CommitTable;
use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;
use crate::sharing::Sharing;
use crate::source::SourceError;

/// The largest object that is read into memory: twice git's `core.bigFileThreshold`, above which
/// git makes no deltas, so that anything larger can be streamed.
pub const MAX_OBJECT_IN_MEMORY: u64 = 1 << 30;

/// One `objects/` folder with its alternates.
pub struct Store {
    shared: Arc<Shared>,
    current: Mutex<Option<Arc<Snapshot>>>,
}

/// What a store and its snapshots have in common.
struct Shared {
    objects_dir: PathBuf,
    extra: Vec<PathBuf>,
    hash: HashKind,
    commits: Arc<CommitTable>,
    deltas: Arc<DeltaMemory>,
}

impl Shared {
    fn new(objects_dir: &Path, hash: HashKind, extra: &[PathBuf]) -> Self {
        Self {
            objects_dir: objects_dir.to_owned(),
            extra: extra.to_owned(),
            hash,
            commits: Arc::new(CommitTable::new(hash)),
            deltas: DeltaMemory::new(),
        }
    }
}

impl Store {
    /// The store of this folder, found again by the folder's identity when it is open already.
    ///
    /// `extra_alternates` come before those of `info/alternates`.
    pub fn open(
        objects_dir: &Path,
        kind: HashKind,
        extra_alternates: &[PathBuf],
    ) -> Result<Arc<Self>, SourceError> {
        registry::open(objects_dir, kind, extra_alternates)
    }

    fn new(objects_dir: &Path, hash: HashKind, extra: &[PathBuf]) -> Self {
        let shared = Shared::new(objects_dir, hash, extra);
        Self { shared: Arc::new(shared), current: Mutex::new(None) }
    }

    /// What is there now. The same value as before while the folders show no change.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, SourceError> {
        // the lock is held while packs are opened, so that requests that arrive together open
        // them once; whoever panicked left a whole value
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = current.as_ref()
            && snapshot.is_current()?
        {
            snapshot.begin_request();
            return Ok(Arc::clone(snapshot));
        }
        let mut snapshot = Snapshot::take(Arc::clone(&self.shared))?;
        if let Some(earlier) = current.as_ref() {
            snapshot.inherit(earlier);
        }
        let snapshot = Arc::new(snapshot);
        *current = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// As it was when somebody last asked, whatever has changed since: no file is looked at, unless
    /// nobody has asked yet.
    pub fn recent(&self) -> Result<Arc<Snapshot>, SourceError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        current.map_or_else(|| self.snapshot(), Ok)
    }

    /// The folder.
    pub fn objects_dir(&self) -> &Path {
        &self.shared.objects_dir
    }

    /// The object format.
    pub fn hash_kind(&self) -> HashKind {
        self.shared.hash
    }

    /// What is known of its commits, for as long as the store lives.
    pub fn commits(&self) -> &Arc<CommitTable> {
        &self.shared.commits
    }

    /// Stores an object as a loose file, durably; nothing is written when it is there.
    pub fn write_loose(&self, kind: ObjectKind, content: &[u8]) -> Result<ObjectId, SourceError> {
        self.snapshot()?.write_loose(kind, content, Sharing::Umask)
    }
}

/// The size as a length in memory, if it is within the limit.
fn fits_memory(id: &ObjectId, size: u64, limit: u64) -> Result<usize, SourceError> {
    match usize::try_from(size) {
        Ok(len) if size <= limit => Ok(len),
        _ => Err(SourceError::TooLarge { id: *id, size, limit }),
    }
}
