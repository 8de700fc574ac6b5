//! Follows a pack as it arrives, in pieces of any size.
//!
//! In: the bytes of the stream. Out: the pack in a file, and a record of each entry. It knows
//! exactly where the pack ends: bytes behind the trailer are not taken.
//!
//! `gitformat-pack`: a header of 12 bytes, as many entries as it says, and the hash of all that.

use std::path::PathBuf;
use std::sync::Arc;

use super::entries::{Entries, Stored};
use super::error::IngestError;
use super::hash_line::HashLine;
use super::inspect::{Inspection, Interest, Seen};
use super::limits::ReceiveLimits;
use super::pack_file::NewFile;
use crate::durable::SyncRules;
use crate::fsck::{Examiner, Rules};
use crate::graph::Outside;
use crate::hash::{HashKind, Hasher, ObjectId};
use crate::pack::PACK_HEADER_LEN;
use crate::pack::entry::{EntryError, EntryHeader, EntryKind, MAX_HEADER_LEN};
use crate::source::ObjectSource;
use crate::watch::Watch;
use crate::zlib::{Inflater, ZlibError};

/// Numbers of entries leave a bit free: the index needs it for large offsets.
const MOST_ENTRIES: u32 = i32::MAX as u32;

/// What inflates from deltas is only measured here, in pieces of this size.
const SCRATCH: usize = 32 * 1024;

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum Place {
    PackHeader,
    EntryHeader,
    Body { size: u64, seen: u64, whole: bool },
    Trailer,
    Complete,
    Failed,
}

/// A streaming index-pack. See the [module](super).
pub struct PackReceiver {
    pub(super) limits: ReceiveLimits,
    pub(super) sync: SyncRules,
    pub(super) file: NewFile,
    pub(super) entries: Entries,
    pub(super) trailer: ObjectId,
    pub(super) interest: Interest,
    /// What was seen in whole objects, and which of them are still to be looked at.
    pub(super) seen: Vec<Inspection>,
    pub(super) missed: Vec<u32>,
    /// What that comes to.
    pub(super) found: Seen,
    /// Bytes of the pack taken so far.
    pub(super) taken: u64,
    place: Place,
    expected: u32,
    received: u32,
    /// The beginning of a header that a piece ended in.
    carry: Vec<u8>,
    hasher: Hasher,
    crc: crc32fast::Hasher,
    inflater: Inflater,
    scratch: Box<[u8]>,
    line: Option<HashLine>,
}

impl PackReceiver {
    pub(super) fn create(
        path: PathBuf,
        hash: HashKind,
        limits: ReceiveLimits,
        sync: SyncRules,
    ) -> Result<Self, IngestError> {
        Ok(Self {
            limits,
            sync,
            file: NewFile::create(path)?,
            entries: Entries::new(hash),
            trailer: ObjectId::null(hash),
            interest: Interest::new(hash, limits.gather_from),
            seen: Vec::new(),
            missed: Vec::new(),
            found: Seen::default(),
            taken: 0,
            place: Place::PackHeader,
            expected: 0,
            received: 0,
            carry: Vec::with_capacity(MAX_HEADER_LEN),
            hasher: Hasher::new(hash),
            crc: crc32fast::Hasher::new(),
            inflater: Inflater::new(),
            scratch: vec![0; SCRATCH].into(),
            line: Some(HashLine::new(hash)),
        })
    }

    /// Takes bytes of the stream; how many of them belong to the pack.
    ///
    /// Fewer than there are only when the pack ends among them. Errors at the first wrong byte;
    /// after one, the receiver takes nothing more.
    pub fn write(&mut self, chunk: &[u8]) -> Result<usize, IngestError> {
        if matches!(self.place, Place::Failed) {
            return Err(IngestError::Spent);
        }
        let result = self.follow(chunk);
        if result.is_err() {
            self.place = Place::Failed;
        }
        result
    }

    /// The trailer has been read and is right.
    pub fn complete(&self) -> bool {
        matches!(self.place, Place::Complete)
    }

    /// Entries that the pack's header promises; 0 before it was read.
    pub fn objects_expected(&self) -> u32 {
        self.expected
    }

    /// Entries read to their ends.
    pub fn objects_received(&self) -> u32 {
        self.received
    }

    /// The objects that the finished pack leads to outside itself; `None` where that was not found out.
    ///
    /// What of them is complete, by whatever means that is known, makes everything in the pack complete.
    pub fn outside(&self) -> Option<&Outside> {
        self.found.outside.as_ref()
    }

    /// The objects are examined by these rules while they are made. To be called before the first bytes
    /// come.
    pub fn examine(&mut self, rules: Rules) {
        self.interest.set_rules(Arc::new(rules));
    }

