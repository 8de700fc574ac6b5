//! Writing symbolic refs (`git-symbolic-ref`).

use super::conflict::ConflictCheck;
use super::folders::Folders;
use super::lock::LockFile;
use super::reflog::ReflogWriter;
use super::store::{FileRefs, RefBackend};
use super::{UpdateError, UpdateOptions, name};
use crate::hash::ObjectId;

/// Makes `name` a symbolic ref to `target`. Its log, if one is kept, gets a line when there is a
/// reason to write and the target exists.
pub(super) fn set(
    refs: &FileRefs,
    name: &[u8],
    target: &[u8],
    options: &UpdateOptions<'_>,
) -> Result<(), UpdateError> {
    if (name != b"HEAD" && !name::is_listed(name)) || !name::is_listed(target) || name == target {
        return Err(UpdateError::InvalidName);
    }
    let path = refs.paths.of(name);
    refs.staging.share(options.sharing);
    let mut folders = Folders::shared(options.sharing);
    let content = [b"ref: ", target, b"\n"].concat();
    let mut lock = LockFile::acquire(&path, &content, &mut folders, &refs.staging)?;
    let before = refs.snapshot()?;
    let packed = refs.packed_now()?;
    if name != b"HEAD" && before.get(name).is_none() {
        ConflictCheck::new(&refs.paths, &packed).check(name)?;
    }
    if !options.message.is_empty()
        && let Some(new) = before.get(target)
    {
        let null = ObjectId::null(refs.paths.kind());
        let old = before.get(name).unwrap_or(null);
        ReflogWriter::new(&refs.paths, options).append(name, &old, &new, &mut folders)?;
    }
    if options.fsync {
        lock.sync()?;
    }
    lock.commit()?;
    folders.changed_in(&path);
    if options.fsync { folders.sync() } else { Ok(()) }
}
