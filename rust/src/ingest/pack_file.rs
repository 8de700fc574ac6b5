//! The files of the quarantine: written through a large buffer, hashed on the way.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::IngestError;
use crate::hash::{HashKind, Hasher};

/// One `write` call a quarter of a megabyte: more gains nothing, less costs system calls.
const BUFFER: usize = 256 * 1024;

/// After so many bytes the disk is asked to begin with them, so that little is left to be waited for
/// at the end.
const WRITE_BACK: u64 = 8 << 20;

/// A new file that is written once from start to end.
pub(crate) struct NewFile {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// Bytes written, and how many of them the disk was asked to begin with.
    written: u64,
    begun: u64,
}

impl NewFile {
    /// Makes the file, which must not exist.
    ///
    /// It is read-only for everybody from the start (less what the umask takes away), as the files
    /// of a pack are; only this handle can write.
    pub(crate) fn create(path: PathBuf) -> Result<Self, IngestError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o444);
        let file = options.open(&path).map_err(IngestError::io(&path))?;
        Ok(Self { path, file, buffer: Vec::new(), written: 0, begun: 0 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes, sooner or later.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), IngestError> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            self.file.write_all(bytes).map_err(IngestError::io(&self.path))?;
            self.begin_write_back(bytes.len() as u64);
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives everything to the operating system, so that it can be read back.
    pub(crate) fn flush(&mut self) -> Result<(), IngestError> {
        if !self.buffer.is_empty() {
            self.file.write_all(&self.buffer).map_err(IngestError::io(&self.path))?;
            self.begin_write_back(self.buffer.len() as u64);
            self.buffer.clear();
        }
        Ok(())
    }

    /// Only a hint: the sync at the end is what counts.
    fn begin_write_back(&mut self, written: u64) {
        self.written += written;
        let (from, len) = (self.begun, self.written - self.begun);
        if len < WRITE_BACK {
            return;
        }
        self.begun = self.written;
        #[cfg(target_os = "linux")]
        if let (Ok(from), Ok(len)) = (i64::try_from(from), i64::try_from(len)) {
            let descriptor = std::os::fd::AsRawFd::as_raw_fd(&self.file);
            // SAFETY: the descriptor is the file's, which is open; no memory is passed.
            unsafe { libc::sync_file_range(descriptor, from, len, libc::SYNC_FILE_RANGE_WRITE) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = from;
    }

    /// To read back what was flushed, or to wait until it is on the disk.
    pub(crate) fn handle(&self) -> &File {
        &self.file
    }

    /// Goes on writing at `offset`.
    pub(crate) fn seek(&mut self, offset: u64) -> Result<(), IngestError> {
        self.flush()?;
        self.file.seek(SeekFrom::Start(offset)).map_err(IngestError::io(&self.path))?;
        Ok(())
    }

    /// Takes the file away.
    pub(crate) fn remove(&mut self) -> Result<(), IngestError> {
        std::fs::remove_file(&self.path).map_err(IngestError::io(&self.path))
    }

    /// Gives the file another name in the same folder.
    pub(crate) fn rename(&mut self, name: &str) -> Result<(), IngestError> {
        let to = self.path.with_file_name(name);
        std::fs::rename(&self.path, &to).map_err(IngestError::io(&self.path))?;
        self.path = to;
        Ok(())
    }
}

/// A new file that ends with the hash of all before it, as Git's index files do.
pub(crate) struct HashedFile {
    file: NewFile,
    hasher: Hasher,
}

impl HashedFile {
    pub(crate) fn create(path: PathBuf, hash: HashKind) -> Result<Self, IngestError> {
        Ok(Self { file: NewFile::create(path)?, hasher: Hasher::new(hash) })
    }

    /// To hold it.
    pub(crate) fn handle(&self) -> &File {
        self.file.handle()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), IngestError> {
        self.hasher.update(bytes);
        self.file.write(bytes)
    }

    /// Writes the hash. The file is whole, but not on the disk yet.
    pub(crate) fn finish(mut self) -> Result<NewFile, IngestError> {
        let trailer = self.hasher.finish();
        self.file.write(trailer.as_bytes())?;
        self.file.flush()?;
        Ok(self.file)
    }
}
