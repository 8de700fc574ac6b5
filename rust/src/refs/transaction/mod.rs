//! Moving refs: lock all, compare all, write all, in the order that loses nothing.
//!
//! 1. Every ref is locked (`<file>.lock`), symbolic ones on the way too; where something is
//!    deleted or packed, `packed-refs` as well.
//! 2. Under the locks the values are read, loose before packed (see [`super::store`]), and
//!    compared; names that are new are checked against those that exist.
//! 3. The log is written, so that no move is without one, and new values reach the disk in the
//!    lock files. Until here everything can be given up.
//! 4. The lock files are renamed into place: a reader sees the old value or the new one. A
//!    deleted ref leaves `packed-refs` before its loose file is removed: the other way round an
//!    old packed value would show in between.
//! 5. Folders reach the disk, and only then is anybody told.
//!
//! Many refs at once go into `packed-refs`, under the same locks: one file to write and one to
//! wait for, and one to read from then on. So do several that are to move together: that file's
//! rename moves them all, or with a crash before it none ([`together`]).

mod compare;
mod locking;
mod together;

pub(super) use compare::decide;

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::sync::{MutexGuard, PoisonError};

use super::folders::{self, Folders};
use super::lock::LockFile;
use super::outcomes::Outcomes;
use super::packed::PackedRefs;
use super::packed_edit::{Addition, PackedLock};
use super::read::RawRef;
use super::reflog::ReflogWriter;
use super::store::FileRefs;
use super::witness::Told;
use super::{RefUpdate, UpdateError, UpdateOptions};
use crate::hash::ObjectId;

/// From so many new values on, they go into `packed-refs`. Below, rewriting that file may cost
/// more than the few files do (10 ms for 50,000 refs; to wait for a file takes a disk some 3 ms);
/// above, a file each is what costs, and would for every reader.
const PACK_FROM: usize = 32;

/// So many files are waited for at once: a journal brings them to the disk together.
const SYNC_THREADS: usize = 8;

/// One call of `FileRefs::update`.
pub(super) struct Transaction<'a> {
    refs: &'a FileRefs,
    updates: &'a [RefUpdate<'a>],
    options: &'a UpdateOptions<'a>,
    outcomes: Outcomes,
    /// What a witness was told about the batch.
    told: Option<Told>,
}

/// A ref that is locked.
struct Locked {
    index: usize,
    /// The name that symbolic refs led to.
    name: Vec<u8>,
    lock: LockFile,
    /// The symbolic refs that led there.
    via: Vec<(Vec<u8>, LockFile)>,
    /// What its file holds.
    loose: Option<RawRef>,
    action: Action,
}

