//! A file that waits beside the one that it is to replace, as `<name>.lock`: by that name git's own
//! writers are kept out, and we by theirs.
//!
//! In: what it is to say. Out: it, in its place. The lock alone does not tell who made it, and git
//! has its own for as long as it makes bitmaps: minutes. So ours gets a second name beside it, and
//! is held ([`crate::temporary`]); a lock with a twin that nobody holds is one of ours whose maker
//! was killed. No other is touched, unless it is older than this machine's last start.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::MaintainError;
use super::chunks::Chunks;
use crate::durable;
use crate::hash::{HashKind, ObjectId};
use crate::ingest::{HashedFile, IngestError, NewFile};
use crate::sharing::Sharing;
use crate::temporary::{self, Maker};

/// Of the second names. What begins like that `git prune` takes away in the end, too.
const PREFIX: &str = "tmp_gitserve_";
/// Names tried before giving up; a second is hardly ever needed.
const ATTEMPTS: u64 = 100;

/// See the module. It goes when it is dropped.
pub(super) struct Pending {
    /// Under its second name.
    file: NewFile,
    target: PathBuf,
    hash: HashKind,
    is_placed: bool,
}

impl Pending {
    /// Writes it. Fails where somebody else does.
    pub(super) fn write(
        target: &Path,
        hash: HashKind,
        head: &[u8],
        chunks: &Chunks,
    ) -> Result<Self, MaintainError> {
        let lock = lock_of(target);
        let (file, staged) = stage(target, hash)?;
        match publish(&staged, &lock) {
            Ok(()) => {}
            Err(error) => {
                let _ = fs::remove_file(&staged);
                return Err(match error.kind() {
                    ErrorKind::AlreadyExists => MaintainError::Running(lock.display().to_string()),
                    _ => MaintainError::io(&lock)(error),
                });
            }
        }
        match chunks.write(file, head) {
            Ok(file) => Ok(Self { file, target: target.to_owned(), hash, is_placed: false }),
            Err(error) => {
                let _ = fs::remove_file(&lock);
                let _ = fs::remove_file(&staged);
                Err(error.into())
            }
        }
    }

    /// The checksum at its end.
    pub(super) fn checksum(&self) -> Result<ObjectId, MaintainError> {
        let found = checksum(self.file.handle(), self.hash);
        let found = found.and_then(|found| found.ok_or(ErrorKind::UnexpectedEof.into()));
        found.map_err(MaintainError::io(self.file.path()))
    }

    /// Is the file that it is to replace the same?
    pub(super) fn is_there(&self) -> bool {
        let of = |file: &File| checksum(file, self.hash).ok().flatten();
        let there = File::open(&self.target).ok().and_then(|file| of(&file));
        there.is_some() && there == of(self.file.handle())
    }

