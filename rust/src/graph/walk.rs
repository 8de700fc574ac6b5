//! The commits that some tips reach and others do not (`git rev-list A B ^C ^D`).
//!
//! Commits leave a queue with the newest first: by corrected commit date where the table knows
//! it, which makes the result exact, by plain time where it does not, as git does. What a client
//! has is painted over what it wants; a commit painted after it was taken is taken back.

use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::GraphError;
use super::marks::Marks;
use super::table::{CommitNumber, CommitReader, CommitTable, Fields, GENERATION_UNKNOWN};
use crate::source::SourceError;
use crate::watch::{Pace, Watch};

/// Was put into the queue as wanted.
const WANTED: u8 = 1;
/// Is reached from what the client has.
const HAD: u8 = 2;
/// Was taken into the result.
const TAKEN: u8 = 4;
/// Its parents were painted.
const PAINTED: u8 = 8;
/// History is walked as if it had no parents.
const CUT: u8 = 16;
/// Is in the list of boundary commits.
const LISTED: u8 = 32;

/// Commits painted beyond the oldest wanted one when only plain times are known: clocks lie.
/// Reading these costs a fraction of a millisecond, once.
const SLOP: u32 = 32;

/// Place in the queue: corrected date (unknown ones are newest), time, first come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    generation: u64,
    time: u64,
    turn: std::cmp::Reverse<u32>,
    commit: CommitNumber,
}

/// A walk that has not begun.
pub(super) struct CommitWalk<'t, 'a, 'r> {
    table: &'t CommitTable,
    reader: &'r mut CommitReader<'a>,
    marks: Marks,
    queue: BinaryHeap<Place>,
    turn: u32,
    /// Wanted commits in the queue that were not painted.
    pending: usize,
    heads: Vec<CommitNumber>,
    taken: Vec<CommitNumber>,
    /// Lowest corrected date taken, among the known; and lowest time.
    lowest_generation: u64,
    lowest_time: u64,
    /// Older commits are left out.
    since: u64,
    /// And count as had, with all that they reach.
    old_is_had: bool,
    /// The walk ends when this many were taken.
    enough: usize,
    /// Is told from time to time how many were.
    told: Option<&'r AtomicUsize>,
}

/// What a walk found.
pub(super) struct Walked {
    /// Wanted commits, newest first.
    pub(super) commits: Vec<CommitNumber>,
    /// Painted parents of wanted commits, and commits that were taken before they were painted.
    pub(super) boundary: Vec<CommitNumber>,
    /// The whole history below the wanted commits was walked.
    pub(super) complete: bool,
    /// It was given up, and the rest means nothing.
    pub(super) stopped: bool,
}

impl<'t, 'a, 'r> CommitWalk<'t, 'a, 'r> {
    pub(super) fn new(table: &'t CommitTable, reader: &'r mut CommitReader<'a>) -> Self {
        Self {
            table,
            reader,
            marks: Marks::new(),
            queue: BinaryHeap::new(),
            turn: 0,
            pending: 0,
            heads: Vec::new(),
            taken: Vec::new(),
            lowest_generation: GENERATION_UNKNOWN,
            lowest_time: u64::MAX,
            since: 0,
            old_is_had: false,
            enough: usize::MAX,
            told: None,
        }
    }

    /// Treats a commit as one without parents.
    pub(super) fn cut(&mut self, commit: CommitNumber) {
        self.marks.set(commit, CUT);
    }

    /// Leaves out what is older than this time. `old_is_had`: paints it, with all that it reaches;
    /// otherwise what is younger in spite of that, by its clock, may be reached another way.
    pub(super) fn only_since(&mut self, time: u64, old_is_had: bool) {
        self.since = time;
        self.old_is_had = old_is_had;
    }

    /// Gives up when this many commits were taken: then there is a better way.
    pub(super) fn stop_at(&mut self, enough: usize) {
        self.enough = enough;
    }

    /// Tells somebody how far it is.
    pub(super) fn tell(&mut self, told: Option<&'r AtomicUsize>) {
        self.told = told;
    }

