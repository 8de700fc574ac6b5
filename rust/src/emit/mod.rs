//! Writing a pack as a stream of buffers that are ready to send.
//!
//! In: what the client wants and has. Out: chunks of whole side-band packets (or of bare pack
//! bytes), with the progress a person sees among them. One thread enumerates, plans and writes
//! ahead of whoever sends, within a bound; it stops when the stream is cancelled or dropped.
//! The pack follows `gitformat-pack`, the bands `gitprotocol-pack` ("Packfile Data"). Sockets,
//! and what is said before and after the pack, are not known here.

mod chunk;
mod follow;
mod frame;
mod indexing;
mod producer;
mod progress;
mod resume;
mod send;
mod stream;
mod trailer;
mod worth;
mod write;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub use chunk::{Chunk, LentFile};
pub use indexing::WrittenEntry;
pub use send::{SendError, Sending, send_bytes};
pub use stream::{PackStream, Remembered};

use crate::graph::GraphError;
use crate::hash::ObjectId;
use crate::plan::{PackPlan, PlanError};
use crate::source::{ObjectSource, SourceError};
use crate::watch::Watch;

/// Why the pack could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// The repository could not give what it must.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The walk found no way.
    #[error(transparent)]
    Graph(GraphError),
    /// No plan could be made.
    #[error("{0} objects do not fit one pack")]
    TooMany(usize),
    /// No thread could be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// Whoever was to read the pack closed the connection.
    #[error("the remote end hung up unexpectedly")]
    ClientGone,
    /// Somebody else made the pack for this client too, and could not go on.
    #[error("the pack that was being made for several clients is lost")]
    Lost,
    /// Made again, it is another pack than the one that the client has the beginning of.
    #[error("the pack that was being made for several clients comes out otherwise now")]
    Differs,
    /// It could not be written for others to read.
    #[error("remembered pack: {0}")]
    NotWritten(std::io::Error),
    /// The worker panicked: our bug.
    #[error("pack writer: {0}")]
    Bug(String),
}

impl From<GraphError> for EmitError {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Source(error) => EmitError::Source(error),
            error => EmitError::Graph(error),
        }
    }
}

impl From<PlanError> for EmitError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Source(error) => EmitError::Source(error),
            PlanError::TooMany(count) => EmitError::TooMany(count),
        }
    }
}

/// Writes a pack to `sink`, piece by piece; what an index says of its entries, in the order of the
/// pack, and the pack's checksum. The watch counts objects.
pub fn write_pack(
    source: &dyn ObjectSource,
    plan: PackPlan,
    level: i32,
    watch: &Watch,
    mut sink: impl FnMut(Vec<u8>) -> Result<(), SourceError>,
) -> Result<(Vec<WrittenEntry>, ObjectId), SourceError> {
    let written = AtomicU64::new(0);
    let out = frame::Framer::new(0, |chunk: Chunk| sink(chunk.into_bytes()?));
    write::PackWriter::new(source, watch, level, &written, out).write_indexed(plan)
}

/// How the bytes are to arrive.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// The longest packet: 65520 for `side-band-64k`, 1000 for `side-band`, 0 for bare pack bytes.
    pub band_limit: usize,
    /// Tell on band 2 what is being done.
    pub progress: bool,
    /// An empty packet goes out when nothing did for this long; zero: never
    /// (`uploadpack.keepAlive`).
    pub keepalive: Duration,
    /// The descriptor of the client's socket or pipe, open for as long as the stream is: when
    /// nobody reads there any more, the work ends.
    pub client: Option<std::os::fd::RawFd>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { band_limit: 65520, progress: false, keepalive: Duration::from_secs(5), client: None }
    }
}

/// What a stream has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackStats {
    /// Objects in the pack; 0 until it is planned.
    pub objects: u32,
    /// Deltas among them.
    pub deltas: u32,
    /// Objects whose compressed bytes are copied.
    pub reused: u32,
    /// Deltas among those.
    pub reused_deltas: u32,
    /// Objects of stretches of packs that were sent as they are, unseen; not in the last three.
    pub verbatim: u32,
    /// Bytes of the pack written, header and trailer included.
    pub bytes: u64,
}

#[cfg(test)]
mod elsewhere_tests;
#[cfg(test)]
mod remembering_tests;
#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod stretches_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod thin_tests;
#[cfg(test)]
mod trailer_tests;
