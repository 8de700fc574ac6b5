//! Resolves deltas on all cores: applies each to its base and names what comes out.
//!
//! In: the entries, the pack file and, for a thin pack, objects of the repository. Out: the names
//! of all deltas that lead to a whole object. The deltas form a forest; a worker takes a root
//! and goes down, without recursion, holding only contents that have deltas left. Workers without
//! roots are given branches by others.
//!
//! Memory: each worker holds at most its share of [`ReceiveLimits::memory`] of intermediate
//! results; the oldest go first and are made again when they are needed. What is large itself waits
//! until the workers are done, and is then resolved by one alone.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::children::{Brood, Children};
use super::entries::{Entries, Names};
use super::entry_reader::PackBytes;
use super::error::IngestError;
use super::inspect::{Inspection, Interest};
use super::limits::ReceiveLimits;
use super::worker::Worker;
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::source::{BulkLookup, ObjectNumber, ObjectSource};
use crate::watch::Watch;

/// Whole entries that a worker takes at once.
const ROOTS: u32 = 32;

/// With fewer deltas than this, starting threads costs more than they save.
pub(super) const WORTH_THREADS: u32 = 256;

/// An object of the repository that deltas of a thin pack have as their base.
///
/// It is numbered behind the entries until it becomes one.
pub(super) struct Outside {
    pub(super) id: ObjectId,
    pub(super) kind: ObjectKind,
    pub(super) number: ObjectNumber,
}

/// An object on the way down, and the deltas against it that are left.
pub(super) struct Frame {
    pub(super) entry: u32,
    pub(super) kind: ObjectKind,
    pub(super) depth: u32,
    /// `None` when it was let go to keep within the budget.
    pub(super) content: Option<Arc<Vec<u8>>>,
    pub(super) brood: Brood,
}

/// An object too large for the workers' shares.
#[derive(Clone, Copy)]
pub(super) struct Large {
    pub(super) entry: u32,
    pub(super) kind: ObjectKind,
    /// Deltas from its root; 0 for a root.
    pub(super) depth: u32,
}

/// Where roots are taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Roots {
    /// The whole objects of the pack.
    Entries,
    /// Objects of the repository.
    Outside,
}

/// What the workers share.
pub(super) struct Resolution<'a> {
    pub(super) entries: &'a Entries,
    pub(super) children: &'a Children,
    pub(super) pack: PackBytes<'a>,
    /// Where the last entry ends.
    pub(super) pack_end: u64,
    pub(super) base: &'a dyn ObjectSource,
    pub(super) known: Option<&'a dyn BulkLookup>,
    pub(super) outside: &'a [Outside],
    pub(super) limits: &'a ReceiveLimits,
    pub(super) watch: &'a Watch,
    /// Bytes of intermediate results that one worker may hold.
    pub(super) share: u64,
    /// Objects above this many bytes wait for the end.
    pub(super) large_bytes: u64,
    pub(super) total_bytes: AtomicU64,
    pub(super) names: Mutex<Names>,
    pub(super) large: Mutex<Vec<Large>>,
    pub(super) resolved: AtomicU32,
    pub(super) interest: &'a Interest,
    /// What the workers have seen.
    pub(super) seen: Mutex<Vec<Inspection>>,
    /// Whole entries that are still to be looked at, in order.
    pub(super) missed: &'a [u32],
    roots: Roots,
    next_root: AtomicU32,
    tasks: Mutex<Tasks>,
    wake: Condvar,
    /// Workers that wait: those who have branches left look here.
    hungry: AtomicUsize,
    stopped: AtomicBool,
}

struct Tasks {
    frames: Vec<Frame>,
    waiting: usize,
    workers: usize,
}

/// What a resolution needs to know besides the entries.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) children: &'a Children,
    pub(super) pack: PackBytes<'a>,
    pub(super) pack_end: u64,
    pub(super) base: &'a dyn ObjectSource,
    pub(super) known: Option<&'a dyn BulkLookup>,
    pub(super) outside: &'a [Outside],
    pub(super) limits: &'a ReceiveLimits,
    pub(super) watch: &'a Watch,
    pub(super) threads: usize,
    pub(super) interest: &'a Interest,
    pub(super) missed: &'a [u32],
    /// Deltas that may be resolved: decides whether threads are worth it.
    pub(super) deltas: u32,
}

