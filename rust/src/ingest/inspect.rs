//! Looks at commits, trees and tags while their contents are at hand.
//!
//! In: objects with their names, from whichever thread has just made them. Out: what those wanted to know
//! who would otherwise inflate everything once more: what a pack's objects lead to
//! ([`crate::graph::Links`]), and what is wrong with them ([`crate::fsck::Examiner`]).

use std::sync::Arc;

use crate::allowance::Allowance;
use crate::fsck::{Examiner, Rules};
use crate::graph::{self, Links, Outside};
use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;

/// What is looked for in a pack.
#[derive(Clone)]
pub(super) struct Interest {
    hash: HashKind,
    /// As the pack's header says; 0 until it was read.
    objects: u32,
    gather_from: u32,
    rules: Option<Arc<Rules>>,
    /// What all threads may gather.
    room: Arc<Allowance>,
}

impl Interest {
    pub(super) fn new(hash: HashKind, gather_from: u32) -> Self {
        Self { hash, objects: 0, gather_from, rules: None, room: graph::links_room() }
    }

    /// The pack's header has been read.
    pub(super) fn set_objects(&mut self, objects: u32) {
        self.objects = objects;
    }

    /// Objects are to be examined.
    pub(super) fn set_rules(&mut self, rules: Arc<Rules>) {
        self.rules = Some(rules);
    }

    /// For one thread; `None` where there is nothing to look for.
    pub(super) fn begin(&self) -> Option<Inspection> {
        let gathers = self.objects >= self.gather_from;
        let links = gathers.then(|| Links::new(self.hash, self.objects, Arc::clone(&self.room)));
        let examiner = self.rules.as_ref().map(|rules| Examiner::new(Arc::clone(rules), self.hash));
        (links.is_some() || examiner.is_some()).then_some(Inspection {
            links,
            examiner,
            is_incomplete: false,
        })
    }
}

/// What one thread has seen.
pub(super) struct Inspection {
    links: Option<Links>,
    examiner: Option<Examiner>,
    is_incomplete: bool,
}

impl Inspection {
    /// Does it want to see objects of this kind at all?
    pub(super) fn wants(kind: ObjectKind) -> bool {
        kind != ObjectKind::Blob
    }

    /// An object could not be looked at.
    pub(super) fn incomplete(self) -> Self {
        Self { is_incomplete: true, ..self }
    }

    pub(super) fn look(&mut self, entry: u32, id: &ObjectId, kind: ObjectKind, content: &[u8]) {
        if let Some(links) = &mut self.links {
            links.look(kind, content);
        }
        if let Some(examiner) = &mut self.examiner {
            examiner.look(entry.into(), id, kind, content);
        }
    }
}

/// What all threads have seen together; `None` of what is not known.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) outside: Option<Outside>,
    pub(super) examined: Option<Vec<Examiner>>,
}

/// `kind_of` knows the objects of the pack.
pub(super) fn conclude(
    seen: Vec<Inspection>,
    kind_of: impl Fn(&ObjectId) -> Option<ObjectKind> + Sync,
) -> Seen {
    if seen.is_empty() || seen.iter().any(|seen| seen.is_incomplete) {
        return Seen::default();
    }
    let (mut links, mut examiners) = (Vec::new(), Vec::new());
    for inspection in seen {
        links.extend(inspection.links);
        examiners.extend(inspection.examiner);
    }
    let outside = if links.is_empty() { None } else { graph::outside(links, kind_of) };
    Seen { outside, examined: (!examiners.is_empty()).then_some(examiners) }
}
