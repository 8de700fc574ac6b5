//! What earlier searches learnt about the object at hand, and what this one adds.
//!
//! Without a memory (foreign sources, [`super::PlanOptions::remember`] off) nothing is known and
//! nothing is kept; the search is the same.

use std::sync::Arc;

use super::search::Candidate;
use crate::delta::{DeltaMemory, Known, KnownDelta, Outcome, Tried, short};
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, SourceError};

/// What is remembered of one object at a time.
pub(super) struct Recall<'s> {
    source: &'s dyn ObjectSource,
    memory: Option<&'s DeltaMemory>,
    target: Option<ObjectId>,
    known: Option<Arc<Known>>,
    learnt: Vec<Tried>,
}

impl<'s> Recall<'s> {
    pub(super) fn new(source: &'s dyn ObjectSource, remember: bool) -> Self {
        let memory = source.delta_memory().filter(|_| remember).map(|memory| &**memory);
        Self { source, memory, target: None, known: None, learnt: Vec::new() }
    }

    /// The name by which a base is remembered.
    pub(super) fn key(&self, base: ObjectNumber) -> u32 {
        self.memory.map_or(0, |_| short(&self.source.id(base)))
    }

    /// Turns to this object.
    pub(super) fn begin(&mut self, target: ObjectNumber) {
        let Some(memory) = self.memory else { return };
        let id = self.source.id(target);
        self.known = memory.recall(&id);
        self.target = Some(id);
        self.learnt.clear();
    }

    /// How it went with this base before.
    pub(super) fn outcome(&self, base: u32) -> Option<Outcome> {
        self.known.as_ref()?.outcome(base)
    }

    /// Notes how it went now.
    pub(super) fn note(&mut self, base: u32, outcome: Outcome) {
        if self.memory.is_some() {
            self.learnt.extend(Tried::new(base, outcome));
        }
    }

    /// The delta against this base: inflated size and zlib stream.
    pub(super) fn delta(&self, base: ObjectNumber) -> Option<(u64, Arc<[u8]>)> {
        let delta = self.known.as_ref()?.delta(&self.source.id(base))?;
        Some((delta.size, Arc::clone(&delta.deflated)))
    }

    /// The compressed object.
    pub(super) fn whole(&self) -> Option<Arc<[u8]>> {
        self.known.as_ref()?.whole.clone()
    }

    /// Keeps what was learnt of the object; `delta`: base, inflated size, zlib stream.
    pub(super) fn end(
        &mut self,
        target: &Candidate,
        delta: Option<(ObjectNumber, u64, &Arc<[u8]>)>,
        whole: Option<&Arc<[u8]>>,
    ) {
        let (Some(memory), Some(id)) = (self.memory, self.target.take()) else { return };
        let known = self.known.take();
        let delta = delta.and_then(|(base, size, deflated)| {
            let base = self.source.id(base);
            let is_new = known.as_ref().is_none_or(|known| known.delta(&base).is_none());
            is_new.then(|| KnownDelta { base, size, deflated: Arc::clone(deflated) })
        });
        let whole = whole.filter(|_| known.as_ref().is_none_or(|known| known.whole.is_none()));
        if known.is_some() && self.learnt.is_empty() && delta.is_none() && whole.is_none() {
            return;
        }
        let more = match &known {
            Some(known) => known.with(&self.learnt, delta, whole.cloned()),
            None => Known::new(target.kind, target.size).with(&self.learnt, delta, whole.cloned()),
        };
        memory.learn(&id, more);
    }
}

/// Tells kind and size of objects, without reading what is remembered.
pub(super) struct Shapes<'s> {
    source: &'s dyn ObjectSource,
    memory: Option<&'s DeltaMemory>,
    reader: Option<Box<dyn ObjectReader + 's>>,
}

impl<'s> Shapes<'s> {
    pub(super) fn new(source: &'s dyn ObjectSource, remember: bool) -> Self {
        let memory = source.delta_memory().filter(|_| remember).map(|memory| &**memory);
        Self { source, memory, reader: None }
    }

    /// Kind and inflated size of an object that is stored whole.
    pub(super) fn of_whole(
        &mut self,
        number: ObjectNumber,
    ) -> Result<(ObjectKind, u64), SourceError> {
        let source = self.source;
        self.reader.get_or_insert_with(|| source.reader()).header(number)
    }

    /// Kind and inflated size of any object: of a delta they are as costly as of a small object
    /// all its content.
    pub(super) fn of(&mut self, number: ObjectNumber) -> Result<(ObjectKind, u64), SourceError> {
        let Some(memory) = self.memory else { return self.of_whole(number) };
        let id = self.source.id(number);
        if let Some(shape) = memory.shape(&id) {
            return Ok(shape);
        }
        let (kind, size) = self.of_whole(number)?;
        memory.learn(&id, Known::new(kind, size));
        Ok((kind, size))
    }
}
