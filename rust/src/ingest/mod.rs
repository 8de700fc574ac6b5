//! Taking a pack in: a streaming index-pack that writes into a quarantine.
//!
//! In: the bytes of a pack as they arrive, then the objects the repository has. Out: a pack, its
//! index and its reverse index in a folder beside the objects, and one step that makes them
//! visible. Nothing is visible before that step, and nothing stays when it is not taken.
//!
//! [`Quarantine`] is the folder. [`PackReceiver`] is fed with [`PackReceiver::write`]: it follows
//! the entries, inflates and names whole objects while they stream, and keeps a few dozen bytes
//! an entry. [`PackReceiver::finish`] resolves the deltas on all cores within a memory budget,
//! completes a thin pack from what the repository has and writes the indexes.
//!
//! Implements `gitformat-pack` (packs, index version 2, reverse index version 1) and what
//! `git-index-pack --fix-thin` and the quarantine of `git-receive-pack` do. It must not know the
//! dialogue that brought the pack, the refs that will name its objects, or whether the objects are
//! well formed and complete: those are questions for fsck and for the connectivity check.

mod children;
mod complete;
mod entries;
mod entry_reader;
mod error;
mod existing;
mod hash_line;
mod index_writer;
mod inspect;
mod keep;
mod limits;
mod pack_file;
mod publish;
mod quarantine;
mod receiver;
mod resolve;
mod thin;
mod times;
mod unnamed;
mod worker;

#[cfg(test)]
pub(crate) mod tests;

pub use error::{Blame, IngestError};
pub(crate) use index_writer::{IndexRows, write_idx, write_rev};
pub use limits::ReceiveLimits;
pub(crate) use pack_file::{HashedFile, NewFile};
pub use quarantine::{Quarantine, STALE_QUARANTINE, sweep_stale};
pub use receiver::PackReceiver;
