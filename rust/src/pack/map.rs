//! Mapping the immutable files of a pack folder.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use memmap2::Mmap;

use super::fault::Guard;
use crate::source::SourceError;

/// Tells one file from another, and from a later one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileIdentity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Is it the same file, whenever it was touched?
    fn is_file(&self, other: &Self) -> bool {
        (self.device, self.inode, self.size) == (other.device, other.inode, other.size)
    }
}

/// A whole file in memory, from the beginning to the end that it had when it was mapped.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Dropped first: it must not outlive the mapping.
    guard: Guard,
    bytes: Mmap,
    identity: FileIdentity,
}

impl Mapping {
    /// Some of it could not be read, and is zeros now.
    #[inline]
    pub(crate) fn is_faulted(&self) -> bool {
        self.guard.is_faulted()
    }

    /// The mapped file, if that is what is at this path still.
    pub(crate) fn reopened(&self, path: &Path) -> Option<File> {
        let file = File::open(path).ok()?;
        let found = FileIdentity::of(&file.metadata().ok()?);
        found.is_file(&self.identity).then_some(file)
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Maps a whole file and closes it: a mapping needs no descriptor, and packs can be thousands.
pub(crate) fn map_file(path: &Path) -> Result<Mapping, SourceError> {
    let io = |error| SourceError::Io { file: path.display().to_string(), error };
    let file = File::open(path).map_err(io)?;
    let identity = FileIdentity::of(&file.metadata().map_err(io)?);
    // SAFETY: packs and their indexes are immutable by Git's own rule: they are written under
    // another name and renamed into place, and only ever unlinked afterwards, which leaves the
    // mapping alive. Where somebody truncates one all the same, the guard makes it zeros; those
    // who read it check what they find, and rely on no byte being what it was.
    let bytes = unsafe { Mmap::map(&file) }.map_err(io)?;
    Ok(Mapping { guard: Guard::over(&bytes), bytes, identity })
}

/// Was the file there when its folder was read, and gone when it was opened?
pub(crate) fn is_gone(error: &SourceError) -> bool {
    matches!(error, SourceError::Io { error, .. } if error.kind() == ErrorKind::NotFound)
}

/// Four bytes, big-endian; the caller has checked the bounds when it opened the file.
#[inline]
pub(super) fn be32(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

/// Eight bytes, big-endian; the caller has checked the bounds when it opened the file.
#[inline]
pub(super) fn be64(data: &[u8], at: usize) -> u64 {
    u64::from(be32(data, at)) << 32 | u64::from(be32(data, at + 4))
}

/// A file that is not what its name says.
pub(super) fn corrupt(path: &Path, what: impl std::fmt::Display) -> SourceError {
    SourceError::Corrupt { file: path.display().to_string(), what: what.to_string() }
}
