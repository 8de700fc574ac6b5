//! Where objects come from: the seam between a repository and everything that walks or packs it.
//!
//! There are two sources, the disk ([`crate::store::Snapshot`]) and somebody's Python object
//! store; one pipeline serves both. A source numbers its objects densely, so that walks keep
//! bit sets and 4-byte records instead of sets of names.

use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;
use crate::pack::delta::DeltaError;
use crate::pack::entry::EntryError;
use crate::zlib::ZlibError;

/// The dense number of an object within one source.
///
/// Stable for the life of the source value; one object has one number, however many copies of
/// it the repository holds.
pub type ObjectNumber = u32;

/// Why a source could not give an object.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// An object that must be there is not.
    #[error("object {0} is missing")]
    Missing(ObjectId),
    /// The file holds bytes that are no such object. Names the file for the log.
    #[error("{file}: {what}")]
    Corrupt {
        /// Path of the file, or the name of the foreign store.
        file: String,
        /// What is wrong and where.
        what: String,
    },
    /// The object is not of the kind its place demands.
    #[error("object {id} is a {found}, not a {wanted}", found = .found.name(), wanted = .wanted.name())]
    WrongKind {
        /// Which object.
        id: ObjectId,
        /// What it is.
        found: ObjectKind,
        /// What was needed.
        wanted: ObjectKind,
    },
    /// The object's content cannot be read as its kind.
    #[error("object {id} is a malformed {kind}", kind = .kind.name())]
    Malformed {
        /// Which object.
        id: ObjectId,
        /// What it should be.
        kind: ObjectKind,
    },
    /// The operating system refused.
    #[error("{file}: {error}")]
    Io {
        /// Path of the file.
        file: String,
        /// Its word.
        error: std::io::Error,
    },
    /// Larger than the caller's limit.
    #[error("object {id} has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Which object.
        id: ObjectId,
        /// Its inflated size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The request was given up (its client went away).
    #[error("cancelled")]
    Cancelled,
    /// The work took longer than it may.
    #[error("took longer than {seconds} seconds")]
    TooLong {
        /// The limit.
        seconds: u64,
    },
    /// The work would hold more memory than it may.
    #[error("took more than {limit} bytes of memory")]
    TooMuch {
        /// The limit.
        limit: u64,
    },
    /// Whoever was to have the answer closed the connection.
    #[error("the remote end hung up unexpectedly")]
    ClientGone,
    /// Too many large requests wait already.
    #[error("the server is busy")]
    Busy,
    /// A foreign store raised; its own words.
    #[error("object store: {0}")]
    Foreign(String),
}

impl SourceError {
    /// A corrupt zlib stream, entry header or delta at `offset` of `file`.
    pub fn corrupt_at(file: &str, offset: u64, what: impl std::fmt::Display) -> Self {
        SourceError::Corrupt { file: file.to_owned(), what: format!("at offset {offset}: {what}") }
    }
}

/// What a pack entry can be wrong in.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum DecodeError {
    /// Its header.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Its zlib stream.
    #[error(transparent)]
    Zlib(#[from] ZlibError),
    /// Its delta.
    #[error(transparent)]
    Delta(#[from] DeltaError),
}

/// Where a stored copy of an object's compressed bytes is, for verbatim reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedAt {
    /// Index of the pack, for [`ObjectSource::pack`].
    pub pack: u32,
    /// Offset of the entry in it.
    pub offset: u64,
}

/// A repository's objects, as one immutable value.
pub trait ObjectSource: Send + Sync {
    /// The object format.
    fn hash_kind(&self) -> HashKind;

    /// The number of the object of this name; `None` when the repository has no such object.
    fn lookup(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError>;

    /// [`ObjectSource::lookup`] for what a client says it has: what a pack that is damaged or lost may
    /// have held counts as not there. That may be the trace of a push that nobody was told of,
    /// and is no reason to refuse what others hold. Not for what is to be left out or cut off.
    fn lookup_usable(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        match self.lookup(id) {
            Err(SourceError::Corrupt { .. }) => Ok(None),
            found => found,
        }
    }

    /// A cheaper [`ObjectSource::lookup`] for one request that asks for many names which are
    /// mostly not there, and does not mind to miss what appears meanwhile; `None`: there is none.
    fn bulk_lookup(&self) -> Option<Box<dyn BulkLookup + '_>> {
        None
    }

