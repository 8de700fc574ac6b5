//! What every fuzz target does with its bytes: read them as far as they go, and survive.
//!
//! The same functions run under `cargo fuzz` (`rust/fuzz/targets/`) and, on mutated seeds, in the
//! plain tests (`rust/fuzz/smoke.rs`). A body returns nothing: an error is a good answer, a panic,
//! an endless loop or unbounded memory is not.

mod files;
mod formats;
mod helpers;
mod packs;
pub mod seeds;

pub use files::{index, multi_pack_index, packed_refs, reftable};
pub use formats::{commit, delta, entry, filter, loose_ref, tag, tree};
pub use helpers::{bitmap, commit_graph};
pub use packs::{ingest, stored_pack};

/// One parser of foreign bytes.
pub struct Target {
    /// Also the name of its corpus.
    pub name: &'static str,
    /// Runs it.
    pub body: fn(&[u8]),
    /// Mutations that the smoke test tries: fewer where a try writes files.
    pub tries: u32,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "commit", body: commit, tries: 4000 },
    Target { name: "tag", body: tag, tries: 4000 },
    Target { name: "tree", body: tree, tries: 4000 },
    Target { name: "entry", body: entry, tries: 4000 },
    Target { name: "delta", body: delta, tries: 4000 },
    Target { name: "filter", body: filter, tries: 4000 },
    Target { name: "index", body: index, tries: 600 },
    Target { name: "multi_pack_index", body: multi_pack_index, tries: 600 },
    Target { name: "packed_refs", body: packed_refs, tries: 600 },
    Target { name: "reftable", body: reftable, tries: 400 },
    Target { name: "loose_ref", body: loose_ref, tries: 600 },
    Target { name: "bitmap", body: bitmap, tries: 400 },
    Target { name: "commit_graph", body: commit_graph, tries: 600 },
    Target { name: "stored_pack", body: stored_pack, tries: 400 },
    Target { name: "ingest", body: ingest, tries: 400 },
];
