//! The commit graph and what hangs from it: which objects does a client lack?
//!
//! In: ids (wants, haves, tips), a [`crate::source::ObjectSource`] to read them from and the
//! [`CommitTable`] that remembers commits between requests. Out: object numbers with name hashes
//! ([`Enumeration`]), shallow boundaries ([`deepen()`]), yes or no ([`Negotiation::ready`],
//! [`all_reachable`], [`check_connected`]). Nothing here knows packs, pkt-lines or refs.
//!
//! Git's documents: `git-rev-list` (what is reachable, object filters), `gitprotocol-pack` and
//! `gitprotocol-v2` (negotiation, shallow), `git-pack-objects` (`--thin`, `--include-tag`).

mod asked;
mod bitmapped;
mod connected;
mod deepen;
mod differ;
mod differences;
mod edges;
mod enumerate;
mod filter;
mod index;
mod learn;
mod links;
mod marks;
mod name_hash;
mod negotiation;
mod paged;
mod parallel;
mod paths;
mod reachable;
mod recent;
mod request;
mod roots;
mod scan;
mod seen;
mod shallow;
mod sieve;
mod sparse;
mod table;
mod tags;
mod trees;
mod unconnected;
mod walk;

#[cfg(test)]
mod tests;

pub use connected::{check_connected, is_closed};
pub use deepen::{DeepenSpec, INFINITE_DEPTH, deepen};
pub use edges::BoundaryNames;
pub use enumerate::{BYTES_SCANNED, enumerate};
pub use filter::{Filter, FilterError};
pub use learn::keep_learning;
pub(crate) use learn::lower_priority;
pub use links::{Links, Outside, WORTH_GATHERING, outside, room as links_room};
pub(crate) use name_hash::extend as extend_name_hash;
pub use name_hash::name_hash;
pub use negotiation::Negotiation;
pub use reachable::all_reachable;
pub use request::{ClientHas, Enumeration, Found, Stored, WalkRequest};
pub use seen::SeenSet;
pub use shallow::Shallow;
pub use table::{CommitNumber, CommitTable};
pub use unconnected::{MOST_WALKS, unconnected};

use crate::hash::ObjectId;
use crate::source::SourceError;

/// Why a walk could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// An object could not be read; a missing one is named.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What a client calls a shallow commit is something else.
    #[error("invalid shallow object {0}")]
    InvalidShallow(ObjectId),
    /// Neither `deepen-since` nor `deepen-not` leaves a single commit.
    #[error("no commits selected for shallow requests")]
    NothingSelected,
    /// Too many patterns of a sparse checkout, or too many paths for them.
    #[error("filter-spec is too complex")]
    TooManyPaths,
    /// More commits, or more parents, than 31 bits can number.
    #[error("too many commits")]
    TooManyCommits,
    /// A worker thread could not be started, or died.
    #[error("walk worker: {0}")]
    Worker(String),
}
