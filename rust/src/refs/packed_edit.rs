//! Rewriting `packed-refs`: as git does it, under `packed-refs.lock`, from `packed-refs.new`.
//!
//! The lock is a file of its own and outlives the rename: as long as it is held, nobody packs a
//! loose ref, so that the loose file of a ref that was taken out can be removed without its
//! value coming back through a `pack-refs` that had read it before.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::UpdateError;
use super::folders::Folders;
use super::lock::LockFile;
use super::packed::PackedRefs;
use crate::hash::ObjectId;

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
    _lock: LockFile,
}

impl PackedLock {
    /// Locks the file, or what it is a symbolic link to.
    pub(super) fn acquire(path: &Path) -> Result<Self, UpdateError> {
        let is_link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        let file = if is_link {
            fs::canonicalize(path).map_err(|error| UpdateError::io(path, error))?
        } else {
            path.to_owned()
        };
        let lock = LockFile::acquire(&file, b"", &mut Folders::default())?;
        Ok(Self { file, _lock: lock })
    }

    /// Replaces the file: `table`, read under this lock, without the refs in `without` and with
    /// `additions`, which are in order of names. With `fsync`, the disk has it afterwards.
    pub(super) fn replace(
        &self,
        table: &PackedRefs,
        without: &HashSet<&[u8]>,
        additions: &[Addition<'_>],
        fsync: bool,
    ) -> Result<(), UpdateError> {
        let mut new = self.file.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let written = write(&new, &self.file, table, without, additions, fsync);
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
}

fn write(
    new: &Path,
    old: &Path,
    table: &PackedRefs,
    without: &HashSet<&[u8]>,
    additions: &[Addition<'_>],
    fsync: bool,
) -> std::io::Result<()> {
    // what a crash left behind is ours to replace, because the lock is held
    let file = File::create(new)?;
    if let Ok(meta) = fs::metadata(old) {
        file.set_permissions(meta.permissions())?;
    }
    let mut out = BufWriter::with_capacity(1 << 16, file);
    out.write_all(table.header().as_bytes())?;
    let mut additions = additions.iter().peekable();
    for row in 0..table.len() {
        let name = table.name(row);
        while let Some(addition) = additions.next_if(|addition| addition.name < name) {
            write_addition(&mut out, addition)?;
        }
        if let Some(addition) = additions.next_if(|addition| addition.name == name) {
            write_addition(&mut out, addition)?;
        } else if !without.contains(name) {
            out.write_all(table.lines_of(row))?;
        }
    }
    for addition in additions {
        write_addition(&mut out, addition)?;
    }
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    if fsync { file.sync_all() } else { Ok(()) }
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
