//! Where a lock is made before anybody sees it: `gitserve-locks/` in the repository.
//!
//! A lock file itself cannot tell who made it: its content is what the ref will say. So it is made
//! under a second name here, held ([`crate::temporary`]), and only then linked to its place. A
//! lock with a twin in this folder is one of ours; when nobody holds it, its maker was killed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::sharing::Sharing;
use crate::temporary::{self, Maker};

const FOLDER: &str = "gitserve-locks";

/// Names tried before giving up; a second is hardly ever needed.
const ATTEMPTS: u64 = 100;

/// The folder of one repository.
#[derive(Debug)]
pub(in crate::refs) struct Staging {
    git_dir: PathBuf,
    folder: PathBuf,
    swept: AtomicBool,
    /// For a lock from before this machine's start, which then was taken away.
    pub(super) has_waited: AtomicBool,
    /// The code of a [`Sharing`].
    sharing: AtomicI32,
}

/// A file there, held. Dropping it takes its name in the folder away.
#[derive(Debug)]
pub(in crate::refs) struct Staged {
    path: PathBuf,
    file: File,
    is_left: AtomicBool,
}

impl Staging {
    /// In the directory that all worktrees share.
    pub(in crate::refs) fn new(common_dir: &Path) -> Self {
        let (git_dir, folder) = (common_dir.to_owned(), common_dir.join(FOLDER));
        let (swept, has_waited) = (AtomicBool::new(false), AtomicBool::new(false));
        let sharing = AtomicI32::new(Sharing::Umask.code());
        Self { git_dir, folder, swept, has_waited, sharing }
    }

    /// From now on, what is made here and by whoever asks is shared so.
    pub(in crate::refs) fn share(&self, sharing: Sharing) {
        self.sharing.store(sharing.code(), Ordering::Relaxed);
    }

    pub(in crate::refs) fn sharing(&self) -> Sharing {
        Sharing::from_code(self.sharing.load(Ordering::Relaxed))
    }

    /// Makes a file with `content`.
    pub(in crate::refs) fn make(&self, content: &[u8]) -> io::Result<Staged> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let path = self.folder.join(temporary::random_name(attempt));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut staged = Staged { path, file, is_left: AtomicBool::new(false) };
                    if temporary::hold(&staged.file) || attempt >= ATTEMPTS {
                        self.sharing().share_file(&staged.file)?;
                        return staged.file.write_all(content).map(|()| staged);
                    }
                }
                Err(error) if attempt >= ATTEMPTS => return Err(error),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match fs::create_dir(&self.folder) {
                        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                            return Err(error);
                        }
                        Err(_) => {}
                        Ok(()) => self.sharing().share(&self.folder)?,
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The second name of a file, if it has one here.
    pub(super) fn twin_of(&self, meta: &Metadata) -> Option<PathBuf> {
        if meta.nlink() < 2 {
            return None;
        }
        let found = fs::read_dir(&self.folder).ok()?;
        found.flatten().map(|entry| entry.path()).find(|path| temporary::is_still(path, meta))
    }

    /// Takes away what killed processes left, locks included, the first time it is called.
    ///
    /// What cannot be read or removed is left: whoever meets it names it.
    /// True when this was it.
    pub(in crate::refs) fn sweep_once(&self) -> bool {
        let is_first = !self.swept.swap(true, Ordering::Relaxed);
        if is_first {
            self.sweep();
        }
        is_first
    }

    /// The same every time.
    pub(super) fn sweep(&self) {
        for lock in self.top_locks() {
            super::stale::clear_old(&lock);
        }
        let Ok(found) = fs::read_dir(&self.folder) else { return };
        for path in found.flatten().map(|entry| entry.path()) {
            let Ok(file) = File::open(&path) else { continue };
            let Ok(meta) = file.metadata() else { continue };
            if !temporary::is_past_grace(&meta) || !meta.is_file() {
                continue;
            }
            if temporary::maker_of(&file, &path) != Maker::Gone {
                continue;
            }
            if meta.nlink() > 1 {
                self.remove_locks(&meta);
            }
            let _ = fs::remove_file(&path);
        }
    }

    fn top_locks(&self) -> [PathBuf; 3] {
        ["HEAD.lock", "packed-refs.lock", "shallow.lock"].map(|name| self.git_dir.join(name))
    }

    /// Removes the lock files that are this file, wherever they are.
    fn remove_locks(&self, meta: &Metadata) {
        let mut folders =
            ["refs", "worktrees", "reftable"].map(|name| self.git_dir.join(name)).to_vec();
        for lock in self.top_locks() {
            super::stale::remove_if(&lock, meta);
        }
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() && path.extension().is_some_and(|e| e == "lock") => {
                        super::stale::remove_if(&path, meta);
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Staged {
    /// Gives it another name. Refused where there is a file.
    pub(in crate::refs) fn link(&self, to: &Path) -> io::Result<()> {
        fs::hard_link(&self.path, to)
    }

    /// Puts it in its place, under a name that nothing has.
    pub(in crate::refs) fn publish(&self, to: &Path) -> io::Result<()> {
        match self.link(to) {
            // files cannot have two names here
            Err(error) if error.kind() != ErrorKind::AlreadyExists && !to.exists() => {
                fs::rename(&self.path, to)
            }
            done => done,
        }
    }

    /// Where it is until it has another name.
    pub(in crate::refs) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::refs) fn file(&self) -> &File {
        &self.file
    }

    /// One of its other names could not be taken away: so this one stays too, not held any more.
    pub(super) fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_left.load(Ordering::Relaxed) {
            // one that stays is swept later
            let _ = fs::remove_file(&self.path);
        }
    }
}
