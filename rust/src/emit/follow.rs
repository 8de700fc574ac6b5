//! Sending a pack from a file of the cache: one that is kept, or one that is still growing.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::PackStats;
use super::frame::{BAND_PROGRESS, Framer};
use super::progress::total_line;
use crate::cache::{Gone, Made, Next, Reader};
use crate::source::SourceError;

/// How long to wait for more of a growing file: short at first, since packs are mostly written
/// faster than a socket takes them, longer while their deltas are searched.
const SHORTEST_NAP: Duration = Duration::from_micros(200);
const LONGEST_NAP: Duration = Duration::from_millis(5);

type Sink = Box<dyn FnMut(Vec<u8>) -> Result<(), SourceError> + Send>;

/// What was received.
pub(super) enum Received {
    Chunk(Vec<u8>),
    /// There will be no more of it.
    Gone(Gone),
}

/// Reads, frames, waits.
pub(super) struct Follower {
    reader: Reader,
    framer: Framer<Sink>,
    framed: Receiver<Vec<u8>>,
    buffer: Vec<u8>,
    progress: bool,
    /// Pack bytes read so far.
    bytes: u64,
    /// The pack's counts, once it is over.
    made: Option<Made>,
}

impl Follower {
    pub(super) fn new(reader: Reader, band_limit: usize, progress: bool) -> Self {
        let (sender, framed) = crossbeam_channel::unbounded();
        let sink: Sink = Box::new(move |chunk| {
            sender.send(chunk).map_err(|_| SourceError::Cancelled) // the receiver lives beside us
        });
        let framer = Framer::new(band_limit, sink);
        Self { reader, framer, framed, buffer: Vec::new(), progress, bytes: 0, made: None }
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
            match self.reader.next(&mut self.buffer) {
                Next::Bytes => {
                    self.bytes += self.buffer.len() as u64;
                    if self.framer.data(&self.buffer).is_err() {
                        return Err(RecvTimeoutError::Disconnected);
                    }
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
                Next::Gone(why) => return Ok(Received::Gone(why)),
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

    /// Was any of the pack given out?
    pub(super) fn has_begun(&self) -> bool {
        self.bytes > 0
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
        PackStats { objects, deltas, reused, reused_deltas, verbatim, bytes: self.bytes }
    }
}
