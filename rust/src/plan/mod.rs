//! Deciding, before the first byte of a pack is sent, how each of its objects will be written.
//!
//! In: what [`crate::graph::enumerate`] found, and what the client can take. Out: a [`PackPlan`],
//! the steps in which [`crate::emit`] writes the pack. A step is a *run* of entries copied from a
//! stored pack as they lie there, one entry copied behind a new header, or an object that is
//! compressed anew. The pack's format is `gitformat-pack`; how candidates for new deltas are
//! ordered follows `pack-heuristics` in Git's documentation. Buffers, bands and sockets are not
//! known here.
//!
//! The stages, a file each: [`slots`] finds where every object lies, [`reuse`] which stored deltas
//! can be sent as they are, [`search`] makes deltas for the rest (or takes those that [`recall`]
//! knows, of each other and of [`bases`] that are elsewhere), [`order`] puts bases before
//! what is made of them and joins neighbours to runs. [`whole`] goes before them all, and
//! [`stretches`] takes what bitmaps name out of their way.

mod bases;
mod order;
mod recall;
mod reuse;
mod search;
mod slots;
mod stretches;
mod whole;
mod window;

use std::sync::Arc;
use std::time::Duration;

use self::bases::Bases;
use self::stretches::Stretches;
use crate::graph::{ClientHas, Enumeration, Found};
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::{Phase, Watch};

/// Memory of each object that bitmaps named and that is looked at by itself: slots, candidates, steps.
const BYTES_EACH: u64 = 250;

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The repository could not give what it must.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// More objects than a pack's header counts.
    #[error("{0} objects do not fit one pack")]
    TooMany(usize),
}

/// What the client can take, and what the search for deltas may cost.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// Deltas against objects that only the client has are welcome (`thin-pack`).
    pub thin: bool,
    /// Deltas may name their base by distance (`ofs-delta`).
    pub ofs_delta: bool,
    /// Threads of the delta search; 0: one a core.
    pub threads: usize,
    /// How many neighbours are tried as bases of an object (`pack.window`).
    pub window: usize,
    /// The longest chain a new delta may make (`pack.depth`).
    pub depth: u32,
    /// Blobs above this are never held in memory, so never made deltas (`core.bigFileThreshold`).
    pub big_file_threshold: u64,
    /// Bytes that the windows of all threads hold together. An object above a third of it makes
    /// no delta.
    pub search_memory: u64,
    /// Bytes of new deltas and newly compressed objects that are kept until they are sent; what
    /// does not fit is made a second time.
    pub keep_memory: u64,
    /// A pack of which a bitmap tells that it is wanted whole is copied without a look at its
    /// objects (`pack.allowPackReuse`).
    pub reuse_packs: bool,
    /// Stored deltas are sent as they are, where they serve. Otherwise all are searched anew, and
    /// more thoroughly than a client is made to wait for.
    pub reuse_deltas: bool,
    /// Stored deltas deeper in their chain than this are made anew. Deltas that come from several
    /// packs make longer chains together than any pack has.
    pub reused_depth: u32,
    /// Objects are written in the order in which they were found, not in that in which they are
    /// stored: for packs that are to stay.
    pub as_found: bool,
    /// zlib's level for what is compressed anew (`pack.compression`).
    pub level: i32,
    /// Use and extend what earlier searches learnt ([`crate::delta::DeltaMemory`]).
    pub remember: bool,
    /// When the search has taken so long, what it has not come to is sent without a delta: a
    /// client should not give up on a pack that would be a little smaller.
    pub search_time: Duration,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            thin: false,
            ofs_delta: false,
            threads: 0,
            window: 10,
            depth: 50,
            big_file_threshold: 512 << 20,
            search_memory: 384 << 20,
            keep_memory: 128 << 20,
            reuse_packs: true,
            reuse_deltas: true,
            reused_depth: u32::MAX,
            as_found: false,
            level: crate::zlib::DEFAULT_LEVEL,
            remember: true,
            search_time: Duration::from_secs(120),
        }
    }
}

/// Where the base of a delta is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseAt {
    /// In this pack: this many bytes into what that earlier step writes.
    Sent {
        /// Index of the step.
        step: u32,
        /// Bytes into it; 0 unless the step is a run.
        within: u64,
    },
    /// Named: the client has it, or cannot take distances.
    Named(ObjectNumber),
}

/// One piece of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Entries that follow each other in a stored pack, copied as they are.
    Run {
        /// The stored pack.
        pack: u32,
        /// Offset of its first entry.
        start: u64,
        /// Offset behind its last entry.
        end: u64,
        /// How many entries.
        objects: u32,
    },
    /// A stored delta behind a new header.
    Moved {
        /// The stored pack.
        pack: u32,
        /// Offset of the entry.
        offset: u64,
        /// Offset behind the entry.
        end: u64,
        /// Where its base is now.
        base: BaseAt,
    },
    /// Compressed while planning: index into [`PackPlan::made`].
    Made(u32),
    /// To be read and compressed when its turn comes.
    Whole(ObjectNumber),
    /// A delta that did not fit [`PlanOptions::keep_memory`]: to be made again.
    Remake {
        /// The object.
        target: ObjectNumber,
        /// What it is a delta of.
        base: ObjectNumber,
        /// Where that is.
        at: BaseAt,
    },
}

