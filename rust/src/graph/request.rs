//! What is asked of an enumeration, and what it answers.

use std::sync::Arc;

use super::edges::BoundaryNames;
use super::filter::Filter;
use super::seen::SeenSet;
use super::shallow::Shallow;
use crate::bitmap::{Bits, Reachability};
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectSource, SourceError};

/// Which objects: those that `wants` reach and `haves` do not.
#[derive(Debug, Clone, Default)]
pub struct WalkRequest {
    /// Objects of any kind; each is sent, whatever the filter says of it.
    pub wants: Vec<ObjectId>,
    /// Objects that the client has with all they reach, down to its shallow commits.
    pub haves: Vec<ObjectId>,
    /// Where histories end early.
    pub shallow: Shallow,
    /// What to leave out.
    pub filter: Filter,
    /// For `include-tag`: tag objects and what each peels to. A tag goes along with its target.
    pub tags: Vec<(ObjectId, ObjectId)>,
    /// The client takes deltas against objects it has: collect preferred bases.
    pub thin: bool,
    /// Threads to use at most; 0 counts as 1.
    pub threads: usize,
    /// Leave the repository's bitmaps alone (`pack.useBitmaps=false`).
    pub no_bitmaps: bool,
    /// Trees and blobs that are not here are left out: the client knows where else to get them.
    /// Only for repositories that are partial clones themselves.
    pub leave_missing: bool,
    /// Of what would be sent, these stay behind: the client gets them elsewhere
    /// (`packfile-uris`).
    pub leave_out: Vec<ObjectId>,
}

/// An object to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub number: ObjectNumber,
    /// [`super::name_hash()`] of the first path it was found at; 0 for commits, tags, root trees.
    pub name_hash: u32,
    /// Its kind.
    pub kind: ObjectKind,
}

/// Objects of a pack, or of the packs of a multi-pack-index, named by their bits.
#[derive(Debug, Clone)]
pub struct Stored {
    /// What the bits mean.
    pub reach: Arc<Reachability>,
    /// Which.
    pub bits: Bits,
}

impl Stored {
    /// The objects one by one, from a bit on; as they are packed, where new ones mostly come
    /// before old ones.
    pub fn found_from(&self, first: u32) -> impl Iterator<Item = Found> + '_ {
        self.bits.ones_from(first).map(|bit| self.found(bit))
    }

    /// The object of a bit.
    #[inline]
    pub fn found(&self, bit: u32) -> Found {
        let number = self.reach.numbers()[bit as usize];
        Found { number, name_hash: self.reach.name_hash(number), kind: self.reach.kind(bit) }
    }

    /// Is this object among them?
    pub fn contains(&self, number: ObjectNumber) -> bool {
        self.reach.bit(number).is_some_and(|bit| self.bits.contains(bit))
    }
}

/// Objects that a client surely has, as far as a walk came by them.
#[derive(Debug, Default)]
pub struct ClientHas {
    pub(super) numbers: SeenSet,
    pub(super) names: BoundaryNames,
}

impl ClientHas {
    /// Is this object of `source` among them?
    pub fn contains(&self, source: &dyn ObjectSource, number: ObjectNumber) -> bool {
        self.numbers.contains(number) || self.names.contains(&source.id(number))
    }
}

impl From<SeenSet> for ClientHas {
    fn from(numbers: SeenSet) -> Self {
        Self { numbers, names: BoundaryNames::default() }
    }
}

/// What a client lacks.
#[derive(Debug, Default)]
pub struct Enumeration {
    /// Each object that is not in `stored`, once: commits with the newest first, tags, then trees and blobs in the order
    /// in which those commits' trees name them first. The same for the same request, whatever
    /// the number of threads.
    pub objects: Vec<Found>,
    /// Objects that bitmaps named.
    pub stored: Option<Stored>,
    /// Objects at the boundary that the client surely has: bases for thin packs.
    pub client_has: ClientHas,
    /// Boundary trees and blobs that share a name hash with an object to be sent; empty unless
    /// thin.
    pub preferred_bases: Vec<Found>,
    /// Those of [`WalkRequest::leave_out`] that would have been sent.
    pub left_out: Vec<ObjectId>,
}

impl Enumeration {
    /// Takes these out.
    pub(super) fn leave_out(
        &mut self,
        source: &dyn ObjectSource,
        ids: &[ObjectId],
    ) -> Result<(), SourceError> {
        let mut asked = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(number) = source.lookup(id)? {
                asked.push((number, *id));
            }
        }
        asked.sort_unstable_by_key(|&(number, _)| number);
        asked.dedup_by_key(|&mut (number, _)| number);
        let place = |number| asked.binary_search_by_key(&number, |&(number, _)| number).ok();
        let mut met = vec![false; asked.len()];
        self.objects.retain(|found| match place(found.number) {
            Some(place) => {
                met[place] = true;
                false
            }
            None => true,
        });
        if let Some(stored) = &mut self.stored {
            for (&(number, _), met) in asked.iter().zip(&mut met) {
                if let Some(bit) = stored.reach.bit(number).filter(|&bit| stored.bits.contains(bit))
                {
                    stored.bits.remove(bit);
                    *met = true;
                }
            }
        }
        let left = asked.iter().zip(&met).filter(|&(_, &met)| met);
        self.left_out = left.map(|(&(_, id), _)| id).collect();
        Ok(())
    }

    /// How many objects it names.
    pub fn len(&self) -> usize {
        self.objects.len() + self.stored.as_ref().map_or(0, |stored| stored.bits.count() as usize)
    }

    /// Is nothing lacking?
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.stored.as_ref().is_none_or(|stored| stored.bits.is_empty())
    }
}
