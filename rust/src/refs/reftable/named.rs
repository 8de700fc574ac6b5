//! All that a stack of tables names: what refs hold, and what their logs tell of.
//!
//! In: a folder of tables. Out: ids, some of them many times, in no order; of objects that may be
//! gone. For whoever must not remove what is named.

use std::io::ErrorKind;
use std::path::Path;

use super::logs::each_newest;
use super::merged::newest;
use super::record::RefValue;
use super::stack::Stack;
use crate::hash::{HashKind, ObjectId};
use crate::refs::RefError;

/// How often it is begun anew because a table was merged into another meanwhile.
const MAX_ATTEMPTS: usize = 16;

/// Gives `see` each id that refs or logs of this folder's tables name. One without tables names none.
pub fn named_in_tables(
    folder: &Path,
    kind: HashKind,
    see: &mut dyn FnMut(ObjectId),
) -> Result<(), RefError> {
    let mut stack = Stack::new(folder.to_owned(), kind);
    for _ in 1..MAX_ATTEMPTS {
        match look(&mut stack, kind, see) {
            Err(RefError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
                stack.forget();
            }
            done => return done,
        }
    }
    look(&mut stack, kind, see)
}

fn look(stack: &mut Stack, kind: HashKind, see: &mut dyn FnMut(ObjectId)) -> Result<(), RefError> {
    stack.refresh()?;
    let all = stack.tables.iter().map(|table| table.refs()).collect::<Result<Vec<_>, _>>()?;
    for (refs, row) in newest(&all) {
        match refs.value(row) {
            RefValue::Id(id) => see(*id),
            RefValue::Tag(both) => see(both.0),
            RefValue::Deleted | RefValue::Symbolic(_) => {}
        }
    }
    each_newest(&stack.tables, |record| {
        // an entry begins with what was before and what is after it
        let ids = record.entry.iter().flat_map(|entry| entry.chunks_exact(kind.len()).take(2));
        ids.filter_map(ObjectId::from_bytes).for_each(&mut *see);
        Ok(())
    })
}
