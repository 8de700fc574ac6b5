//! Writing symbolic refs into tables (`git-symbolic-ref`).

use std::collections::HashSet;

use super::backend::TableRefs;
use super::record::RefValue;
use super::transaction::check_name;
use super::writing::{Logger, Writing};
use crate::hash::ObjectId;
use crate::refs::{UpdateError, UpdateOptions, name};

/// Makes `name` a symbolic ref to `target`. Its log, if one is kept, gets an entry when there is a
/// reason to write and the target exists.
pub(super) fn set(
    refs: &TableRefs,
    name: &[u8],
    target: &[u8],
    options: &UpdateOptions<'_>,
) -> Result<(), UpdateError> {
    if (name != b"HEAD" && !name::is_listed(name)) || !name::is_listed(target) || name == target {
        return Err(UpdateError::InvalidName);
    }
    refs.staging.share(options.sharing);
    let writing = Writing::begin(refs, options.fsync)?;
    if name != b"HEAD" && writing.view.merged.find(name).is_none() {
        check_name(name, &writing.view, &HashSet::new())?;
    }
    let mut changes = writing.changes()?;
    let snapshot = &writing.view.snapshot;
    if !options.message.is_empty()
        && let Some(new) = snapshot.get(target)
    {
        let old = snapshot.get(name).unwrap_or_else(|| ObjectId::null(refs.kind));
        Logger::new(options).append(name, &old, &new, &writing, &mut changes)?;
    }
    changes.of(name).refs.insert(name.to_vec(), RefValue::Symbolic(target.into()));
    writing.commit(changes)
}
