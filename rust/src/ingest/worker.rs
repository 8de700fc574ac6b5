//! One worker of a resolution: goes down the forest of deltas, one branch after the other.
//!
//! In: roots and branches from [`Resolution`]. Out: names, put there in groups. See
//! [`super::resolve`] for how memory is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::entries::Stored;
use super::entry_reader::EntryReader;
use super::error::IngestError;
use super::existing::Existing;
use super::inspect::Inspection;
use super::resolve::{Frame, Large, Resolution, lock};
use super::unnamed::Unnamed;
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::pack::delta::{self, DeltaError};
use crate::source::SourceError;

/// Names are handed in, progress told and cancellation heard after so many objects.
const GROUP: usize = 256;

pub(super) struct Worker<'a> {
    shared: &'a Resolution<'a>,
    reader: EntryReader<'a>,
    existing: Existing<'a>,
    /// From the root of the branch to where the worker is; bases without deltas left are gone.
    stack: Vec<Frame>,
    /// Bytes of content in the stack.
    held: u64,
    delta: Vec<u8>,
    unnamed: Unnamed,
    done: Vec<(u32, ObjectId, ObjectKind)>,
    inspection: Option<Inspection>,
    /// The others are done: large objects are resolved, not put off.
    alone: bool,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Resolution<'a>, alone: bool) -> Self {
        Self {
            shared,
            reader: EntryReader::new(shared.pack),
            existing: Existing::new(shared.base, shared.known),
            stack: Vec::new(),
            held: 0,
            delta: Vec::new(),
            unnamed: Unnamed::new(shared.pack.hash),
            done: Vec::with_capacity(GROUP),
            inspection: shared.interest.begin(),
            alone,
        }
    }

    /// Works until nobody has work left, or until somebody failed.
    pub(super) fn run(&mut self) -> Result<(), IngestError> {
        let shared = self.shared;
        while !shared.is_stopped() {
            let Some(roots) = shared.next_roots() else { break };
            let names = shared.names_of(roots.clone());
            for (root, name) in roots.zip(&names) {
                self.root(root, name)?;
                self.descend()?;
            }
        }
        while !shared.is_stopped() {
            let mut frame = shared.try_take_frame();
            if frame.is_none() {
                // before waiting: deltas may hang on names that are not made yet
                self.name_all()?;
                if self.stack.is_empty() {
                    let Some(taken) = shared.take_frame() else { break };
                    frame = Some(taken);
                }
            }
            if let Some(frame) = frame {
                self.push(frame);
            }
            self.descend()?;
        }
        self.end()
    }

    /// Hands in the last names, and what was seen.
    pub(super) fn end(&mut self) -> Result<(), IngestError> {
        lock(&self.shared.seen).extend(self.inspection.take());
        self.flush()
    }

    /// An object that was put off, and all that hangs on it.
    pub(super) fn resolve_large(&mut self, object: Large) -> Result<(), IngestError> {
        if object.depth == 0 {
            let entry = object.entry;
            for name in self.shared.names_of(entry..entry + 1) {
                self.root(entry, &name)?;
            }
        } else if let Some(parent) = self.shared.children.parent(self.shared.entries, object.entry)
        {
            let base = self.rebuild(parent)?;
            self.resolve(object.entry, base, object.kind, object.depth)?;
        }
        loop {
            self.descend()?;
            self.name_all()?;
            if self.stack.is_empty() {
                return Ok(());
            }
        }
    }

    /// Hands in what is done.
    pub(super) fn flush(&mut self) -> Result<(), IngestError> {
        let mut names = lock(&self.shared.names);
        for (entry, id, kind) in &self.done {
            names.set(*entry, id.as_bytes());
            names.set_kind(*entry, *kind);
        }
        drop(names);
        self.shared.resolved.fetch_add(self.done.len() as u32, Ordering::AcqRel);
        self.shared.watch.add(self.done.len() as u64);
        self.done.clear();
        Ok(self.shared.watch.check()?)
    }

    /// Takes up an object that is no delta, unless nothing hangs on it.
    fn root(&mut self, entry: u32, id: &ObjectId) -> Result<(), IngestError> {
        let shared = self.shared;
        let outside = entry.checked_sub(shared.entries.len());
        let kind = match outside {
            Some(at) => shared.outside[at as usize].kind,
            None => {
                let Stored::Whole(kind) = shared.entries.stored(entry) else { return Ok(()) };
                // put off as large, it was compared the first time
                if !self.alone {
                    let span = self.span(entry);
                    self.existing.compare_stored(id, kind, &mut self.reader, span)?;
                    self.look_at_missed(entry, id, kind)?;
                }
                kind
            }
        };
        let brood = shared.children.of_object(entry, id.as_bytes());
        if brood.is_empty() {
            return Ok(());
        }
        let size = match outside {
            Some(at) => self.existing.reader().header(shared.outside[at as usize].number)?.1,
            None => {
                let (start, end) = self.span(entry);
                self.reader.open(start, end)?.header.size
            }
        };
        if !self.admit(size, Large { entry, kind, depth: 0 })? {
            return Ok(());
        }
        let content = Arc::new(self.read_root(entry)?);
        self.push(Frame { entry, kind, depth: 0, content: Some(content), brood });
        Ok(())
    }

    /// Looks at a whole object that could not be looked at when it came.
    fn look_at_missed(
        &mut self,
        entry: u32,
        id: &ObjectId,
        kind: ObjectKind,
    ) -> Result<(), IngestError> {
        if self.shared.missed.binary_search(&entry).is_err() {
            return Ok(());
        }
        let (start, end) = self.span(entry);
        let reading = self.reader.open(start, end)?;
        if reading.header.size > self.shared.large_bytes {
            // not worth its memory: whoever needs to know looks himself
            self.inspection = self.inspection.take().map(Inspection::incomplete);
            return Ok(());
        }
        let mut content = Vec::new();
        self.reader.read(reading, &mut content)?;
        if let Some(inspection) = &mut self.inspection {
            inspection.look(entry, id, kind, &content);
        }
        Ok(())
    }

    /// Resolves everything that hangs on the stack.
    fn descend(&mut self) -> Result<(), IngestError> {
        let shared = self.shared;
        while let Some(top) = self.stack.last_mut() {
            let Some(child) = shared.children.take(&mut top.brood, top.entry) else {
                self.pop();
                continue;
            };
            let (parent, kind, depth) = (top.entry, top.kind, top.depth + 1);
            let last = top.brood.is_empty();
            let base = match &top.content {
                Some(content) => content.clone(),
                None => self.restore(parent)?,
            };
            if last {
                // its content is not needed beyond this delta
                self.pop();
            }
            self.resolve(child, base, kind, depth)?;
            if shared.is_hungry() {
                self.share();
            }
            if shared.is_stopped() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Applies one delta and keeps the result when it has deltas itself. It is named soon.
    fn resolve(
        &mut self,
        entry: u32,
        base: Arc<Vec<u8>>,
        kind: ObjectKind,
        depth: u32,
    ) -> Result<(), IngestError> {
        let shared = self.shared;
        if depth > shared.limits.max_depth {
            let limit = shared.limits.max_depth.into();
            return Err(IngestError::Limit { what: "delta depth", limit });
        }
        let (start, end) = self.span(entry);
        let reading = self.reader.open(start, end)?;
        if !self.admit(reading.header.size, Large { entry, kind, depth })? {
            return Ok(());
        }
        self.reader.read(reading, &mut self.delta)?;
        let bad = |error| IngestError::Delta { offset: start, error };
        let sizes = delta::sizes(&self.delta).map_err(bad)?;
        if sizes.base != base.len() as u64 {
            return Err(bad(DeltaError::WrongBase));
        }
        if !self.admit(sizes.result, Large { entry, kind, depth })? {
            return Ok(());
        }
        shared.limits.check_parsed(kind, sizes.result)?;
        self.count(sizes.result)?;
        let mut result = Vec::new();
        delta::apply(&base, &self.delta, &mut result).map_err(bad)?;
        drop(base);
        let content = Arc::new(result);
        let brood = shared.children.of_entry(entry);
        if !brood.is_empty() {
            let content = Some(Arc::clone(&content));
            self.push(Frame { entry, kind, depth, content, brood });
        }
        let enough = self.unnamed.add(entry, kind, depth, content);
        if self.alone {
            // one large object must not keep its room while the next takes its own
            self.delta = Vec::new();
        }
        if enough || self.alone { self.name_all() } else { Ok(()) }
    }

    /// Names what has been made, and takes up what hangs on the names.
    fn name_all(&mut self) -> Result<(), IngestError> {
        let shared = self.shared;
        for object in self.unnamed.name()? {
            let (id, content) = (&object.id, &object.content);
            self.existing.compare(id, object.kind, content)?;
            self.done.push((object.entry, *id, object.kind));
            if Inspection::wants(object.kind)
                && let Some(inspection) = &mut self.inspection
            {
                inspection.look(object.entry, id, object.kind, content);
            }
            let brood = shared.children.of_name_alone(id.as_bytes());
            if !brood.is_empty() {
                let (entry, kind, depth) = (object.entry, object.kind, object.depth);
                let content = Some(Arc::clone(content));
                self.push(Frame { entry, kind, depth, content, brood });
            }
        }
        if self.done.len() >= GROUP { self.flush() } else { Ok(()) }
    }

    /// May an object of this size be held now? False: it was put off.
    fn admit(&mut self, size: u64, object: Large) -> Result<bool, IngestError> {
        let limit = self.shared.limits.max_delta_bytes;
        if size > limit {
            return Err(IngestError::Limit { what: "size of objects in delta chains", limit });
        }
        if size > self.shared.large_bytes && !self.alone {
            lock(&self.shared.large).push(object);
            return Ok(false);
        }
        Ok(true)
    }

    /// Counts bytes made from deltas.
    fn count(&self, bytes: u64) -> Result<(), IngestError> {
        let before = self.shared.total_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.limits.check_inflated(before.saturating_add(bytes), self.shared.pack_end)
    }

    fn push(&mut self, frame: Frame) {
        self.held += frame.content.as_ref().map_or(0, |content| content.len() as u64);
        self.stack.push(frame);
        let top = self.stack.len() - 1;
        // the oldest go first: they will be needed last
        let mut at = 0;
        while self.held > self.shared.share && at < top {
            self.let_go(at);
            at += 1;
        }
    }

    fn pop(&mut self) {
        if let Some(frame) = self.stack.pop() {
            self.held -= frame.content.map_or(0, |content| content.len() as u64);
        }
    }

    fn let_go(&mut self, at: usize) {
        if let Some(content) = self.stack[at].content.take() {
            self.held -= content.len() as u64;
        }
    }

    /// Makes the content of the top of the stack again, and keeps it there.
    fn restore(&mut self, entry: u32) -> Result<Arc<Vec<u8>>, IngestError> {
        let content = self.rebuild(entry)?;
        if let Some(top) = self.stack.last_mut() {
            top.content = Some(content.clone());
            self.held += content.len() as u64;
        }
        Ok(content)
    }

    /// Makes the content of an entry that was resolved before.
    fn rebuild(&mut self, entry: u32) -> Result<Arc<Vec<u8>>, IngestError> {
        let shared = self.shared;
        // the stack is a part of the way to the root: begin where content is still held
        let mut frames = self.stack.iter().rev().peekable();
        let mut chain = Vec::new();
        let mut at = entry;
        let mut content = loop {
            if let Some(frame) = frames.next_if(|frame| frame.entry == at)
                && let Some(content) = &frame.content
            {
                break content.clone();
            }
            let parent = match at < shared.entries.len() {
                true => shared.children.parent(shared.entries, at),
                false => None,
            };
            let Some(parent) = parent else { break Arc::new(self.read_root(at)?) };
            chain.push(at);
            at = parent;
        };
        let mut instructions = Vec::new();
        for &entry in chain.iter().rev() {
            let (start, end) = self.span(entry);
            let reading = self.reader.open(start, end)?;
            self.reader.read(reading, &mut instructions)?;
            let mut result = Vec::new();
            delta::apply(&content, &instructions, &mut result)
                .map_err(|error| IngestError::Delta { offset: start, error })?;
            self.count(result.len() as u64)?;
            content = Arc::new(result);
        }
        Ok(content)
    }

    /// A whole object of the pack, or of the repository. Its size was admitted before.
    fn read_root(&mut self, entry: u32) -> Result<Vec<u8>, IngestError> {
        let shared = self.shared;
        let Some(at) = entry.checked_sub(shared.entries.len()) else {
            let (start, end) = self.span(entry);
            let mut content = Vec::new();
            let reading = self.reader.open(start, end)?;
            self.reader.read(reading, &mut content)?;
            return Ok(content);
        };
        let outside = &shared.outside[at as usize];
        let (kind, content) = self.existing.reader().read(outside.number)?;
        if kind != outside.kind {
            let (id, found, wanted) = (outside.id, kind, outside.kind);
            return Err(SourceError::WrongKind { id, found, wanted }.into());
        }
        Ok(content.to_vec())
    }

    /// Gives a part of what is left to those who have nothing: the nearest to the root.
    fn share(&mut self) {
        let top = self.stack.len().saturating_sub(1);
        for at in 0..self.stack.len() {
            let frame = &mut self.stack[at];
            let Some(brood) = frame.brood.split(at < top) else { continue };
            let given = Frame {
                entry: frame.entry,
                kind: frame.kind,
                depth: frame.depth,
                content: frame.content.clone(),
                brood,
            };
            if frame.brood.is_empty() {
                self.let_go(at);
            }
            self.shared.give(given);
            return;
        }
    }

    fn span(&self, entry: u32) -> (u64, u64) {
        let entries = self.shared.entries;
        (entries.offset(entry), entries.end(entry, self.shared.pack_end))
    }
}
