//! Which tables are to be merged, and merging them (reftable, "Compaction").

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::sync::Arc;

use super::header::Header;
use super::logs::each_newest;
use super::merged::newest;
use super::record::RefValue;
use super::settings::TableSettings;
use super::table::Table;
use super::writer::{TableWriter, block_size_for};
use crate::hash::HashKind;
use crate::refs::{RefError, UpdateError};

/// The tables to merge, given the sizes of all from the oldest to the newest, so that sizes form a
/// geometric sequence again; `None` while they do.
/// (`factor`: [`TableSettings::factor`]).
pub(super) fn choose(sizes: &[u64], factor: u64) -> Option<Range<usize>> {
    let is_out = |pair: &[u64]| pair[0] < pair[1].saturating_mul(factor);
    let end = sizes.windows(2).rposition(is_out)? + 2;
    let mut begin = end - 1;
    let mut merged = sizes[begin];
    for at in (0..begin).rev() {
        let newer = if at + 1 == begin { merged } else { sizes[at + 1] };
        if is_out(&[sizes[at], newer]) {
            merged = sizes[at..begin].iter().fold(merged, |sum, &size| sum.saturating_add(size));
            begin = at;
        }
    }
    Some(begin..end)
}

/// Writes the merged table of `tables`, the oldest first, into `file`. `is_bottom`: no older table
/// is left that something could have to be hidden of.
pub(super) fn merge(
    tables: &[Arc<Table>],
    is_bottom: bool,
    kind: HashKind,
    settings: &TableSettings,
    file: &File,
) -> Result<(), MergeError> {
    let all = tables.iter().map(|table| table.refs()).collect::<Result<Vec<_>, _>>()?;
    let rows = newest(&all);
    let largest = rows.iter().map(|(refs, row)| {
        let value = match refs.value(*row) {
            RefValue::Symbolic(target) => target.len(),
            _ => 2 * kind.len(),
        };
        refs.name(*row).len() + value
    });
    let block_size = block_size_for(largest.max().unwrap_or(0), settings);
    let headers = || tables.iter().map(|table| &table.header);
    let min = headers().map(|header| header.min_update_index).min().unwrap_or(0);
    let max = headers().map(|header| header.max_update_index).max().unwrap_or(0);
    let header = Header::new(kind, block_size, min, max);
    let mut writer = TableWriter::new(BufWriter::with_capacity(1 << 16, file), header, settings);
    for (refs, row) in rows {
        let value = refs.value(row);
        if !(is_bottom && *value == RefValue::Deleted) {
            writer.add_ref(refs.name(row), refs.update_index(row), value)?;
        }
    }
    each_newest(tables, |record| match record.entry {
        None if is_bottom => Ok(()),
        _ => writer.add_log(&record).map_err(MergeError::from),
    })?;
    writer.finish()?.flush()?;
    Ok(())
}

/// Why tables could not be merged.
#[derive(Debug, thiserror::Error)]
pub(super) enum MergeError {
    #[error(transparent)]
    Read(#[from] RefError),
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

impl MergeError {
    pub(super) fn of(self, path: &std::path::Path) -> UpdateError {
        match self {
            Self::Read(error) => error.into(),
            Self::Write(error) => UpdateError::io(path, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_fall_by_half_are_left() {
        for sizes in [&[][..], &[5], &[100, 50, 25], &[64, 1]] {
            assert_eq!(choose(sizes, 2), None, "{sizes:?}");
        }
    }

    #[test]
    fn merging_goes_on_where_the_sum_is_too_large() {
        assert_eq!(choose(&[100, 10, 10], 2), Some(1..3));
        assert_eq!(choose(&[1000, 40, 10, 10], 2), Some(2..4));
        assert_eq!(choose(&[1000, 39, 10, 10], 2), Some(1..4));
        assert_eq!(choose(&[50, 40, 10, 10], 2), Some(0..4), "50 beside 40 is no sequence either");
        assert_eq!(choose(&[1, 1, 100, 10], 2), Some(0..3), "what is newer stays");
        assert_eq!(choose(&[1, 1, 1, 1], 2), Some(0..4));
        assert_eq!(choose(&[100, 50, 25], 3), Some(0..3), "as configured");
    }
}
