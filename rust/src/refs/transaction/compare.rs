//! The second step: what is there is compared with what whoever moves it believes to be there.

use super::{Action, Locked, Transaction};
use crate::refs::conflict::ConflictCheck;
use crate::refs::packed::PackedRefs;
use crate::refs::read::RawRef;
use crate::refs::{RefUpdate, UpdateError};

impl Transaction<'_> {
    /// Decides what is to be done about each ref.
    pub(super) fn compare(&mut self, locked: &mut [Locked], packed: &PackedRefs, packs: bool) {
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
        self.outcomes.fail_conflicting(&writes);
    }

    fn action(
        &self,
        update: &RefUpdate<'_>,
        ref_: &Locked,
        packed: &PackedRefs,
    ) -> Result<Action, UpdateError> {
        let is_packed = || packed.find(&ref_.name).map(|row| RawRef::Id(packed.id(row)));
        let found = ref_.loose.clone().or_else(is_packed);
        decide(update, found, || self.refs.paths.of(&ref_.name).display().to_string())
    }
}

/// What an update does to a ref that holds `found`. `file` names what holds it.
pub(in crate::refs) fn decide(
    update: &RefUpdate<'_>,
    found: Option<RawRef>,
    file: impl Fn() -> String,
) -> Result<Action, UpdateError> {
    let found = match found {
        Some(RawRef::Id(id)) => Some(id),
        None => None,
        Some(_) if update.value().is_none() && update.old.is_none() => {
            return Ok(Action::Delete { old: None });
        }
        Some(_) => return Err(UpdateError::Broken { file: file() }),
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
