use std::path::Path;

use super::{RefError, Witness};
use crate::hash::ObjectId;
use crate::sharing::Sharing;
use crate::source::ObjectSource;

/// One ref's compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefUpdate<'a> {
    /// A full name, or `HEAD`. Symbolic refs are followed.
    pub name: &'a [u8],
    /// What it must hold: `None` for whatever it is, zeros for nothing.
    pub old: Option<ObjectId>,
    /// What it shall hold: `None` or zeros to delete it.
    pub new: Option<ObjectId>,
}

impl RefUpdate<'_> {
    /// The id to write; `None` for a deletion.
    pub(super) fn value(&self) -> Option<ObjectId> {
        self.new.filter(|id| !id.is_null())
    }
}

/// How refs are moved.
#[derive(Clone, Copy)]
pub struct UpdateOptions<'a> {
    /// All or nothing.
    pub atomic: bool,
    /// `Name <address> seconds zone`, for the reflog; without it none is written.
    pub committer: &'a [u8],
    /// Why, for the reflog; white space is folded into one line.
    pub message: &'a [u8],
    /// Which reflogs are kept.
    pub reflog: Reflog,
    /// Wait until the disk has it.
    pub fsync: bool,
    /// The objects, by which many new refs can go straight into `packed-refs` (it tells what is
    /// behind tags). Without them every ref becomes a loose file.
    pub objects: Option<&'a dyn ObjectSource>,
    /// Who may use the files that are written.
    pub sharing: Sharing,
    /// Who is told about each transaction, and may stop it. Without `atomic` there are up to two:
    /// deletions, and what is left.
    pub witness: Option<&'a Witness<'a>>,
}

impl Default for UpdateOptions<'_> {
    fn default() -> Self {
        Self {
            atomic: false,
            committer: b"",
            message: b"",
            reflog: Reflog::Existing,
            fsync: true,
            objects: None,
            sharing: Sharing::Umask,
            witness: None,
        }
    }
}

/// Which reflogs are kept (`core.logAllRefUpdates`, which the caller reads).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reflog {
    /// Those that exist: `false`, and the default in bare repositories.
    #[default]
    Existing,
    /// Those of branches, remote-tracking branches, notes and HEAD: `true`.
    Branches,
    /// Those of all refs: `always`.
    All,
}

/// Why a ref was not moved. Displays what a client may read; [`UpdateError::detail`] is for the
/// log.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// No ref may have this name.
    #[error("funny refname")]
    InvalidName,
    /// The new id is of another object format.
    #[error("invalid new value provided")]
    InvalidValue,
    /// One transaction moves one ref once, under whatever names.
    #[error("multiple updates for ref not allowed")]
    Duplicate,
    /// Somebody else moved it first.
    #[error("incorrect old value provided")]
    Stale {
        /// What it holds now.
        found: ObjectId,
    },
    /// Somebody else created it first.
    #[error("reference already exists")]
    Exists {
        /// What it holds now.
        found: ObjectId,
    },
    /// Somebody else deleted it first.
    #[error("reference does not exist")]
    Absent,
    /// A ref is in the way: one name would be file and folder at once.
    #[error("refname conflict")]
    Conflict {
        /// That ref.
        with: String,
    },
    /// Somebody else is moving it, or died while doing so.
    #[error("failed to update ref")]
    Locked {
        /// The lock file.
        file: String,
    },
    /// What its file holds is no value to compare with.
    #[error("reference broken")]
    Broken {
        /// The file.
        file: String,
    },
    /// Whoever watches transactions does not want it.
    #[error("ref updates aborted by hook")]
    Forbidden,
    /// Another ref of the transaction could not be moved, or was in doubt.
    #[error("atomic transaction failed")]
    Atomic,
    /// The operating system refused.
    #[error("failed to update ref")]
    Io {
        /// The file.
        file: String,
        /// Its word.
        error: std::io::Error,
    },
    /// The refs could not be read.
    #[error("failed to update ref")]
    Unreadable(#[source] RefError),
}

impl UpdateError {
    /// True when somebody else was faster: what the caller knew of the ref was true once.
    pub fn is_lost_race(&self) -> bool {
        matches!(self, Self::Stale { .. } | Self::Exists { .. } | Self::Absent)
    }

    /// What happened, with the names of files, for the log.
    pub fn detail(&self) -> String {
        match self {
            Self::Stale { found } | Self::Exists { found } => format!("{self}: is at {found}"),
            Self::Conflict { with } => format!("{self}: '{with}' exists"),
            Self::Locked { file } => format!("{self}: '{file}' exists"),
            Self::Broken { file } => format!("{self}: {file}"),
            Self::Io { file, error } => format!("{self}: {file}: {error}"),
            Self::Unreadable(error) => format!("{self}: {error}"),
            _ => self.to_string(),
        }
    }

    /// The same once more, for another ref that failed for the same reason.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Locked { file } => Self::Locked { file: file.clone() },
            Self::Forbidden => Self::Forbidden,
            Self::Io { file, error } => Self::Io {
                file: file.clone(),
                error: std::io::Error::new(error.kind(), error.to_string()),
            },
            other => {
                Self::Io { file: "refs".to_owned(), error: std::io::Error::other(other.detail()) }
            }
        }
    }

    pub(super) fn io(path: &Path, error: std::io::Error) -> Self {
        Self::Io { file: path.display().to_string(), error }
    }
}

impl From<RefError> for UpdateError {
    fn from(error: RefError) -> Self {
        Self::Unreadable(error)
    }
}