    /// Adds a wanted commit. It has to be there.
    pub(super) fn want(&mut self, commit: CommitNumber) -> Result<(), GraphError> {
        self.heads.push(commit);
        self.reach(commit)
    }

    fn reach(&mut self, commit: CommitNumber) -> Result<(), GraphError> {
        if self.marks.get(commit) & (WANTED | HAD) != 0 {
            return Ok(());
        }
        let fields = self.table.load(commit, self.reader)?;
        if fields.time() < self.since {
            return if self.old_is_had { self.have(commit) } else { Ok(()) };
        }
        self.marks.set(commit, WANTED);
        self.pending += 1;
        self.push(commit, fields);
        Ok(())
    }

    /// Paints a commit that the client has. It may be missing here.
    ///
    /// Wanted commits below it are painted at once, whatever the clock says of those between: a
    /// commit that claims to be older than its parents would be looked at too late.
    pub(super) fn have(&mut self, commit: CommitNumber) -> Result<(), GraphError> {
        let mut todo = vec![commit];
        while let Some(commit) = todo.pop() {
            let before = self.marks.set(commit, HAD);
            if before & HAD != 0 {
                continue;
            }
            let fields = match self.table.load(commit, self.reader) {
                Ok(fields) => fields,
                // a client may have what we lost, or never had: it ends there
                Err(GraphError::Source(SourceError::Missing(_))) => continue,
                Err(other) => return Err(other),
            };
            match before & (WANTED | TAKEN) {
                // it waits in the queue already and will be found painted
                WANTED => self.pending -= 1,
                0 => self.push(commit, fields),
                // all its parents were wanted, and are painted now
                _ => drop(self.marks.set(commit, PAINTED)),
            }
            if before & CUT == 0 {
                let wanted = |p: &CommitNumber| self.marks.get(*p) & (WANTED | HAD) == WANTED;
                todo.extend(fields.parents().filter(wanted));
            }
        }
        Ok(())
    }

    fn push(&mut self, commit: CommitNumber, fields: Fields<'_>) {
        let turn = std::cmp::Reverse(self.turn);
        self.turn = self.turn.wrapping_add(1);
        let (generation, time) = (fields.generation(), fields.time());
        self.queue.push(Place { generation, time, turn, commit });
    }

    /// Walks until no commit of the result can be painted any more.
    pub(super) fn run(mut self, watch: &Watch) -> Result<Walked, GraphError> {
        let mut slop = SLOP;
        let mut pace = watch.pace();
        while let Some(place) = self.queue.pop() {
            if self.pending == 0 && !self.may_paint(&place, &mut slop) {
                break;
            }
            if pace.step()?
                && let Some(told) = self.told
            {
                told.store(self.taken.len(), Ordering::Relaxed);
            }
            self.step(&place)?;
            if self.taken.len() >= self.enough {
                let (commits, boundary) = (Vec::new(), Vec::new());
                return Ok(Walked { commits, boundary, complete: false, stopped: true });
            }
        }
        self.finish(&mut pace)
    }

    /// Could this painted commit, the newest that is left, still reach one that was taken?
    fn may_paint(&self, place: &Place, slop: &mut u32) -> bool {
        if self.taken.is_empty() {
            return false;
        }
        if place.generation != GENERATION_UNKNOWN {
            // what it reaches is known too and lower; all others in the queue are lower still
            return place.generation > self.lowest_generation
                && self.lowest_generation != GENERATION_UNKNOWN;
        }
        if place.time >= self.lowest_time {
            *slop = SLOP;
            return true;
        }
        *slop = slop.saturating_sub(1);
        *slop > 0
    }

    fn step(&mut self, place: &Place) -> Result<(), GraphError> {
        let commit = place.commit;
        let flags = self.marks.get(commit);
        if flags & HAD != 0 {
            if self.marks.set(commit, PAINTED) & PAINTED == 0 && flags & CUT == 0 {
                let fields = self.table.load(commit, self.reader)?;
                for parent in fields.parents() {
                    self.have(parent)?;
                }
            }
            return Ok(());
        }
        self.marks.set(commit, TAKEN);
        self.pending -= 1;
        self.taken.push(commit);
        self.lowest_time = self.lowest_time.min(place.time);
        if place.generation != GENERATION_UNKNOWN {
            self.lowest_generation = self.lowest_generation.min(place.generation);
        }
        if flags & CUT == 0 {
            let fields = self.table.load(commit, self.reader)?;
            for parent in fields.parents() {
                self.reach(parent)?;
            }
        }
        Ok(())
    }

