//! Files beside the refs that are changed under git's lock, such as `shallow`
//! (`gitrepository-layout`).
//!
//! In: a file's name in the repository, and what it shall say. Out: the file, there durably or not
//! at all. Its lock is one of ours ([`super::lock`]): whoever is killed while he holds it is known
//! to be dead. What is in the file is for the caller to know.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::UpdateError;
use super::folders::Folders;
use super::lock::{LockFile, Staging};
use crate::sharing::Sharing;

/// The right to change one file; dropping it gives it back.
#[derive(Debug)]
pub struct LockedFile {
    lock: LockFile,
    path: PathBuf,
}

impl LockedFile {
    /// Locks `name` in the directory that all worktrees share, waiting a little for others.
    pub fn acquire(common_dir: &Path, name: &str, sharing: Sharing) -> Result<Self, UpdateError> {
        let staging = Staging::new(common_dir);
        staging.share(sharing);
        let path = common_dir.join(name);
        let lock = LockFile::acquire(&path, b"", &mut Folders::shared(sharing), &staging)?;
        Ok(Self { lock, path })
    }

    /// What it says now; nothing where there is none.
    pub fn read(&self) -> Result<Vec<u8>, UpdateError> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|error| UpdateError::io(&self.path, error)),
        }
    }

    /// Says this from now on, also after a power failure. Without content there is no such file.
    pub fn replace(mut self, content: &[u8]) -> Result<(), UpdateError> {
        let mut folders = Folders::default();
        if content.is_empty() {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(UpdateError::io(&self.path, error));
                }
                _ => {}
            }
        } else {
            self.lock.fill(content)?;
            self.lock.sync()?;
            self.lock.commit()?;
        }
        folders.changed_in(&self.path);
        folders.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acquire(dir: &Path) -> Result<LockedFile, UpdateError> {
        LockedFile::acquire(dir, "shallow", Sharing::Umask)
    }

    #[test]
    fn one_at_a_time_and_gone_when_empty() {
        let dir = tempfile::tempdir().unwrap();
        let locked = acquire(dir.path()).unwrap();
        assert_eq!(locked.read().unwrap(), b"");
        assert!(matches!(acquire(dir.path()).unwrap_err(), UpdateError::Locked { .. }));
        locked.replace(b"line\n").unwrap();
        let locked = acquire(dir.path()).unwrap();
        assert_eq!(locked.read().unwrap(), b"line\n");
        locked.replace(b"").unwrap();
        assert!(!dir.path().join("shallow").exists() && !dir.path().join("shallow.lock").exists());
    }

    #[test]
    fn what_a_killed_process_holds_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path().join("gitserve-locks");
        drop(acquire(dir.path()).unwrap());
        // as `kill -9` leaves it: the lock and its twin, held by nobody
        fs::write(locks.join("abcdef"), "half a li").unwrap();
        fs::hard_link(locks.join("abcdef"), dir.path().join("shallow.lock")).unwrap();
        acquire(dir.path()).unwrap().replace(b"whole\n").unwrap();
        assert_eq!(fs::read(dir.path().join("shallow")).unwrap(), b"whole\n");
        assert_eq!(fs::read_dir(&locks).unwrap().count(), 0);
    }

    #[test]
    fn another_programs_lock_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("shallow.lock"), "git's").unwrap();
        assert!(matches!(acquire(dir.path()).unwrap_err(), UpdateError::Locked { .. }));
        assert_eq!(fs::read(dir.path().join("shallow.lock")).unwrap(), b"git's");
    }
}
