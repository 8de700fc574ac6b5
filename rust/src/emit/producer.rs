//! The worker's side of a stream: enumerate, plan, write ahead of whoever sends, or into a file.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};

use super::chunk::Chunk;
use super::frame::{BAND_PROGRESS, Framer};
use super::progress::{Progress, total_line};
use super::resume::Sent;
use super::worth;
use super::write::PackWriter;
use super::{EmitError, PackStats, StreamOptions};
use crate::cache::{Flight, Made, Reader};
use crate::graph::{self, CommitTable, WalkRequest};
use crate::hash::ObjectId;
use crate::plan::{PackPlan, PlanCounts, PlanOptions};
use crate::source::{ObjectSource, SourceError};
use crate::watch::Watch;

/// Memory of a request beside its objects: the chunks ahead, caches, windows.
pub(super) const BYTES_A_REQUEST: u64 = 24 << 20;
/// Of each object that is met in a walk, and of each that is planned: measured on clones of large
/// repositories without bitmaps, and rounded up.
pub(super) const BYTES_WALKED: u64 = 400;
const BYTES_PLANNED: u64 = 200;
// a scan of all trees takes the place of a walk, and what is found is 12 bytes each
const _: () = assert!(graph::BYTES_SCANNED as u64 + 12 <= BYTES_WALKED);

/// How often a waiting side looks whether it should stop, or has progress to tell.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// What the worker hands over.
pub(super) enum Handed {
    Chunk(Chunk),
    /// The pack goes into the file.
    InFile,
    /// Of what was to be left out, this would have been in the pack; told when any was.
    LeftOut(Vec<ObjectId>),
}

/// What both sides see.
pub(super) struct Shared {
    pub(super) watch: Arc<Watch>,
    progress: Mutex<Progress>,
    objects: AtomicU32,
    deltas: AtomicU32,
    reused: AtomicU32,
    reused_deltas: AtomicU32,
    verbatim: AtomicU32,
    bytes: AtomicU64,
    pub(super) finished: AtomicBool,
}

impl Shared {
    pub(super) fn new(watch: Watch) -> Self {
        let watch = Arc::new(watch);
        Self {
            progress: Mutex::new(Progress::new(Arc::clone(&watch))),
            watch,
            objects: AtomicU32::new(0),
            deltas: AtomicU32::new(0),
            reused: AtomicU32::new(0),
            reused_deltas: AtomicU32::new(0),
            verbatim: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        }
    }

