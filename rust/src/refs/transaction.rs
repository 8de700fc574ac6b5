//! Moving refs: lock all, compare all, write all, in the order that loses nothing.
//!
//! 1. Every ref is locked (`<file>.lock`), symbolic ones on the way too; where something is
//!    deleted or packed, `packed-refs` as well.
//! 2. Under the locks the values are read, loose before packed (see [`super::store`]), and
//!    compared; names that are new are checked against those that exist.
//! 3. The log is written, so that no move is without one.
//! 4. New values reach the disk in the lock files, which are renamed into place: a reader sees
//!    the old value or the new one. A deleted ref leaves `packed-refs` before its loose file is
//!    removed: the other way round an old packed value would show in between.
//! 5. Folders reach the disk, and only then is anybody told.
//!
//! Many refs at once go into `packed-refs`, under the same locks: one file to write and one to
//! wait for, and one to read from then on.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::sync::{MutexGuard, PoisonError};

use super::conflict::{ConflictCheck, conflicts_among};
use super::folders::{self, Folders};
use super::lock::LockFile;
use super::name;
use super::packed::PackedRefs;
use super::packed_edit::{Addition, PackedLock};
use super::peel::Peeler;
use super::read::{self, RawRef};
use super::reflog::ReflogWriter;
use super::snapshot::MAX_SYMBOLIC_DEPTH;
use super::store::FileRefs;
use super::{RefUpdate, UpdateError, UpdateOptions};
use crate::hash::ObjectId;

/// From so many new values on, they go into `packed-refs`. Below, rewriting that file may cost
/// more than the few files do; above, a file each is what costs (and would for every reader).
const PACK_FROM: usize = 128;

