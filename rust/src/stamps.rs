//! Whether small files that decide every request are still what they were when they were read.
//!
//! In: paths, each with what told its file from others then, or that there was none. Out: yes or
//! no, at the price of a `stat` each. Whether a stamp can be trusted at all (a file may change
//! twice within a tick of the clock) is for whoever took it to say.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// What tells a version of a file from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The file system's.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When the content was changed last, in nanoseconds.
    pub modified: i128,
    /// When the inode was, which nobody can set back.
    pub changed: i128,
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        let nanos = |secs: i64, nanos: i64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Files and folders, with their stamps; `None` where there was nothing.
#[derive(Debug)]
pub struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

impl Stamps {
    /// Of these.
    pub fn new(seen: Vec<(PathBuf, Option<Stamp>)>) -> Self {
        Self(seen)
    }

    /// Is each what it was? The error comes with the path that could not be asked.
    pub fn stand(&self) -> Result<bool, (&PathBuf, io::Error)> {
        for (path, stamp) in &self.0 {
            let now = match fs::metadata(path) {
                Ok(meta) => Some(Stamp::of(&meta)),
                Err(error) if is_absence(&error) => None,
                Err(error) => return Err((path, error)),
            };
            if now != *stamp {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn stands_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (there, absent) = (folder.path().join("there"), folder.path().join("absent"));
        fs::write(&there, "one").unwrap();
        let stamp = Stamp::of(&fs::metadata(&there).unwrap());
        let below = there.join("below a file");
        let stamps =
            Stamps::new(vec![(there.clone(), Some(stamp)), (absent.clone(), None), (below, None)]);
        assert!(stamps.stand().unwrap());

        fs::write(&absent, "").unwrap();
        assert!(!stamps.stand().unwrap());
        fs::remove_file(&absent).unwrap();
        assert!(stamps.stand().unwrap());

        fs::write(&there, "another").unwrap();
        assert!(!stamps.stand().unwrap());
        fs::remove_file(&there).unwrap();
        assert!(!stamps.stand().unwrap());
    }

    #[test]
    fn what_cannot_be_asked_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let loop_ = folder.path().join("loop");
        symlink(&loop_, &loop_).unwrap();
        let stamps = Stamps::new(vec![(loop_.clone(), None)]);
        let (path, _) = stamps.stand().unwrap_err();
        assert_eq!(*path, loop_);
    }
}
