//! The backend: one repository's tables, merged and kept until they change.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::merged::{Merged, Merger, Tables};
use super::settings::TableSettings;
use super::stack::Stack;
use super::symbolic;
use super::table::Table;
use super::transaction::Transaction;
use crate::hash::HashKind;
use crate::refs::lock::Staging;
use crate::refs::name;
use crate::refs::peel::PeelCache;
use crate::refs::read::RawRef;
use crate::refs::snapshot::MAX_SYMBOLIC_DEPTH;
use crate::refs::store::RefBackend;
use crate::refs::{RefError, RefSnapshot, RefUpdate, UpdateError, UpdateOptions};

/// The folder of the tables.
const FOLDER: &str = "reftable";

/// How often tables are read again because one was removed after it had been opened.
const MAX_ATTEMPTS: usize = 16;

/// The refs of one repository in tables.
pub struct TableRefs {
    pub(super) kind: HashKind,
    pub(super) peels: Arc<PeelCache>,
    pub(super) staging: Staging,
    pub(super) settings: TableSettings,
    /// The folder of the repository's tables.
    pub(super) common: PathBuf,
    /// Of a linked worktree's own.
    pub(super) own: Option<PathBuf>,
    /// Held while the lists are locked.
    pub(super) writing: Mutex<()>,
    state: Mutex<State>,
    /// How many times the disk has been looked at, counted when a look begins.
    looks: AtomicU64,
}

struct State {
    common: Stack,
    /// Of a linked worktree: its HEAD and what else every worktree has for itself.
    own: Option<Stack>,
    merger: Merger,
    merged: Merged,
    /// `None` before the first look and after one that failed.
    current: Option<Arc<RefSnapshot>>,
}

/// What the tables say while they are locked.
pub(super) struct View {
    pub(super) snapshot: Arc<RefSnapshot>,
    pub(super) merged: Merged,
    pub(super) common: Vec<Arc<Table>>,
    pub(super) own: Option<Vec<Arc<Table>>>,
}

impl View {
    /// The names that HEAD leads to, one after the other.
    pub(super) fn head_chain(&self) -> Vec<Vec<u8>> {
        let mut chain: Vec<Vec<u8>> = Vec::new();
        while chain.len() < MAX_SYMBOLIC_DEPTH {
            match self.merged.find(chain.last().map_or(&b"HEAD"[..], |name| name)) {
                Some(RawRef::Symbolic(target)) if name::is_listed(&target) => chain.push(target),
                _ => break,
            }
        }
        chain
    }
}

impl TableRefs {
    /// The tables of the repository at `git_dir`; of a linked worktree, `common_dir` is the
    /// directory that it shares with the others.
    pub fn new(git_dir: &Path, common_dir: Option<&Path>, kind: HashKind) -> Self {
        let linked = common_dir.filter(|&common| common != git_dir);
        let common = linked.unwrap_or(git_dir).join(FOLDER);
        let own = linked.map(|_| git_dir.join(FOLDER));
        let state = State {
            common: Stack::new(common.clone(), kind),
            own: own.clone().map(|own| Stack::new(own, kind)),
            merger: Merger::default(),
            merged: Merged::default(),
            current: None,
        };
        Self {
            kind,
            peels: Arc::default(),
            staging: Staging::new(linked.unwrap_or(git_dir)),
            settings: TableSettings::default(),
            common,
            own,
            writing: Mutex::default(),
            state: Mutex::new(state),
            looks: AtomicU64::new(0),
        }
    }

    /// Tables are written in this way.
    #[must_use]
    pub fn with(self, settings: TableSettings) -> Self {
        Self { settings, ..self }
    }

    /// What is there now, whatever stamps say.
    pub(super) fn view_now(&self) -> Result<View, RefError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.common.forget();
        state.own.iter_mut().for_each(Stack::forget);
        let snapshot = self.look(&mut state)?;
        Ok(View {
            snapshot,
            merged: state.merged.clone(),
            common: state.common.tables.clone(),
            own: state.own.as_ref().map(|own| own.tables.clone()),
        })
    }

    fn look(&self, state: &mut State) -> Result<Arc<RefSnapshot>, RefError> {
        let mut current = state.current.take();
        for _ in 1..MAX_ATTEMPTS {
            match self.look_once(state, current.take()) {
                // somebody has merged this table into another between our list and our read
                Err(RefError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
                    state.common.forget();
                    state.own.iter_mut().for_each(Stack::forget);
                }
                done => return done,
            }
        }
        self.look_once(state, None)
    }

    fn look_once(
        &self,
        state: &mut State,
        current: Option<Arc<RefSnapshot>>,
    ) -> Result<Arc<RefSnapshot>, RefError> {
        let mut changed = state.common.refresh()?;
        if let Some(own) = &mut state.own {
            changed |= own.refresh()?;
        }
        if let Some(current) = current.filter(|_| !changed) {
            state.current = Some(Arc::clone(&current));
            return Ok(current);
        }
        let tables = Tables {
            common: &state.common.tables,
            own: state.own.as_ref().map(|own| &own.tables[..]),
        };
        state.merged = state.merger.merge(&tables, self.kind)?;
        let merged = &state.merged;
        let snapshot = Arc::new(RefSnapshot::new(
            self.kind,
            merged.head.clone(),
            Arc::clone(&merged.packed),
            Arc::clone(&merged.overlay),
            Arc::clone(&self.peels),
            merged.warnings.clone(),
        ));
        state.current = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

impl RefBackend for TableRefs {
    fn snapshot(&self) -> Result<Arc<RefSnapshot>, RefError> {
        // As in the files backend: whoever waits takes what another finds that began to look later.
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
}