/// An entry compressed while planning.
#[derive(Debug)]
pub struct MadeEntry {
    /// Which object.
    pub number: ObjectNumber,
    /// What it is.
    pub kind: ObjectKind,
    /// Where its base is; `None` when it is whole.
    pub base: Option<BaseAt>,
    /// Inflated size: of the object, or of the delta.
    pub size: u64,
    /// The zlib stream.
    pub deflated: Arc<[u8]>,
}

/// What the last line of progress says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanCounts {
    /// Objects in the pack.
    pub objects: u32,
    /// Deltas among them.
    pub deltas: u32,
    /// Objects whose compressed bytes are copied.
    pub reused: u32,
    /// Deltas among those.
    pub reused_deltas: u32,
    /// Objects that nobody looked at one by one, because a bitmap tells that a whole stretch of a
    /// pack goes out as it is. They are in none of the other counts but the first.
    pub verbatim: u32,
}

/// How a pack will be written.
#[derive(Debug, Default)]
pub struct PackPlan {
    /// In the order of the pack.
    pub steps: Vec<Step>,
    /// What was compressed already.
    pub made: Vec<MadeEntry>,
    /// How much of what.
    pub counts: PlanCounts,
}

impl PackPlan {
    /// Plans the pack of these objects.
    pub fn new(
        source: &dyn ObjectSource,
        enumeration: Enumeration,
        options: &PlanOptions,
        watch: &Watch,
    ) -> Result<Self, PlanError> {
        let total = enumeration.len();
        let Enumeration { mut objects, stored, client_has, preferred_bases, left_out: _ } =
            enumeration;
        let count = u32::try_from(total).ok().filter(|&n| n < u32::MAX);
        let count = count.ok_or(PlanError::TooMany(total))?;
        watch.begin(Phase::Counting, Some(u64::from(count)));
        let (mut stretches, walked) = (None, objects.len());
        if let Some(stored) = stored {
            if options.ofs_delta
                && options.reuse_packs
                && objects.is_empty()
                && let Some(plan) = whole::plan_stored(source, &stored, watch)
            {
                return Ok(plan);
            }
            if options.takes_stretches() {
                stretches = Stretches::take(source, &stored, &mut objects, watch)?;
            } else {
                objects.extend(stored.found_from(0));
            }
        }
        if let Some(turn) = watch.turn() {
            // what is copied in stretches needs none of it
            turn.needs_more((objects.len() - walked) as u64 * BYTES_EACH);
        }
        let clients = if options.thin { preferred_bases } else { Vec::new() };
        let bases = Bases { clients, ..Bases::default() };
        let mut rest = Rest { source, objects, client_has: &client_has, bases };
        let Some(stretches) = stretches else { return rest.plan(None, options, watch) };
        rest.bases.before = stretches.bases_of(source, &rest.objects, watch)?;
        let rest = rest.plan(Some(&stretches), options, watch)?;
        Ok(stretches.followed_by(source, rest))
    }
}

impl PlanOptions {
    /// May what bitmaps name be copied without a look at each object?
    fn takes_stretches(&self) -> bool {
        let as_stored = !self.as_found && self.reused_depth == u32::MAX;
        self.reuse_packs && self.ofs_delta && self.reuse_deltas && as_stored
    }
}

/// Objects that are looked at one by one.
struct Rest<'a> {
    source: &'a dyn ObjectSource,
    objects: Vec<Found>,
    client_has: &'a ClientHas,
    bases: Bases,
}

impl Rest<'_> {
    fn plan(
        self,
        stretches: Option<&Stretches>,
        options: &PlanOptions,
        watch: &Watch,
    ) -> Result<PackPlan, PlanError> {
        let Self { source, objects, client_has, bases } = self;
        // what the client has cannot shorten a pack in which nothing is compressed anew
        if stretches.is_none()
            && options.ofs_delta
            && options.reuse_deltas
            && let Some(plan) = whole::plan(source, &objects, watch)?
        {
            return Ok(plan);
        }
        let mut slots = slots::Slots::gather(source, &objects, watch)?;
        drop(objects);
        if options.reuse_deltas {
            let beside = reuse::Beside { client: options.thin.then_some(client_has), stretches };
            reuse::decide(&mut slots, source, beside, options.reused_depth, watch)?;
        } else {
            reuse::give_up_deltas(&mut slots)?;
        }
        let fresh = search::search(&mut slots, source, &bases, options, watch)?;
        watch.end();
        order::arrange(&slots, fresh, options)
    }
}

#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod packed_tests;
#[cfg(test)]
mod tests;
