//! Files of chunks (`gitformat-chunk`): a header, a table of contents, the chunks, a checksum.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{MaintainError, lock};
use crate::durable;
use crate::hash::{HashKind, ObjectId};
use crate::ingest::{HashedFile, IngestError, NewFile};
use crate::sharing::Sharing;
use crate::temporary;

/// Nobody, git included, writes such a file for so long without adding to it.
pub(super) const STALE_LOCK: Duration = Duration::from_secs(60 * 60);
/// A chunk's four letters and its offset.
const ROW_LEN: usize = 12;

/// The chunks of one file, in their order.
pub(super) struct Chunks(Vec<([u8; 4], Vec<u8>)>);

impl Chunks {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn add(&mut self, id: &[u8; 4], content: Vec<u8>) {
        self.0.push((*id, content));
    }

    /// The same where there is something in it.
    pub(super) fn add_some(&mut self, id: &[u8; 4], content: Vec<u8>) {
        if !content.is_empty() {
            self.add(id, content);
        }
    }

    /// The fan-out and the names, which both kinds of file begin with.
    pub(super) fn add_names<'n>(&mut self, names: impl Iterator<Item = &'n [u8]>) {
        let (mut counts, mut lookup) = ([0u32; 256], Vec::new());
        for name in names {
            counts[usize::from(name[0])] += 1;
            lookup.extend_from_slice(name);
        }
        let mut total = 0;
        let fanout = counts.iter().flat_map(|count| {
            total += count;
            u32::to_be_bytes(total)
        });
        self.add(b"OIDF", fanout.collect());
        self.add(b"OIDL", lookup);
    }

    /// How many there are; a handful by construction.
    pub(super) fn count(&self) -> u8 {
        self.0.len() as u8
    }

    /// Writes `head`, the table, the chunks and the checksum.
    fn write(&self, mut file: HashedFile, head: &[u8]) -> Result<NewFile, IngestError> {
        file.write(head)?;
        let mut at = (head.len() + (self.0.len() + 1) * ROW_LEN) as u64;
        for (id, content) in &self.0 {
            file.write(id)?;
            file.write(&at.to_be_bytes())?;
            at += content.len() as u64;
        }
        file.write(&[0; 4])?;
        file.write(&at.to_be_bytes())?;
        for (_, content) in &self.0 {
            file.write(content)?;
        }
        file.finish()
    }
}

/// A file that waits beside the one that it is to replace, as `<name>.lock`: by that git's own
/// writers are kept out. It goes when it is dropped.
pub(super) struct Pending {
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
        let mut name = target.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        lock::remove_abandoned(&path, STALE_LOCK);
        let file = match HashedFile::create(path.clone(), hash) {
            Err(IngestError::Io { error, .. }) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(MaintainError::Running(path.display().to_string()));
            }
            made => made?,
        };
        let held = temporary::hold(file.handle());
        let file = match chunks.write(file, head) {
            Ok(file) if held => file,
            // somebody has taken it for abandoned
            Ok(_) => return Err(MaintainError::Running(path.display().to_string())),
            Err(error) => {
                let _ = fs::remove_file(&path);
                return Err(error.into());
            }
        };
        Ok(Self { file, target: target.to_owned(), hash, is_placed: false })
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
        let path = self.file.path().to_owned();
        let io = || MaintainError::io(&path);
        sharing.share(&path).map_err(io())?;
        if fsync {
            self.file.handle().sync_all().map_err(io())?;
        }
        fs::rename(&path, &self.target).map_err(io())?;
        self.is_placed = true;
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
            let _ = self.file.remove();
        }
    }
}

fn checksum(file: &File, hash: HashKind) -> std::io::Result<Option<ObjectId>> {
    let mut bytes = vec![0; hash.len()];
    let Some(at) = file.metadata()?.len().checked_sub(hash.len() as u64) else { return Ok(None) };
    file.read_exact_at(&mut bytes, at)?;
    Ok(ObjectId::from_bytes(&bytes))
}
