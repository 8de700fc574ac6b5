//! Packs: entries, deltas, indexes (`gitformat-pack` in Git's documentation).
//!
//! In flow files, out flow positions, offsets and entry headers. Nothing here knows which packs
//! a repository has, nor how a delta chain is followed; that is [`crate::store`].

mod bases;
pub mod delta;
pub mod entry;
mod fault;
mod file;
mod index;
pub(crate) mod made;
mod map;
mod midx;
mod names;
mod order;
mod verified;

pub use bases::{EntryBase, PackBases};
pub(crate) use fault::any_faulted;
pub use file::Pack;
pub use index::PackIndex;
pub(crate) use map::{FileIdentity, Mapping, is_gone, map_file};
pub use midx::MultiPackIndex;
pub use order::PackOrder;

/// `"PACK"`, version, object count: 12 bytes.
pub const PACK_HEADER_LEN: usize = 12;
