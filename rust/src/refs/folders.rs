//! The folders that refs' names make: they come with the first ref in them and go with the last.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::UpdateError;
use crate::durable;
use crate::sharing::Sharing;

/// `refs/heads` and its like stay, even when they are empty.
const KEPT_COMPONENTS: usize = 2;

/// Folders whose entries changed in one transaction, each to be brought to the disk once.
#[derive(Debug, Default)]
pub(super) struct Folders {
    changed: BTreeSet<PathBuf>,
    sharing: Sharing,
}

impl Folders {
    /// None yet; those that are made are shared so.
    pub(super) fn shared(sharing: Sharing) -> Self {
        Self { changed: BTreeSet::new(), sharing }
    }

    /// How what is made in them is shared.
    pub(super) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Makes the folders above `path` that are not there.
    pub(super) fn make_parent(&mut self, path: &Path) -> Result<(), UpdateError> {
        let Some(folder) = path.parent() else { return Ok(()) };
        let mut missing = vec![folder];
        while let Some(&folder) = missing.last() {
            match fs::create_dir(folder) {
                Ok(()) => {
                    let shared = self.sharing.share(folder);
                    shared.map_err(|error| UpdateError::io(folder, error))?;
                    self.changed_in(folder);
                    missing.pop();
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    missing.pop();
                }
                Err(error) => match folder.parent() {
                    // `make_parent` is called again when a folder goes while another is made
                    Some(above) if error.kind() == ErrorKind::NotFound && !above.exists() => {
                        missing.push(above);
                    }
                    Some(_) if error.kind() == ErrorKind::NotFound => return Ok(()),
                    _ => return Err(UpdateError::io(folder, error)),
                },
            }
        }
        Ok(())
    }

    /// The folder that holds `path` has changed.
    pub(super) fn changed_in(&mut self, path: &Path) {
        if let Some(folder) = path.parent()
            && !self.changed.contains(folder)
        {
            self.changed.insert(folder.to_owned());
        }
    }

    /// Waits until the disk has every changed folder; those that are gone need not be there.
    pub(super) fn sync(&self) -> Result<(), UpdateError> {
        for folder in &self.changed {
            match durable::sync_folder(folder) {
                Ok(()) => {}
                Err(error) if super::loose::is_gone(&error) => {}
                Err(error) => return Err(UpdateError::io(folder, error)),
            }
        }
        Ok(())
    }
}

/// Removes the folders that the name makes below `base` as far as they are empty.
///
/// Removing an empty folder is safe at any time: who is about to write into it makes it again.
pub(super) fn prune_parents(base: &Path, name: &[u8]) {
    let mut components = name.split(|&byte| byte == b'/').count();
    let mut path = base.join(OsStr::from_bytes(name));
    while components > KEPT_COMPONENTS + 1 && path.pop() {
        components -= 1;
        if fs::remove_dir(&path).is_err() {
            return;
        }
    }
}

/// Removes a folder with all folders in it, as far as there are no files.
pub(super) fn remove_empty_tree(path: &Path) {
    let mut found = vec![path.to_owned()];
    let mut next = 0;
    while let Some(folder) = found.get(next) {
        next += 1;
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let inner: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        found.extend(inner);
    }
    for folder in found.iter().rev() {
        let _ = fs::remove_dir(folder); // not empty, or gone: both are fine
    }
}

/// The first file in a folder or in the folders within it, relative to it.
pub(super) fn first_file(path: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut found = vec![path.to_owned()];
    while let Some(folder) = found.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if super::loose::is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => found.push(entry.path()),
                Ok(_) => {
                    let inner = entry.path();
                    return Ok(inner.strip_prefix(path).ok().map(Path::to_owned));
                }
                Err(error) if super::loose::is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_folders_go_up_to_the_namespace() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("refs/heads/a/b/c")).unwrap();
        fs::create_dir_all(at("refs/heads/d/e")).unwrap();
        fs::write(at("refs/heads/d/file"), "").unwrap();
        prune_parents(dir.path(), b"refs/heads/a/b/c/name");
        assert!(!at("refs/heads/a").exists() && at("refs/heads").exists());
        prune_parents(dir.path(), b"refs/heads/d/e/name");
        assert!(!at("refs/heads/d/e").exists() && at("refs/heads/d").exists());
        fs::remove_file(at("refs/heads/d/file")).unwrap();
        prune_parents(dir.path(), b"refs/heads/d/file");
        prune_parents(dir.path(), b"refs/heads/d");
        assert!(!at("refs/heads/d").exists() && at("refs/heads").exists());
        prune_parents(dir.path(), b"HEAD");
        assert!(at("refs/heads").exists());
    }
}
