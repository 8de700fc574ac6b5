//! The upper of a snapshot's two tables: what counts instead of a packed row of the same name.
//!
//! Flat: names in one arena, one row a ref, in order of names. The files backend fills it with
//! loose refs, the reftable backend with the tables that lie on top of the stack.

use std::ops::Range;

use super::RefError;
use super::read::RawRef;
use crate::hash::ObjectId;

/// What a row says about its ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LooseValue {
    /// An id.
    Id(ObjectId),
    /// The name of another ref.
    Symbolic(Box<[u8]>),
    /// Neither. It still hides a packed ref of its name, as in git.
    Broken,
    /// There is no such ref, whatever is packed.
    Deleted,
}

impl From<RawRef> for LooseValue {
    fn from(raw: RawRef) -> Self {
        match raw {
            RawRef::Id(id) => LooseValue::Id(id),
            RawRef::Symbolic(target) => LooseValue::Symbolic(target.into_boxed_slice()),
            RawRef::Broken => LooseValue::Broken,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: Range<u32>,
    value: LooseValue,
}

/// Refs by name.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    names: Vec<u8>,
    rows: Vec<Row>,
}

impl Overlay {
    /// Adds a row. Its name comes after those of all rows before.
    pub(super) fn push(&mut self, name: &[u8], value: LooseValue) -> Result<(), RefError> {
        let name = keep_name(&mut self.names, name)?;
        self.rows.push(Row { name, value });
        Ok(())
    }

    /// How many there are, broken ones included.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The name of a ref.
    #[inline]
    pub(super) fn name(&self, row: usize) -> &[u8] {
        self.text(&self.rows[row].name)
    }

    /// What is said about it.
    #[inline]
    pub(super) fn value(&self, row: usize) -> &LooseValue {
        &self.rows[row].value
    }

    /// The row of a ref.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.rows.binary_search_by(|row| self.text(&row.name).cmp(name)).ok()
    }

    /// The rows whose names begin with `prefix`.
    pub(super) fn range(&self, prefix: &[u8]) -> Range<usize> {
        let begin = self.rows.partition_point(|row| self.text(&row.name) < prefix);
        let more =
            self.rows[begin..].partition_point(|row| self.text(&row.name).starts_with(prefix));
        begin..begin + more
    }

    /// Do both say the same?
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.rows == other.rows && self.names == other.names
    }

    fn text(&self, range: &Range<u32>) -> &[u8] {
        &self.names[range.start as usize..range.end as usize]
    }

    /// Changes what a row says, for tests that look who reads what.
    #[cfg(test)]
    pub(super) fn set(&mut self, row: usize, value: LooseValue) {
        self.rows[row].value = value;
    }

    /// Forgets the rows from this one on.
    #[cfg(test)]
    pub(super) fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
    }
}

/// Puts a name at the end of an arena.
pub(super) fn keep_name(arena: &mut Vec<u8>, name: &[u8]) -> Result<Range<u32>, RefError> {
    let begin = offset(arena.len())?;
    arena.extend_from_slice(name);
    Ok(begin..offset(arena.len())?)
}

/// A position that fits into a table's 32 bits.
pub(super) fn offset(at: usize) -> Result<u32, RefError> {
    u32::try_from(at).map_err(|_| RefError::TooLarge {
        file: "refs".to_owned(),
        size: at as u64,
        limit: u64::from(u32::MAX),
    })
}
