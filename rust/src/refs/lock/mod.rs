//! `<file>.lock`: the right to replace a file, as git takes it (`gitrepository-layout` names the
//! files; the suffix is why no ref's name may end in it).
//!
//! A lock is a file that could be created because it was not there. What is in it replaces the
//! file by a rename. One of ours whose maker was killed is taken away ([`stale`]). Another
//! program's never is, however old: only a person can know that nobody works behind it.

mod staging;
mod stale;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::UpdateError;
use super::folders::Folders;
use crate::sharing::Sharing;
pub(super) use staging::{Staged, Staging};

/// How long a lock that another holds is waited for. Whoever holds one waits for a disk or two,
/// not for a network; git's own patience is 100 ms for a ref and 1 s for `packed-refs`.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The longest sleep between two attempts.
const MAX_PAUSE: Duration = Duration::from_millis(32);

/// A lock that we hold; dropping it gives it back.
#[derive(Debug)]
pub(super) struct LockFile {
    lock: PathBuf,
    file: PathBuf,
    held: bool,
    /// What the lock is another name of; `None` where files cannot have two.
    staged: Option<Arc<Staged>>,
}

impl LockFile {
    /// Locks `file` and puts `content` into the lock. Makes the folders on the way.
    pub(super) fn acquire(
        file: &Path,
        content: &[u8],
        folders: &mut Folders,
        staging: &Staging,
    ) -> Result<Self, UpdateError> {
        // without the folder a lock is as good as git's: only a crash shows the difference
        let staged = staging.make(content).ok().map(Arc::new);
        Self::acquire_as(file, staged, content, folders, staging)
    }

    /// The same for an empty lock, waiting for so long.
    pub(super) fn acquire_patiently(
        patience: Duration,
        file: &Path,
        folders: &mut Folders,
        staging: &Staging,
    ) -> Result<Self, UpdateError> {
        let staged = staging.make(b"").ok().map(Arc::new);
        Self::acquire_within(patience, file, staged, b"", folders, staging)
    }

    /// Locks `file` at once or not at all.
    pub(super) fn try_acquire(file: &Path, staging: &Staging) -> Result<Self, UpdateError> {
        Self::acquire_patiently(Duration::ZERO, file, &mut Folders::default(), staging)
    }

    /// Locks `file` with another name of the lock `like`, whose content does not matter either.
    ///
    /// It costs no inode: file systems take their time to find many of these.
    pub(super) fn acquire_like(
        file: &Path,
        like: &LockFile,
        folders: &mut Folders,
        staging: &Staging,
    ) -> Result<Self, UpdateError> {
        Self::acquire_as(file, like.staged.clone(), b"", folders, staging)
    }

    fn acquire_as(
        file: &Path,
        staged: Option<Arc<Staged>>,
        content: &[u8],
        folders: &mut Folders,
        staging: &Staging,
    ) -> Result<Self, UpdateError> {
        Self::acquire_within(PATIENCE, file, staged, content, folders, staging)
    }