    /// Puts it in its place, on the disk if that is waited for.
    pub(super) fn place(mut self, sharing: Sharing, fsync: bool) -> Result<(), MaintainError> {
        let lock = lock_of(&self.target);
        let io = || MaintainError::io(&lock);
        sharing.share(&lock).map_err(io())?;
        if fsync {
            self.file.handle().sync_all().map_err(io())?;
        }
        fs::rename(&lock, &self.target).map_err(io())?;
        self.is_placed = true;
        // one that stays is swept later
        let _ = self.file.remove();
        match self.target.parent() {
            Some(folder) if fsync => {
                durable::sync_folder(folder).map_err(MaintainError::io(folder))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_placed {
            // what cannot be removed now is known for abandoned by whoever comes next
            let lock = lock_of(&self.target);
            if self.file.handle().metadata().is_ok_and(|meta| temporary::is_still(&lock, &meta)) {
                let _ = fs::remove_file(&lock);
            }
            // after the lock: without it nobody could tell whose that is
            let _ = self.file.remove();
        }
    }
}

fn lock_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Makes the file under its second name, and holds it.
fn stage(target: &Path, hash: HashKind) -> Result<(HashedFile, PathBuf), MaintainError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let path = target.with_file_name(format!("{PREFIX}{}", temporary::random_name(attempt)));
        match HashedFile::create(path.clone(), hash) {
            // not so where somebody has taken it for abandoned already
            Ok(file) if temporary::hold(file.handle()) || attempt >= ATTEMPTS => {
                return Ok((file, path));
            }
            Err(IngestError::Io { ref error, .. })
                if attempt < ATTEMPTS && error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
}

/// Gives it the name that keeps others out. Refused where there is one.
fn publish(staged: &Path, lock: &Path) -> io::Result<()> {
    match fs::hard_link(staged, lock) {
        // files cannot have two names here
        Err(error) if error.kind() != ErrorKind::AlreadyExists && !lock.exists() => {
            fs::rename(staged, lock)
        }
        done => done,
    }
}

/// Takes away what killed processes left beside `target`: locks of ours, and their second names.
pub(super) fn sweep(target: &Path) {
    let lock = lock_of(target);
    let Some(folder) = target.parent() else { return };
    let is_abandoned = |path: &Path| -> Option<(File, Metadata)> {
        let file = File::open(path).ok()?;
        let meta = file.metadata().ok().filter(temporary::is_past_grace)?;
        (temporary::maker_of(&file, path) == Maker::Gone).then_some((file, meta))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        // we hold it while we are at it
        let Some((_held, meta)) = is_abandoned(&path) else { continue };
        if temporary::is_still(&lock, &meta) && fs::remove_file(&lock).is_err() {
            continue;
        }
        let _ = fs::remove_file(&path);
    }
    if let Some((_held, meta)) = is_abandoned(&lock)
        && temporary::predates_boot(&meta, &lock)
        && temporary::is_still(&lock, &meta)
    {
        let _ = fs::remove_file(&lock);
    }
}

fn checksum(file: &File, hash: HashKind) -> io::Result<Option<ObjectId>> {
    let mut bytes = vec![0; hash.len()];
    let Some(at) = file.metadata()?.len().checked_sub(hash.len() as u64) else { return Ok(None) };
    file.read_exact_at(&mut bytes, at)?;
    Ok(ObjectId::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn write(target: &Path) -> Result<Pending, MaintainError> {
        let mut chunks = Chunks::new();
        chunks.add(b"TEST", b"content".to_vec());
        sweep(target);
        Pending::write(target, HashKind::Sha1, b"HEAD", &chunks)
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    fn make_old(path: &Path) {
        let long_ago = SystemTime::now() - Duration::from_secs(600);
        File::open(path).unwrap().set_modified(long_ago).unwrap();
    }

    #[test]
    fn one_writes_at_a_time_and_leaves_the_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let pending = write(&target).unwrap();
        // not abandoned: it takes long, and is held
        make_old(&lock_of(&target));
        assert!(matches!(write(&target), Err(MaintainError::Running(_))));
        pending.place(Sharing::Umask, true).unwrap();
        assert!(names(dir.path()) == 1 && write(&target).unwrap().is_there());
        assert_eq!(names(dir.path()), 1);
    }

    #[test]
    fn a_lock_of_the_killed_goes_and_one_of_git_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let lock = lock_of(&target);
        // git holds none of its own, however long it takes
        fs::write(&lock, "").unwrap();
        make_old(&lock);
        assert!(matches!(write(&target), Err(MaintainError::Running(_))));
        assert!(lock.exists() && names(dir.path()) == 1);
        // ours, and nobody works behind it
        let twin = dir.path().join(format!("{PREFIX}x"));
        fs::hard_link(&lock, &twin).unwrap();
        write(&target).unwrap().place(Sharing::Umask, false).unwrap();
        assert!(target.exists() && names(dir.path()) == 1);
        // killed between the two names, and behind both
        fs::hard_link(&target, &twin).unwrap();
        make_old(&twin);
        sweep(&target);
        assert!(target.exists() && names(dir.path()) == 1);
    }
}
