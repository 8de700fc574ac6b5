//! The stream: one thread that makes the pack, and whoever takes its chunks.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError};

use super::client::Presence;
use super::frame::{BAND_DATA, BAND_PROGRESS, Framer, max_data, packets};
use super::progress::{Progress, total_line};
use super::write::PackWriter;
use super::{EmitError, PackStats, StreamOptions};
use crate::graph::{self, CommitTable, WalkRequest};
use crate::malloc;
use crate::plan::{PackPlan, PlanCounts, PlanOptions};
use crate::source::{ObjectSource, SourceError};
use crate::turns::Turns;
use crate::watch::Watch;

/// Chunks written ahead of whoever sends them: 4 MiB of pack, for each client that is slow to
/// take them.
const AHEAD: usize = 16;

/// Memory of a request beside its objects: the chunks ahead, caches, windows.
const BYTES_A_REQUEST: u64 = 24 << 20;
/// Of each object that is met in a walk, and of each that is planned: measured on clones of large
/// repositories without bitmaps, and rounded up.
const BYTES_WALKED: u64 = 400;
const BYTES_PLANNED: u64 = 200;

/// How often a waiting side looks whether it should stop, or has progress to tell.
const LOOK: Duration = Duration::from_millis(50);

/// And once the client was sent something to see whether it listens: an answer is on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A packet that says nothing: it keeps a connection alive.
const EMPTY_PACKET: [u8; 5] = [b'0', b'0', b'0', b'5', BAND_DATA];

/// A pack on its way. Dropping it stops and joins its worker.
pub struct PackStream {
    /// `None` when the worker could not be started, or is joined.
    worker: Option<JoinHandle<()>>,
    failure: Option<EmitError>,
    chunks: Receiver<Result<Vec<u8>, EmitError>>,
    shared: Arc<Shared>,
    options: StreamOptions,
    last_sent: Instant,
    is_urgent: bool,
    /// The client ended its side, and was sent something to see whether it still listens.
    is_probed: bool,
}

/// What both sides see.
struct Shared {
    watch: Arc<Watch>,
    progress: Mutex<Progress>,
    objects: AtomicU32,
    deltas: AtomicU32,
    reused: AtomicU32,
    reused_deltas: AtomicU32,
    verbatim: AtomicU32,
    bytes: AtomicU64,
    finished: AtomicBool,
}

impl PackStream {
    /// Starts to enumerate, plan and write.
    pub fn start(
        source: Arc<dyn ObjectSource>,
        commits: Arc<CommitTable>,
        request: WalkRequest,
        plan: PlanOptions,
        options: StreamOptions,
    ) -> Self {
        let bound = u64::from(source.number_bound()).saturating_mul(BYTES_WALKED);
        let turn = Turns::of_process().turn(bound.saturating_add(BYTES_A_REQUEST));
        let watch = Arc::new(Watch::taking_turns(turn));
        let shared = Arc::new(Shared {
            progress: Mutex::new(Progress::new(Arc::clone(&watch))),
            watch,
            objects: AtomicU32::new(0),
            deltas: AtomicU32::new(0),
            reused: AtomicU32::new(0),
            reused_deltas: AtomicU32::new(0),
            verbatim: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        });
        let (sender, chunks) = crossbeam_channel::bounded(AHEAD);
        let producer =
            Producer { shared: Arc::clone(&shared), sender, plan, options: options.clone() };
        let spawned = std::thread::Builder::new().name("pack-stream".to_owned()).spawn(move || {
            producer.run(&*source, &commits, &request);
            graph::keep_learning(&source, &commits);
        });
        let (worker, failure) = match spawned {
            Ok(worker) => (Some(worker), None),
            Err(error) => (None, Some(EmitError::Thread(error))),
        };
        Self {
            worker,
            failure,
            chunks,
            shared,
            options,
            last_sent: Instant::now(),
            is_urgent: false,
            is_probed: false,
        }
    }