    /// The name behind a number that this source gave out.
    fn id(&self, number: ObjectNumber) -> ObjectId;

    /// All numbers given out so far are below this; it may grow with further look-ups.
    fn number_bound(&self) -> u32;

    /// Where the object's packed bytes are; `None` for loose and foreign objects.
    fn packed_at(&self, number: ObjectNumber) -> Option<PackedAt>;

    /// The number of the object whose entry begins at `offset` of a pack; `None` where no entry
    /// begins, and for foreign sources.
    fn number_at_offset(&self, _pack: u32, _offset: u64) -> Option<ObjectNumber> {
        None
    }

    /// A pack that [`ObjectSource::packed_at`] named.
    fn pack(&self, pack: u32) -> Option<&std::sync::Arc<crate::store::Pack>>;

    /// How many hexadecimal digits tell this name from all others, and how many packed objects
    /// there are: what abbreviations are made of. A source that cannot list its objects knows
    /// of no other.
    fn abbreviation(&self, _id: &ObjectId) -> Result<(usize, u64), SourceError> {
        Ok((1, 0))
    }

    /// What is wrong in the repository's files and was left out; for the log. Given once.
    fn take_warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The bitmaps of a repository that has them, or else those that requests learnt: what they
    /// say of position `n` is about the object of number `n`. Opening them may take a while.
    /// `None` for foreign sources.
    fn reachability(&self) -> Option<std::sync::Arc<crate::bitmap::Reachability>> {
        None
    }

    /// Would [`ObjectSource::reachability`] give something? Told without opening it.
    fn may_have_reachability(&self) -> bool {
        false
    }

    /// Where requests keep what they learn of reachability; `None`: it is not kept, or there is
    /// no need because it is stored.
    fn reach_memory(&self) -> Option<&crate::bitmap::ReachMemory> {
        None
    }

    /// The commit-graph files of a repository that has some; opening them takes milliseconds.
    fn commit_graphs(&self) -> Option<&crate::commitgraph::CommitGraphs> {
        None
    }

    /// What earlier requests learnt about deltas between its objects; `None`: nothing is kept.
    fn delta_memory(&self) -> Option<&std::sync::Arc<crate::delta::DeltaMemory>> {
        None
    }

    /// A reader: scratch space, zlib state and base cache for one thread.
    fn reader(&self) -> Box<dyn ObjectReader + '_>;

    /// The same, which keeps `bytes` of bases at most, where many requests at once read little each.
    fn brief_reader(&self, bytes: usize) -> Box<dyn ObjectReader + '_> {
        let _ = bytes;
        self.reader()
    }
}

/// See [`ObjectSource::bulk_lookup`].
pub trait BulkLookup: Sync {
    /// The number of the object of this name.
    fn find(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError>;
}

/// Reads objects for one thread.
pub trait ObjectReader {
    /// Kind and inflated size, without inflating more than headers (and delta sizes) need.
    fn header(&mut self, number: ObjectNumber) -> Result<(ObjectKind, u64), SourceError>;

    /// The whole object. The content lives until the next call.
    fn read(&mut self, number: ObjectNumber) -> Result<(ObjectKind, &[u8]), SourceError>;

    /// The whole object in the place of what is in `out`. For objects that are read once, and are
    /// nobody's base: they are not kept in mind.
    fn read_into(
        &mut self,
        number: ObjectNumber,
        out: &mut Vec<u8>,
    ) -> Result<ObjectKind, SourceError> {
        let (kind, content) = self.read(number)?;
        out.clear();
        out.extend_from_slice(content);
        Ok(kind)
    }

    /// Streams a large object: `sink` gets its content in pieces of bounded size.
    ///
    /// Objects stored whole are inflated piece by piece in constant memory. `sink` returns false
    /// to stop, which gives [`SourceError::Cancelled`].
    fn stream(
        &mut self,
        number: ObjectNumber,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), SourceError>;
}

impl<'a> dyn ObjectReader + 'a {
    /// The whole object, which has to be of this kind.
    pub fn read_as(
        &mut self,
        source: &dyn ObjectSource,
        number: ObjectNumber,
        wanted: ObjectKind,
    ) -> Result<&[u8], SourceError> {
        let (found, content) = self.read(number)?;
        if found == wanted {
            Ok(content)
        } else {
            Err(SourceError::WrongKind { id: source.id(number), found, wanted })
        }
    }
}
