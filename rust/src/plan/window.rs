//! The sliding window of the delta search: a few objects in memory, each tried as base of the
//! next.

use std::collections::VecDeque;

use super::recall::Recall;
use super::search::Candidate;
use super::slots::UNPACKED;
use crate::delta::{DeltaIndex, Outcome};
use crate::source::{ObjectReader, ObjectSource, SourceError};

/// Bases smaller than the target by more than this factor, or larger, are not tried.
const SIZE_RATIO: u64 = 32;

/// A delta of this length, and a part of the target's more, is good enough: the few
/// bytes that another base could save are not worth reading it.
const ENOUGH: u64 = 32;
const ENOUGH_PART: u64 = 256;
/// The same of a delta against what the client has: the newest of it is tried first, and to read
/// each of its other versions costs more than such a delta takes on the way.
const ENOUGH_PART_KNOWN: u64 = 64;

/// Allocations kept for the next object that enters the window, up to this size each.
const KEEP_BUFFER: usize = 1 << 20;

/// An object in the window, read when it is first needed.
struct Held<'c> {
    candidate: &'c Candidate,
    /// The name by which it is remembered as a base, once it was worth a look.
    key: Option<u32>,
    depth: u32,
    content: Option<Vec<u8>>,
    index: Option<DeltaIndex>,
}

impl Held<'_> {
    fn memory(&self) -> usize {
        self.content.as_ref().map_or(0, Vec::capacity)
            + self.index.as_ref().map_or(0, DeltaIndex::memory)
    }
}

/// A base found for the target at hand.
pub(super) struct Match {
    /// Place in the window.
    place: usize,
    /// How deep the target is in its chain.
    pub depth: u32,
    /// The delta is at hand, and not only known to be that long.
    made: bool,
}

/// The window of one thread: the last few objects, and those of the same name that are not searched.
pub(super) struct Window<'c, 's> {
    held: VecDeque<Held<'c>>,
    source: &'s dyn ObjectSource,
    reader: Option<Box<dyn ObjectReader + 's>>,
    /// What is known of the target.
    pub recall: Recall<'s>,
    size: usize,
    max_depth: u32,
    /// Every base in the window is tried, whatever has been found by then.
    thorough: bool,
    max_memory: usize,
    memory: usize,
    /// The content of the target, once something was worth trying.
    target: Option<Vec<u8>>,
    /// The best delta so far, and one being tried.
    best: Vec<u8>,
    trial: Vec<u8>,
    spare_buffers: Vec<Vec<u8>>,
    spare_indexes: Vec<DeltaIndex>,
}

impl<'c, 's> Window<'c, 's> {
    pub(super) fn new(
        source: &'s dyn ObjectSource,
        recall: Recall<'s>,
        size: usize,
        max_depth: u32,
        thorough: bool,
        max_memory: u64,
    ) -> Self {
        Self {
            held: VecDeque::with_capacity(size + 1),
            source,
            reader: None,
            recall,
            size,
            max_depth,
            thorough,
            max_memory: usize::try_from(max_memory).unwrap_or(usize::MAX),
            memory: 0,
            target: None,
            best: Vec::new(),
            trial: Vec::new(),
            spare_buffers: Vec::new(),
            spare_indexes: Vec::new(),
        }
    }

    /// Turns to the next target.
    pub(super) fn begin(&mut self, target: &Candidate) {
        self.drop_target();
        self.recall.begin(target.number);
    }

    /// Is any of those held worth a try as base of `target`?
    pub(super) fn has_base_for(&self, target: &Candidate) -> bool {
        let limit = self.longest(target);
        self.held.iter().any(|held| plausible(held.candidate, target, limit))
    }

