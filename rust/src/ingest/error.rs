//! What can go wrong while a pack is taken in, and whose fault it is.

use std::path::Path;

use crate::hash::{CollisionAttack, ObjectId};
use crate::pack::delta::DeltaError;
use crate::pack::entry::EntryError;
use crate::source::SourceError;
use crate::zlib::ZlibError;

/// Whose fault an [`IngestError`] is: decides what the peer is told and what the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The pack is broken or hostile. The error's text is about the pack only: safe to send.
    Peer,
    /// The pack is beyond a limit of ours. The text names the limit: safe to send.
    Limit,
    /// Our disk, our repository or our memory. The text names files: for the log alone.
    Ours,
    /// The request was given up.
    Cancelled,
}

/// Why a pack was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The first bytes are not `PACK` and a version that Git reads (2 or 3).
    #[error("not a pack: bad signature or version")]
    NotAPack,
    /// An entry header that means nothing.
    #[error("bad pack entry at offset {offset}: {error}")]
    Entry {
        /// Where the entry begins.
        offset: u64,
        /// What is wrong with it.
        error: EntryError,
    },
    /// An entry that does not inflate to what its header says.
    #[error("bad pack entry at offset {offset}: {error}")]
    Zlib {
        /// Where the entry begins.
        offset: u64,
        /// What is wrong with it.
        error: ZlibError,
    },
    /// A delta whose base distance leads to no entry.
    #[error("delta at offset {offset} has no base at its distance")]
    BaseOffset {
        /// Where the delta's entry begins.
        offset: u64,
    },
    /// A delta that cannot be applied.
    #[error("bad delta at offset {offset}: {error}")]
    Delta {
        /// Where the delta's entry begins.
        offset: u64,
        /// What is wrong with it.
        error: DeltaError,
    },
    /// The pack ends too soon.
    #[error("early end of pack: {received} of {expected} objects")]
    CutOff {
        /// Whole entries read.
        received: u32,
        /// Entries that the header promised.
        expected: u32,
    },
    /// The trailer is not the hash of the pack.
    #[error("pack is corrupted: checksum mismatch")]
    Checksum,
    /// Deltas whose bases are nowhere, or that are each other's bases.
    #[error("pack has {count} unresolved deltas")]
    Unresolved {
        /// How many.
        count: usize,
    },
    /// Two entries of the pack are the same object.
    #[error("pack has object {0} twice")]
    Duplicate(ObjectId),
    /// The repository has another object of this name.
    #[error("object {0} differs from the object of that name in the repository")]
    Differs(ObjectId),
    /// An object made to collide with another.
    #[error(transparent)]
    CollisionAttack(#[from] CollisionAttack),
    /// Beyond a limit of [`crate::ingest::ReceiveLimits`].
    #[error("pack exceeds the limit on {what} ({limit})")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Longer than [`crate::ingest::ReceiveLimits::max_seconds`].
    #[error("resolving deltas took longer than {seconds} seconds")]
    TooLong {
        /// So many were given.
        seconds: u64,
    },
    /// The operating system refused a file of ours.
    #[error("{file}: {error}")]
    Io {
        /// Its path.
        file: String,
        /// The system's word.
        error: std::io::Error,
    },
    /// A file of the quarantine does not read back as it was written.
    #[error("{file}: does not read back as it was written")]
    ReadBack {
        /// Its path.
        file: String,
    },
    /// The repository's own objects could not be read.
    #[error(transparent)]
    Source(SourceError),
    /// The request was given up.
    #[error("cancelled")]
    Cancelled,
    /// A call that makes no sense in this state: after an error, or a second finish.
    #[error("pack receiver used after it failed or finished")]
    Spent,
}

impl IngestError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            IngestError::Limit { .. } | IngestError::TooLong { .. } => Blame::Limit,
            IngestError::Io { .. }
            | IngestError::ReadBack { .. }
            | IngestError::Source(_)
            | IngestError::Spent => Blame::Ours,
            IngestError::Cancelled => Blame::Cancelled,
            _ => Blame::Peer,
        }
    }

    /// The text for the peer; `None` when it would show the inside of our machine.
    pub fn wire(&self) -> Option<String> {
        matches!(self.blame(), Blame::Peer | Blame::Limit).then(|| self.to_string())
    }

    /// For `map_err` on what is done to a file.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |error| IngestError::Io { file: path.display().to_string(), error }
    }
}

impl From<SourceError> for IngestError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Cancelled => IngestError::Cancelled,
            SourceError::TooLong { seconds } => IngestError::TooLong { seconds },
            other => IngestError::Source(other),
        }
    }
}