    /// What was found in the objects of the finished pack ([`crate::fsck::report`]); `None` where it is
    /// not known of all.
    pub fn take_examined(&mut self) -> Option<Vec<Examiner>> {
        self.found.examined.take()
    }

    /// Bytes of the pack taken so far.
    pub fn bytes_received(&self) -> u64 {
        self.taken
    }

    /// Resolves the deltas, completes a thin pack from `base`, writes the indexes, makes all durable.
    ///
    /// Returns the number of objects in the pack as it is stored. `threads` 0 means one a core.
    /// Not to be called twice; after an error the quarantine is only fit for discarding. A pack
    /// of no objects leaves no files.
    pub fn finish(
        &mut self,
        base: Arc<dyn ObjectSource>,
        threads: usize,
        watch: &Watch,
    ) -> Result<u32, IngestError> {
        let place = std::mem::replace(&mut self.place, Place::Failed);
        match place {
            Place::Complete => {}
            Place::Failed => return Err(IngestError::Spent),
            _ => {
                let (received, expected) = (self.received, self.expected);
                return Err(IngestError::CutOff { received, expected });
            }
        }
        let named = self.line.take().ok_or(IngestError::Spent)?.finish()?;
        self.take_names(&named.ids);
        self.seen.extend(named.inspection);
        self.missed = named.missed;
        super::complete::complete(self, &*base, threads, watch)
    }

    /// Seconds that [`Self::finish`] may take; 0 for ever.
    pub fn max_seconds(&self) -> u64 {
        self.limits.max_seconds
    }

    /// The names of whole objects come in pack order.
    fn take_names(&mut self, ids: &[u8]) {
        let mut names = ids.chunks_exact(self.entries.hash_kind().len());
        for entry in 0..self.entries.len() {
            if let Stored::Whole(_) = self.entries.stored(entry)
                && let Some(name) = names.next()
            {
                self.entries.set_id(entry, name);
            }
        }
    }

    fn follow(&mut self, chunk: &[u8]) -> Result<usize, IngestError> {
        let mut at = 0;
        // the trailer is not hashed, all before it is
        let mut hashed = 0;
        loop {
            let rest = &chunk[at..];
            match self.place {
                Place::PackHeader => {
                    let Some(took) = self.carry_until(rest, PACK_HEADER_LEN) else {
                        at = chunk.len();
                        break;
                    };
                    at += took;
                    self.pack_header()?;
                }
                Place::EntryHeader => {
                    if rest.is_empty() {
                        break;
                    }
                    at += self.entry_header(rest, self.taken + at as u64)?;
                }
                Place::Body { .. } if rest.is_empty() => break,
                Place::Body { size, seen, whole } => {
                    at += self.body(rest, size, seen, whole)?;
                }
                Place::Trailer => {
                    if hashed < at {
                        self.hasher.update(&chunk[hashed..at]);
                    }
                    let len = self.entries.hash_kind().len();
                    match self.carry_until(rest, len) {
                        Some(took) => at += took,
                        None => at = chunk.len(),
                    }
                    hashed = at;
                    if self.carry.len() < len {
                        break;
                    }
                    self.check_trailer()?;
                }
                Place::Complete | Place::Failed => {
                    hashed = at;
                    break;
                }
            }
        }
        if hashed < at {
            self.hasher.update(&chunk[hashed..at]);
        }
        self.taken += at as u64;
        if self.limits.max_pack_bytes != 0 && self.taken > self.limits.max_pack_bytes {
            let limit = self.limits.max_pack_bytes;
            return Err(IngestError::Limit { what: "pack size", limit });
        }
        self.file.write(&chunk[..at])?;
        Ok(at)
    }

    /// Gathers `len` bytes in the carry: how many of `rest` that took, `None` when all were too few.
    fn carry_until(&mut self, rest: &[u8], len: usize) -> Option<usize> {
        let took = rest.len().min(len - self.carry.len());
        self.carry.extend_from_slice(&rest[..took]);
        (self.carry.len() == len).then_some(took)
    }

    fn pack_header(&mut self) -> Result<(), IngestError> {
        let word = |at: usize| {
            let mut bytes = [0u8; 4];
            bytes.copy_from_slice(&self.carry[at..at + 4]);
            u32::from_be_bytes(bytes)
        };
        if self.carry[..4] != *b"PACK" || !matches!(word(4), 2 | 3) {
            return Err(IngestError::NotAPack);
        }
        self.expected = word(8);
        let most = self.limits.max_objects.min(MOST_ENTRIES);
        if self.expected > most {
            return Err(IngestError::Limit { what: "number of objects", limit: most.into() });
        }
        self.carry.clear();
        self.interest.set_objects(self.expected);
        let inspection = self.interest.begin();
        self.line()?.inspect(inspection);
        self.next_entry();
        Ok(())
    }