    /// Looks for the best base of `target` among those held. What is remembered of a pair is not
    /// tried again.
    pub(super) fn find(&mut self, target: &'c Candidate) -> Result<Option<Match>, SourceError> {
        let mut limit = self.longest(target);
        let mut limit_depth = 1;
        let mut best: Option<Match> = None;
        let mut places = 0..self.held.len();
        while let Some(place) = places.next().filter(|&place| place < self.held.len()) {
            let base = &self.held[place];
            let (depth, is_clients) = (base.depth + 1, base.candidate.is_clients());
            if depth + u32::from(target.below) > self.max_depth
                || !plausible(base.candidate, target, limit)
                || !self.thorough && best.is_some() && !base.candidate.shares_name(target)
            {
                continue;
            }
            let allowed = limit * self.levels_left(depth) / self.levels_left(limit_depth);
            let key = self.key(place);
            let (weight, made) = match self.recall.outcome(key) {
                Some(Outcome::Fits(weight)) if weight <= allowed => (weight, false),
                Some(Outcome::Fits(_)) => continue,
                Some(Outcome::Exceeds(tried)) if allowed <= tried => continue,
                _ => match self.make(target, place, best.as_ref(), allowed)? {
                    Some(weight) => (weight, true),
                    None => continue,
                },
            };
            limit = weight.saturating_sub(1);
            limit_depth = depth;
            best = Some(Match { place, depth, made });
            let part = if is_clients { ENOUGH_PART_KNOWN } else { ENOUGH_PART };
            if !self.thorough && weight <= ENOUGH + target.size / part {
                break;
            }
        }
        Ok(best)
    }

    /// Makes the delta of `target` against the base at `place`, if it weighs no more than `allowed`
    /// ([`DeltaIndex::encode`]); it is then in `best`.
    fn make(
        &mut self,
        target: &Candidate,
        place: usize,
        best: Option<&Match>,
        allowed: u64,
    ) -> Result<Option<u64>, SourceError> {
        self.target(target)?;
        self.load(place)?;
        self.make_room(place, best.map(|found| found.place));
        let key = self.key(place);
        let Held { content: Some(content), index: Some(index), .. } = &self.held[place] else {
            return Ok(None);
        };
        let Some(wanted) = &self.target else { return Ok(None) };
        let max_len = usize::try_from(allowed).unwrap_or(usize::MAX);
        let Some(weight) = index.encode(content, wanted, max_len, &mut self.trial) else {
            self.recall.note(key, Outcome::Exceeds(allowed));
            return Ok(None);
        };
        std::mem::swap(&mut self.best, &mut self.trial);
        self.recall.note(key, Outcome::Fits(weight));
        Ok(Some(weight))
    }

    /// What a delta may weigh: less than half, or it is not worth a base that must be found again
    /// when reading.
    fn longest(&self, target: &Candidate) -> u64 {
        (target.size / 2).saturating_sub(self.source.hash_kind().len() as u64)
    }

    /// The name by which the base at `place` is remembered.
    fn key(&mut self, place: usize) -> u32 {
        let held = &mut self.held[place];
        *held.key.get_or_insert_with(|| self.recall.key(held.candidate.number))
    }

    /// The delta that was found.
    pub(super) fn delta(
        &mut self,
        target: &Candidate,
        found: &Match,
    ) -> Result<&[u8], SourceError> {
        if !found.made {
            // without a limit: what is remembered of its length goes by a short name
            self.make(target, found.place, None, u64::MAX)?;
        }
        Ok(&self.best)
    }

    /// A deeper base has to save more, and a shallower one may save less: chains that use up
    /// their depth on every small gain end in an object that has to be sent whole.
    fn levels_left(&self, depth: u32) -> u64 {
        u64::from(self.max_depth.saturating_sub(depth)) + 1
    }

