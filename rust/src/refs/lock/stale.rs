//! Locks whose makers were killed.
//!
//! One is ours to take away when it was made here (it has a twin in [`Staging`]) and nobody holds
//! it, or when it is older than this machine's last start: a power failure may have kept the lock
//! and not its twin. Any other lock, git's included, is somebody's until a person says otherwise.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::staging::Staging;
use crate::temporary::{self, Maker};

/// Takes away the lock at `path` when nobody works behind it. True when it is not there any more.
///
/// `was_waited_for`: it has been there unchanged for as long as a lock is waited for. Clocks that
/// are set right soon after a start can make a lock look older than it is; such a one is gone by
/// then. Having waited for one is enough.
pub(super) fn clear(path: &Path, staging: &Staging, was_waited_for: bool) -> bool {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return error.kind() == ErrorKind::NotFound,
    };
    let Ok(meta) = file.metadata() else { return false };
    // from here on, when its maker is gone, it is we who hold it: nobody else clears it meanwhile
    if !meta.is_file() || temporary::maker_of(&file, path) != Maker::Gone {
        return false;
    }
    let twin = staging.twin_of(&meta);
    if twin.is_none() {
        let is_sure = was_waited_for || staging.has_waited.load(Ordering::Relaxed);
        if !is_sure || !temporary::predates_boot(&meta, path) {
            return false;
        }
        staging.has_waited.store(true, Ordering::Relaxed);
    }
    let cleared = remove_if(path, &meta);
    if let Some(twin) = twin {
        // the lock goes first: without its twin nobody could tell whose it was
        let _ = fs::remove_file(twin);
    }
    cleared
}

/// Takes away a lock from before this machine's start that nobody may ever meet.
pub(super) fn clear_old(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    let Ok(meta) = file.metadata() else { return };
    if meta.is_file()
        && temporary::is_past_grace(&meta)
        && temporary::predates_boot(&meta, path)
        && temporary::maker_of(&file, path) == Maker::Gone
    {
        remove_if(path, &meta);
    }
}

/// Removes `lock`, which nobody works behind, if it still is the file that `meta` is of. What was
/// being written under it goes first. True when it is not there any more.
pub(super) fn remove_if(lock: &Path, meta: &Metadata) -> bool {
    if !temporary::is_still(lock, meta) {
        return !lock.exists();
    }
    if lock.file_name().is_some_and(|name| name == "packed-refs.lock") {
        let _ = fs::remove_file(lock.with_file_name("packed-refs.new"));
    }
    fs::remove_file(lock).is_ok()
}
