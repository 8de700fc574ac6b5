//! Reads entries back from the pack file in the quarantine.
//!
//! In: the file and where an entry is. Out: its inflated content, all at once or in pieces. The
//! entries were followed before, so that what is wrong now is the disk's fault. `pread`, not a
//! mapping: a disk that fails gives an error, not a signal.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::error::IngestError;
use crate::hash::HashKind;
use crate::pack::entry::EntryHeader;
use crate::zlib::{Inflater, Step};

/// Bytes of the file read at once; nearly all entries are smaller.
const PIECE: usize = 64 * 1024;

/// The pack file as the readers of one resolution share it.
#[derive(Clone, Copy)]
pub(super) struct PackBytes<'a> {
    pub(super) file: &'a File,
    pub(super) path: &'a Path,
    pub(super) hash: HashKind,
}

/// Reads entries for one thread.
pub(super) struct EntryReader<'a> {
    pack: PackBytes<'a>,
    inflater: Inflater,
    raw: Vec<u8>,
}

/// An entry that is being read.
pub(super) struct Reading {
    pub(super) header: EntryHeader,
    at: u64,
    end: u64,
    /// What of the raw piece is not inflated yet.
    from: usize,
    to: usize,
    done: bool,
}

impl<'a> EntryReader<'a> {
    pub(super) fn new(pack: PackBytes<'a>) -> Self {
        Self { pack, inflater: Inflater::new(), raw: vec![0; PIECE] }
    }

    /// Begins the entry whose bytes are from `start` to `end`.
    pub(super) fn open(&mut self, start: u64, end: u64) -> Result<Reading, IngestError> {
        let to = self.fetch(start, end)?;
        let header =
            EntryHeader::parse(&self.raw[..to], self.pack.hash).map_err(|_| self.read_back())?;
        self.inflater.reset();
        Ok(Reading { header, at: start + to as u64, end, from: header.len, to, done: false })
    }

    /// Inflates the next bytes into `out` until it is full or the entry ends; how many.
    pub(super) fn next(
        &mut self,
        entry: &mut Reading,
        out: &mut [u8],
    ) -> Result<usize, IngestError> {
        let mut len = 0;
        while len < out.len() && !entry.done {
            if entry.from == entry.to {
                entry.from = 0;
                entry.to = self.fetch(entry.at, entry.end)?;
                entry.at += entry.to as u64;
            }
            let step = self.step(entry, &mut out[len..])?;
            len += step.produced;
            if !step.done && step.consumed == 0 && step.produced == 0 {
                return Err(self.read_back());
            }
        }
        Ok(len)
    }

    /// The whole of an entry that was opened just now, in the place of what was in `out`.
    ///
    /// The header's size was true when the entry arrived, so that it is what gets allocated.
    pub(super) fn read(
        &mut self,
        mut entry: Reading,
        out: &mut Vec<u8>,
    ) -> Result<(), IngestError> {
        out.clear();
        let size = usize::try_from(entry.header.size).map_err(|_| self.read_back())?;
        if entry.at == entry.end {
            let raw = &self.raw[entry.from..entry.to];
            self.inflater.inflate_exact(raw, size, out).map_err(|_| self.read_back())?;
            return Ok(());
        }
        // one byte more, so that inflating comes to the end of the stream and its checksum
        out.resize(size + 1, 0);
        let len = self.next(&mut entry, out)?;
        if len != size || !entry.done {
            return Err(self.read_back());
        }
        out.truncate(size);
        Ok(())
    }

    fn step(&mut self, entry: &mut Reading, out: &mut [u8]) -> Result<Step, IngestError> {
        let step = self
            .inflater
            .step(&self.raw[entry.from..entry.to], out)
            .map_err(|_| self.read_back())?;
        entry.from += step.consumed;
        entry.done = step.done;
        Ok(step)
    }

    fn fetch(&mut self, at: u64, end: u64) -> Result<usize, IngestError> {
        let len = usize::try_from(end.saturating_sub(at)).unwrap_or(PIECE).min(PIECE);
        let piece = &mut self.raw[..len];
        self.pack.file.read_exact_at(piece, at).map_err(IngestError::io(self.pack.path))?;
        Ok(len)
    }

    fn read_back(&self) -> IngestError {
        IngestError::ReadBack { file: self.pack.path.display().to_string() }
    }
}
