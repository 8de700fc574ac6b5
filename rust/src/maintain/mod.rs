//! Upkeep: many packs and loose objects become few, without git and beside everybody who reads.
//!
//! In: a repository's folders and refs. Out: new packs, durable before anything that they replace
//! is removed, and a [`Report`]. The stages, a file each: [`lock`] lets one in at a time, git's own
//! `gc` among them; [`survey`] lists what is there; [`choose`] says what is worth rolling up;
//! [`partition`] tells what refs reach from what nobody needs any more; [`pack`] writes packs, from
//! the same plans as for a client; [`sound`] reads what no checksum vouches for; [`retire`] removes
//! what they replace. [`due`] tells whether a push has made it worth while, and [`background`] does
//! it then, after the pushes. Nothing here knows configuration files,
//! terminals or when to run.
//!
//! [`indexing`] keeps bitmaps, and the multi-pack-index of [`midx`] that they go by; [`commitgraph`]
//! writes what its name says; [`sweep`] takes away what killed processes left.
//!
//! Whoever is killed at any moment leaves the repository as it was, or with objects in two places;
//! new packs wait in a quarantine folder as pushes do, and the next to come sweeps it.
//!
//! Git's documents: `git-gc`, `git-repack` (`--geometric`, `--cruft`), `gitformat-pack` (cruft
//! packs).

mod background;
mod bitmaps;
mod choose;
mod chunks;
mod commitgraph;
mod cruft;
mod due;
mod error;
mod indexing;
mod lock;
mod midx;
mod order;
mod pack;
mod partition;
mod pending;
mod retire;
mod rollup;
mod roots;
mod sound;
mod survey;
mod sweep;
mod walk;

#[cfg(test)]
mod indexing_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod prune_tests;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use background::{end_background, maintain_soon, untold_failure};
pub use commitgraph::{FilterOptions, FilterVersion, GraphOptions};
pub use due::is_due;
pub use error::MaintainError;

use crate::durable::SyncRules;
use crate::graph::Shallow;
use crate::hash::HashKind;
use crate::refs::RefStore;
use crate::sharing::Sharing;
use crate::watch::Watch;

/// As `git gc` has it (`gc.pruneExpire`): long enough for any push to name what it brought.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What is to be kept in order.
pub struct Place {
    /// The folder with `HEAD`, `logs` and `worktrees`: that of all worktrees.
    pub common_dir: PathBuf,
    /// Its `objects`.
    pub objects_dir: PathBuf,
    /// The object format.
    pub hash: HashKind,
    /// Its refs.
    pub refs: Arc<RefStore>,
    /// Where its history ends.
    pub shallow: Shallow,
    /// Who may use it (`core.sharedRepository`).
    pub sharing: Sharing,
}

/// How.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything into one pack, deltas searched anew; what no ref needs is set apart, and removed
    /// when it is older than `grace`. Else loose objects and small packs are rolled up.
    pub full: bool,
    /// A pack stays when it has so many times the objects of all smaller ones together.
    pub factor: u64,
    /// Unless so many packs would be rolled up, or so many loose objects, nothing is done.
    pub least: Least,
    /// How long unreachable objects are kept since they were last written; `None`: forever.
    pub grace: Option<Duration>,
    /// Threads; 0: one a core.
    pub threads: usize,
    /// `pack.window` and `pack.depth`.
    pub window: usize,
    /// The longest chain of deltas.
    pub depth: u32,
    /// zlib's level.
    pub level: i32,
    /// Blobs above this get no deltas (`core.bigFileThreshold`).
    pub big_file_threshold: u64,
    /// Reachability bitmaps are written, of the only pack or of a multi-pack-index, where these hold
    /// all that refs reach.
    pub write_bitmap: bool,
    /// A commit-graph is written, of what refs reach.
    pub graph: Option<GraphOptions>,
    /// Loose refs go into `packed-refs`.
    pub pack_refs: bool,
    /// Bytes that the search for deltas may hold, and as many of what it has found.
    pub memory: u64,
    /// What the disk is waited for.
    pub sync: SyncRules,
}

impl Options {
    /// Everything is to be as good as it gets, because somebody has asked for it; behind pushes it
    /// is what is worth its while.
    fn is_thorough(&self) -> bool {
        self.full || self.least == Options::default().least
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            full: false,
            factor: 2,
            least: Least { packs: 2, loose: 1 },
            grace: Some(DEFAULT_GRACE),
            threads: 0,
            window: 10,
            depth: 50,
            level: crate::zlib::DEFAULT_LEVEL,
            big_file_threshold: 512 << 20,
            write_bitmap: true,
            graph: Some(GraphOptions::default()),
            pack_refs: true,
            memory: 384 << 20,
            sync: SyncRules::ALL,
        }
    }
}

/// When a roll-up is worth its while: one of both is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Least {
    /// Packs that would go.
    pub packs: usize,
    /// Loose objects that would go.
    pub loose: usize,
}

/// What there is, before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Packs, of any kind.
    pub packs: usize,
    /// Objects stored by themselves.
    pub loose: usize,
    /// Bytes of both.
    pub bytes: u64,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// At the beginning.
    pub before: Census,
    /// At the end.
    pub after: Census,
    /// Objects written into new packs.
    pub packed: usize,
    /// Objects that nobody needs, kept for their grace time.
    pub set_apart: usize,
    /// Commits that got a reachability bitmap.
    pub bitmaps: usize,
    /// Commits in a commit-graph that was written.
    pub graphed: usize,
    /// Loose refs put into `packed-refs`.
    pub refs: usize,
    /// Objects removed for good.
    pub pruned: usize,
    /// Packs that were left alone because they are damaged.
    pub damaged: usize,
    /// What was left alone and why, for a person to read.
    pub warnings: Vec<String>,
}

/// Keeps the objects of a repository in order.
pub fn maintain(place: &Place, options: &Options, watch: &Watch) -> Result<Report, MaintainError> {
    let _turn = lock::Turn::take(&place.common_dir)?;
    rollup::run(place, options, watch)
}