    fn finish(self, pace: &mut Pace<'_>) -> Result<Walked, GraphError> {
        let by_generation = self.lowest_generation != GENERATION_UNKNOWN;
        let Self { table, mut marks, heads, mut taken, .. } = self;
        let mut boundary = Vec::new();
        taken.retain(|&commit| {
            let had = marks.get(commit) & HAD != 0;
            if had {
                // taken back: it is near the boundary, and known to be the client's
                marks.set(commit, LISTED);
                boundary.push(commit);
            }
            !had
        });
        let mut complete = true;
        for &commit in &taken {
            pace.step()?;
            let Some(fields) = table.loaded(commit) else { continue };
            if marks.get(commit) & CUT != 0 {
                complete = false;
                continue;
            }
            for parent in fields.parents() {
                if marks.get(parent) & HAD != 0 {
                    complete = false;
                    if marks.set(parent, LISTED) & LISTED == 0 {
                        boundary.push(parent);
                    }
                }
            }
        }
        if by_generation {
            taken = by_time(table, &mut marks, &heads, &taken, pace)?;
        }
        Ok(Walked { commits: taken, boundary, complete, stopped: false })
    }
}

/// The taken commits in the order in which a walk by plain times meets them.
///
/// That is git's order, and the order of the result has to be the same whether or not the table
/// knew corrected dates.
fn by_time(
    table: &CommitTable,
    marks: &mut Marks,
    heads: &[CommitNumber],
    taken: &[CommitNumber],
    pace: &mut Pace<'_>,
) -> Result<Vec<CommitNumber>, GraphError> {
    let mut queue = BinaryHeap::new();
    let mut turn = 0u32;
    let mut push = |marks: &mut Marks, queue: &mut BinaryHeap<Place>, commit| {
        if marks.get(commit) & (TAKEN | HAD) != TAKEN || marks.set(commit, LISTED) & LISTED != 0 {
            return;
        }
        if let Some(fields) = table.loaded(commit) {
            let place = std::cmp::Reverse(turn);
            turn = turn.wrapping_add(1);
            queue.push(Place { generation: 0, time: fields.time(), turn: place, commit });
        }
    };
    for &commit in heads {
        push(marks, &mut queue, commit);
    }
    let mut ordered = Vec::with_capacity(taken.len());
    while let Some(Place { commit, .. }) = queue.pop() {
        pace.step()?;
        ordered.push(commit);
        if marks.get(commit) & CUT != 0 {
            continue;
        }
        if let Some(fields) = table.loaded(commit) {
            for parent in fields.parents() {
                push(marks, &mut queue, parent);
            }
        }
    }
    // where painting ended early, a commit may be left behind a painted one: it is sent all the same
    ordered.extend(taken.iter().copied().filter(|&commit| marks.get(commit) & LISTED == 0));
    Ok(ordered)
}

/// Gives generations to commits of a complete walk, so that later ones are exact.
///
/// `commits` comes newest first; a parent that a skewed clock put before its child is met by
/// going round again, which ends when nothing changes.
pub(super) fn settle_generations(table: &CommitTable, commits: &[CommitNumber]) {
    /// Rounds to try: each repairs every chain whose clocks go wrong once more.
    const ROUNDS: usize = 8;
    for _ in 0..ROUNDS {
        let mut unsettled = false;
        for &commit in commits.iter().rev() {
            let Some(fields) = table.loaded(commit) else { continue };
            if fields.generation() == GENERATION_UNKNOWN {
                table.settle(commit);
                unsettled |= fields.generation() == GENERATION_UNKNOWN;
            }
        }
        if !unsettled {
            return;
        }
    }
}
