//! The first step: every ref, and every symbolic ref on the way to it, is locked and read.

use std::collections::HashMap;
use std::io::ErrorKind;

use super::{Action, Locked, PACK_FROM, Transaction};
use crate::hash::ObjectId;
use crate::refs::UpdateError;
use crate::refs::conflict::ConflictCheck;
use crate::refs::folders::Folders;
use crate::refs::lock::LockFile;
use crate::refs::name;
use crate::refs::packed::PackedRefs;
use crate::refs::peel::Peeler;
use crate::refs::read::{self, RawRef};
use crate::refs::snapshot::MAX_SYMBOLIC_DEPTH;

impl Transaction<'_> {
    /// What goes into `packed-refs`, by index: when there is much, or when several are to move
    /// together, which only one file's rename can do; and all of it can be peeled.
    pub(super) fn peel_additions(
        &self,
        indices: &[usize],
    ) -> Option<HashMap<usize, Option<ObjectId>>> {
        let objects = self.options.objects?;
        let values: Vec<(usize, ObjectId)> = indices
            .iter()
            .filter_map(|&index| Some((index, self.updates[index].value()?)))
            .collect();
        let together = self.options.atomic && indices.len() > 1;
        if !together && (values.len() < PACK_FROM || values.len() < indices.len()) {
            return None;
        }
        if indices.iter().any(|&index| name::is_per_worktree(self.updates[index].name)) {
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
    pub(super) fn lock(
        &mut self,
        indices: &[usize],
        packs: bool,
        folders: &mut Folders,
    ) -> Vec<Locked> {
        let mut locked: Vec<Locked> = Vec::with_capacity(indices.len());
        let mut held: HashMap<Vec<u8>, usize> = HashMap::new();
        for &index in indices {
            let like = locked.last().map(|ref_| &ref_.lock);
            match self.lock_one(index, packs, like, &mut held, folders) {
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
        like: Option<&LockFile>,
        held: &mut HashMap<Vec<u8>, usize>,
        folders: &mut Folders,
    ) -> Result<Locked, (UpdateError, Option<usize>)> {
        let update = &self.updates[index];
        let (paths, staging) = (&self.refs.paths, &self.refs.staging);
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
            let lock = match like {
                Some(like) if content.is_empty() => {
                    LockFile::acquire_like(&path, like, folders, staging)
                }
                _ => LockFile::acquire(&path, &content, folders, staging),
            };
            let lock = lock.map_err(|error| (self.explain(error, &name), None))?;
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
}
