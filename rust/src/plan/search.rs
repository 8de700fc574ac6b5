//! New deltas for objects that have none that could be sent.
//!
//! Candidates of one kind and name lie side by side, the largest first (`pack-heuristics`), and
//! each is tried against the few before it. [`Bases`], which are not searched for deltas themselves,
//! take part. What is read here and has to be compressed anyway is compressed here, on all threads, as
//! far as the memory for keeping it goes.

use std::cmp::Reverse;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use super::PlanOptions;
use super::bases::{self, Bases};
use super::recall::{Recall, Shapes};
use super::reuse::Chains;
use super::slots::{How, Slots, UNPACKED};
use super::window::Window;
use crate::graph::Found;
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::{Phase, Watch};
use crate::zlib::Deflater;

/// Smaller objects make no delta worth having.
const MIN_SIZE: u64 = 50;

/// Candidates that one piece of work has at least, to be worth a window of its own.
const MIN_SEGMENT: usize = 256;

/// Larger objects that get no delta are compressed while they are sent, not before: too much of
/// them would wait in memory.
const MAX_EARLY: u64 = 4 << 20;

/// A base, its index and its target are in memory together.
const SHARES: u64 = 3;

/// Below so many bytes to read, more threads cost more than they bring.
const BYTES_WORTH_THREADS: u64 = 2 << 20;

/// A stored delta against something that the client has is as long as this when whoever made the
/// pack did not have the client's last version in the window.
const LONG_THIN: u64 = 1 << 10;

/// Bytes of candidates between two looks at the clock, and what each counts beside its own: a
/// look costs more than an object of which everything is remembered.
const LOOK_EVERY: u64 = 256 << 10;
const LOOK_EACH: u64 = 8 << 10;

/// The slot of an object that has none, and stays in the window as long as its name.
const EXTERNAL: u32 = u32::MAX;
/// The slot of one that has none, and leaves the window as others do.
const PASSING: u32 = u32::MAX - 1;

/// An object that may get a delta, or be the base of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub number: ObjectNumber,
    slot: u32,
    pub size: u64,
    pub name_hash: u32,
    pub(super) seq: u32,
    /// Its pack, or [`UNPACKED`].
    pub pack: u32,
    /// The length of its entry when it is stored whole, else 0.
    stored: u64,
    pub kind: ObjectKind,
    /// How deep it is in a stored chain.
    pub depth: u16,
    /// The longest chain of reused deltas that hangs on it.
    pub below: u16,
    /// It comes where an object of this size would.
    place: u64,
}

impl Candidate {
    /// One of [`Bases`].
    pub(super) fn base(base: &Found, seq: u32, size: u64, pack: u32) -> Self {
        let &Found { number, name_hash, kind } = base;
        let (slot, place) = (EXTERNAL, size);
        let (stored, depth, below) = (0, 0, 0);
        Self { number, slot, size, name_hash, seq, pack, stored, kind, depth, below, place }
    }

    /// From now on it comes where an object of this size would, and does not stay.
    pub(super) fn passes_at(&mut self, place: u64) {
        (self.slot, self.place) = (PASSING, place);
    }

    /// It only serves as base, of all that is sent of its name.
    pub(super) fn is_external(&self) -> bool {
        self.slot == EXTERNAL
    }

    /// Only the client has it.
    pub(super) fn is_clients(&self) -> bool {
        self.is_external() && self.pack == UNPACKED
    }

    /// It is to be sent, so a base is looked for.
    pub(super) fn is_target(&self) -> bool {
        self.slot < PASSING
    }

    /// Are both found at paths of the same name?
    pub(super) fn shares_name(&self, other: &Candidate) -> bool {
        self.kind == other.kind && self.name_hash == other.name_hash
    }

    /// Its compressed bytes can be copied as they are.
    pub(super) fn is_stored(&self) -> bool {
        self.stored > 0
    }
}

/// An object compressed by the search.
pub(super) struct Fresh {
    pub slot: u32,
    /// What it is a delta of, if it is one.
    pub base: Option<ObjectNumber>,
    /// Inflated size of `deflated`.
    pub size: u64,
    /// The zlib stream, unless there was no memory to keep it.
    pub deflated: Option<Arc<[u8]>>,
}