/// What is to be done about a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Not compared yet, or as it should be already.
    Nothing,
    Write {
        old: Option<ObjectId>,
        new: ObjectId,
    },
    Delete {
        old: Option<ObjectId>,
    },
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        refs: &'a FileRefs,
        updates: &'a [RefUpdate<'a>],
        options: &'a UpdateOptions<'a>,
    ) -> Self {
        let outcomes = Outcomes::new(updates, refs.paths.kind(), options.atomic);
        Self { refs, updates, options, outcomes, told: None }
    }

    /// Moves what can be moved; one result an update, in order.
    ///
    /// Where it need not be all or nothing, deletions come first: they make room for names.
    pub(super) fn run(mut self) -> Vec<Result<(), UpdateError>> {
        self.refs.staging.share(self.options.sharing);
        self.refs.staging.sweep_once();
        if self.options.atomic {
            self.run_batch(|_| true);
        } else {
            self.run_batch(|update| update.value().is_none());
            self.run_batch(|update| update.value().is_some());
        }
        self.outcomes.finish()
    }

    fn fail(&mut self, index: usize, error: UpdateError) {
        self.outcomes.fail(index, error);
    }

    fn is_lost(&mut self) -> bool {
        self.outcomes.is_lost()
    }

    fn run_batch(&mut self, which: impl Fn(&RefUpdate<'_>) -> bool) {
        let mut indices: Vec<usize> = (0..self.updates.len())
            .filter(|&index| self.outcomes.is_open(index) && which(&self.updates[index]))
            .collect();
        self.check_conflicts(&indices);
        indices.retain(|&index| self.outcomes.is_open(index));
        if indices.is_empty() || self.is_lost() {
            return;
        }
        // everybody locks in the same order, so that two never wait for each other for long
        indices.sort_by_key(|&index| self.updates[index].name);
        let additions = self.peel_additions(&indices);
        let mut folders = Folders::shared(self.options.sharing);
        let mut locked = self.lock(&indices, additions.is_some(), &mut folders);
        self.commit(&mut locked, additions, &mut folders);
        self.release(locked);
        if let (Some(told), Some(witness)) = (self.told.take(), self.options.witness) {
            told.finish(witness, &self.outcomes);
        }
    }

    /// Refuses, of two names that cannot be together, the one that was asked for later.
    fn check_conflicts(&mut self, indices: &[usize]) {
        let writes = indices.iter().filter(|&&index| self.updates[index].value().is_some());
        let writes: Vec<(usize, &[u8])> =
            writes.map(|&index| (index, self.updates[index].name)).collect();
        self.outcomes.fail_conflicting(&writes);
    }

    /// Compares and moves what is locked.
    fn commit(
        &mut self,
        locked: &mut [Locked],
        additions: Option<HashMap<usize, Option<ObjectId>>>,
        folders: &mut Folders,
    ) {
        let deletes = locked.iter().any(|ref_| self.updates[ref_.index].value().is_none());
        let gate: Option<MutexGuard<'_, ()>> = (deletes || additions.is_some())
            .then(|| self.refs.packing.lock().unwrap_or_else(PoisonError::into_inner));
        let lock_packed = || PackedLock::acquire(&self.refs.paths.packed(), &self.refs.staging);
        let packed_lock = match gate.as_ref().map(|_| lock_packed()) {
            None => None,
            Some(Ok(lock)) => Some(lock),
            Some(Err(error)) => return self.fail_all(locked, &error),
        };
        let mut packed = match self.refs.packed_now() {
            Ok(packed) => packed,
            Err(error) => return self.fail_all(locked, &UpdateError::from(error)),
        };
        self.compare(locked, &packed, additions.is_some());
        if self.is_lost() || !self.tell(locked) {
            return;
        }
        self.write_logs(locked, folders);
        if self.is_lost() {
            return;
        }
        // What may fail for want of space comes before anything moves.
        if self.options.fsync && additions.is_none() {
            self.sync_locks(locked);
            if self.is_lost() {
                return;
            }
        }
        if let Some(lock) = &packed_lock {
            if self.options.atomic && additions.is_some() {
                match self.pack_old_values(lock, locked, packed) {
                    Ok(now) => packed = now,
                    Err(error) => return self.fail_all(locked, &error),
                }
            }
            self.edit_packed(lock, locked, &packed, additions.as_ref());
        }
        if additions.is_none() {
            self.write_loose(locked, folders);
        } else {
            // the folders were made for locks only
            *folders = Folders::shared(self.options.sharing);
        }
        self.remove_loose(locked, additions.is_some(), folders);
        if self.options.fsync
            && let Err(error) = folders.sync()
        {
            self.fail_all(locked, &error);
        }
    }

    /// Tells whoever watches what is about to happen. False: it must not.
    fn tell(&mut self, locked: &[Locked]) -> bool {
        let Some(witness) = self.options.witness else { return true };
        let open = locked.iter().filter(|ref_| self.is_open(ref_));
        let moved = open.map(|ref_| (ref_.index, ref_.name.clone()));
        match Told::prepare(witness, self.updates, moved, self.refs.paths.kind()) {
            Ok(told) => {
                self.told = told;
                true
            }
            Err(_) => {
                for ref_ in locked {
                    if self.outcomes.is_open(ref_.index) {
                        self.fail(ref_.index, UpdateError::Forbidden);
                    }
                }
                false
            }
        }
    }

    fn fail_all(&mut self, locked: &[Locked], error: &UpdateError) {
        for ref_ in locked {
            if self.outcomes.is_open(ref_.index) {
                self.fail(ref_.index, error.again());
            }
        }
    }

    fn is_open(&self, ref_: &Locked) -> bool {
        self.outcomes.is_open(ref_.index) && ref_.action != Action::Nothing
    }

    fn write_logs(&mut self, locked: &[Locked], folders: &mut Folders) {
        if self.options.committer.is_empty() {
            return;
        }
        let log = ReflogWriter::new(&self.refs.paths, self.options);
        let null = ObjectId::null(self.refs.paths.kind());
        let head_chain = self.refs.head_chain();
        for ref_ in locked {
            let (old, new) = match ref_.action {
                _ if !self.is_open(ref_) => continue,
                Action::Nothing => continue,
                Action::Write { old, new } => (old.unwrap_or(null), new),
                Action::Delete { old } => (old.unwrap_or(null), null),
            };
            let mut names: Vec<&[u8]> = ref_.via.iter().map(|(name, _)| &name[..]).collect();
            if head_chain.contains(&ref_.name) && !names.contains(&&b"HEAD"[..]) {
                names.push(b"HEAD");
            }
            if !new.is_null() {
                names.push(&ref_.name);
            }
            let logged =
                names.into_iter().try_for_each(|name| log.append(name, &old, &new, folders));
            if let Err(error) = logged {
                self.fail(ref_.index, error);
            }
        }
    }

    /// Takes deleted refs out of `packed-refs` and puts many new ones in.
    fn edit_packed(
        &mut self,
        lock: &PackedLock,
        locked: &[Locked],
        packed: &PackedRefs,
        peeled: Option<&HashMap<usize, Option<ObjectId>>>,
    ) {
        let mut without: Vec<usize> = Vec::new();
        let mut additions = Vec::new();
        for ref_ in locked.iter().filter(|ref_| self.is_open(ref_)) {
            match ref_.action {
                Action::Delete { .. } => without.extend(packed.find(&ref_.name)),
                Action::Write { new: id, .. } => {
                    if let Some(&peeled) = peeled.and_then(|peeled| peeled.get(&ref_.index)) {
                        additions.push(Addition { name: &ref_.name, id, peeled });
                    }
                }
                _ => {}
            }
        }
        if without.is_empty() && additions.is_empty() {
            return;
        }
        // symbolic refs may have led out of order
        additions.sort_unstable_by_key(|addition| addition.name);
        without.sort_unstable();
        if let Err(error) = lock.replace(packed, &without, &additions, self.options.fsync) {
            self.fail_all(locked, &error);
        }
    }

    fn is_write(&self, ref_: &Locked) -> bool {
        self.is_open(ref_) && matches!(ref_.action, Action::Write { .. })
    }

    /// Waits until the disk has the new values.
    fn sync_locks(&mut self, locked: &[Locked]) {
        let writes: Vec<&Locked> = locked.iter().filter(|ref_| self.is_write(ref_)).collect();
        let sync = |refs: &[&Locked]| -> Vec<(usize, UpdateError)> {
            let failed = |ref_: &&Locked| ref_.lock.sync().err().map(|error| (ref_.index, error));
            refs.iter().filter_map(failed).collect()
        };
        let share = writes.len().div_ceil(SYNC_THREADS).max(1);
        let failed: Vec<(usize, UpdateError)> = std::thread::scope(|scope| {
            let mut shares = writes.chunks(share);
            let own = shares.next().unwrap_or_default();
            let others: Vec<_> =
                shares.map(|share| (share, scope.spawn(move || sync(share)))).collect();
            let mut failed = sync(own);
            for (share, thread) in others {
                // a thread that died has waited for nothing
                failed.extend(thread.join().unwrap_or_else(|_| sync(share)));
            }
            failed
        });
        for (index, error) in failed {
            self.fail(index, error);
        }
    }

    /// Renames the locks that hold new values into place.
    ///
    /// From the first rename on nothing is undone. One that fails leaves the others moved, and
    /// the results say which.
    fn write_loose(&mut self, locked: &mut [Locked], folders: &mut Folders) {
        for ref_ in locked.iter_mut() {
            if !self.is_write(ref_) {
                continue;
            }
            match ref_.lock.commit() {
                Ok(()) => folders.changed_in(&self.refs.paths.of(&ref_.name)),
                Err(error) => self.fail(ref_.index, error),
            }
        }
    }

    /// Removes the files of refs that are deleted, or packed now.
    fn remove_loose(&mut self, locked: &[Locked], packs: bool, folders: &mut Folders) {
        for ref_ in locked {
            let is_moot = match ref_.action {
                Action::Delete { .. } => true,
                Action::Write { .. } => packs,
                Action::Nothing => false,
            };
            if !(is_moot && self.is_open(ref_) && ref_.loose.is_some()) {
                continue;
            }
            let path = self.refs.paths.of(&ref_.name);
            match fs::remove_file(&path) {
                Ok(()) => folders.changed_in(&path),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => self.fail(ref_.index, UpdateError::io(&path, error)),
            }
        }
    }

    /// Gives the locks back, removes logs of deleted refs and folders that nothing is in.
    fn release(&mut self, locked: Vec<Locked>) {
        let log = ReflogWriter::new(&self.refs.paths, self.options);
        for ref_ in locked {
            let is_deleted = self.is_open(&ref_) && matches!(ref_.action, Action::Delete { .. });
            if is_deleted {
                log.remove(&ref_.name);
            }
            let base = self.refs.paths.base(&ref_.name);
            drop(ref_.lock);
            drop(ref_.via);
            folders::prune_parents(base, &ref_.name);
        }
    }
}