    fn acquire_within(
        patience: Duration,
        file: &Path,
        mut staged: Option<Arc<Staged>>,
        content: &[u8],
        folders: &mut Folders,
        staging: &Staging,
    ) -> Result<Self, UpdateError> {
        let mut lock = file.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let mut pause = Duration::from_millis(1);
        let began = Instant::now();
        let mut was_cleared = false;
        loop {
            let error = match make(&lock, &mut staged, content, staging.sharing()) {
                Ok(()) => return Ok(Self { lock, file: file.to_owned(), held: true, staged }),
                Err(error) => error,
            };
            let is_late = began.elapsed() >= patience;
            match error.kind() {
                ErrorKind::AlreadyExists
                    if !was_cleared && stale::clear(&lock, staging, is_late) =>
                {
                    // once when late: whoever is faster now will give it back
                    was_cleared = is_late;
                }
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

    /// Puts content into a lock that was made without.
    pub(super) fn fill(&self, content: &[u8]) -> Result<(), UpdateError> {
        match &self.staged {
            Some(staged) => (&mut staged.file()).write_all(content),
            None => OpenOptions::new()
                .write(true)
                .open(&self.lock)
                .and_then(|mut file| file.write_all(content)),
        }
        .map_err(|error| UpdateError::io(&self.lock, error))
    }

    /// The file of the lock, where it is known.
    pub(super) fn file(&self) -> Option<&File> {
        self.staged.as_ref().map(|staged| staged.file())
    }

    /// Waits until the disk has what is in the lock.
    pub(super) fn sync(&self) -> Result<(), UpdateError> {
        match &self.staged {
            Some(staged) => staged.file().sync_all(),
            None => File::open(&self.lock).and_then(|file| file.sync_all()),
        }
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
            let removed = fs::remove_file(&self.lock);
            if removed.is_err_and(|error| error.kind() != ErrorKind::NotFound) {
                // the next who meets it can tell by its twin that nobody works behind it
                if let Some(staged) = &self.staged {
                    staged.leave();
                }
            }
        }
    }
}

/// Makes the lock, which must not be there: as another name of `staged`, or where there can be no
/// more of these, as a file. One that cannot be filled is none.
fn make(
    lock: &Path,
    staged: &mut Option<Arc<Staged>>,
    content: &[u8],
    sharing: Sharing,
) -> io::Result<()> {
    if let Some(name) = staged {
        match name.link(lock) {
            Err(error)
                if !matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {}
            done => return done,
        }
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(lock)?;
    *staged = None;
    let written = sharing.share_file(&file).and_then(|()| file.write_all(content));
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
        let staging = Staging::new(dir.path());
        let mut lock = LockFile::acquire(&file, b"new", &mut folders, &staging).unwrap();
        for refused in [
            LockFile::acquire(&file, b"other", &mut folders, &staging),
            LockFile::acquire_like(&file, &lock, &mut folders, &staging),
        ] {
            let file = refused.unwrap_err().detail();
            assert!(file.ends_with("a/b/ref.lock' exists"), "{file}");
        }
        let other = dir.path().join("c/other");
        drop(LockFile::acquire_like(&other, &lock, &mut folders, &staging).unwrap());
        drop(LockFile::acquire(&other, b"", &mut folders, &staging).unwrap());
        lock.sync().unwrap();
        lock.commit().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        drop(LockFile::acquire(&file, b"other", &mut folders, &staging).unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(!dir.path().join("a/b/ref.lock").exists());
    }

    #[test]
    fn empty_folders_make_way_and_others_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ref");
        fs::create_dir_all(file.join("x/y")).unwrap();
        let mut folders = Folders::default();
        let staging = Staging::new(dir.path());
        LockFile::acquire(&file, b"1", &mut folders, &staging).unwrap().commit().unwrap();
        fs::remove_file(&file).unwrap();
        fs::create_dir_all(file.join("x/y")).unwrap();
        fs::write(file.join("x/z"), "").unwrap();
        assert!(LockFile::acquire(&file, b"2", &mut folders, &staging).unwrap().commit().is_err());
        assert!(file.join("x/z").exists() && !dir.path().join("ref.lock").exists());
    }

    #[test]
    fn a_dead_makers_lock_is_taken_away_and_a_strangers_stays() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::new(dir.path());
        let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
        let mut folders = Folders::default();
        let mut acquire = |file: &Path| LockFile::acquire(file, b"new", &mut folders, &staging);
        // as a killed process leaves it: both names are there, and nobody holds the file
        let staged = staging.make(b"dead").unwrap();
        staged.link(&dir.path().join("ours.lock")).unwrap();
        assert!(matches!(acquire(&ours).unwrap_err(), UpdateError::Locked { .. }));
        let kept = dir.path().join("kept");
        fs::create_dir(&kept).unwrap();
        staged.link(&kept.join("twin")).unwrap();
        drop(staged);
        fs::rename(kept.join("twin"), dir.path().join(staging_name()).join("twin")).unwrap();
        acquire(&ours).unwrap().commit().unwrap();
        assert_eq!(fs::read(&ours).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path().join(staging_name())).unwrap().count(), 0);
        fs::write(dir.path().join("theirs.lock"), b"git's").unwrap();
        assert!(matches!(acquire(&theirs).unwrap_err(), UpdateError::Locked { .. }));
        assert_eq!(fs::read(dir.path().join("theirs.lock")).unwrap(), b"git's");
    }

    fn staging_name() -> &'static str {
        "gitserve-locks"
    }

    #[test]
    fn a_sweep_finds_the_locks_of_the_dead_and_spares_the_living() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::new(dir.path());
        let refs = dir.path().join("refs/heads/a");
        fs::create_dir_all(&refs).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        let leave = |lock: &Path| {
            let staged = staging.make(b"").unwrap();
            staged.link(lock).unwrap();
            staged.file().set_modified(long_ago).unwrap();
            staged
        };
        let (alive, dead) = (refs.join("alive.lock"), refs.join("dead.lock"));
        let living = leave(&alive);
        let killed = leave(&dead);
        let twin = dir.path().join("gitserve-locks/left");
        killed.link(&twin).unwrap();
        drop(killed);
        let packed = leave(&dir.path().join("packed-refs.lock"));
        packed.link(&dir.path().join("gitserve-locks/packed")).unwrap();
        fs::write(dir.path().join("packed-refs.new"), "half").unwrap();
        drop(packed);
        staging.sweep();
        assert!(alive.exists() && !dead.exists() && !twin.exists());
        assert!(!dir.path().join("packed-refs.lock").exists());
        assert!(!dir.path().join("packed-refs.new").exists());
        drop(living);
    }
}