/// Searches; the slots know afterwards which of them are new deltas. Sorted by slot.
pub(super) fn search(
    slots: &mut Slots,
    source: &dyn ObjectSource,
    bases: &Bases,
    options: &PlanOptions,
    watch: &Watch,
) -> Result<Vec<Fresh>, SourceError> {
    let searched = slots.all.iter().filter(|slot| may_get_delta(slot.how)).count();
    if searched == 0 {
        return Ok(Vec::new());
    }
    watch.begin(Phase::Compressing, Some(searched as u64));
    if options.reuse_deltas && nothing_to_try(slots, bases) {
        watch.add(searched as u64);
        return Ok(Vec::new());
    }
    let mut candidates = candidates(slots, source, options, watch)?;
    let targets = candidates.len();
    watch.add((searched - targets) as u64);
    bases.join(&mut candidates, slots, source, options, watch)?;
    candidates.sort_unstable_by(|a, b| {
        let key = |c: &Candidate| (c.kind, Reverse(c.name_hash), !c.is_external());
        let same = key(a).cmp(&key(b));
        if a.is_external() && b.is_external() {
            // the one that enters the window last is tried first, and the newest is mostly the best
            return same.then(b.seq.cmp(&a.seq));
        }
        same.then(b.place.cmp(&a.place)).then(a.seq.cmp(&b.seq))
    });
    bases::drop_distant(&mut candidates, options.window);
    let deadline = Instant::now().checked_add(options.search_time);
    let search = Search { source, options, watch, deadline, kept: AtomicU64::new(0) };
    let mut fresh = search.run(candidates)?;
    fresh.sort_unstable_by_key(|entry| entry.slot);
    for entry in &fresh {
        if let Some(base) = entry.base {
            let sent = slots.of(base);
            let slot = &mut slots.all[entry.slot as usize];
            (slot.how, slot.base) = match sent {
                Some(base) => (How::NewDelta, base),
                None => (How::NewThin, base),
            };
        }
    }
    Ok(fresh)
}

/// Everything lies compressed in a single pack, and nothing else could be a base.
fn nothing_to_try(slots: &Slots, bases: &Bases) -> bool {
    bases.is_empty()
        && slots.groups.len() == 1
        && slots.all.iter().all(|slot| slot.how != How::Anew)
}

fn may_get_delta(how: How) -> bool {
    matches!(how, How::Anew | How::Stored | How::StoredThin)
}

fn candidates(
    slots: &Slots,
    source: &dyn ObjectSource,
    options: &PlanOptions,
    watch: &Watch,
) -> Result<Vec<Candidate>, SourceError> {
    let chains = Chains::of(&slots.all);
    let sizes = sizes(options);
    let mut shapes = Shapes::new(source, options.remember);
    let (mut found, mut pace) = (Vec::new(), watch.pace());
    for (at, slot) in slots.all.iter().enumerate() {
        let stored = match slot.how {
            // of a thousand commits that lie whole in a pack, one has another that is like it
            How::Stored
                if options.reuse_deltas
                    && matches!(slot.kind, ObjectKind::Commit | ObjectKind::Tag) =>
            {
                continue;
            }
            How::Stored => slots.end_of(slot)? - slot.offset,
            How::StoredThin if options.reuse_deltas => match slots.end_of(slot)? - slot.offset {
                length if length >= LONG_THIN => length,
                _ => continue,
            },
            How::Anew => 0,
            _ => continue,
        };
        match slot.pack {
            // a foreign store may need its time for each
            UNPACKED => watch.check()?,
            _ => _ = pace.step()?,
        }
        let (kind, size) = match slot.how {
            How::Stored => shapes.of_whole(slot.number)?,
            _ => shapes.of(slot.number)?,
        };
        if !sizes.contains(&size) {
            continue;
        }
        found.push(Candidate {
            number: slot.number,
            slot: at as u32,
            size,
            name_hash: slot.name_hash,
            seq: slot.seq,
            // what was tried when the pack was made is tried again when all deltas are made anew
            pack: if options.reuse_deltas { slot.pack } else { UNPACKED },
            stored,
            kind,
            depth: chains.depth[at],
            below: chains.below[at],
            place: size,
        });
    }
    Ok(found)
}

/// Sizes of objects that take part.
pub(super) fn sizes(options: &PlanOptions) -> RangeInclusive<u64> {
    MIN_SIZE..=options.big_file_threshold.min(options.search_memory / SHARES)
}

struct Search<'a> {
    source: &'a dyn ObjectSource,
    options: &'a PlanOptions,
    watch: &'a Watch,
    /// When to stop searching; `None`: never.
    deadline: Option<Instant>,
    /// Bytes kept so far, of [`PlanOptions::keep_memory`].
    kept: AtomicU64,
}

