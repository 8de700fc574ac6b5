//! Who is told about a transaction, and may stop it (`githooks`, "reference-transaction").
//!
//! Told is what is about to happen, once everything is locked and compared; then what has happened,
//! or that nothing has. Lines are git's: old id, new id and name, zeros for what is not there or was
//! not said; of a symbolic ref, the name it leads to.

use super::outcomes::Outcomes;
use super::{RefUpdate, UpdateError};
use crate::hash::{HashKind, ObjectId};

/// The moments of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// All refs are locked, and as they are believed to be. The answer decides.
    Prepared,
    /// It has happened.
    Committed,
    /// Nothing has happened.
    Aborted,
}

impl Phase {
    /// Git's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
        }
    }
}

/// Whoever is told; false stops a transaction that is prepared.
pub type Witness<'a> = dyn Fn(Phase, &[u8]) -> bool + Sync + 'a;

/// What a witness was told, by update.
pub(super) struct Told {
    lines: Vec<(usize, Vec<u8>)>,
}

impl Told {
    /// Tells of these updates, and under which names they are moved. False: none of them may
    /// happen.
    pub(super) fn prepare(
        witness: &Witness<'_>,
        updates: &[RefUpdate<'_>],
        moved: impl Iterator<Item = (usize, Vec<u8>)>,
        kind: HashKind,
    ) -> Result<Option<Self>, UpdateError> {
        let null = ObjectId::null(kind);
        let line = |(index, name): (usize, Vec<u8>)| {
            let update: &RefUpdate<'_> = &updates[index];
            let mut line = Vec::with_capacity(2 * kind.hex_len() + name.len() + 3);
            update.old.unwrap_or(null).write_hex(&mut line);
            line.push(b' ');
            update.value().unwrap_or(null).write_hex(&mut line);
            line.push(b' ');
            line.extend_from_slice(&name);
            line.push(b'\n');
            (index, line)
        };
        let mut told = Self { lines: moved.map(line).collect() };
        if told.lines.is_empty() {
            return Ok(None);
        }
        told.lines.sort_by_key(|&(index, _)| index);
        if witness(Phase::Prepared, &told.text(|_| true)) {
            return Ok(Some(told));
        }
        witness(Phase::Aborted, &told.text(|_| true));
        Err(UpdateError::Forbidden)
    }

    /// Tells what became of them.
    pub(super) fn finish(self, witness: &Witness<'_>, outcomes: &Outcomes) {
        let done = self.text(|index| outcomes.is_open(index));
        if done.is_empty() {
            witness(Phase::Aborted, &self.text(|_| true));
        } else {
            witness(Phase::Committed, &done);
        }
    }

    fn text(&self, which: impl Fn(usize) -> bool) -> Vec<u8> {
        let lines = self.lines.iter().filter(|&&(index, _)| which(index));
        lines.flat_map(|(_, line)| line).copied().collect()
    }
}