/// One call of [`FileRefs::update`].
pub(super) struct Transaction<'a> {
    refs: &'a FileRefs,
    updates: &'a [RefUpdate<'a>],
    options: &'a UpdateOptions<'a>,
    results: Vec<Option<Result<(), UpdateError>>>,
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
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
        let results = updates.iter().map(|_| None).collect();
        Self { refs, updates, options, results }
    }

    /// Moves what can be moved; one result an update, in order.
    ///
    /// Where it need not be all or nothing, deletions come first: they make room for names.
    pub(super) fn run(mut self) -> Vec<Result<(), UpdateError>> {
        self.check_updates();
        if self.options.atomic {
            self.run_batch(|_| true);
        } else {
            self.run_batch(|update| update.value().is_none());
            self.run_batch(|update| update.value().is_some());
        }
        self.results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect()
    }

    fn check_updates(&mut self) {
        let mut seen: HashMap<&[u8], usize> = HashMap::new();
        for (index, update) in self.updates.iter().enumerate() {
            let kind = self.refs.paths.kind();
            if update.name != b"HEAD" && !name::is_listed(update.name) {
                self.fail(index, UpdateError::InvalidName);
            } else if update.value().is_some_and(|id| id.kind() != kind) {
                self.fail(index, UpdateError::InvalidValue);
            } else if let Some(first) = seen.insert(update.name, index) {
                self.fail(first, UpdateError::Duplicate);
                self.fail(index, UpdateError::Duplicate);
            }
        }
    }

    fn fail(&mut self, index: usize, error: UpdateError) {
        self.results[index] = Some(Err(error));
    }

    /// Must the transaction be given up, because one of all has failed? Then all have.
    fn is_lost(&mut self) -> bool {
        let failed = |result: &Option<_>| matches!(result, Some(Err(_)));
        if !(self.options.atomic && self.results.iter().any(failed)) {
            return false;
        }
        for result in &mut self.results {
            if !matches!(result, Some(Err(_))) {
                *result = Some(Err(UpdateError::Atomic));
            }
        }
        true
    }

    fn run_batch(&mut self, which: impl Fn(&RefUpdate<'_>) -> bool) {
        let mut indices: Vec<usize> = (0..self.updates.len())
            .filter(|&index| self.results[index].is_none() && which(&self.updates[index]))
            .collect();
        self.check_conflicts(&indices);
        indices.retain(|&index| self.results[index].is_none());
        if indices.is_empty() || self.is_lost() {
            return;
        }
        // everybody locks in the same order, so that two never wait for each other for long
        indices.sort_by_key(|&index| self.updates[index].name);
        let additions = self.peel_additions(&indices);
        let mut folders = Folders::default();
        let mut locked = self.lock(&indices, additions.is_some(), &mut folders);
        self.commit(&mut locked, additions, &mut folders);
        self.release(locked);
    }

    /// Refuses, of two names that cannot be together, the one that was asked for later.
    fn check_conflicts(&mut self, indices: &[usize]) {
        let writes = indices.iter().filter(|&&index| self.updates[index].value().is_some());
        let writes: Vec<(usize, &[u8])> =
            writes.map(|&index| (index, self.updates[index].name)).collect();
        self.fail_conflicting(&writes);
    }

    fn fail_conflicting(&mut self, writes: &[(usize, &[u8])]) {
        let names: Vec<&[u8]> = writes.iter().map(|&(_, name)| name).collect();
        for (at, with) in conflicts_among(&names) {
            let with = String::from_utf8_lossy(with).into_owned();
            self.fail(writes[at].0, UpdateError::Conflict { with });
        }
    }

    /// What goes into `packed-refs`, by index: when there is much, and all of it can be peeled.
    fn peel_additions(&self, indices: &[usize]) -> Option<HashMap<usize, Option<ObjectId>>> {
        let objects = self.options.objects?;
        let values: Vec<(usize, ObjectId)> = indices
            .iter()
            .filter_map(|&index| Some((index, self.updates[index].value()?)))
            .filter(|&(index, _)| self.updates[index].name != b"HEAD")
            .collect();
        if values.len() < PACK_FROM || values.len() < indices.len() {
            return None;
        }
        let mut peeler = Peeler::new(&self.refs.peels, objects);
        let mut peeled = HashMap::with_capacity(values.len());
        for (index, id) in values {
            peeled.insert(index, peeler.peel(&id).ok()?);
        }
        peeler.complete.then_some(peeled)
    }

    /// Locks refs and reads their files.
    fn lock(&mut self, indices: &[usize], packs: bool, folders: &mut Folders) -> Vec<Locked> {
        let mut locked: Vec<Locked> = Vec::with_capacity(indices.len());
        let mut held: HashMap<Vec<u8>, usize> = HashMap::new();
        for &index in indices {
            match self.lock_one(index, packs, &mut held, folders) {
                Ok(ref_) => locked.push(ref_),
                Err((error, other)) => {
                    if let Some(other) = other {
                        self.fail(other, UpdateError::Duplicate);
                    }
                    self.fail(index, error);
                    if self.is_lost() {
                        break;
                    }
                }
            }
        }
        locked
    }

    /// Locks a ref and what it leads to. With the error may come the index of the update that
    /// moves the same ref.
    fn lock_one(
        &self,
        index: usize,
        packs: bool,
        held: &mut HashMap<Vec<u8>, usize>,
        folders: &mut Folders,
    ) -> Result<Locked, (UpdateError, Option<usize>)> {
        let update = &self.updates[index];
        let paths = &self.refs.paths;
        let mut content = Vec::new();
        if let Some(id) = update.value().filter(|_| !packs) {
            id.write_hex(&mut content);
            content.push(b'\n');
        }
        let mut name = update.name.to_vec();
        let mut via = Vec::new();
        loop {
            if let Some(&other) = held.get(&name) {
                return Err((UpdateError::Duplicate, Some(other)));
            }
            let path = paths.of(&name);
            let lock = LockFile::acquire(&path, &content, folders)
                .map_err(|error| (self.explain(error, &name), None))?;
            let loose = read::read_file(&path, paths.kind())
                .map_err(|error| (UpdateError::from(error), None))?
                .map(|(raw, _)| raw);
            held.insert(name.clone(), index);
            let Some(RawRef::Symbolic(target)) = loose else {
                return Ok(Locked { index, name, lock, via, loose, action: Action::Nothing });
            };
            if via.len() + 1 >= MAX_SYMBOLIC_DEPTH || !name::is_listed(&target) {
                let file = path.display().to_string();
                return Err((UpdateError::Broken { file }, None));
            }
            via.push((std::mem::replace(&mut name, target), lock));
        }
    }

    /// A lock cannot be made where a ref is in the place of a folder: say so.
    fn explain(&self, error: UpdateError, name: &[u8]) -> UpdateError {
        match &error {
            UpdateError::Io { error: cause, .. } if cause.kind() == ErrorKind::NotADirectory => {
                let nothing = PackedRefs::default();
                match ConflictCheck::new(&self.refs.paths, &nothing).check(name) {
                    Err(conflict @ UpdateError::Conflict { .. }) => conflict,
                    _ => error,
                }
            }
            _ => error,
        }
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
        let packed_lock =
            match gate.as_ref().map(|_| PackedLock::acquire(&self.refs.paths.packed())) {
                None => None,
                Some(Ok(lock)) => Some(lock),
                Some(Err(error)) => return self.fail_all(locked, &error),
            };
        let packed = match self.refs.packed_now() {
            Ok(packed) => packed,
            Err(error) => return self.fail_all(locked, &UpdateError::from(error)),
        };
        self.compare(locked, &packed, additions.is_some());
        if self.is_lost() {
            return;
        }
        self.write_logs(locked, folders);
        if self.is_lost() {
            return;
        }
        if let Some(lock) = &packed_lock {
            self.edit_packed(lock, locked, &packed, additions.as_ref());
        }
        if additions.is_none() {
            self.write_loose(locked, folders);
        } else {
            // the folders were made for locks only
            *folders = Folders::default();
        }
        self.remove_loose(locked, additions.is_some(), folders);
        if self.options.fsync
            && let Err(error) = folders.sync()
        {
            self.fail_all(locked, &error);
        }
    }

    fn fail_all(&mut self, locked: &[Locked], error: &UpdateError) {
        for ref_ in locked {
            if self.results[ref_.index].is_none() {
                self.fail(ref_.index, error.again());
            }
        }
    }

    fn is_open(&self, ref_: &Locked) -> bool {
        self.results[ref_.index].is_none() && ref_.action != Action::Nothing
    }

    /// Decides what is to be done about each ref.
    fn compare(&mut self, locked: &mut [Locked], packed: &PackedRefs, packs: bool) {
        let mut conflicts = ConflictCheck::new(&self.refs.paths, packed);
        let mut writes: Vec<(usize, Vec<u8>)> = Vec::new();
        for ref_ in locked.iter_mut() {
            let update = &self.updates[ref_.index];
            match self.action(update, ref_, packed) {
                Ok(action) => ref_.action = action,
                Err(error) => {
                    self.fail(ref_.index, error);
                    continue;
                }
            }
            if let Action::Write { old, .. } = ref_.action {
                let mut checked = Ok(());
                if old.is_none() && ref_.name != b"HEAD" {
                    checked = conflicts.check(&ref_.name);
                    if packs && checked.is_ok() {
                        checked = conflicts.check_locks(&ref_.name);
                    }
                }
                match checked {
                    Ok(()) => writes.push((ref_.index, ref_.name.clone())),
                    Err(error) => self.fail(ref_.index, error),
                }
            }
        }
        writes.sort_unstable();
        // once more, for the names that symbolic refs led to
        let writes: Vec<(usize, &[u8])> =
            writes.iter().map(|(index, name)| (*index, &name[..])).collect();
        self.fail_conflicting(&writes);
    }

    fn action(
        &self,
        update: &RefUpdate<'_>,
        ref_: &Locked,
        packed: &PackedRefs,
    ) -> Result<Action, UpdateError> {
        let found = match &ref_.loose {
            Some(RawRef::Id(id)) => Some(*id),
            None => packed.find(&ref_.name).map(|row| packed.id(row)),
            Some(_) if update.value().is_none() && update.old.is_none() => {
                return Ok(Action::Delete { old: None });
            }
            Some(_) => {
                let file = self.refs.paths.of(&ref_.name).display().to_string();
                return Err(UpdateError::Broken { file });
            }
        };
        match (update.old, found) {
            (Some(old), Some(found)) if old.is_null() => return Err(UpdateError::Exists { found }),
            (Some(old), Some(found)) if old != found => return Err(UpdateError::Stale { found }),
            (Some(old), None) if !old.is_null() => return Err(UpdateError::Absent),
            _ => {}
        }
        Ok(match update.value() {
            Some(new) if found == Some(new) => Action::Nothing,
            Some(new) => Action::Write { old: found, new },
            None if found.is_none() => Action::Nothing,
            None => Action::Delete { old: found },
        })
    }

    fn write_logs(&mut self, locked: &[Locked], folders: &mut Folders) {
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
        let mut without: HashSet<&[u8]> = HashSet::new();
        let mut additions = Vec::new();
        for ref_ in locked.iter().filter(|ref_| self.is_open(ref_)) {
            match ref_.action {
                Action::Delete { .. } if packed.find(&ref_.name).is_some() => {
                    without.insert(&ref_.name);
                }
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
        if let Err(error) = lock.replace(packed, &without, &additions, self.options.fsync) {
            self.fail_all(locked, &error);
        }
    }

    /// Renames the locks that hold new values into place.
    fn write_loose(&mut self, locked: &mut [Locked], folders: &mut Folders) {
        let is_write = |this: &Self, ref_: &Locked| {
            this.is_open(ref_) && matches!(ref_.action, Action::Write { .. })
        };
        if self.options.fsync {
            for ref_ in locked.iter() {
                if is_write(self, ref_)
                    && let Err(error) = ref_.lock.sync()
                {
                    self.fail(ref_.index, error);
                }
            }
            if self.is_lost() {
                return;
            }
        }
        for ref_ in locked.iter_mut() {
            if !is_write(self, ref_) {
                continue;
            }
            // From here on nothing is undone. A rename that fails now (a full disk has failed
            // before) leaves the others moved, and the results say which.
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
