//! What becomes of the updates of one transaction, however refs are kept.

use std::collections::HashMap;

use super::conflict::conflicts_among;
use super::name;
use super::{RefUpdate, UpdateError};
use crate::hash::HashKind;

/// One result an update; `None` as long as nothing speaks against it.
pub(super) struct Outcomes {
    results: Vec<Option<Result<(), UpdateError>>>,
    atomic: bool,
}

impl Outcomes {
    /// Refuses what can be refused by looking at the updates alone.
    pub(super) fn new(updates: &[RefUpdate<'_>], kind: HashKind, atomic: bool) -> Self {
        let mut outcomes = Self { results: updates.iter().map(|_| None).collect(), atomic };
        let mut seen: HashMap<&[u8], usize> = HashMap::new();
        for (index, update) in updates.iter().enumerate() {
            if update.name != b"HEAD" && !name::is_listed(update.name) {
                outcomes.fail(index, UpdateError::InvalidName);
            } else if update.value().is_some_and(|id| id.kind() != kind) {
                outcomes.fail(index, UpdateError::InvalidValue);
            } else if let Some(first) = seen.insert(update.name, index) {
                outcomes.fail(first, UpdateError::Duplicate);
                outcomes.fail(index, UpdateError::Duplicate);
            }
        }
        outcomes
    }

    pub(super) fn fail(&mut self, index: usize, error: UpdateError) {
        self.results[index] = Some(Err(error));
    }

    /// Has nothing spoken against it?
    pub(super) fn is_open(&self, index: usize) -> bool {
        self.results[index].is_none()
    }

    /// Must the transaction be given up, because one of all has failed? Then all have.
    pub(super) fn is_lost(&mut self) -> bool {
        let failed = |result: &Option<_>| matches!(result, Some(Err(_)));
        if !(self.atomic && self.results.iter().any(failed)) {
            return false;
        }
        for result in &mut self.results {
            if !matches!(result, Some(Err(_))) {
                *result = Some(Err(UpdateError::Atomic));
            }
        }
        true
    }

    /// Refuses, of two names that cannot be together, the one that was asked for later.
    pub(super) fn fail_conflicting(&mut self, writes: &[(usize, &[u8])]) {
        let names: Vec<&[u8]> = writes.iter().map(|&(_, name)| name).collect();
        for (at, with) in conflicts_among(&names) {
            let with = String::from_utf8_lossy(with).into_owned();
            self.fail(writes[at].0, UpdateError::Conflict { with });
        }
    }

    /// What is still open has happened.
    pub(super) fn finish(self) -> Vec<Result<(), UpdateError>> {
        self.results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect()
    }
}
