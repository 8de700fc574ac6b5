//! Tables that no list names, left by processes that were killed (reftable, "Windows").

use std::path::Path;
use std::sync::Arc;

use super::table::Table;
use crate::hash::HashKind;
use crate::temporary::is_past_grace;

/// Removes them, as the document says: under the lock of the list, those whose transactions are not
/// beyond the stack's. `listed` is what the list names.
pub(super) fn remove(folder: &Path, listed: &[Arc<Table>], kind: HashKind) {
    use std::os::unix::ffi::OsStrExt;
    let last = listed.iter().map(|table| table.header.max_update_index).max();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_bytes();
        if !name.ends_with(b".ref") || listed.iter().any(|table| table.name == name) {
            continue;
        }
        if !entry.metadata().is_ok_and(|meta| meta.is_file() && is_past_grace(&meta)) {
            continue;
        }
        let table = Table::open(folder, name, kind);
        if let Ok(Some(table)) = table
            && Some(table.header.max_update_index) <= last
        {
            let _ = std::fs::remove_file(&table.path);
        }
    }
}
