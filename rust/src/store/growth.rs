//! The numbers a snapshot gives out after it was made: to loose objects as they are looked up,
//! and to packs that appear beside it.
//!
//! Numbers only grow. A name keeps the number it got first: that is why loose objects and later
//! packs are looked up in one table, in the order in which they came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hash::{IdMap, ObjectId};
use crate::pack::Pack;

/// What was numbered after the snapshot's first packs.
#[derive(Debug, Default)]
pub(super) struct Growth {
    loose: IdMap<Loose>,
    extents: Vec<Extent>,
    next: u32,
}

#[derive(Debug)]
struct Loose {
    number: u32,
    /// The request during which its file was last seen.
    seen: AtomicU64,
}

/// A run of numbers.
#[derive(Debug)]
struct Extent {
    first: u32,
    content: ExtentContent,
}

#[derive(Debug)]
enum ExtentContent {
    Loose(Vec<ObjectId>),
    Pack { place: u32, pack: Arc<Pack> },
}

/// What a number or a name leads to.
#[derive(Debug, Clone)]
pub(super) enum Grown {
    /// A loose object, and whether its file was seen during this request.
    Loose { number: u32, fresh: bool },
    /// An entry of a pack that appeared later.
    Packed { number: u32, place: u32, offset: u64 },
}

impl Growth {
    pub(super) fn starting_at(next: u32) -> Self {
        Self { next, ..Self::default() }
    }

    /// The bound of all numbers.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    pub(super) fn find(&self, id: &ObjectId, request: u64) -> Option<Grown> {
        if let Some(loose) = self.loose.get(id) {
            let fresh = loose.seen.load(Ordering::Relaxed) == request;
            return Some(Grown::Loose { number: loose.number, fresh });
        }
        self.find_packed(id)
    }

    /// Only in the packs that appeared, for a loose object whose file is gone.
    pub(super) fn find_packed(&self, id: &ObjectId) -> Option<Grown> {
        self.extents.iter().find_map(|extent| match &extent.content {
            ExtentContent::Pack { place, pack } => {
                let position = pack.position(id)?;
                let offset = pack.offset_at(position);
                Some(Grown::Packed { number: extent.first + position, place: *place, offset })
            }
            ExtentContent::Loose(_) => None,
        })
    }

    /// Notes that the file of a numbered loose object is (still) there.
    pub(super) fn mark_seen(&self, id: &ObjectId, request: u64) {
        if let Some(loose) = self.loose.get(id) {
            loose.seen.store(request, Ordering::Relaxed);
        }
    }

    /// Numbers a loose object; `None` when numbers have run out.
    pub(super) fn add_loose(&mut self, id: &ObjectId, request: u64) -> Option<u32> {
        let number = self.next;
        self.next = number.checked_add(1)?;
        self.loose.insert(*id, Loose { number, seen: AtomicU64::new(request) });
        match self.extents.last_mut() {
            Some(Extent { content: ExtentContent::Loose(ids), .. }) => ids.push(*id),
            _ => self
                .extents
                .push(Extent { first: number, content: ExtentContent::Loose(vec![*id]) }),
        }
        Some(number)
    }

    /// Numbers the objects of a pack; false when numbers have run out.
    pub(super) fn add_pack(&mut self, place: u32, pack: Arc<Pack>) -> bool {
        let first = self.next;
        let Some(next) = first.checked_add(pack.object_count()) else { return false };
        self.next = next;
        self.extents.push(Extent { first, content: ExtentContent::Pack { place, pack } });
        true
    }

    /// The name of a number from here, and where it is packed.
    pub(super) fn id(&self, number: u32) -> Option<(ObjectId, Option<(u32, u64)>)> {
        let nth = self.extents.partition_point(|extent| extent.first <= number).checked_sub(1)?;
        let extent = &self.extents[nth];
        let position = number - extent.first;
        match &extent.content {
            ExtentContent::Loose(ids) => Some((*ids.get(position as usize)?, None)),
            ExtentContent::Pack { place, pack } => (position < pack.object_count())
                .then(|| (pack.id_at(position), Some((*place, pack.offset_at(position))))),
        }
    }
}
