//! What tells one version of a file from another without reading it: its stat data.
//!
//! In: files and folders, by path. Out: stamps to compare. Whether a stamp can be trusted (a file
//! may change twice within a tick of the clock, `racy-git` in Git's technical documentation) is for
//! whoever took it to say: it depends on when the file was read.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Device, inode, size and times of a file when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: i128,
    /// The inode's own change time: nobody can set it back.
    changed: i128,
}

impl Stamp {
    /// From stat data that somebody else has asked for; the times are in nanoseconds.
    pub fn new(device: u64, inode: u64, size: u64, modified: i128, changed: i128) -> Self {
        Self { device, inode, size, modified, changed }
    }

    /// Of this file or folder.
    pub fn of(meta: &Metadata) -> Self {
        let nanos = |secs: i64, nanos: i64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Of what is at `path`; `None` when there is no such file.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(meta) => Ok(Some(Self::of(&meta))),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Device and inode, which a file keeps when it changes.
    pub fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// When the content and when the inode was changed last, in nanoseconds since 1970.
    pub fn times(&self) -> (i128, i128) {
        (self.modified, self.changed)
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
            let now = Stamp::at(path).map_err(|error| (path, error))?;
            if now != *stamp {
                return Ok(false);
            }
        }
        Ok(true)
    }
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
