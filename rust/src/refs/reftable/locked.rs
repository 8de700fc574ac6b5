//! The right to change a stack, and changing it (reftable, "Update transactions", "Compaction").
//!
//! All writers of a stack pass through `tables.list.lock`. Under it the list is read again, a new
//! table is put beside the others, synced, and then the list that names it takes the old one's
//! place: before that nobody sees it, after it everybody does.
//!
//! Small tables are merged into the new one at once, which costs no more than to write it alone.
//! Large ones are merged while others may write: their own locks keep them in the stack meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compact;
use super::header::Header;
use super::list::TableList;
use super::record::{LogRecord, RefValue};
use super::settings::TableSettings;
use super::stack::Stack;
use super::table::Table;
use super::writer::{TableWriter, block_size_for};
use crate::durable;
use crate::hash::HashKind;
use crate::refs::UpdateError;
use crate::refs::folders::Folders;
use crate::refs::lock::{LockFile, Staged, Staging};

/// Up to so many bytes are merged under the lock of the list: a few milliseconds.
const MERGED_AT_ONCE: u64 = 256 << 10;

/// What one transaction changes in one stack.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) refs: BTreeMap<Vec<u8>, RefValue>,
    /// By key.
    pub(super) logs: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.refs.is_empty() && self.logs.is_empty()
    }
}

/// A stack whose list is locked; dropping it gives the lock back.
pub(super) struct LockedStack<'a> {
    staging: &'a Staging,
    kind: HashKind,
    settings: TableSettings,
    folder: PathBuf,
    lock: LockFile,
    tables: Vec<Arc<Table>>,
    folders: Folders,
    fsync: bool,
}

impl<'a> LockedStack<'a> {
    /// Locks the list of the stack in this folder. What is in it is still to be read.
    pub(super) fn lock(
        folder: &Path,
        kind: HashKind,
        settings: TableSettings,
        staging: &'a Staging,
        fsync: bool,
    ) -> Result<Self, UpdateError> {
        let mut folders = Folders::shared(staging.sharing());
        let list = TableList::path(folder);
        let patience = settings.lock_timeout;
        let lock = LockFile::acquire_patiently(patience, &list, &mut folders, staging)?;
        let folder = folder.to_owned();
        Ok(Self { staging, kind, settings, folder, lock, tables: Vec::new(), folders, fsync })
    }

    /// These are the tables, read under the lock.
    pub(super) fn set_tables(&mut self, tables: &[Arc<Table>]) {
        self.tables = tables.to_vec();
    }

    pub(super) fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// The number of the next transaction.
    pub(super) fn next_index(&self) -> Result<u64, UpdateError> {
        let last = self.tables.iter().map(|table| table.header.max_update_index).max();
        last.unwrap_or(0).checked_add(1).ok_or_else(|| {
            let error = std::io::Error::other("no update index is left");
            UpdateError::io(&self.folder, error)
        })
    }

    /// Adds a table, or merges it with small ones. The disk has it when this returns. True when
    /// tables should be merged.
    pub(super) fn commit(mut self, change: Change, index: u64) -> Result<bool, UpdateError> {
        let staged = self.write(change, index)?;
        let sizes = |new: u64| -> Vec<u64> {
            self.tables.iter().map(|table| table.size).chain([new]).collect()
        };
        let new = staged.file().metadata().map_err(|error| self.error(error))?.len();
        let range = compact::choose(&sizes(new), self.settings.factor);
        let at_once = range.clone().filter(|range| {
            range.end > self.tables.len()
                && sizes(new)[range.clone()].iter().sum::<u64>() <= MERGED_AT_ONCE
        });
        let Some(range) = at_once.filter(|range| self.are_free(&self.tables[range.start..])) else {
            let added = self.publish(staged, (index, index), self.tables.len()..self.tables.len());
            return added.map(|_| range.is_some());
        };
        let Ok((merged, min)) =
            self.merge_with(&self.tables[range.start..], &staged, range.start == 0)
        else {
            // a damaged table is no reason to refuse what does not need it
            let end = self.tables.len();
            return self.publish(staged, (index, index), end..end).map(|_| false);
        };
        let gone = self.publish(merged, (min, index), range.start..self.tables.len())?;
        remove_all(&gone);
        Ok(false)
    }

    /// A table with what is in these and in the new one, and the number of its first transaction.
    fn merge_with(
        &self,
        tables: &[Arc<Table>],
        new: &Staged,
        is_bottom: bool,
    ) -> Result<(Staged, u64), UpdateError> {
        let mut parts = tables.to_vec();
        parts.push(Arc::new(self.reopen(new)?));
        let merged = self.make()?;
        compact::merge(&parts, is_bottom, self.kind, &self.settings, merged.file())
            .map_err(|error| error.of(&self.folder))?;
        Ok((merged, parts[0].header.min_update_index))
    }

    /// Does nobody merge these? As long as we hold the list, nobody begins to.
    fn are_free(&self, tables: &[Arc<Table>]) -> bool {
        tables.iter().all(|table| {
            let mut lock = table.path.clone().into_os_string();
            lock.push(".lock");
            !Path::new(&lock).exists()
        })
    }

    fn error(&self, error: std::io::Error) -> UpdateError {
        UpdateError::io(&self.folder, error)
    }

    fn make(&self) -> Result<Staged, UpdateError> {
        self.staging.make(b"").map_err(|error| self.error(error))
    }

