//! Refs in a stack of tables ("reftable" in Git's technical documentation).
//!
//! In: a repository's `reftable/` folder, and for a linked worktree its own one. Out: the same
//! snapshot and the same transactions that the files backend gives. Must not know more than that
//! backend does.
//!
//! Reading goes from bytes up: [`bytes`], [`header`], [`block`] and [`record`] know the format,
//! [`table`] and [`logs`] one file, [`list`] the file that says which tables there are, [`stack`]
//! all of them at one moment, and [`merged`] lays newer tables over older ones.
//!
//! Writing goes down again: a [`transaction`] compares and decides, [`writing`] keeps the locks of
//! the stacks it touches, [`locked`] puts a table that [`writer`] made into a stack, or merges some
//! ([`compact`]).

mod backend;
mod block;
mod bytes;
mod compact;
mod header;
mod leftovers;
mod list;
mod locked;
mod logs;
mod merged;
mod named;
mod record;
mod settings;
mod stack;
mod symbolic;
mod table;
mod transaction;
mod writer;
mod writing;

use std::path::Path;

use super::RefError;

pub use backend::TableRefs;
pub use named::named_in_tables;
pub use settings::TableSettings;

/// What is wrong with a file, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flaw {
    offset: u64,
    what: &'static str,
}

impl Flaw {
    fn of(self, path: &Path) -> RefError {
        let Flaw { offset, what } = self;
        RefError::CorruptTable { file: path.display().to_string(), offset, what }
    }
}

#[cfg(test)]
mod race_tests;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod write_tests;
