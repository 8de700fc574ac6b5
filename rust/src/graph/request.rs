//! What is asked of an enumeration, and what it answers.

use super::filter::Filter;
use super::seen::SeenSet;
use super::shallow::Shallow;
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::source::ObjectNumber;

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

/// What a client lacks.
#[derive(Debug, Default)]
pub struct Enumeration {
    /// Each object once: commits with the newest first, tags, then trees and blobs in the order
    /// in which those commits' trees name them first. The same for the same request, whatever
    /// the number of threads.
    pub objects: Vec<Found>,
    /// Objects at the boundary that the client surely has: bases for thin packs.
    pub client_has: SeenSet,
    /// Boundary trees and blobs that share a name hash with an object to be sent; empty unless
    /// thin.
    pub preferred_bases: Vec<Found>,
}
