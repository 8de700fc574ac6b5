//! The refs of one repository: where snapshots come from.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::lock::Staging;
use super::loose::{self, LooseRefs};
use super::name;
use super::packed::{PackedFile, PackedRefs};
use super::peel::PeelCache;
use super::read::{self, RawRef, RefPaths};
use super::reftable::{TableRefs, TableSettings};
use super::snapshot::{MAX_SYMBOLIC_DEPTH, RefSnapshot};
use super::stamp::{Seen, Stamp};
use super::symbolic;
use super::transaction::Transaction;
use super::{RefError, RefUpdate, UpdateError, UpdateOptions};
use crate::hash::HashKind;
use crate::sharing::Sharing;
use crate::source::ObjectSource;

/// How often packed and loose refs are read again because `packed-refs` was replaced meanwhile.
/// Each attempt is right ref by ref; more attempts only make it likelier that all are of one
/// moment.
const MAX_ATTEMPTS: usize = 3;

/// A way to keep refs. A repository names it in `extensions.refStorage`; the caller chooses.
pub trait RefBackend: Send + Sync {
    /// What is there now; the same value while nothing changed.
    fn snapshot(&self) -> Result<Arc<RefSnapshot>, RefError>;

    /// Moves refs by compare-and-swap; one result an update, in order. What is `Ok` is done, and
    /// on the disk.
    fn update(
        &self,
        updates: &[RefUpdate<'_>],
        options: &UpdateOptions<'_>,
    ) -> Vec<Result<(), UpdateError>>;

    /// Makes `name` (HEAD, or a ref) a symbolic ref to `target`, whatever it was.
    fn set_symbolic(
        &self,
        name: &[u8],
        target: &[u8],
        options: &UpdateOptions<'_>,
    ) -> Result<(), UpdateError>;

    /// Who may use what is written from now on, where the caller of an update does not say it.
    fn share(&self, sharing: Sharing) {
        let _ = sharing;
    }

    /// Puts together what updates have left in many places, as far as that is worth anything; how
    /// many refs. With `fsync`, the disk has it then.
    fn pack(&self, objects: &dyn ObjectSource, fsync: bool) -> Result<usize, UpdateError> {
        let _ = (objects, fsync);
        Ok(0)
    }

    /// Is that worth what it costs, to who has not been asked to?
    fn is_pack_due(&self) -> Result<bool, RefError> {
        Ok(true)
    }
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

    /// A stack of tables in `reftable/` below these directories.
    pub fn open_tables(git_dir: &Path, common_dir: Option<&Path>, kind: HashKind) -> Self {
        Self::open_tables_with(git_dir, common_dir, kind, TableSettings::default())
    }

    /// The same, written in this way.
    pub fn open_tables_with(
        git_dir: &Path,
        common_dir: Option<&Path>,
        kind: HashKind,
        settings: TableSettings,
    ) -> Self {
        Self::new(Arc::new(TableRefs::new(git_dir, common_dir, kind).with(settings)))
    }

    /// Refs kept in some other way.
    pub fn new(backend: Arc<dyn RefBackend>) -> Self {
        Self { backend }
    }

    /// What is there now; the same value while nothing changed.
    pub fn snapshot(&self) -> Result<Arc<RefSnapshot>, RefError> {
        self.backend.snapshot()
    }

    /// Moves refs by compare-and-swap; one result an update, in order. What is `Ok` is done, and
    /// on the disk.
    pub fn update(
        &self,
        updates: &[RefUpdate<'_>],
        options: &UpdateOptions<'_>,
    ) -> Vec<Result<(), UpdateError>> {
        self.backend.update(updates, options)
    }

    /// Makes `name` (HEAD, or a ref) a symbolic ref to `target`, whatever it was.
    pub fn set_symbolic(
        &self,
        name: &[u8],
        target: &[u8],
        options: &UpdateOptions<'_>,
    ) -> Result<(), UpdateError> {
        self.backend.set_symbolic(name, target, options)
    }

    /// Who may use what [`RefStore::pack`] writes.
    pub fn share(&self, sharing: Sharing) {
        self.backend.share(sharing);
    }

    /// Puts loose refs into `packed-refs`; how many. Nothing where refs are kept otherwise.
    pub fn pack(&self, objects: &dyn ObjectSource, fsync: bool) -> Result<usize, UpdateError> {
        self.backend.pack(objects, fsync)
    }

    /// See [`RefBackend::is_pack_due`].
    pub fn is_pack_due(&self) -> Result<bool, RefError> {
        self.backend.is_pack_due()
    }
}

/// Loose files and `packed-refs`.
pub struct FileRefs {
    pub(super) paths: RefPaths,
    pub(super) peels: Arc<PeelCache>,
    pub(super) staging: Staging,
    /// Held while `packed-refs` is locked: our own threads wait here, in line, and not for the
    /// lock file, in turns.
    pub(super) packing: Mutex<()>,
    state: Mutex<State>,
    /// How many times the disk has been looked at, counted when a look begins.
    looks: AtomicU64,
}

#[derive(Default)]
struct State {
    head: Option<(RawRef, Seen)>,
    packed: PackedFile,
    loose: LooseRefs,
    /// When every loose ref's file was last looked at.
    loose_seen: Option<Instant>,
    /// `None` before the first look and after one that failed.
    current: Option<Arc<RefSnapshot>>,
}

impl FileRefs {
    /// See [`RefStore::open`].
    pub fn new(git_dir: &Path, common_dir: Option<&Path>, kind: HashKind) -> Self {
        Self {
            paths: RefPaths::new(git_dir, common_dir, kind),
            peels: Arc::default(),
            staging: Staging::new(common_dir.unwrap_or(git_dir)),
            packing: Mutex::default(),
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
            if self.look_at_head(state)? {
                current = None;
            }
            let now = Instant::now();
            let seen = state.loose_seen.filter(|_| state.loose.is_told_by_folders());
            let all = seen.is_none_or(|seen| now - seen >= loose::UNSEEN_IN_PLACE);
            if all {
                state.loose_seen = Some(now);
            }
            if !state.loose.is_current(&self.paths, all) {
                let loose = loose::scan(&self.paths, &state.loose, all)?;
                if !loose.refs.is_same_as(&state.loose.refs) {
                    current = None;
                }
                state.loose = loose;
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
                state.head.as_ref().map(|(head, _)| head.clone()),
                Arc::clone(&state.packed.table),
                Arc::clone(&state.loose.refs),
                Arc::clone(&self.peels),
                state.packed.table.warnings.clone(),
            )),
        };
        state.current = Some(Arc::clone(&current));
        Ok(current)
    }

    /// Reads HEAD's file unless it is as it was. True when it says something else now.
    fn look_at_head(&self, state: &mut State) -> Result<bool, RefError> {
        let path = self.paths.of(b"HEAD");
        if let Some((_, seen)) = &state.head
            && std::fs::metadata(&path).is_ok_and(|meta| seen.is_still(&Stamp::of(&meta)))
        {
            return Ok(false);
        }
        let head = read::read_file(&path, self.paths.kind())?;
        let raw = |head: &Option<(RawRef, Seen)>| head.as_ref().map(|(raw, _)| raw.clone());
        let changed = raw(&head) != raw(&state.head);
        state.head = head;
        Ok(changed)
    }

    /// What is packed now, for whoever has read the loose refs before.
    pub(super) fn packed_now(&self) -> Result<Arc<PackedRefs>, RefError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.packed.refresh(&self.paths.packed(), self.paths.kind())? {
            state.current = None;
        }
        Ok(Arc::clone(&state.packed.table))
    }

