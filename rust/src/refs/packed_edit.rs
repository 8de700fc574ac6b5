//! Rewriting `packed-refs`: as git does it, under `packed-refs.lock`, from `packed-refs.new`.
//!
//! The lock is a file of its own and outlives the rename: as long as it is held, nobody packs a
//! loose ref, so that the loose file of a ref that was taken out can be removed without its
//! value coming back through a `pack-refs` that had read it before.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::iter::Peekable;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::UpdateError;
use super::folders::Folders;
use super::lock::{LockFile, Staging};
use super::packed::PackedRefs;
use crate::hash::ObjectId;
use crate::sharing::Sharing;

/// A ref that goes into the file.
#[derive(Debug, Clone)]
pub(super) struct Addition<'a> {
    pub(super) name: &'a [u8],
    pub(super) id: ObjectId,
    pub(super) peeled: Option<ObjectId>,
}

/// The right to replace `packed-refs`; dropping it gives it back.
#[derive(Debug)]
pub(super) struct PackedLock {
    file: PathBuf,
    sharing: Sharing,
    _lock: LockFile,
}

impl PackedLock {
    /// Locks the file, or what it is a symbolic link to.
    pub(super) fn acquire(path: &Path, staging: &Staging) -> Result<Self, UpdateError> {
        let is_link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        let file = if is_link {
            fs::canonicalize(path).map_err(|error| UpdateError::io(path, error))?
        } else {
            path.to_owned()
        };
        let lock = LockFile::acquire(&file, b"", &mut Folders::default(), staging)?;
        Ok(Self { file, sharing: staging.sharing(), _lock: lock })
    }

    /// Replaces the file: `table`, read under this lock, without the rows `without` and with
    /// `additions`, both in order. With `fsync`, the disk has it afterwards.
    pub(super) fn replace(
        &self,
        table: &PackedRefs,
        without: &[usize],
        additions: &[Addition<'_>],
        fsync: bool,
    ) -> Result<(), UpdateError> {
        let mut new = self.file.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let written = self.write(&new, table, without, additions, fsync);
        let renamed = written.and_then(|()| fs::rename(&new, &self.file));
        if let Err(error) = renamed {
            let _ = fs::remove_file(&new);
            return Err(UpdateError::io(&new, error));
        }
        if fsync {
            let mut folders = Folders::default();
            folders.changed_in(&self.file);
            folders.sync()?;
        }
        Ok(())
    }

    fn write(
        &self,
        new: &Path,
        table: &PackedRefs,
        without: &[usize],
        additions: &[Addition<'_>],
        fsync: bool,
    ) -> std::io::Result<()> {
        // what a crash left behind is ours to replace, because the lock is held
        let file = File::create(new)?;
        if let Ok(meta) = fs::metadata(&self.file) {
            file.set_permissions(meta.permissions())?;
        }
        self.sharing.share_file(&file)?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        out.write_all(table.header().as_bytes())?;
        // between the rows where something changes, lines are copied as they are
        let mut without = without.iter().copied().peekable();
        let mut copied = 0;
        for addition in additions {
            let at = table.lower_bound(addition.name);
            copy_except(&mut out, table, copied..at, &mut without)?;
            write_addition(&mut out, addition)?;
            let replaces = at < table.len() && table.name(at) == addition.name;
            copied = at + usize::from(replaces);
        }
        copy_except(&mut out, table, copied..table.len(), &mut without)?;
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        if fsync { file.sync_all() } else { Ok(()) }
    }
}

/// Copies `rows` but for those that `without` names next.
fn copy_except(
    out: &mut impl Write,
    table: &PackedRefs,
    rows: Range<usize>,
    without: &mut Peekable<impl Iterator<Item = usize>>,
) -> std::io::Result<()> {
    let mut begin = rows.start;
    while let Some(row) = without.next_if(|&row| row < rows.end) {
        table.copy_lines(begin..row, |lines| out.write_all(lines))?;
        begin = row + 1;
    }
    table.copy_lines(begin..rows.end, |lines| out.write_all(lines))
}

fn write_addition(out: &mut impl Write, addition: &Addition<'_>) -> std::io::Result<()> {
    let mut line = Vec::with_capacity(addition.name.len() + 2 * 66);
    addition.id.write_hex(&mut line);
    line.push(b' ');
    line.extend_from_slice(addition.name);
    line.push(b'\n');
    if let Some(peeled) = &addition.peeled {
        line.push(b'^');
        peeled.write_hex(&mut line);
        line.push(b'\n');
    }
    out.write_all(&line)
}
