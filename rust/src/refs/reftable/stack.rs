//! All tables of one folder at one moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::list::TableList;
use super::table::Table;
use crate::hash::HashKind;
use crate::refs::RefError;

/// How often the list is read again because a table that it names is gone: whoever merges tables
/// replaces the list first and removes them then, so that the next list does not name it.
const MAX_ATTEMPTS: usize = 64;

/// The tables, the oldest first.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) folder: PathBuf,
    kind: HashKind,
    list: TableList,
    pub(super) tables: Vec<Arc<Table>>,
}

impl Stack {
    /// Of this folder, not read yet.
    pub(super) fn new(folder: PathBuf, kind: HashKind) -> Self {
        Self { folder, kind, list: TableList::default(), tables: Vec::new() }
    }

    /// Looks at the list, and at tables that are new in it. True when there are others than before.
    pub(super) fn refresh(&mut self) -> Result<bool, RefError> {
        if self.list.is_current(&self.folder) {
            return Ok(false);
        }
        self.reload()
    }

    /// As if the list had never been read.
    pub(super) fn forget(&mut self) {
        self.list = TableList::default();
    }

    /// Like [`Stack::refresh`], whatever the list's stamp says.
    pub(super) fn reload(&mut self) -> Result<bool, RefError> {
        let mut before: Option<Vec<Vec<u8>>> = None;
        for _ in 0..MAX_ATTEMPTS {
            let list = TableList::read(&self.folder)?;
            match self.open_all(&list.names)? {
                Ok(tables) => {
                    let same = |(a, b): (&Arc<Table>, &Arc<Table>)| Arc::ptr_eq(a, b);
                    let changed = tables.len() != self.tables.len()
                        || !tables.iter().zip(&self.tables).all(same);
                    (self.list, self.tables) = (list, tables);
                    return Ok(changed);
                }
                Err(missing) if before.as_ref() == Some(&list.names) => {
                    return Err(RefError::MissingTable { file: missing.display().to_string() });
                }
                Err(_) => before = Some(list.names),
            }
        }
        Err(RefError::MissingTable { file: TableList::path(&self.folder).display().to_string() })
    }

    /// The tables of these names, those that are known already not opened again. The path of one
    /// that is not there.
    fn open_all(&self, names: &[Vec<u8>]) -> Result<Result<Vec<Arc<Table>>, PathBuf>, RefError> {
        let mut tables = Vec::with_capacity(names.len());
        for name in names {
            let known = self.tables.iter().find(|table| table.name == *name);
            match known.filter(|table| table.is_still_there()) {
                Some(table) => tables.push(Arc::clone(table)),
                None => match Table::open(&self.folder, name, self.kind)? {
                    Some(table) => tables.push(Arc::new(table)),
                    None => return Ok(Err(table_path(&self.folder, name))),
                },
            }
        }
        Ok(Ok(tables))
    }
}

fn table_path(folder: &Path, name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    folder.join(std::ffi::OsStr::from_bytes(name))
}
