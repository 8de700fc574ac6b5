//! `<file>.lock`: the right to replace a file, as git takes it (`gitrepository-layout` names the
//! files; the suffix is why no ref's name may end in it).
//!
//! A lock is a file that could be created because it was not there. What is in it replaces the
//! file by a rename. Somebody else's lock is never taken away, however old: only a person can
//! know that nobody works behind it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::UpdateError;
use super::folders::Folders;

/// How long a lock that another holds is waited for. Whoever holds one waits for a disk or two,
/// not for a network; git's own patience is 100 ms for a ref and 1 s for `packed-refs`.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest sleep between two attempts.
const MAX_PAUSE: Duration = Duration::from_millis(32);

/// A lock that we hold; dropping it gives it back.
#[derive(Debug)]
pub(super) struct LockFile {
    lock: PathBuf,
    file: PathBuf,
    held: bool,
}

impl LockFile {
    /// Locks `file` and puts `content` into the lock. Makes the folders on the way.
    pub(super) fn acquire(
        file: &Path,
        content: &[u8],
        folders: &mut Folders,
    ) -> Result<Self, UpdateError> {
        Self::acquire_with(file, |lock| create(lock, content), folders)
    }

    /// Locks `file` with another name of the lock `like`, whose content does not matter either.
    ///
    /// A link is refused where there is a file, just as an exclusive creation is, and costs no
    /// inode: file systems take their time to find many of these. Where there can be no more
    /// links, a file is created.
    pub(super) fn acquire_like(
        file: &Path,
        like: &LockFile,
        folders: &mut Folders,
    ) -> Result<Self, UpdateError> {
        let link = |lock: &Path| match fs::hard_link(&like.lock, lock) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            Err(_) => create(lock, b""),
        };
        Self::acquire_with(file, link, folders)
    }

    fn acquire_with(
        file: &Path,
        make: impl Fn(&Path) -> std::io::Result<()>,
        folders: &mut Folders,
    ) -> Result<Self, UpdateError> {
        let mut lock = file.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let mut pause = Duration::from_millis(1);
        let began = Instant::now();
        loop {
            let error = match make(&lock) {
                Ok(()) => return Ok(Self { lock, file: file.to_owned(), held: true }),
                Err(error) => error,
            };
            let is_late = began.elapsed() >= PATIENCE;
            match error.kind() {
                ErrorKind::AlreadyExists if is_late => {
                    return Err(UpdateError::Locked { file: lock.display().to_string() });
                }
                ErrorKind::AlreadyExists => {
                    std::thread::sleep(jitter(pause));
                    pause = (pause * 2).min(MAX_PAUSE);
                }
                // The folder is not there, or whoever deletes the last ref in it has just
                // removed it: make it as often as that takes.
                ErrorKind::NotFound if !is_late => folders.make_parent(&lock)?,
                _ => return Err(UpdateError::io(&lock, error)),
            }
        }
    }

    /// Waits until the disk has what is in the lock.
    pub(super) fn sync(&self) -> Result<(), UpdateError> {
        File::open(&self.lock)
            .and_then(|file| file.sync_all())
            .map_err(|error| UpdateError::io(&self.lock, error))
    }

    /// Puts the lock in the file's place, which ends it. Empty folders make way.
    pub(super) fn commit(&mut self) -> Result<(), UpdateError> {
        let mut renamed = fs::rename(&self.lock, &self.file);
        if renamed.as_ref().is_err_and(is_folder_in_the_way) {
            super::folders::remove_empty_tree(&self.file);
            renamed = fs::rename(&self.lock, &self.file);
        }
        match renamed {
            Ok(()) => {
                self.held = false;
                Ok(())
            }
            Err(error) => Err(UpdateError::io(&self.file, error)),
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        if self.held {
            // nothing can be done about a lock that does not go; whoever meets it names it
            let _ = fs::remove_file(&self.lock);
        }
    }
}

/// Creates a file that must not be there. One that cannot be filled is none.
fn create(lock: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(lock)?;
    let written = file.write_all(content);
    if written.is_err() {
        let _ = fs::remove_file(lock);
    }
    written
}

fn is_folder_in_the_way(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
    )
}

/// Between half and all of `pause`, so that those who met do not meet again.
fn jitter(pause: Duration) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    pause / 2 + (pause / 2).mul_f64(f64::from(now % 1000) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b/ref");
        let mut folders = Folders::default();
        let mut lock = LockFile::acquire(&file, b"new", &mut folders).unwrap();
        for refused in [
            LockFile::acquire(&file, b"other", &mut folders),
            LockFile::acquire_like(&file, &lock, &mut folders),
        ] {
            let file = refused.unwrap_err().detail();
            assert!(file.ends_with("a/b/ref.lock' exists"), "{file}");
        }
        let other = dir.path().join("c/other");
        drop(LockFile::acquire_like(&other, &lock, &mut folders).unwrap());
        drop(LockFile::acquire(&other, b"", &mut folders).unwrap());
        lock.sync().unwrap();
        lock.commit().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        drop(LockFile::acquire(&file, b"other", &mut folders).unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(!dir.path().join("a/b/ref.lock").exists());
    }

    #[test]
    fn empty_folders_make_way_and_others_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ref");
        fs::create_dir_all(file.join("x/y")).unwrap();
        let mut folders = Folders::default();
        LockFile::acquire(&file, b"1", &mut folders).unwrap().commit().unwrap();
        fs::remove_file(&file).unwrap();
        fs::create_dir_all(file.join("x/y")).unwrap();
        fs::write(file.join("x/z"), "").unwrap();
        assert!(LockFile::acquire(&file, b"2", &mut folders).unwrap().commit().is_err());
        assert!(file.join("x/z").exists() && !dir.path().join("ref.lock").exists());
    }
}