    pub(super) fn lines(&self) -> Vec<u8> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).lines()
    }

    pub(super) fn stats(&self) -> PackStats {
        PackStats {
            objects: self.objects.load(Ordering::Relaxed),
            deltas: self.deltas.load(Ordering::Relaxed),
            reused: self.reused.load(Ordering::Relaxed),
            reused_deltas: self.reused_deltas.load(Ordering::Relaxed),
            verbatim: self.verbatim.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn planned(&self, counts: &PlanCounts) {
        self.objects.store(counts.objects, Ordering::Relaxed);
        self.deltas.store(counts.deltas, Ordering::Relaxed);
        self.reused.store(counts.reused, Ordering::Relaxed);
        self.reused_deltas.store(counts.reused_deltas, Ordering::Relaxed);
        self.verbatim.store(counts.verbatim, Ordering::Relaxed);
    }
}

/// The worker's side.
pub(super) struct Producer {
    pub(super) shared: Arc<Shared>,
    pub(super) sender: Sender<Result<Handed, EmitError>>,
    pub(super) plan: PlanOptions,
    pub(super) options: StreamOptions,
    /// What the client has of the pack.
    pub(super) sent: Option<Sent>,
}

impl Producer {
    pub(super) fn run(
        self,
        source: &dyn ObjectSource,
        commits: &CommitTable,
        request: &WalkRequest,
        mut flight: Option<Flight>,
    ) {
        match self.produce(source, commits, request, &mut flight) {
            Ok(()) => self.shared.finished.store(true, Ordering::Release),
            Err(error) => {
                // whoever took no more chunks is gone, and needs no reason
                let _ = self.hand_over(Err(error));
            }
        }
        drop(flight); // if it is still there, it has failed; our own client knows why by now
        if let Some(turn) = self.shared.watch.turn() {
            turn.rest(); // what is ahead of the client needs no work any more
        }
    }

    fn produce(
        &self,
        source: &dyn ObjectSource,
        commits: &CommitTable,
        request: &WalkRequest,
        flight: &mut Option<Flight>,
    ) -> Result<(), EmitError> {
        let watch = &*self.shared.watch;
        let mut enumeration = graph::enumerate(source, commits, request, watch)?;
        if !request.leave_out.is_empty() {
            let left_out = std::mem::take(&mut enumeration.left_out);
            self.hand_over(Ok(Handed::LeftOut(left_out)))?;
        }
        needs(watch, enumeration.objects.len(), BYTES_WALKED);
        let plan = PackPlan::new(source, enumeration, &self.plan, watch)?;
        watch.end();
        needs(watch, plan.steps.len(), BYTES_PLANNED);
        self.shared.planned(&plan.counts);
        if let Some(task) = flight.take() {
            *flight = worth::accepted(task, &plan, source)?;
            if flight.is_some() {
                return self.fill_file(source, plan, flight);
            }
        }
        let mut out = Framer::new(self.options.band_limit, |chunk| self.send(chunk)).lending();
        if self.options.progress {
            out.message(BAND_PROGRESS, &self.shared.lines());
        }
        let (level, written) = (self.plan.level, &self.shared.bytes);
        match self.sent.clone() {
            None => out = PackWriter::new(source, watch, level, written, out).write(plan)?,
            Some(mut sent) => {
                let mut differs = false;
                let rest = Framer::new(0, |chunk: Chunk| match sent.lacks(&chunk.into_bytes()?) {
                    Some(lacks) => out.data(lacks),
                    None => {
                        differs = true;
                        Err(SourceError::Cancelled)
                    }
                });
                let outcome = PackWriter::new(source, watch, level, written, rest).write(plan);
                let outcome = outcome.and_then(|mut rest| rest.finish());
                if differs {
                    return Err(EmitError::Differs);
                }
                outcome?;
                if !sent.is_met() {
                    return Err(EmitError::Differs);
                }
            }
        }
        if self.options.progress {
            out.message(BAND_PROGRESS, total_line(&self.shared.stats()).as_bytes());
        }
        out.finish()?;
        Ok(())
    }

    /// Writes the pack into the file, whether or not our own client keeps up.
    fn fill_file(
        &self,
        source: &dyn ObjectSource,
        plan: PackPlan,
        flight: &mut Option<Flight>,
    ) -> Result<(), EmitError> {
        let watch = &*self.shared.watch;
        // a client that has gone by now may have left others behind
        let _ = self.sender.try_send(Ok(Handed::InFile));
        let mut failure = None;
        let out = Framer::new(0, |chunk: Chunk| match flight.as_mut() {
            Some(task) => watch.check().and_then(|()| {
                task.write(&chunk.into_bytes()?).map_err(|error| {
                    failure = Some(error);
                    SourceError::Cancelled
                })
            }),
            None => Err(SourceError::Cancelled),
        });
        let written = &self.shared.bytes;
        let outcome = PackWriter::new(source, watch, self.plan.level, written, out).write(plan);
        let outcome = outcome.and_then(|mut out| out.finish());
        if let Some(error) = failure {
            return Err(EmitError::NotWritten(error));
        }
        outcome?;
        let PackStats { objects, deltas, reused, reused_deltas, verbatim, .. } =
            self.shared.stats();
        let made = Made { objects, deltas, reused, reused_deltas, verbatim };
        if let Some(task) = flight.take() {
            task.finish(made, source.hash_kind().len()).map_err(EmitError::NotWritten)?;
        }
        needs(watch, 0, 0);
        Ok(())
    }

    /// Hands a chunk over, waiting while there is no room, until the stream is given up.
    fn send(&self, chunk: Chunk) -> Result<(), SourceError> {
        self.shared.watch.check()?;
        match self.sender.try_send(Ok(Handed::Chunk(chunk))) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(message)) => match self.shared.watch.turn() {
                Some(turn) => turn.resting(|| self.hand_over(message)),
                None => self.hand_over(message),
            },
            Err(TrySendError::Disconnected(_)) => Err(SourceError::Cancelled),
        }
    }

    /// Waits for room.
    fn hand_over(&self, mut message: Result<Handed, EmitError>) -> Result<(), SourceError> {
        while !self.shared.watch.is_cancelled() {
            match self.sender.send_timeout(message, LOOK) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => message = back,
                Err(SendTimeoutError::Disconnected(_)) => break,
            }
        }
        Err(SourceError::Cancelled)
    }
}

/// So many objects are known now.
fn needs(watch: &Watch, objects: usize, bytes_each: u64) {
    if let Some(turn) = watch.turn() {
        turn.needs((objects as u64).saturating_mul(bytes_each).saturating_add(BYTES_A_REQUEST));
    }
}

/// The client for whom a pack was made has gone, while others read it: the work goes on for as
/// long as anybody does.
pub(super) fn leave_to_others(worker: JoinHandle<()>, reader: Reader, shared: Arc<Shared>) {
    let watch = Arc::clone(&shared.watch);
    let spawned = std::thread::Builder::new().name("pack-warden".to_owned()).spawn(move || {
        while !worker.is_finished() && reader.is_shared() {
            std::thread::sleep(LOOK);
        }
        shared.watch.cancel();
        drop(reader);
        // a panic has been told on stderr
        let _ = worker.join();
    });
    if spawned.is_err() {
        watch.cancel(); // those who read find it failed
    }
}