    /// The names of all loose refs.
    pub(super) fn loose_names(&self) -> Result<Vec<Vec<u8>>, RefError> {
        self.snapshot()?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let loose = &state.loose.refs;
        Ok((0..loose.len()).map(|row| loose.name(row).to_vec()).collect())
    }

    /// The names that HEAD leads to, one after the other.
    pub(super) fn head_chain(&self) -> Vec<Vec<u8>> {
        let mut chain: Vec<Vec<u8>> = Vec::new();
        while chain.len() < MAX_SYMBOLIC_DEPTH {
            let path = self.paths.of(chain.last().map_or(&b"HEAD"[..], |name| name));
            match read::read_file(&path, self.paths.kind()) {
                Ok(Some((RawRef::Symbolic(target), _))) if name::is_listed(&target) => {
                    chain.push(target);
                }
                _ => break,
            }
        }
        chain
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

    fn update(
        &self,
        updates: &[RefUpdate<'_>],
        options: &UpdateOptions<'_>,
    ) -> Vec<Result<(), UpdateError>> {
        Transaction::new(self, updates, options).run()
    }

    fn set_symbolic(
        &self,
        name: &[u8],
        target: &[u8],
        options: &UpdateOptions<'_>,
    ) -> Result<(), UpdateError> {
        symbolic::set(self, name, target, options)
    }

    fn share(&self, sharing: Sharing) {
        self.staging.share(sharing);
    }

    fn pack(&self, objects: &dyn ObjectSource, fsync: bool) -> Result<usize, UpdateError> {
        super::pack_loose::pack_loose(self, objects, fsync)
    }

    fn is_pack_due(&self) -> Result<bool, RefError> {
        super::pack_loose::is_due(self)
    }
}
