//! How long work reports what it has done, and learns that it should stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::allowance::Allowance;
use crate::client::Client;
use crate::source::SourceError;
use crate::turns::Turn;

/// A stage of the work, in the words git shows to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Walking the graph; the total is not known.
    Enumerating,
    /// Deciding what can be reused.
    Counting,
    /// Searching deltas.
    Compressing,
    /// Writing the pack.
    Writing,
    /// Taking a pack in.
    Receiving,
    /// Applying its deltas.
    Resolving,
    /// Walking what was pushed.
    Checking,
    /// Noting what commits reach.
    Indexing,
    /// Reading commits for the commit-graph.
    Graphing,
    /// Comparing their trees.
    Filtering,
}

impl Phase {
    /// `Counting objects` and the like.
    pub const fn title(self) -> &'static str {
        match self {
            Phase::Enumerating => "Enumerating objects",
            Phase::Counting => "Counting objects",
            Phase::Compressing => "Compressing objects",
            Phase::Writing => "Writing objects",
            Phase::Receiving => "Receiving objects",
            Phase::Resolving => "Resolving deltas",
            Phase::Checking => "Checking connectivity",
            Phase::Indexing => "Building bitmaps",
            Phase::Graphing => "Writing commit-graph",
            Phase::Filtering => "Making changed-path filters",
        }
    }
}

/// Where a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which phase.
    pub phase: Phase,
    /// Items done.
    pub done: u64,
    /// Items in all, where that is known.
    pub total: Option<u64>,
    /// The phase is over.
    pub finished: bool,
}

/// Shared by the workers of one request and whoever waits for them.
#[derive(Debug, Default)]
pub struct Watch {
    cancelled: AtomicBool,
    done: AtomicU64,
    stages: Mutex<Vec<Standing>>,
    turn: Option<Turn>,
    client: Option<Arc<Client>>,
    limit: Option<Limit>,
    allowance: Option<Allowance>,
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    ends: Instant,
    seconds: u64,
}

impl Watch {
    /// Nothing begun, nothing cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// For work that is to leave room for others.
    pub fn taking_turns(turn: Turn) -> Self {
        Self { turn: Some(turn), ..Self::default() }
    }

    /// For work of which only this client will have something: it stops when the client goes.
    pub fn of_client(mut self, client: Option<Arc<Client>>) -> Self {
        self.client = client;
        self
    }

    /// For work that may take so long; 0 for ever.
    pub fn for_seconds(seconds: u64) -> Self {
        let ends = Instant::now().checked_add(Duration::from_secs(seconds));
        let limit = ends.filter(|_| seconds > 0).map(|ends| Limit { ends, seconds });
        Self { limit, ..Self::default() }
    }

    /// And may hold so many bytes; 0 for any number.
    pub fn within_bytes(mut self, bytes: u64) -> Self {
        self.allowance = (bytes > 0).then(|| Allowance::new(bytes));
        self
    }

    /// What the work may hold, where that is limited.
    pub fn allowance(&self) -> Option<&Allowance> {
        self.allowance.as_ref()
    }

    /// The work's turn, if it has to take turns.
    pub fn turn(&self) -> Option<&Turn> {
        self.turn.as_ref()
    }

    /// Asks the workers to stop; they do at their next [`Watch::check`].
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// True once cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// To be called often (every few hundred objects) by whoever works long. Waits while it is
    /// others' turn.
    #[inline]
    pub fn check(&self) -> Result<(), SourceError> {
        if self.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        if let Some(Limit { ends, seconds }) = self.limit
            && Instant::now() >= ends
        {
            return Err(SourceError::TooLong { seconds });
        }
        let outcome = match &self.turn {
            Some(turn) => turn.step(&|| self.is_cancelled() || self.is_for_nobody()),
            None => Ok(()),
        };
        if self.is_for_nobody() {
            return Err(SourceError::ClientGone);
        }
        outcome
    }

    #[inline]
    fn is_for_nobody(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.has_gone())
    }

    /// For a loop of small steps.
    pub fn pace(&self) -> Pace<'_> {
        Pace { watch: self, steps: 0 }
    }

    /// Ends the current phase, begins another.
    pub fn begin(&self, phase: Phase, total: Option<u64>) {
        self.end();
        self.done.store(0, Ordering::Relaxed);
        self.stages().push(Standing { phase, done: 0, total, finished: false });
    }

    /// Counts items of the current phase.
    #[inline]
    pub fn add(&self, items: u64) {
        self.done.fetch_add(items, Ordering::Relaxed);
    }

    /// Ends the current phase.
    pub fn end(&self) {
        let done = self.done.load(Ordering::Relaxed);
        if let Some(stage) = self.stages().last_mut().filter(|stage| !stage.finished) {
            stage.done = done;
            stage.finished = true;
        }
    }

    /// The finished phases not yet taken, then the one under way; for whoever shows progress.
    ///
    /// A finished phase is given out once; the current one each time.
    pub fn take(&self) -> Vec<Standing> {
        let done = self.done.load(Ordering::Relaxed);
        let mut stages = self.stages();
        let current = stages.last().filter(|stage| !stage.finished).copied();
        let mut out: Vec<_> = stages.drain(..).filter(|stage| stage.finished).collect();
        if let Some(current) = current {
            stages.push(current);
            out.push(Standing { done, ..current });
        }
        out
    }

    fn stages(&self) -> std::sync::MutexGuard<'_, Vec<Standing>> {
        // a worker that panicked while pushing leaves a valid list
        self.stages.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Looks at a watch every so many steps of a loop.
#[derive(Debug)]
pub struct Pace<'w> {
    watch: &'w Watch,
    steps: u32,
}

impl Pace<'_> {
    /// Steps between two looks: each reads an object at most, and a look costs as much as ten
    /// commits that are known.
    pub const STEPS: u32 = 256;

    /// One step is done; true when it has looked.
    #[inline]
    pub fn step(&mut self) -> Result<bool, SourceError> {
        self.steps += 1;
        if self.steps < Self::STEPS {
            return Ok(false);
        }
        self.steps = 0;
        self.watch.check().map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_phases_are_told_once() {
        let watch = Watch::new();
        watch.begin(Phase::Enumerating, None);
        watch.add(3);
        watch.begin(Phase::Writing, Some(10));
        watch.add(1);
        let told = watch.take();
        assert_eq!((told[0].phase, told[0].done, told[0].finished), (Phase::Enumerating, 3, true));
        assert_eq!((told[1].phase, told[1].done, told[1].finished), (Phase::Writing, 1, false));
        assert_eq!(watch.take().len(), 1);
        watch.end();
        assert!(watch.take()[0].finished);
        assert!(watch.take().is_empty());
    }

    #[test]
    fn time_is_over_when_it_is_over() {
        assert!(Watch::for_seconds(0).check().is_ok());
        assert!(Watch::for_seconds(u64::MAX).check().is_ok());
        let mut watch = Watch::for_seconds(1000);
        assert!(watch.check().is_ok());
        watch.limit = watch.limit.map(|limit| Limit { ends: Instant::now(), ..limit });
        assert!(matches!(watch.check(), Err(SourceError::TooLong { seconds: 1000 })));
    }

    #[test]
    fn cancelling_is_seen() {
        let watch = Watch::new();
        assert!(watch.check().is_ok());
        watch.cancel();
        assert!(matches!(watch.check(), Err(SourceError::Cancelled)));
    }
}