    /// The table of one transaction, where nobody sees it yet.
    fn write(&self, change: Change, index: u64) -> Result<Staged, UpdateError> {
        let largest = change.refs.iter().map(|(name, value)| {
            let mut bytes = Vec::new();
            value.write(0, &mut bytes);
            name.len() + bytes.len()
        });
        let block_size = block_size_for(largest.max().unwrap_or(0), &self.settings);
        let header = Header::new(self.kind, block_size, index, index);
        let write = || {
            let mut writer = TableWriter::new(Vec::new(), header, &self.settings);
            for (name, value) in &change.refs {
                writer.add_ref(name, index, value)?;
            }
            for (key, entry) in change.logs {
                writer.add_log(&LogRecord { key, entry })?;
            }
            self.staging.make(&writer.finish()?)
        };
        write().map_err(|error| self.error(error))
    }

    fn reopen(&self, staged: &Staged) -> Result<Table, UpdateError> {
        use std::os::unix::ffi::OsStrExt;
        let gone = || self.error(std::io::Error::from(std::io::ErrorKind::NotFound));
        let folder = staged.path().parent().ok_or_else(gone)?;
        let name = staged.path().file_name().ok_or_else(gone)?.as_bytes();
        Table::open(folder, name, self.kind)?.ok_or_else(gone)
    }

    /// Puts the table into the stack in the place of `replaced`; the paths of these.
    fn publish(
        &mut self,
        staged: Staged,
        (min, max): (u64, u64),
        replaced: std::ops::Range<usize>,
    ) -> Result<Vec<PathBuf>, UpdateError> {
        let name = table_name(min, max);
        let mut names: Vec<&[u8]> = self.tables.iter().map(|table| &table.name[..]).collect();
        names.splice(replaced.clone(), [name.as_bytes()]);
        let mut list = names.join(&b'\n');
        list.push(b'\n');
        self.lock.fill(&list)?;
        if self.fsync {
            let both: Vec<&File> =
                [Some(staged.file()), self.lock.file()].into_iter().flatten().collect();
            durable::sync_files(&both).map_err(|error| self.error(error))?;
            if self.lock.file().is_none() {
                // a lock that had to be made in its place
                self.lock.sync()?;
            }
        }
        let path = self.folder.join(&name);
        staged.publish(&path).map_err(|error| UpdateError::io(&path, error))?;
        self.folders.changed_in(&path);
        let listed = self.list();
        if listed.is_err() {
            let _ = std::fs::remove_file(&path); // nothing names it
        }
        listed?;
        if self.fsync {
            self.folders.sync()?;
        }
        Ok(self.tables[replaced].iter().map(|table| table.path.clone()).collect())
    }

    fn list(&mut self) -> Result<(), UpdateError> {
        if self.fsync {
            // a list must not reach the disk before the names that it names
            self.folders.sync()?;
        }
        self.lock.commit()
    }
}

/// Merges tables until their sizes are a geometric sequence. Whoever else does it already is left
/// alone.
pub(super) fn merge_tables(
    folder: &Path,
    kind: HashKind,
    settings: TableSettings,
    staging: &Staging,
    fsync: bool,
) -> Result<(), UpdateError> {
    let mut stack = Stack::new(folder.to_owned(), kind);
    let lock = LockedStack::lock(folder, kind, settings, staging, fsync)?;
    stack.reload()?;
    let sizes: Vec<u64> = stack.tables.iter().map(|table| table.size).collect();
    let Some(range) = compact::choose(&sizes, settings.factor) else { return Ok(()) };
    let parts = stack.tables[range.clone()].to_vec();
    let Some(locks) = lock_tables(&parts, staging) else { return Ok(()) };
    drop(lock);
    let io = |error| UpdateError::io(folder, error);
    let merged = staging.make(b"").map_err(io)?;
    compact::merge(&parts, range.start == 0, kind, &settings, merged.file())
        .map_err(|error| error.of(folder))?;
    let mut lock = LockedStack::lock(folder, kind, settings, staging, fsync)?;
    stack.reload()?;
    let is_there =
        |tables: &[Arc<Table>]| tables.iter().zip(&parts).all(|(now, then)| now.name == then.name);
    let at = stack.tables.windows(parts.len()).position(is_there);
    // what was at the bottom must be there still: what it hid has not been kept
    let Some(at) = at.filter(|&at| (at == 0) == (range.start == 0)) else { return Ok(()) };
    lock.set_tables(&stack.tables);
    let min = parts.iter().map(|table| table.header.min_update_index).min().unwrap_or(0);
    let max = parts.iter().map(|table| table.header.max_update_index).max().unwrap_or(0);
    let gone = lock.publish(merged, (min, max), at..at + parts.len())?;
    drop(lock);
    remove_all(&gone);
    drop(locks);
    Ok(())
}

/// Locks each of these, so that nobody merges them; `None` when somebody does.
fn lock_tables(tables: &[Arc<Table>], staging: &Staging) -> Option<Vec<LockFile>> {
    tables.iter().map(|table| LockFile::try_acquire(&table.path, staging).ok()).collect()
}

/// No list names them any more. One that stays is swept later.
fn remove_all(paths: &[PathBuf]) {
    for path in paths {
        let _ = std::fs::remove_file(path);
    }
}

/// As git names them: the numbers of the transactions in it, and something that makes it unique.
fn table_name(min: u64, max: u64) -> String {
    use std::hash::{BuildHasher, Hasher};
    // each state is seeded anew, from the system's randomness and a count
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish() as u32;
    format!("0x{min:012x}-0x{max:012x}-{random:08x}.ref")
}