    fn next_entry(&mut self) {
        let all = self.received == self.expected;
        self.place = if all { Place::Trailer } else { Place::EntryHeader };
    }

    /// Reads a header, which `at` is the place of in the pack; returns bytes taken from `rest`.
    fn entry_header(&mut self, rest: &[u8], at: u64) -> Result<usize, IngestError> {
        let hash = self.entries.hash_kind();
        let carried = self.carry.len();
        let offset = at - carried as u64;
        let parsed = if carried == 0 {
            EntryHeader::parse(rest, hash)
        } else {
            let more = rest.len().min(MAX_HEADER_LEN - carried);
            self.carry.extend_from_slice(&rest[..more]);
            EntryHeader::parse(&self.carry, hash)
        };
        let header = match parsed {
            Ok(header) => header,
            // a header never needs more than MAX_HEADER_LEN bytes to be read or refused
            Err(EntryError::Truncated) if carried + rest.len() < MAX_HEADER_LEN => {
                if carried == 0 {
                    self.carry.extend_from_slice(rest);
                }
                return Ok(rest.len());
            }
            Err(error) => return Err(IngestError::Entry { offset, error }),
        };
        let took = header.len - carried;
        self.crc = crc32fast::Hasher::new();
        self.crc.update(&self.carry[..carried]);
        self.crc.update(&rest[..took]);
        self.carry.clear();
        self.begin_entry(offset, &header)?;
        Ok(took)
    }

    fn begin_entry(&mut self, offset: u64, header: &EntryHeader) -> Result<(), IngestError> {
        let size = header.size;
        if size > self.limits.max_object_bytes {
            let limit = self.limits.max_object_bytes;
            return Err(IngestError::Limit { what: "object size", limit });
        }
        let whole = match header.kind {
            EntryKind::Whole(kind) => {
                self.limits.check_parsed(kind, size)?;
                let entry = self.entries.len();
                self.entries.push(offset, Stored::Whole(kind), None);
                self.line()?.begin(entry, kind, size)?;
                true
            }
            EntryKind::OfsDelta(distance) => {
                let base = offset.checked_sub(distance).and_then(|at| self.entries.at_offset(at));
                let base = base.ok_or(IngestError::BaseOffset { offset })?;
                self.entries.push(offset, Stored::Offset(base), None);
                false
            }
            EntryKind::RefDelta(base) => {
                self.entries.push(offset, Stored::Named, Some(&base));
                false
            }
        };
        self.inflater.reset();
        self.place = Place::Body { size, seen: 0, whole };
        Ok(())
    }

    fn line(&mut self) -> Result<&mut HashLine, IngestError> {
        self.line.as_mut().ok_or(IngestError::Spent)
    }

    /// Inflates from `rest`, returns bytes taken.
    ///
    /// All of `rest` while the entry goes on: then it was too short.
    fn body(
        &mut self,
        rest: &[u8],
        size: u64,
        mut seen: u64,
        whole: bool,
    ) -> Result<usize, IngestError> {
        let entry = self.received;
        let offset = self.entries.offset(entry);
        let zlib = |error| IngestError::Zlib { offset, error };
        let mut at = 0;
        loop {
            let room = match &mut self.line {
                Some(line) if whole => line.room()?,
                _ => &mut self.scratch[..],
            };
            let room_len = room.len();
            let step = self.inflater.step(&rest[at..], room).map_err(zlib)?;
            at += step.consumed;
            seen += step.produced as u64;
            // the room may be larger than what is to come, never so large that a bomb hurts
            if seen > size || (step.done && seen != size) {
                return Err(zlib(ZlibError::WrongSize));
            }
            if whole {
                self.line()?.fill(step.produced);
            }
            if step.done {
                self.crc.update(&rest[..at]);
                self.end_entry(whole)?;
                return Ok(at);
            }
            if at == rest.len() && step.produced < room_len {
                self.crc.update(rest);
                self.place = Place::Body { size, seen, whole };
                return Ok(at);
            }
            if step.consumed == 0 && step.produced == 0 {
                return Err(zlib(ZlibError::Corrupt));
            }
        }
    }

    fn end_entry(&mut self, whole: bool) -> Result<(), IngestError> {
        if whole {
            self.line()?.end();
        }
        let crc = std::mem::take(&mut self.crc).finalize();
        self.entries.set_crc(self.received, crc);
        self.received += 1;
        self.next_entry();
        Ok(())
    }

    fn check_trailer(&mut self) -> Result<(), IngestError> {
        let hash = self.entries.hash_kind();
        let made = std::mem::replace(&mut self.hasher, Hasher::new(hash)).finish();
        if made.as_bytes() != &self.carry[..] {
            return Err(IngestError::Checksum);
        }
        self.trailer = made;
        self.carry.clear();
        self.place = Place::Complete;
        Ok(())
    }
}