/// Resolves what hangs on these roots; how many deltas that were, and what was seen in them.
pub(super) fn resolve(
    entries: &mut Entries,
    roots: Roots,
    job: &Job<'_>,
) -> Result<(u32, Vec<Inspection>), IngestError> {
    let workers = if job.deltas < WORTH_THREADS { 1 } else { job.threads.max(1) };
    let names = entries.take_names();
    let share = job.limits.memory / workers as u64;
    let shared = Resolution {
        entries,
        children: job.children,
        pack: job.pack,
        pack_end: job.pack_end,
        base: job.base,
        known: job.known,
        outside: job.outside,
        limits: job.limits,
        watch: job.watch,
        share,
        // beside what is on the way down, a worker holds a base, a delta and a result
        large_bytes: share / 4,
        total_bytes: AtomicU64::new(0),
        names: Mutex::new(names),
        large: Mutex::new(Vec::new()),
        resolved: AtomicU32::new(0),
        interest: job.interest,
        seen: Mutex::new(Vec::new()),
        missed: job.missed,
        roots,
        next_root: AtomicU32::new(0),
        tasks: Mutex::new(Tasks { frames: Vec::new(), waiting: 0, workers }),
        wake: Condvar::new(),
        hungry: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
    };
    let outcome = shared.run(workers);
    let resolved = shared.resolved.load(Ordering::Acquire);
    let names = shared.names.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seen = shared.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    entries.put_names(names);
    outcome.map(|()| (resolved, seen))
}

impl Resolution<'_> {
    fn run(&self, workers: usize) -> Result<(), IngestError> {
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers)
                .map(|_| {
                    let builder = std::thread::Builder::new().name("ingest-resolve".into());
                    builder.spawn_scoped(scope, || self.work())
                })
                .collect();
            // a thread that did not start must not be waited for; fewer do the same work
            self.tasks().workers -= others.iter().filter(|other| other.is_err()).count();
            let mut outcome = self.work();
            for other in others.into_iter().flatten() {
                let theirs = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                outcome = outcome.and(theirs);
            }
            outcome
        })?;
        let large = std::mem::take(&mut *lock(&self.large));
        if large.is_empty() {
            return Ok(());
        }
        let mut worker = Worker::new(self, true);
        for object in large {
            worker.resolve_large(object)?;
        }
        worker.end()
    }

    fn work(&self) -> Result<(), IngestError> {
        let guard = StopOnPanic(self);
        let mut worker = Worker::new(self, false);
        let outcome = worker.run();
        drop(guard);
        if outcome.is_err() {
            self.stop();
        }
        outcome
    }

    /// The next roots to take up; `None` when all are taken.
    pub(super) fn next_roots(&self) -> Option<std::ops::Range<u32>> {
        let n = self.entries.len();
        let (from, to) = match self.roots {
            Roots::Entries => (0, n),
            Roots::Outside => (n, n + self.outside.len() as u32),
        };
        // wraps only after 2^32 calls; each worker stops at its first None
        let start = from.saturating_add(self.next_root.fetch_add(ROOTS, Ordering::Relaxed));
        (start < to).then(|| start..to.min(start.saturating_add(ROOTS)))
    }

    /// The names of roots, taken at once: every worker writes names all the time.
    pub(super) fn names_of(&self, roots: std::ops::Range<u32>) -> Vec<ObjectId> {
        let names = lock(&self.names);
        roots
            .map(|root| match root.checked_sub(self.entries.len()) {
                Some(at) => self.outside[at as usize].id,
                None => ObjectId::from_bytes(names.get(root))
                    .expect("a name has the length of its kind because Entries made its place"),
            })
            .collect()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _tasks = self.tasks();
        self.wake.notify_all();
    }

    /// Does anybody wait for a branch?
    #[inline]
    pub(super) fn is_hungry(&self) -> bool {
        self.hungry.load(Ordering::Relaxed) > 0
    }

    pub(super) fn give(&self, frame: Frame) {
        self.tasks().frames.push(frame);
        self.wake.notify_one();
    }

    /// A branch of another worker's, if there is one now.
    pub(super) fn try_take_frame(&self) -> Option<Frame> {
        self.tasks().frames.pop()
    }

    /// A branch of another worker's; `None` when nobody has work left.
    pub(super) fn take_frame(&self) -> Option<Frame> {
        let mut tasks = self.tasks();
        loop {
            if self.is_stopped() {
                return None;
            }
            if let Some(frame) = tasks.frames.pop() {
                return Some(frame);
            }
            tasks.waiting += 1;
            if tasks.waiting >= tasks.workers {
                // nobody is left who could give: `waiting` stays, so that the others see it too
                self.wake.notify_all();
                return None;
            }
            self.hungry.fetch_add(1, Ordering::Relaxed);
            tasks = self.wake.wait(tasks).unwrap_or_else(PoisonError::into_inner);
            self.hungry.fetch_sub(1, Ordering::Relaxed);
            if tasks.waiting >= tasks.workers {
                return None;
            }
            tasks.waiting -= 1;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        lock(&self.tasks)
    }
}

/// A worker that panicked leaves lists that are valid, and the panic is not lost.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Without it, the others would wait for a worker that is no more.
struct StopOnPanic<'a, 'b>(&'a Resolution<'b>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
