//! Moving refs in tables: lock the stack, compare, write one table, in the order that loses nothing.
//!
//! The rules are those of the files backend ([`crate::refs::update`]); only what is locked and where
//! the new values go is different. One transaction is one table, with its log records in it.

use std::collections::{HashMap, HashSet};

use super::backend::{TableRefs, View};
use super::logs;
use super::record::{RefValue, log_key};
use super::writing::{Logger, Writing};
use crate::hash::ObjectId;
use crate::refs::conflict::{conflict, folders_of};
use crate::refs::name;
use crate::refs::outcomes::Outcomes;
use crate::refs::peel::Peeler;
use crate::refs::read::RawRef;
use crate::refs::snapshot::MAX_SYMBOLIC_DEPTH;
use crate::refs::transaction::{Action, decide};
use crate::refs::witness::Told;
use crate::refs::{RefUpdate, UpdateError, UpdateOptions};

/// One call of `TableRefs::update`.
pub(super) struct Transaction<'a> {
    refs: &'a TableRefs,
    updates: &'a [RefUpdate<'a>],
    options: &'a UpdateOptions<'a>,
    outcomes: Outcomes,
}

/// A ref that is looked at.
struct Found {
    index: usize,
    /// The name that symbolic refs led to.
    name: Vec<u8>,
    /// The symbolic refs that led there.
    via: Vec<Vec<u8>>,
    action: Action,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        refs: &'a TableRefs,
        updates: &'a [RefUpdate<'a>],
        options: &'a UpdateOptions<'a>,
    ) -> Self {
        let outcomes = Outcomes::new(updates, refs.kind, options.atomic);
        Self { refs, updates, options, outcomes }
    }

    /// Moves what can be moved; one result an update, in order.
    pub(super) fn run(mut self) -> Vec<Result<(), UpdateError>> {
        self.refs.staging.share(self.options.sharing);
        if self.options.witness.is_some() && !self.options.atomic {
            // as others see them: two transactions
            self.run_batch(|update| update.value().is_none());
            self.run_batch(|update| update.value().is_some());
        } else {
            self.run_batch(|_| true);
        }
        self.outcomes.finish()
    }

    fn run_batch(&mut self, which: impl Fn(&RefUpdate<'_>) -> bool) {
        let indices: Vec<usize> = (0..self.updates.len())
            .filter(|&index| self.outcomes.is_open(index) && which(&self.updates[index]))
            .collect();
        if indices.is_empty() || self.outcomes.is_lost() {
            return;
        }
        let mut told = None;
        if let Err(error) = self.run_all(&indices, &mut told) {
            self.fail_all(&indices, &error);
        }
        if let (Some(told), Some(witness)) = (told, self.options.witness) {
            told.finish(witness, &self.outcomes);
        }
    }

    fn fail_all(&mut self, indices: &[usize], error: &UpdateError) {
        for &index in indices {
            if self.outcomes.is_open(index) {
                self.outcomes.fail(index, error.again());
            }
        }
    }

    fn run_all(&mut self, indices: &[usize], told: &mut Option<Told>) -> Result<(), UpdateError> {
        // objects are read before anything is locked
        let peeled = self.peel(indices);
        let writing = Writing::begin(self.refs, self.options.fsync)?;
        let found = self.compare(indices, &writing.view);
        if self.outcomes.is_lost() {
            return Ok(());
        }
        if let Some(witness) = self.options.witness {
            let is_moved =
                |ref_: &&Found| self.outcomes.is_open(ref_.index) && ref_.action != Action::Nothing;
            let moved = found.iter().filter(is_moved).map(|ref_| (ref_.index, ref_.name.clone()));
            *told = Told::prepare(witness, self.updates, moved, self.refs.kind)?;
        }
        let logger = Logger::new(self.options);
        let mut changes = writing.changes()?;
        for ref_ in found.iter().filter(|ref_| self.outcomes.is_open(ref_.index)) {
            let value = match ref_.action {
                Action::Nothing => continue,
                Action::Delete { .. } => RefValue::Deleted,
                Action::Write { new, .. } => match peeled.get(&ref_.index) {
                    Some(&behind) => RefValue::Tag(Box::new((new, behind))),
                    None => RefValue::Id(new),
                },
            };
            self.log(ref_, &logger, &writing, &mut changes)?;
            changes.of(&ref_.name).refs.insert(ref_.name.clone(), value);
        }
        writing.commit(changes)
    }

    /// What is behind the new values, where they are tags.
    fn peel(&self, indices: &[usize]) -> HashMap<usize, ObjectId> {
        let Some(objects) = self.options.objects else { return HashMap::new() };
        let mut peeler = Peeler::new(&self.refs.peels, objects);
        let values = indices.iter().filter_map(|&at| Some((at, self.updates[at].value()?)));
        // a tag that cannot be followed is written as git does: without
        values.filter_map(|(at, id)| Some((at, peeler.peel(&id).ok()??))).collect()
    }

    /// Decides what is to be done about each ref. Where it need not be all or nothing, deletions
    /// come first: they make room for names.
    fn compare(&mut self, indices: &[usize], view: &View) -> Vec<Found> {
        let (mut order, mut later) = (indices.to_vec(), Vec::new());
        if !self.options.atomic {
            (order, later) =
                order.into_iter().partition(|&index| self.updates[index].value().is_none());
        }
        order.append(&mut later);
        let asked: Vec<(usize, &[u8])> = order
            .iter()
            .filter(|&&index| self.updates[index].value().is_some())
            .map(|&index| (index, self.updates[index].name))
            .collect();
        self.outcomes.fail_conflicting(&asked);
        let mut held: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut gone: HashSet<Vec<u8>> = HashSet::new();
        let mut found = Vec::with_capacity(order.len());
        for index in order {
            if !self.outcomes.is_open(index) {
                continue;
            }
            match self.look(index, view, &mut held, &gone) {
                Ok(ref_) => {
                    if matches!(ref_.action, Action::Delete { .. }) && !self.options.atomic {
                        gone.insert(ref_.name.clone());
                    }
                    found.push(ref_);
                }
                Err((error, other)) => {
                    if let Some(other) = other {
                        self.outcomes.fail(other, UpdateError::Duplicate);
                        let twin = found.iter().find(|ref_: &&Found| ref_.index == other);
                        twin.map(|ref_| gone.remove(&ref_.name));
                    }
                    self.outcomes.fail(index, error);
                    if self.outcomes.is_lost() {
                        break;
                    }
                }
            }
        }
        // once more, for the names that symbolic refs led to
        let mut writes: Vec<(usize, &[u8])> = found
            .iter()
            .filter(|ref_| matches!(ref_.action, Action::Write { .. }))
            .map(|ref_| (ref_.index, &ref_.name[..]))
            .collect();
        writes.sort_unstable();
        self.outcomes.fail_conflicting(&writes);
        found
    }

    /// With the error may come the index of the update that moves the same ref.
    fn look(
        &self,
        index: usize,
        view: &View,
        held: &mut HashMap<Vec<u8>, usize>,
        gone: &HashSet<Vec<u8>>,
    ) -> Result<Found, (UpdateError, Option<usize>)> {
        let update = &self.updates[index];
        let mut name = update.name.to_vec();
        let mut via: Vec<Vec<u8>> = Vec::new();
        let raw = loop {
            if let Some(other) = held.insert(name.clone(), index).filter(|&other| other != index) {
                return Err((UpdateError::Duplicate, Some(other)));
            }
            let raw = view.merged.find(&name).filter(|_| !gone.contains(&name));
            let Some(RawRef::Symbolic(target)) = raw else { break raw };
            if via.len() + 1 >= MAX_SYMBOLIC_DEPTH || !name::is_listed(&target) {
                return Err((UpdateError::Broken { file: printable(&name) }, None));
            }
            via.push(std::mem::replace(&mut name, target));
        };
        let action = decide(update, raw, || printable(&name)).map_err(|error| (error, None))?;
        if let Action::Write { old: None, .. } = action
            && name != b"HEAD"
        {
            check_name(&name, view, gone).map_err(|error| (error, None))?;
        }
        Ok(Found { index, name, via, action })
    }

    /// The records that tell of a move: of the ref, of the symbolic refs that led to it, of HEAD.
    /// A deleted ref's log goes.
    fn log(
        &self,
        ref_: &Found,
        logger: &Logger<'_>,
        writing: &Writing<'_>,
        changes: &mut super::writing::Changes,
    ) -> Result<(), UpdateError> {
        let null = ObjectId::null(self.refs.kind);
        let (old, new) = match ref_.action {
            Action::Nothing => return Ok(()),
            Action::Write { old, new } => (old.unwrap_or(null), new),
            Action::Delete { old } => (old.unwrap_or(null), null),
        };
        let mut names: Vec<&[u8]> = ref_.via.iter().map(|name| &name[..]).collect();
        if writing.view.head_chain().contains(&ref_.name) && !names.contains(&&b"HEAD"[..]) {
            names.push(b"HEAD");
        }
        if new.is_null() {
            let (name, tables) = (&ref_.name, writing.tables(&ref_.name));
            for index in logs::live_entries(tables, name)? {
                changes.of(name).logs.insert(log_key(name, index), None);
            }
        } else {
            names.push(&ref_.name);
        }
        for name in names {
            logger.append(name, &old, &new, writing, changes)?;
        }
        Ok(())
    }
}

/// May a ref of this name be created? `gone`: what is deleted before.
pub(super) fn check_name(
    name: &[u8],
    view: &View,
    gone: &HashSet<Vec<u8>>,
) -> Result<(), UpdateError> {
    let above =
        folders_of(name).find(|&above| !gone.contains(above) && view.merged.find(above).is_some());
    let below = [name, b"/"].concat();
    let mut below = view.merged.names(&below).filter(|&name| !gone.contains(name));
    match above.or_else(|| below.next()) {
        Some(with) => Err(conflict(with)),
        None => Ok(()),
    }
}

fn printable(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}
