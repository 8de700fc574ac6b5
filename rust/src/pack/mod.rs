//! Packs: entries, deltas, indexes (`gitformat-pack` in Git's documentation).

pub mod delta;
pub mod entry;

/// `"PACK"`, version, object count: 12 bytes.
pub const PACK_HEADER_LEN: usize = 12;