    /// The next buffer to send, `None` behind the last; waits for it.
    ///
    /// Every buffer is a run of whole packets (or, without bands, bytes of the pack).
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, EmitError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.is_urgent = false;
        loop {
            match self.receive() {
                Ok(Ok(chunk)) => {
                    self.last_sent = Instant::now();
                    return Ok(Some(chunk));
                }
                Ok(Err(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => {
                    let probe = self.look_for_client()?;
                    if let Some(chunk) = probe.or_else(|| self.sign_of_life()) {
                        self.last_sent = Instant::now();
                        self.is_urgent = true;
                        return Ok(Some(chunk));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
        }
    }

    /// Should the buffer given last leave at once? It tells the client that the server lives, and
    /// the next one may take long.
    pub fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Gives up when the client is gone.
    ///
    /// A client that has ended its own side may have closed its connection, or may be listening
    /// still. Something sent to it makes the difference known: an empty packet, which a listener
    /// passes over.
    fn look_for_client(&mut self) -> Result<Option<Vec<u8>>, EmitError> {
        let Some(client) = self.options.client else { return Ok(None) };
        match Presence::of(client) {
            Presence::Gone => {
                self.cancel();
                Err(EmitError::ClientGone)
            }
            Presence::Silent if !self.is_probed && self.options.band_limit > 0 => {
                self.is_probed = true;
                Ok(Some(EMPTY_PACKET.to_vec()))
            }
            Presence::Silent | Presence::There => Ok(None),
        }
    }

    fn receive(&self) -> Result<Result<Vec<u8>, EmitError>, RecvTimeoutError> {
        let StreamOptions { band_limit, progress, keepalive, client } = self.options;
        let patience = match (band_limit, progress) {
            _ if client.is_some() => Some(if self.is_probed { LOOK_AGAIN } else { LOOK }),
            (0, _) => None,
            (_, true) => Some(LOOK),
            (_, false) if keepalive.is_zero() => None,
            (_, false) => Some(keepalive.saturating_sub(self.last_sent.elapsed())),
        };
        match patience {
            Some(patience) => self.chunks.recv_timeout(patience),
            None => self.chunks.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Progress that is new, or an empty packet when nothing was sent for long.
    fn sign_of_life(&self) -> Option<Vec<u8>> {
        let StreamOptions { band_limit, progress, keepalive, .. } = self.options;
        if band_limit == 0 {
            return None;
        }
        if progress {
            let lines = self.shared.lines();
            if !lines.is_empty() {
                let mut chunk = Vec::new();
                packets(max_data(band_limit), BAND_PROGRESS, &lines, &mut chunk);
                return Some(chunk);
            }
        }
        let due = !keepalive.is_zero() && self.last_sent.elapsed() >= keepalive;
        due.then(|| EMPTY_PACKET.to_vec())
    }

    fn end(&mut self) -> Result<Option<Vec<u8>>, EmitError> {
        if let Some(worker) = self.worker.take()
            && let Err(panic) = worker.join()
        {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            return Err(EmitError::Bug(text.unwrap_or("panic").to_owned()));
        }
        if self.shared.finished.load(Ordering::Acquire) {
            Ok(None)
        } else {
            Err(EmitError::Source(SourceError::Cancelled))
        }
    }

    /// Asks the worker to stop; [`PackStream::next_chunk`] then soon gives `Cancelled`.
    pub fn cancel(&self) {
        self.shared.watch.cancel();
    }

    /// For cancelling from elsewhere while a thread waits in [`PackStream::next_chunk`].
    pub fn watch(&self) -> &Arc<Watch> {
        &self.shared.watch
    }

    /// What has been done so far.
    pub fn stats(&self) -> PackStats {
        self.shared.stats()
    }
}

impl Drop for PackStream {
    fn drop(&mut self) {
        self.cancel();
        if let Some(worker) = self.worker.take() {
            // room for its last chunks, so that it sees the watch at once
            while self.chunks.try_recv().is_ok() {}
            // a panic of a stream nobody waits for has been told on stderr
            let _ = worker.join();
        }
        malloc::freed();
    }
}

impl Shared {
    fn lines(&self) -> Vec<u8> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).lines()
    }

    fn stats(&self) -> PackStats {
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
struct Producer {
    shared: Arc<Shared>,
    sender: Sender<Result<Vec<u8>, EmitError>>,
    plan: PlanOptions,
    options: StreamOptions,
}

impl Producer {
    fn run(self, source: &dyn ObjectSource, commits: &CommitTable, request: &WalkRequest) {
        match self.produce(source, commits, request) {
            Ok(()) => self.shared.finished.store(true, Ordering::Release),
            Err(error) => {
                // whoever took no more chunks is gone, and needs no reason
                let _ = self.hand_over(Err(error));
            }
        }
        if let Some(turn) = self.shared.watch.turn() {
            turn.rest(); // what is ahead of the client needs no work any more
        }
    }

    fn produce(
        &self,
        source: &dyn ObjectSource,
        commits: &CommitTable,
        request: &WalkRequest,
    ) -> Result<(), EmitError> {
        let watch = &*self.shared.watch;
        let enumeration = graph::enumerate(source, commits, request, watch)?;
        needs(watch, enumeration.objects.len(), BYTES_WALKED);
        let plan = PackPlan::new(source, enumeration, &self.plan, watch)?;
        watch.end();
        needs(watch, plan.steps.len(), BYTES_PLANNED);
        self.shared.planned(&plan.counts);
        let mut out = Framer::new(self.options.band_limit, |chunk| self.send(chunk));
        if self.options.progress {
            out.message(BAND_PROGRESS, &self.shared.lines());
        }
        let written = &self.shared.bytes;
        let mut out = PackWriter::new(source, watch, self.plan.level, written, out).write(plan)?;
        if self.options.progress {
            out.message(BAND_PROGRESS, total_line(&self.shared.stats()).as_bytes());
        }
        out.finish()?;
        Ok(())
    }

    /// Hands a chunk over, waiting while there is no room, until the stream is given up.
    fn send(&self, chunk: Vec<u8>) -> Result<(), SourceError> {
        self.shared.watch.check()?;
        match self.sender.try_send(Ok(chunk)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(message)) => match self.shared.watch.turn() {
                Some(turn) => turn.resting(|| self.hand_over(message)),
                None => self.hand_over(message),
            },
            Err(TrySendError::Disconnected(_)) => Err(SourceError::Cancelled),
        }
    }

    /// Waits for room.
    fn hand_over(&self, mut message: Result<Vec<u8>, EmitError>) -> Result<(), SourceError> {
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