    /// The object that the match is a delta of.
    pub(super) fn base(&self, found: &Match) -> &'c Candidate {
        self.held[found.place].candidate
    }

    /// The content of the object last given to [`Window::find`].
    pub(super) fn target(&mut self, target: &Candidate) -> Result<&[u8], SourceError> {
        if self.target.is_none() {
            let content = self.read(target)?;
            self.memory += content.capacity();
            self.target = Some(content);
        }
        Ok(self.target.as_deref().unwrap_or_default())
    }

    /// The target enters the window, as base for those that follow; the base it found stays
    /// longest, because it was good for one.
    pub(super) fn push(&mut self, target: &'c Candidate, found: Option<&Match>) {
        let content = self.target.take();
        self.memory -= content.as_ref().map_or(0, Vec::capacity);
        if let Some(base) = found.and_then(|found| self.held.remove(found.place)) {
            self.held.push_front(base);
        }
        let depth = found.map_or(u32::from(target.depth), |found| found.depth);
        let held = Held { candidate: target, key: None, depth, content, index: None };
        self.memory += held.memory();
        self.held.push_front(held);
        while self.memory > self.max_memory && self.held.len() > 1 {
            self.drop_last();
        }
        // what is not searched itself stays until the name changes: of many versions to be sent, the
        // later ones would find it gone
        let stays =
            |held: &Held<'_>| held.candidate.is_external() && held.candidate.shares_name(target);
        let mut surplus =
            self.held.iter().filter(|held| !stays(held)).count().saturating_sub(self.size);
        for place in (0..self.held.len()).rev() {
            if surplus > 0 && !stays(&self.held[place]) {
                self.drop_at(place);
                surplus -= 1;
            }
        }
    }

    /// Forgets all objects, keeping their memory for the next.
    pub(super) fn clear(&mut self) {
        self.drop_target();
        while !self.held.is_empty() {
            self.drop_last();
        }
    }

    /// An object that only serves as base enters the window.
    pub(super) fn skip(&mut self, base: &'c Candidate) {
        self.drop_target();
        self.push(base, None);
    }

    fn drop_last(&mut self) {
        self.drop_at(self.held.len().saturating_sub(1));
    }

    fn drop_at(&mut self, place: usize) {
        let Some(gone) = self.held.remove(place) else { return };
        self.memory -= gone.memory();
        if let Some(content) = gone.content.filter(|c| c.capacity() <= KEEP_BUFFER) {
            self.spare_buffers.push(content);
        }
        if let Some(index) = gone.index.filter(|i| i.memory() <= KEEP_BUFFER) {
            self.spare_indexes.push(index);
        }
    }

    /// Forgets what is not needed to try the base at `place`, while there is too much.
    fn make_room(&mut self, place: usize, best: Option<usize>) {
        while self.memory > self.max_memory && self.held.len() > place + 1 {
            self.drop_last();
        }
        for other in (0..place).filter(|&other| Some(other) != best) {
            if self.memory <= self.max_memory {
                return;
            }
            let held = &mut self.held[other];
            self.memory -= held.memory();
            held.content = None;
            held.index = None;
        }
    }

    fn drop_target(&mut self) {
        if let Some(content) = self.target.take() {
            self.memory -= content.capacity();
            if content.capacity() <= KEEP_BUFFER {
                self.spare_buffers.push(content);
            }
        }
    }

    /// Content and index of the base at `place`.
    fn load(&mut self, place: usize) -> Result<(), SourceError> {
        let before = self.held[place].memory();
        if self.held[place].content.is_none() {
            let content = self.read(self.held[place].candidate)?;
            self.held[place].content = Some(content);
        }
        let held = &mut self.held[place];
        if let (None, Some(content)) = (&held.index, &held.content) {
            let mut index = self.spare_indexes.pop().unwrap_or_default();
            index.build(content);
            held.index = Some(index);
        }
        self.memory += self.held[place].memory() - before;
        Ok(())
    }

    fn read(&mut self, candidate: &Candidate) -> Result<Vec<u8>, SourceError> {
        let mut buffer = self.spare_buffers.pop().unwrap_or_default();
        let source = self.source;
        let reader = self.reader.get_or_insert_with(|| source.reader());
        reader.read_into(candidate.number, &mut buffer)?;
        Ok(buffer)
    }
}

/// Could a delta be shorter than `limit`, judged by what is known without reading?
fn plausible(base: &Candidate, target: &Candidate, limit: u64) -> bool {
    base.kind == target.kind
        // both lie in one pack, and whoever made that pack had tried them already
        && !(target.is_stored()
            && target.pack != UNPACKED
            && base.pack == target.pack
            && !base.is_external())
        && target.size.saturating_sub(base.size) < limit
        && target.size >= base.size / SIZE_RATIO
}
