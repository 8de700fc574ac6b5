//! The stream: one thread that makes the pack, and whoever takes its chunks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::chunk::Chunk;
use super::follow::{Follower, Received};
use super::frame::{BAND_DATA, BAND_PROGRESS, max_data, packets};
use super::producer::{self, BYTES_A_REQUEST, BYTES_WALKED, Handed, LOOK, Producer, Shared};
use super::resume::{Recipe, Sent, Way};
use super::{EmitError, PackStats, StreamOptions};
use crate::cache::{Begun, Flight, Gone, Key, PackCache, Reader};
use crate::client::Presence;
use crate::graph::{self, CommitTable, WalkRequest};
use crate::hash::ObjectId;
use crate::malloc;
use crate::plan::PlanOptions;
use crate::source::{ObjectSource, SourceError};
use crate::turns::Turns;
use crate::watch::Watch;

/// Chunks written ahead of whoever sends them, beside the one that is being sent: at most a megabyte
/// of pack, for each client that is slow to take them. The kernel's own buffers hold more.
const AHEAD: usize = 2;

/// And once the client was sent something to see whether it listens: an answer is on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A packet that says nothing: it keeps a connection alive.
const EMPTY_PACKET: [u8; 5] = [b'0', b'0', b'0', b'5', BAND_DATA];

/// A pack on its way. Dropping it stops and joins its worker.
pub struct PackStream {
    /// `None` when the worker could not be started, or is joined.
    worker: Option<JoinHandle<()>>,
    failure: Option<EmitError>,
    chunks: Receiver<Result<Handed, EmitError>>,
    shared: Arc<Shared>,
    options: StreamOptions,
    shelf: Shelf,
    remembered: Remembered,
    last_sent: Instant,
    is_urgent: bool,
    /// The client ended its side, and was sent something to see whether it still listens.
    is_probed: bool,
    /// The worker will tell what it left out.
    may_leave_out: bool,
}

/// What this stream has to do with remembered packs.
#[derive(Default)]
struct Shelf {
    /// The file that the worker may turn to.
    reader: Option<Reader>,
    /// The file that is being sent.
    follower: Option<Follower>,
    /// How to make the pack ourselves, when whoever makes it for us cannot.
    recipe: Option<Arc<Recipe>>,
    /// What to try then.
    next: Option<Way>,
    /// What the client has from a file that was not finished.
    sent: Option<Sent>,
}

