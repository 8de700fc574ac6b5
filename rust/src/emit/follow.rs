//! Sending a pack from a file of the cache: one that is kept, or one that is still growing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::PackStats;
use super::chunk::{Chunk, LentFile};
use super::frame::{BAND_PROGRESS, Framer};
use super::progress::total_line;
use super::resume::Sent;
use crate::cache::{Gone, Made, Next, Reader};
use crate::source::SourceError;

/// How long to wait for more of a growing file: short at first, since packs are mostly written
/// faster than a socket takes them, longer while their deltas are searched.
const SHORTEST_NAP: Duration = Duration::from_micros(200);
const LONGEST_NAP: Duration = Duration::from_millis(5);

type Sink = Box<dyn FnMut(Chunk) -> Result<(), SourceError> + Send>;

/// What was received.
pub(super) enum Received {
    Chunk(Chunk),
    /// There will be no more of it.
    Gone(Gone),
    /// It is not the pack that the client has the beginning of.
    Differs,
}

/// Reads, frames, waits.
pub(super) struct Follower {
    reader: Reader,
    framer: Framer<Sink>,
    framed: Receiver<Chunk>,
    buffer: Vec<u8>,
    /// The reader's, to be sent from.
    file: Option<Arc<LentFile>>,
    progress: bool,
    /// What the client has from another file.
    sent: Option<Sent>,
    /// This file's pack does not begin with that.
    differs: bool,
    /// The pack's counts, once it is over.
    made: Option<Made>,
}

impl Follower {
    pub(super) fn new(
        reader: Reader,
        band_limit: usize,
        progress: bool,
        sent: Option<Sent>,
    ) -> Self {
        let (sender, framed) = crossbeam_channel::unbounded();
        let sink: Sink = Box::new(move |chunk| {
            sender.send(chunk).map_err(|_| SourceError::Cancelled) // the receiver lives beside us
        });
        let framer = Framer::new(band_limit, sink).lending();
        let lent = || Arc::new(LentFile::new(Arc::clone(reader.file()), reader.name()));
        let file = framer.may_lend().then(lent);
        Self {
            reader,
            framer,
            framed,
            buffer: Vec::new(),
            file,
            progress,
            sent,
            differs: false,
            made: None,
        }
    }

    /// Lines of progress, to be sent before what comes next.
    pub(super) fn tell(&mut self, lines: &[u8]) {
        self.framer.message(BAND_PROGRESS, lines);
    }

    /// The next chunk; `Timeout` when there was none for so long, `Disconnected` behind the last.
    pub(super) fn receive(
        &mut self,
        patience: Option<Duration>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Received, RecvTimeoutError> {
        let begun = Instant::now();
        let mut nap = SHORTEST_NAP;
        loop {
            if let Ok(chunk) = self.framed.try_recv() {
                return Ok(Received::Chunk(chunk));
            }
            if self.made.is_some() || is_cancelled() {
                return Err(RecvTimeoutError::Disconnected);
            }
            let is_read =
                self.file.is_none() || self.sent.as_ref().is_some_and(|sent| !sent.is_met());
            match self.reader.next(&mut self.buffer, is_read) {
                Next::Bytes(count) => match self.frame(count) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.differs = true;
                        return Ok(Received::Differs);
                    }
                    Err(_) => return Err(RecvTimeoutError::Disconnected),
                },
                Next::End(_) if self.sent.as_ref().is_some_and(|sent| !sent.is_met()) => {
                    self.differs = true;
                    return Ok(Received::Differs);
                }
                Next::End(made) => {
                    self.made = Some(made);
                    if self.progress {
                        self.framer.message(BAND_PROGRESS, total_line(&self.stats()).as_bytes());
                    }
                    if self.framer.finish().is_err() {
                        return Err(RecvTimeoutError::Disconnected);
                    }
                }
                Next::Gone(why) => {
                    // what was read is sent, so that what was read is what the client has
                    if self.framer.finish().is_err() {
                        return Err(RecvTimeoutError::Disconnected);
                    }
                    if self.framed.is_empty() {
                        return Ok(Received::Gone(why));
                    }
                }
                Next::Nothing => {
                    // what there is goes out before we wait
                    if self.framer.finish().is_err() {
                        return Err(RecvTimeoutError::Disconnected);
                    }
                    if !self.framed.is_empty() {
                        continue;
                    }
                    if patience.is_some_and(|patience| begun.elapsed() >= patience) {
                        return Err(RecvTimeoutError::Timeout);
                    }
                    std::thread::sleep(nap);
                    nap = (nap * 2).min(LONGEST_NAP);
                }
            }
        }
    }

    /// Puts what was read last into packets; `false` when it is not what the client has.
    fn frame(&mut self, count: usize) -> Result<bool, SourceError> {
        let mut lacks = count;
        if let Some(sent) = self.sent.as_mut().filter(|sent| !sent.is_met()) {
            match sent.lacks(&self.buffer) {
                Some(bytes) => lacks = bytes.len(),
                None => return Ok(false),
            }
        }
        match &self.file {
            Some(file) => self.framer.lend(file, self.reader.place() - lacks as u64, lacks)?,
            None => self.framer.data(&self.buffer[count - lacks..])?,
        }
        Ok(true)
    }

    /// What the client has.
    pub(super) fn into_sent(self) -> Sent {
        match self.sent {
            // nothing goes out before all of it was compared
            Some(sent) if self.differs || sent.len() >= self.reader.given() => sent.afresh(),
            _ => Sent::of(self.reader),
        }
    }

    /// Has all of it been?
    pub(super) fn is_over(&self) -> bool {
        self.made.is_some()
    }

    /// The reader alone.
    pub(super) fn into_reader(self) -> Reader {
        self.reader
    }

    /// What the pack's maker said of it, and how much was read.
    pub(super) fn stats(&self) -> PackStats {
        let Made { objects, deltas, reused, reused_deltas, verbatim } =
            self.made.unwrap_or_default();
        PackStats { objects, deltas, reused, reused_deltas, verbatim, bytes: self.reader.given() }
    }
}
