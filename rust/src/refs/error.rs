use crate::source::SourceError;

/// Why refs could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RefError {
    /// The operating system refused.
    #[error("{file}: {error}")]
    Io {
        /// Path of the file.
        file: String,
        /// Its word.
        error: std::io::Error,
    },
    /// A line of `packed-refs` is none.
    #[error("{file}:{line}: {what}")]
    Corrupt {
        /// Path of the file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A reftable is none, or damaged.
    #[error("{file}: byte {offset}: {what}")]
    CorruptTable {
        /// Path of the file.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A table is named in the list of tables, and is not there.
    #[error("{file}: is named in tables.list and is not there")]
    MissingTable {
        /// Path of the file.
        file: String,
    },
    /// A file is larger than anything reasonable.
    #[error("{file}: {size} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Path of the file.
        file: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The capabilities do not fit into a pkt-line.
    #[error("capabilities of {0} bytes do not fit into a pkt-line")]
    CapabilitiesTooLong(usize),
    /// The objects could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl RefError {
    /// An error of the operating system about `path`.
    pub(super) fn io(path: &std::path::Path, error: std::io::Error) -> Self {
        RefError::Io { file: path.display().to_string(), error }
    }
}