/// Where a pack came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Remembered {
    /// It was made for this client alone.
    #[default]
    No,
    /// It was made for this client and whoever else came.
    Made,
    /// Somebody else's, read while it grew.
    Followed,
    /// It was there.
    Kept,
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
        let recipe = Arc::new(Recipe { source, commits, request, plan });
        Self::making(recipe, options, None, Shelf::default())
    }

    /// The same from a cache, or for it: the key must be that of the request, and the client must
    /// be allowed to have what it wants.
    pub fn start_remembered(
        source: Arc<dyn ObjectSource>,
        commits: Arc<CommitTable>,
        request: WalkRequest,
        plan: PlanOptions,
        options: StreamOptions,
        (cache, key): (&Arc<PackCache>, &Key),
    ) -> Self {
        let recipe = Arc::new(Recipe { source, commits, request, plan });
        let shelf = Shelf { next: Some(Way::Cache), ..Shelf::default() };
        Self::begun(recipe, options, cache.begin(key), shelf)
    }

    fn begun(recipe: Arc<Recipe>, options: StreamOptions, begun: Begun, shelf: Shelf) -> Self {
        let shelf = Shelf { recipe: Some(Arc::clone(&recipe)), ..shelf };
        match begun {
            Begun::Kept(reader) => Self::reading(options, reader, Remembered::Kept, shelf),
            Begun::Growing(reader) => Self::reading(options, reader, Remembered::Followed, shelf),
            Begun::Lead(flight, reader) => {
                let shelf = Shelf { reader: Some(reader), ..shelf };
                Self::making(recipe, options, Some(flight), shelf)
            }
            Begun::No => Self::making(recipe, options, None, shelf),
        }
    }

    /// With a worker, which makes the pack.
    fn making(
        recipe: Arc<Recipe>,
        options: StreamOptions,
        flight: Option<Flight>,
        shelf: Shelf,
    ) -> Self {
        let may_leave_out = !recipe.request.leave_out.is_empty();
        let bound = u64::from(recipe.source.number_bound()).saturating_mul(BYTES_WALKED);
        let turn = Turns::of_process().turn(bound.saturating_add(BYTES_A_REQUEST));
        let shared = Arc::new(Shared::new(Watch::taking_turns(turn)));
        let (sender, chunks) = crossbeam_channel::bounded(AHEAD);
        let producer = Producer {
            shared: Arc::clone(&shared),
            sender,
            plan: recipe.plan.clone(),
            options: options.clone(),
            sent: shelf.sent.clone(),
        };
        let spawned = std::thread::Builder::new().name("pack-stream".to_owned()).spawn(move || {
            let Recipe { source, commits, request, .. } = &*recipe;
            producer.run(&**source, commits, request, flight);
            graph::keep_learning(source, commits);
        });
        let (worker, failure) = match spawned {
            Ok(worker) => (Some(worker), None),
            Err(error) => (None, Some(EmitError::Thread(error))),
        };
        let mut made = Self::new(worker, failure, chunks, shared, options, shelf);
        made.may_leave_out = may_leave_out;
        made
    }

    /// From a file.
    fn reading(
        options: StreamOptions,
        reader: Reader,
        remembered: Remembered,
        mut shelf: Shelf,
    ) -> Self {
        let StreamOptions { band_limit, progress, .. } = options;
        let sent = shelf.sent.take();
        shelf.follower = Some(Follower::new(reader, band_limit, progress, sent));
        let shared = Arc::new(Shared::new(Watch::new()));
        let (_, chunks) = crossbeam_channel::bounded(0);
        let mut made = Self::new(None, None, chunks, shared, options, shelf);
        made.remembered = remembered;
        made
    }

    fn new(
        worker: Option<JoinHandle<()>>,
        failure: Option<EmitError>,
        chunks: Receiver<Result<Handed, EmitError>>,
        shared: Arc<Shared>,
        options: StreamOptions,
        shelf: Shelf,
    ) -> Self {
        Self {
            worker,
            failure,
            chunks,
            shared,
            options,
            shelf,
            remembered: Remembered::No,
            last_sent: Instant::now(),
            is_urgent: false,
            is_probed: false,
            may_leave_out: false,
        }
    }

    /// Waits until it is known which of [`WalkRequest::leave_out`] would have been in the pack. To
    /// be asked once, before the first chunk.
    pub fn left_out(&mut self) -> Result<Vec<ObjectId>, EmitError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        while std::mem::take(&mut self.may_leave_out) {
            match self.chunks.recv_timeout(LOOK) {
                Ok(Ok(Handed::LeftOut(ids))) => return Ok(ids),
                Ok(Ok(_)) => return Err(EmitError::Bug("a chunk before the list".to_owned())),
                Ok(Err(error)) => return Err(error),
                Err(RecvTimeoutError::Disconnected) => {
                    self.end()?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.may_leave_out = true;
                    // a probe cannot be sent before the pack has begun
                    if self
                        .options
                        .client
                        .is_some_and(|client| Presence::of(client) == Presence::Gone)
                    {
                        self.cancel();
                        return Err(EmitError::ClientGone);
                    }
                }
            }
        }
        Ok(Vec::new())
    }

    /// The next buffer to send, `None` behind the last; waits for it.
    ///
    /// Every buffer is a run of whole packets (or, without bands, bytes of the pack).
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, EmitError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.is_urgent = false;
        loop {
            match self.receive() {
                Ok(Ok(Received::Chunk(chunk))) => {
                    self.last_sent = Instant::now();
                    return Ok(Some(chunk));
                }
                Ok(Ok(Received::Gone(why))) => self.go_on_without(Some(why))?,
                Ok(Ok(Received::Differs) | Err(EmitError::Differs)) => self.go_on_without(None)?,
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

    /// The file that was being sent will not be finished, or holds another pack (`None`): goes on
    /// where it ends.
    fn go_on_without(&mut self, why: Option<Gone>) -> Result<(), EmitError> {
        let sent = match self.shelf.follower.take() {
            Some(follower) => Some(follower.into_sent()),
            None => self.shelf.sent.take(),
        };
        if why == Some(Gone::Maker) && self.worker.is_some() {
            match self.chunks.recv() {
                // the pack can be made, and must not be lost for want of a place for it
                Ok(Err(EmitError::NotWritten(_))) => {}
                // our own worker failed, and says why
                Ok(Err(error)) => return Err(error),
                _ => return self.end().and(Err(EmitError::Lost)),
            }
        }
        let (recipe, way) = (self.shelf.recipe.take(), self.shelf.next.take());
        let (Some(recipe), Some(way)) = (recipe, way) else { return Err(EmitError::Lost) };
        let again = match (way, &sent) {
            // who is told to make it alone does
            (Way::Cache, Some(sent)) if why != Some(Gone::Declined) => sent.reader().ask_again(),
            _ => Begun::No,
        };
        let recipe = match way {
            Way::Cache | Way::Alone => recipe,
            Way::Walking => {
                let request = WalkRequest { no_bitmaps: true, ..recipe.request.clone() };
                Arc::new(Recipe { request, ..Recipe::clone(&recipe) })
            }
        };
        let sent = sent.filter(|sent| sent.len() > 0);
        let shelf = Shelf { next: way.next(), sent, ..Shelf::default() };
        let mut made = Self::begun(recipe, self.options.clone(), again, shelf);
        (made.last_sent, made.is_probed) = (self.last_sent, self.is_probed);
        *self = made;
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
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
    fn look_for_client(&mut self) -> Result<Option<Chunk>, EmitError> {
        let Some(client) = self.options.client else { return Ok(None) };
        match Presence::of(client) {
            Presence::Gone => {
                self.cancel();
                Err(EmitError::ClientGone)
            }
            Presence::Silent if !self.is_probed && self.options.band_limit > 0 => {
                self.is_probed = true;
                Ok(Some(EMPTY_PACKET.to_vec().into()))
            }
            Presence::Silent | Presence::There => Ok(None),
        }
    }

    fn receive(&mut self) -> Result<Result<Received, EmitError>, RecvTimeoutError> {
        let StreamOptions { band_limit, progress, keepalive, client } = self.options;
        let patience = match (band_limit, progress) {
            _ if client.is_some() => Some(if self.is_probed { LOOK_AGAIN } else { LOOK }),
            (0, _) => None,
            (_, true) => Some(LOOK),
            (_, false) if keepalive.is_zero() => None,
            (_, false) => Some(keepalive.saturating_sub(self.last_sent.elapsed())),
        };
        if let Some(follower) = &mut self.shelf.follower {
            let watch = &self.shared.watch;
            let received = follower.receive(patience, &|| watch.is_cancelled())?;
            return Ok(Ok(received));
        }
        let handed = match patience {
            Some(patience) => self.chunks.recv_timeout(patience)?,
            None => self.chunks.recv().map_err(|_| RecvTimeoutError::Disconnected)?,
        };
        Ok(match handed {
            Ok(Handed::Chunk(chunk)) => Ok(Received::Chunk(chunk)),
            Ok(Handed::InFile) => return self.turn_to_file(),
            Ok(Handed::LeftOut(_)) => return Err(RecvTimeoutError::Timeout), // nobody asked
            Err(error) => Err(error),
        })
    }

    /// From here on our own worker's pack is read as everybody reads it.
    fn turn_to_file(&mut self) -> Result<Result<Received, EmitError>, RecvTimeoutError> {
        let Some(reader) = self.shelf.reader.take() else { return Ok(Err(EmitError::Lost)) };
        let StreamOptions { band_limit, progress, .. } = self.options;
        let sent = self.shelf.sent.take();
        let mut follower = Follower::new(reader, band_limit, progress, sent);
        if progress {
            follower.tell(&self.shared.lines());
        }
        self.shelf.follower = Some(follower);
        self.remembered = Remembered::Made;
        Err(RecvTimeoutError::Timeout) // asked again at once, with patience anew
    }

    /// Progress that is new, or an empty packet when nothing was sent for long.
    fn sign_of_life(&self) -> Option<Chunk> {
        let StreamOptions { band_limit, progress, keepalive, .. } = self.options;
        if band_limit == 0 {
            return None;
        }
        if progress {
            let lines = self.shared.lines();
            if !lines.is_empty() {
                let mut chunk = Vec::new();
                packets(max_data(band_limit), BAND_PROGRESS, &lines, &mut chunk);
                return Some(chunk.into());
            }
        }
        let due = !keepalive.is_zero() && self.last_sent.elapsed() >= keepalive;
        due.then(|| EMPTY_PACKET.to_vec().into())
    }

    fn end(&mut self) -> Result<Option<Chunk>, EmitError> {
        if let Some(follower) = &self.shelf.follower {
            let is_over = follower.is_over();
            return if is_over { Ok(None) } else { Err(EmitError::Source(SourceError::Cancelled)) };
        }
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

    /// What has been done so far; of a pack from a file, what has been read.
    pub fn stats(&self) -> PackStats {
        match &self.shelf.follower {
            Some(follower) => follower.stats(),
            None => self.shared.stats(),
        }
    }

    /// Where the pack comes from, as far as it is known.
    pub fn remembered(&self) -> Remembered {
        self.remembered
    }
}

impl Drop for PackStream {
    fn drop(&mut self) {
        let follower = self.shelf.follower.take();
        let reader = follower.map(Follower::into_reader).or(self.shelf.reader.take());
        if let Some(worker) = self.worker.take() {
            let is_over = self.shared.finished.load(Ordering::Acquire);
            match reader {
                Some(reader) if !is_over && reader.is_shared() => {
                    producer::leave_to_others(worker, reader, Arc::clone(&self.shared));
                }
                _ => {
                    self.cancel();
                    // room for its last chunks, so that it sees the watch at once
                    while self.chunks.try_recv().is_ok() {}
                    // a panic of a stream nobody waits for has been told on stderr
                    let _ = worker.join();
                }
            }
        } else {
            self.cancel();
        }
        malloc::freed();
    }
}