impl<'a> Search<'a> {
    fn run(&self, mut candidates: Vec<Candidate>) -> Result<Vec<Fresh>, SourceError> {
        let bytes: u64 = candidates.iter().map(|c| c.size).sum();
        let threads = match self.options.threads {
            _ if bytes < BYTES_WORTH_THREADS => 1,
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        // the few that fit no thread's part of the memory are left for one that has all of it
        let part = self.options.search_memory / threads as u64;
        let huge: Vec<_> = candidates.extract_if(.., |c| c.size > part / SHARES).collect();
        let segments = segments(&candidates);
        let mut fresh = match threads.min(segments.len()) {
            0 | 1 => self.work(&segments, &AtomicUsize::new(0), self.options.search_memory)?,
            threads => self.on_threads(&segments, threads)?,
        };
        fresh.extend(self.work(&[&huge], &AtomicUsize::new(0), self.options.search_memory)?);
        Ok(fresh)
    }

    fn on_threads(
        &self,
        segments: &[&[Candidate]],
        threads: usize,
    ) -> Result<Vec<Fresh>, SourceError> {
        let next = AtomicUsize::new(0);
        let memory = self.options.search_memory / threads as u64;
        std::thread::scope(|scope| {
            let worker = || {
                let outcome = self.work(segments, &next, memory);
                if outcome.is_err() {
                    // the others need not go on
                    next.store(segments.len(), Ordering::Relaxed);
                }
                outcome
            };
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
            let mut all = worker();
            for other in others {
                let theirs = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                match (&mut all, theirs) {
                    (Ok(all), Ok(theirs)) => all.extend(theirs),
                    (Ok(_), Err(error)) => all = Err(error),
                    (Err(_), _) => {}
                }
            }
            all
        })
    }

    /// Takes segments until there are no more.
    fn work(
        &self,
        segments: &[&[Candidate]],
        next: &AtomicUsize,
        memory: u64,
    ) -> Result<Vec<Fresh>, SourceError> {
        let mut fresh = Vec::new();
        let PlanOptions { window, depth, remember, reuse_deltas, .. } = *self.options;
        let recall = Recall::new(self.source, remember);
        let mut window = Window::new(self.source, recall, window, depth, !reuse_deltas, memory);
        let mut compressor = Compressor::new(self.options.level);
        let (mut unlooked, mut late) = (u64::MAX, false);
        while let Some(segment) = segments.get(next.fetch_add(1, Ordering::Relaxed)) {
            window.clear();
            for candidate in *segment {
                let weight = match candidate.pack {
                    UNPACKED => LOOK_EVERY,
                    _ => LOOK_EACH + candidate.size,
                };
                unlooked = unlooked.saturating_add(weight);
                if unlooked >= LOOK_EVERY {
                    unlooked = 0;
                    self.watch.check()?;
                    late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
                }
                if !candidate.is_target() {
                    window.skip(candidate);
                    continue;
                }
                self.watch.add(1);
                if candidate.is_stored() && !window.has_base_for(candidate) {
                    // of a large pack beside a few small ones nearly all are such
                    window.skip(candidate);
                    continue;
                }
                fresh.extend(self.one(candidate, late, &mut window, &mut compressor)?);
            }
        }
        Ok(fresh)
    }

    fn one<'c>(
        &self,
        target: &'c Candidate,
        late: bool,
        window: &mut Window<'c, 'a>,
        compressor: &mut Compressor,
    ) -> Result<Option<Fresh>, SourceError> {
        window.begin(target);
        let found = if late { None } else { window.find(target)? };
        if let Some(found) = found {
            let base = window.base(&found).number;
            let (size, deflated) = match window.recall.delta(base) {
                Some(known) => known,
                None => {
                    let delta = window.delta(target, &found)?;
                    (delta.len() as u64, compressor.compress(delta))
                }
            };
            let better = !target.is_stored() || (deflated.len() as u64) < target.stored;
            window.recall.end(target, Some((base, size, &deflated)), None);
            if better {
                let (slot, base) = (target.slot, Some(base));
                window.push(target, Some(&found));
                return Ok(Some(Fresh { slot, base, size, deflated: self.keep(deflated) }));
            }
        }
        let mut whole = None;
        if !target.is_stored() && target.size <= MAX_EARLY && self.has_room(target.size) {
            whole = match window.recall.whole() {
                Some(known) => Some(known),
                None => Some(compressor.compress(window.target(target)?)),
            };
        }
        window.recall.end(target, None, whole.as_ref());
        window.push(target, None);
        let deflated = whole.and_then(|whole| self.keep(whole));
        let (slot, size) = (target.slot, target.size);
        Ok(deflated.map(|whole| Fresh { slot, base: None, size, deflated: Some(whole) }))
    }

    fn has_room(&self, size: u64) -> bool {
        self.kept.load(Ordering::Relaxed).saturating_add(size) <= self.options.keep_memory
    }

    fn keep(&self, deflated: Arc<[u8]>) -> Option<Arc<[u8]>> {
        let size = deflated.len() as u64;
        let before = self.kept.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) <= self.options.keep_memory {
            return Some(deflated);
        }
        self.kept.fetch_sub(size, Ordering::Relaxed);
        None
    }
}

/// Compresses with a state that is made when it is first needed.
struct Compressor {
    level: i32,
    deflater: Option<Deflater>,
    buffer: Vec<u8>,
}

impl Compressor {
    fn new(level: i32) -> Self {
        Self { level, deflater: None, buffer: Vec::new() }
    }

    fn compress(&mut self, content: &[u8]) -> Arc<[u8]> {
        self.buffer.clear();
        let deflater = self.deflater.get_or_insert_with(|| Deflater::new(self.level));
        deflater.deflate_all(content, &mut self.buffer);
        Arc::from(&self.buffer[..])
    }
}

/// Pieces of work, cut where the name changes.
fn segments(candidates: &[Candidate]) -> Vec<&[Candidate]> {
    let mut segments = Vec::new();
    let mut rest = candidates;
    while !rest.is_empty() {
        let mut cut = MIN_SEGMENT.min(rest.len());
        while cut < rest.len()
            && (rest[cut].kind, rest[cut].name_hash)
                == (rest[cut - 1].kind, rest[cut - 1].name_hash)
        {
            cut += 1;
        }
        let (segment, after) = rest.split_at(cut);
        segments.push(segment);
        rest = after;
    }
    segments
}
