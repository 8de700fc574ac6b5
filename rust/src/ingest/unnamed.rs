//! Objects that have been made and wait for their names.
//!
//! In: contents, as deltas are resolved. Out: their names, many at once, which is several times as
//! fast as one after the other ([`crate::hash::hash_many`]). Bounded in number and bytes.

use std::sync::Arc;

use crate::hash::{CollisionAttack, HashKind, Message, ObjectId, checked_names};
use crate::object::{LooseHeader, ObjectKind};

/// Objects named at once: several for each lane, so that long ones do not leave the other lanes idle.
const MOST: usize = 64;

/// Bytes that wait, little enough to be in the CPU's cache still.
const MOST_BYTES: usize = 768 * 1024;

struct Waiting {
    entry: u32,
    kind: ObjectKind,
    depth: u32,
    content: Arc<Vec<u8>>,
}

/// An object with its name.
pub(super) struct Named {
    pub(super) entry: u32,
    pub(super) kind: ObjectKind,
    /// Deltas from its root.
    pub(super) depth: u32,
    pub(super) content: Arc<Vec<u8>>,
    pub(super) id: ObjectId,
}

/// What waits.
pub(super) struct Unnamed {
    hash: HashKind,
    waiting: Vec<Waiting>,
    bytes: usize,
}

impl Unnamed {
    pub(super) fn new(hash: HashKind) -> Self {
        Self { hash, waiting: Vec::with_capacity(MOST), bytes: 0 }
    }

    /// Adds an object; true when it is time to call [`Unnamed::name`].
    pub(super) fn add(
        &mut self,
        entry: u32,
        kind: ObjectKind,
        depth: u32,
        content: Arc<Vec<u8>>,
    ) -> bool {
        self.bytes += content.len();
        self.waiting.push(Waiting { entry, kind, depth, content });
        self.waiting.len() >= MOST || self.bytes >= MOST_BYTES
    }

    /// Names all that wait, unless one is part of a collision attack.
    pub(super) fn name(&mut self) -> Result<Vec<Named>, CollisionAttack> {
        let header = |object: &Waiting| LooseHeader::new(object.kind, object.content.len() as u64);
        let headers: Vec<LooseHeader> = self.waiting.iter().map(header).collect();
        let messages: Vec<Message<'_>> = headers
            .iter()
            .zip(&self.waiting)
            .map(|(header, object)| (header.as_bytes(), &object.content[..]))
            .collect();
        let mut ids = Vec::with_capacity(messages.len());
        checked_names(self.hash, &messages, &mut ids)?;
        self.bytes = 0;
        let named = |(object, id): (Waiting, ObjectId)| {
            let Waiting { entry, kind, depth, content } = object;
            Named { entry, kind, depth, content, id }
        };
        Ok(self.waiting.drain(..).zip(ids).map(named).collect())
    }
}
