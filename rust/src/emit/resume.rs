//! Going on with a pack whose maker has gone, after some of it was sent.
//!
//! In: what a client has of a pack, in the file that it was read from. Out: the rest of the same
//! pack, from whoever makes it next. A pack follows from its request and from how its objects are
//! stored, so it mostly comes out as before; that it does is compared, byte for byte, before
//! anything is sent.

use std::sync::Arc;

use crate::cache::Reader;
use crate::graph::{CommitTable, WalkRequest};
use crate::plan::PlanOptions;
use crate::source::ObjectSource;

/// All that a pack is made from.
#[derive(Clone)]
pub(super) struct Recipe {
    pub(super) source: Arc<dyn ObjectSource>,
    pub(super) commits: Arc<CommitTable>,
    pub(super) request: WalkRequest,
    pub(super) plan: PlanOptions,
}

/// How the pack is had after its maker has gone; one after the other until it comes out the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As at first: from the cache, so that of several who wait one makes it for all.
    Cache,
    /// By this request, for its client alone.
    Alone,
    /// The same without bitmaps. They list objects in another order than a walk does, and those
    /// that are learnt may have come, or gone, since the pack was begun.
    Walking,
}

impl Way {
    /// What to try when this has failed.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Way::Cache => Some(Way::Alone),
            Way::Alone => Some(Way::Walking),
            Way::Walking => None,
        }
    }
}

/// What a client has of a pack.
#[derive(Clone)]
pub(super) struct Sent {
    reader: Arc<Reader>,
    length: u64,
    /// How much of what is made anew was compared.
    at: u64,
    buffer: Vec<u8>,
}

impl Sent {
    /// All that was read so far.
    pub(super) fn of(reader: Reader) -> Self {
        let length = reader.given();
        Self { reader: Arc::new(reader), length, at: 0, buffer: Vec::new() }
    }

    /// So much.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// The file that holds it.
    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// From the first byte again.
    pub(super) fn afresh(mut self) -> Self {
        self.at = 0;
        self
    }

    /// Was all of it compared?
    pub(super) fn is_met(&self) -> bool {
        self.at == self.length
    }

    /// Of the next bytes of the pack made anew, those that the client lacks; `None` when the
    /// others are not what it has.
    pub(super) fn lacks<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let had = (self.length - self.at).min(bytes.len() as u64) as usize;
        let (again, new) = bytes.split_at(had);
        self.buffer.resize(had, 0);
        self.reader.read_again(self.at, &mut self.buffer).ok()?;
        if self.buffer != again {
            return None;
        }
        self.at += had as u64;
        if self.is_met() {
            self.buffer = Vec::new();
        }
        Some(new)
    }
}
