//! The refs of one repository: where snapshots come from.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::RefError;
use super::loose::{self, LooseRefs};
use super::packed::PackedFile;
use super::peel::PeelCache;
use super::read::{self, RawRef, RefPaths};
use super::snapshot::RefSnapshot;
use crate::hash::HashKind;

/// How often packed and loose refs are read again because `packed-refs` was replaced meanwhile.
/// Each attempt is right ref by ref; more attempts only make it likelier that all are of one
/// moment.
const MAX_ATTEMPTS: usize = 3;

/// A way to keep refs. A repository names it in `extensions.refStorage`; the caller chooses.
pub trait RefBackend: Send + Sync {
    /// What is there now; the same value while nothing changed.
    fn snapshot(&self) -> Result<Arc<RefSnapshot>, RefError>;
}

/// The refs of one repository, however they are kept.
#[derive(Clone)]
pub struct RefStore {
    backend: Arc<dyn RefBackend>,
}

impl RefStore {
    /// Loose files and `packed-refs` below `git_dir`; of a linked worktree, `common_dir` is the
    /// directory that it shares with the others.
    pub fn open(git_dir: &Path, common_dir: Option<&Path>, kind: HashKind) -> Self {
        Self::new(Arc::new(FileRefs::new(git_dir, common_dir, kind)))
    }

    /// Refs kept in some other way.
    pub fn new(backend: Arc<dyn RefBackend>) -> Self {
        Self { backend }
    }

    /// What is there now; the same value while nothing changed.
    pub fn snapshot(&self) -> Result<Arc<RefSnapshot>, RefError> {
        self.backend.snapshot()
    }
}

/// Loose files and `packed-refs`.
pub struct FileRefs {
    pub(super) paths: RefPaths,
    peels: Arc<PeelCache>,
    state: Mutex<State>,
    /// How many times the disk has been looked at, counted when a look begins.
    looks: AtomicU64,
}

#[derive(Default)]
struct State {
    head: Option<RawRef>,
    packed: PackedFile,
    loose: Arc<LooseRefs>,
    /// `None` before the first look and after one that failed.
    current: Option<Arc<RefSnapshot>>,
}

impl FileRefs {
    /// See [`RefStore::open`].
    pub fn new(git_dir: &Path, common_dir: Option<&Path>, kind: HashKind) -> Self {
        Self {
            paths: RefPaths::new(git_dir, common_dir, kind),
            peels: Arc::default(),
            state: Mutex::default(),
            looks: AtomicU64::new(0),
        }
    }

    /// Looks at the disk.
    ///
    /// Loose refs are read before packed ones: `pack-refs` writes `packed-refs` first and removes
    /// the loose file after it, so a ref that is not loose any more is in the `packed-refs` that
    /// is read later. The other way round it could be in neither. When `packed-refs` turns out to
    /// be new, the loose refs are read once more, so that both are of one moment if they ever are.
    fn look(&self, state: &mut State) -> Result<Arc<RefSnapshot>, RefError> {
        let mut current = state.current.take();
        if current.is_none() {
            state.packed.refresh(&self.paths.packed(), self.paths.kind())?;
        }
        for _ in 0..MAX_ATTEMPTS {
            let head = read::read_file(&self.paths.of(b"HEAD"), self.paths.kind())?;
            let head = head.map(|(head, _)| head);
            if head != state.head {
                state.head = head;
                current = None;
            }
            if !state.loose.is_current(&self.paths) {
                let loose = loose::scan(&self.paths, &state.loose)?;
                if !loose.is_same_as(&state.loose) {
                    current = None;
                }
                state.loose = Arc::new(loose);
            }
            if !state.packed.refresh(&self.paths.packed(), self.paths.kind())? {
                break;
            }
            current = None;
        }
        let current = match current {
            Some(current) => current,
            None => Arc::new(RefSnapshot::new(
                self.paths.kind(),
                state.head.clone(),
                Arc::clone(&state.packed.table),
                Arc::clone(&state.loose),
                Arc::clone(&self.peels),
            )),
        };
        state.current = Some(Arc::clone(&current));
        Ok(current)
    }
}

impl RefBackend for FileRefs {
    fn snapshot(&self) -> Result<Arc<RefSnapshot>, RefError> {
        // Whoever waits while another looks may take what that one finds, provided that it began
        // to look after the wait began.
        let asked = self.looks.load(Ordering::SeqCst);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.looks.load(Ordering::SeqCst) > asked
            && let Some(current) = &state.current
        {
            return Ok(Arc::clone(current));
        }
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.look(&mut state)
    }
}
