//! A plan to bytes: headers, copied entries, what is compressed on the way, the trailer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::chunk::{Chunk, LentFile};
use super::frame::{Framer, LEND_FROM};
use super::indexing::{Indexing, WrittenEntry};
use super::trailer::Trailer;
use crate::delta::DeltaIndex;
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::pack::entry::{EntryHeader, EntryKind, MAX_HEADER_LEN};
use crate::pack::{PACK_HEADER_LEN, any_faulted};
use crate::plan::{BaseAt, MadeEntry, PackPlan, Step};
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, SourceError};
use crate::store::Pack;
use crate::watch::Watch;
use crate::zlib::Deflater;

/// Bytes that are checked, hashed and copied before the next are touched: they stay in the
/// processor's cache for it.
const PIECE: usize = 64 << 10;

/// Larger objects are compressed piece by piece, never held in memory.
const STREAM_ABOVE: u64 = 1 << 20;

/// Writes one pack.
pub(super) struct PackWriter<'a, S> {
    source: &'a dyn ObjectSource,
    watch: &'a Watch,
    level: i32,
    out: Framer<S>,
    /// `None` where the bytes are those of a stored pack from the first to the last.
    trailer: Option<Trailer>,
    offset: u64,
    entry_start: u64,
    /// The offset, for whoever watches.
    written: &'a AtomicU64,
    reader: Option<Box<dyn ObjectReader + 'a>>,
    deflater: Option<Deflater>,
    scratch: Vec<u8>,
    indexing: Option<Indexing>,
    /// The pack that was sent from last, open if it could be.
    lent: Option<(Arc<Pack>, Option<Arc<LentFile>>)>,
}

impl<'a, S: FnMut(Chunk) -> Result<(), SourceError>> PackWriter<'a, S> {
    pub(super) fn new(
        source: &'a dyn ObjectSource,
        watch: &'a Watch,
        level: i32,
        written: &'a AtomicU64,
        out: Framer<S>,
    ) -> Self {
        Self {
            source,
            watch,
            level,
            out,
            trailer: None,
            offset: 0,
            entry_start: 0,
            written,
            reader: None,
            deflater: None,
            scratch: Vec::new(),
            indexing: None,
            lent: None,
        }
    }

    /// As [`PackWriter::write`], bare; what is to be said of each entry in an index, and the
    /// pack's checksum.
    pub(super) fn write_indexed(
        mut self,
        plan: PackPlan,
    ) -> Result<(Vec<WrittenEntry>, ObjectId), SourceError> {
        self.indexing = Some(Indexing::default());
        let trailer = self.write_steps(plan)?;
        self.out.finish()?;
        let entries = self.indexing.take().map_or_else(Vec::new, Indexing::into_entries);
        Ok((entries, trailer))
    }

    /// Writes the whole pack; gives back the framer.
    pub(super) fn write(mut self, plan: PackPlan) -> Result<Framer<S>, SourceError> {
        self.write_steps(plan)?;
        Ok(self.out)
    }

    fn write_steps(&mut self, plan: PackPlan) -> Result<ObjectId, SourceError> {
        let PackPlan { steps, mut made, counts } = plan;
        let header = pack_header(counts.objects);
        let whole = self.stored_pack(&steps, &header);
        if whole.is_none() {
            let hash = self.source.hash_kind();
            let upkeep = self.indexing.is_some();
            self.trailer = Some(if upkeep { Trailer::alone(hash) } else { Trailer::new(hash) });
            self.out.slow(true);
        }
        self.put(&header)?;
        let mut starts = Vec::with_capacity(steps.len());
        for step in &steps {
            self.watch.check()?;
            starts.push(self.offset);
            self.begin_indexing(step);
            self.entry_start = self.offset;
            match *step {
                Step::Run { pack, start, end, .. } => self.run(pack, start, end)?,
                Step::Moved { pack, offset, end, base } => {
                    let base = self.base(base, &starts);
                    self.moved(pack, offset, end, base)?;
                }
                Step::Made(index) => {
                    // taken out, so that memory shrinks as the pack is written
                    let slot = &mut made[index as usize];
                    let deflated = std::mem::take(&mut slot.deflated);
                    let MadeEntry { number, kind, base, size, .. } = *slot;
                    let kind = match base {
                        Some(base) => self.base(base, &starts),
                        None => EntryKind::Whole(kind),
                    };
                    self.entry(&kind, size, &deflated)?;
                    self.indexed(number);
                }
                Step::Whole(number) => {
                    self.whole(number)?;
                    self.indexed(number);
                }
                Step::Remake { target, base, at } => {
                    let base_kind = self.base(at, &starts);
                    self.remake(target, base, base_kind)?;
                    self.indexed(target);
                }
            }
        }
        self.begin_indexing(&Step::Run { pack: 0, start: 0, end: 0, objects: 0 });
        let known = whole.and_then(|pack| ObjectId::from_bytes(pack.trailer()));
        let made = self.trailer.take().and_then(Trailer::finish);
        self.check_faults(&steps)?;
        let trailer = known.or(made).ok_or_else(|| SourceError::Corrupt {
            file: "pack".to_owned(),
            what: "has no checksum".to_owned(),
        })?;
        self.put(trailer.as_bytes())?;
        Ok(trailer)
    }

    /// What waited for the checksum was read once more, behind the last look at the file.
    fn check_faults(&self, steps: &[Step]) -> Result<(), SourceError> {
        if !any_faulted() {
            return Ok(());
        }
        for step in steps {
            if let Step::Run { pack, start, .. } | Step::Moved { pack, offset: start, .. } = *step {
                let pack = self.pack(pack)?;
                if pack.is_faulted() {
                    return Err(SourceError::corrupt_at(pack.name(), start, "the file shrank"));
                }
            }
        }
        Ok(())
    }

    fn begin_indexing(&mut self, step: &Step) {
        if let Some(indexing) = &mut self.indexing {
            indexing.begin(matches!(step, Step::Run { .. }));
        }
    }

    /// The entry of this object has been written, and nothing behind it.
    fn indexed(&mut self, number: ObjectNumber) {
        if self.indexing.is_some() {
            self.indexed_as(self.source.id(number));
        }
    }

    fn indexed_as(&mut self, id: ObjectId) {
        if let Some(indexing) = &mut self.indexing {
            indexing.end(id, self.entry_start);
            self.watch.add(1);
        }
    }

    /// The entries of these ranks of a pack are about to be written here.
    fn index_run(&mut self, pack: &Pack, first: usize, last: usize) -> Result<(), SourceError> {
        let Some(indexing) = &mut self.indexing else { return Ok(()) };
        let order = pack.order()?;
        let start = order.offset(first);
        for rank in first..last {
            let (position, offset) = (order.positions()[rank], order.offset(rank));
            let crc = match pack.crc32_at(position) {
                Some(crc) => crc,
                None => crc32fast::hash(slice(pack, offset, order.offset(rank + 1))?),
            };
            let id = pack.id_at(position);
            indexing.push(WrittenEntry { id, offset: self.offset + offset - start, crc });
        }
        self.watch.add((last - first) as u64);
        Ok(())
    }

    /// The stored pack that this one repeats byte for byte: its trailer is known.
    fn stored_pack(&self, steps: &[Step], header: &[u8]) -> Option<Arc<Pack>> {
        let &[Step::Run { pack, start, end, .. }] = steps else { return None };
        let pack = self.source.pack(pack)?;
        let all = start == PACK_HEADER_LEN as u64 && end == pack.end_of_entries();
        (all && pack.data().starts_with(header)).then(|| Arc::clone(pack))
    }

    /// Where a base is, in the terms of an entry header.
    fn base(&self, base: BaseAt, starts: &[u64]) -> EntryKind {
        match base {
            BaseAt::Sent { step, within } => {
                EntryKind::OfsDelta(self.offset - starts[step as usize] - within)
            }
            BaseAt::Named(number) => EntryKind::RefDelta(self.source.id(number)),
        }
    }

    /// Entries as they lie in a stored pack, each checked against the index, once.
    fn run(&mut self, pack: u32, start: u64, end: u64) -> Result<(), SourceError> {
        let pack = self.pack(pack)?;
        let order = pack.order()?;
        let corrupt = |at, what| SourceError::corrupt_at(pack.name(), at, what);
        let rank_of = |at| order.rank(at).ok_or_else(|| corrupt(at, "no entry begins here"));
        let first = rank_of(start)?;
        let last = match end == pack.end_of_entries() {
            true => order.positions().len(),
            false => rank_of(end)?,
        };
        self.index_run(&pack, first, last)?;
        if pack.is_verified(first..last) {
            return self.copy(&pack, start, end);
        }
        let (mut done, mut done_rank) = (start, first);
        let mut at = start;
        for rank in first..last {
            let next = order.offset(rank + 1);
            self.check_entry(&pack, order.positions()[rank], at, next)?;
            at = next;
            if at - done >= PIECE as u64 || rank + 1 == last {
                pack.note_verified(done_rank..rank + 1);
                self.copy(&pack, done, at)?;
                (done, done_rank) = (at, rank + 1);
            }
        }
        Ok(())
    }

    /// A stored delta, its base now elsewhere.
    fn moved(
        &mut self,
        pack: u32,
        offset: u64,
        end: u64,
        base: EntryKind,
    ) -> Result<(), SourceError> {
        let pack = self.pack(pack)?;
        let header = pack.header_at(offset)?;
        let order = pack.order()?;
        let rank = order
            .rank(offset)
            .ok_or_else(|| SourceError::corrupt_at(pack.name(), offset, "no entry begins here"))?;
        if !pack.is_verified(rank..rank + 1) {
            self.check_entry(&pack, order.positions()[rank], offset, end)?;
            pack.note_verified(rank..rank + 1);
        }
        self.header(&base, header.size)?;
        self.copy(&pack, offset + header.len as u64, end)?;
        self.indexed_as(pack.id_at(order.positions()[rank]));
        Ok(())
    }

    /// Reads an object and compresses it.
    fn whole(&mut self, number: ObjectNumber) -> Result<(), SourceError> {
        let (kind, size) = self.reader().header(number)?;
        if size > STREAM_ABOVE {
            return self.stream(number, kind, size);
        }
        let mut deflater = self.take_deflater();
        let mut deflated = std::mem::take(&mut self.scratch);
        deflated.clear();
        let (kind, content) = self.reader().read(number)?;
        let size = content.len() as u64;
        deflater.deflate_all(content, &mut deflated);
        self.deflater = Some(deflater);
        self.entry(&EntryKind::Whole(kind), size, &deflated)?;
        self.scratch = deflated;
        Ok(())
    }

    /// As [`PackWriter::whole`], in constant memory.
    fn stream(
        &mut self,
        number: ObjectNumber,
        kind: ObjectKind,
        size: u64,
    ) -> Result<(), SourceError> {
        self.header(&EntryKind::Whole(kind), size)?;
        let mut deflater = self.take_deflater();
        let mut deflated = std::mem::take(&mut self.scratch);
        deflater.reset();
        let mut reader = self.reader.take().unwrap_or_else(|| self.source.reader());
        let mut outcome = Ok(());
        let mut seen = 0u64;
        let read = reader.stream(number, &mut |piece| {
            seen += piece.len() as u64;
            outcome = piece.chunks(PIECE).try_for_each(|piece| {
                self.watch.check()?;
                deflated.clear();
                deflater.push(piece, false, &mut deflated);
                self.put(&deflated)
            });
            outcome.is_ok()
        });
        outcome?;
        read?;
        if seen != size {
            let id = self.source.id(number);
            let what = format!("has {seen} bytes where its header says {size}");
            return Err(SourceError::Corrupt { file: format!("object {id}"), what });
        }
        deflated.clear();
        deflater.push(&[], true, &mut deflated);
        self.put(&deflated)?;
        self.reader = Some(reader);
        self.deflater = Some(deflater);
        self.scratch = deflated;
        Ok(())
    }

    /// A delta that was found while planning, and not kept.
    fn remake(
        &mut self,
        target: ObjectNumber,
        base: ObjectNumber,
        base_kind: EntryKind,
    ) -> Result<(), SourceError> {
        let base = self.reader().read(base)?.1.to_vec();
        let mut index = DeltaIndex::default();
        index.build(&base);
        let (mut delta, mut deflated) = (Vec::new(), Vec::new());
        index.encode(&base, self.reader().read(target)?.1, usize::MAX, &mut delta);
        let mut deflater = self.take_deflater();
        deflater.deflate_all(&delta, &mut deflated);
        self.deflater = Some(deflater);
        self.entry(&base_kind, delta.len() as u64, &deflated)
    }

    fn entry(&mut self, kind: &EntryKind, size: u64, deflated: &[u8]) -> Result<(), SourceError> {
        self.header(kind, size)?;
        self.put(deflated)
    }

    fn header(&mut self, kind: &EntryKind, size: u64) -> Result<(), SourceError> {
        let mut header = Vec::with_capacity(MAX_HEADER_LEN);
        EntryHeader::write(kind, size, &mut header);
        self.put(&header)
    }

    /// Does the entry still have the checksum it was indexed with?
    ///
    /// Found here, a bad disk is an error that names the pack; found by the client, after the
    /// whole download, it is a riddle.
    fn check_entry(
        &self,
        pack: &Pack,
        position: u32,
        start: u64,
        end: u64,
    ) -> Result<(), SourceError> {
        let Some(wanted) = pack.crc32_at(position) else { return Ok(()) };
        let entry = slice(pack, start, end)?;
        let found = if entry.len() <= PIECE {
            crc32fast::hash(entry)
        } else {
            let mut crc = crc32fast::Hasher::new();
            for piece in entry.chunks(16 * PIECE) {
                self.watch.check()?;
                crc.update(piece);
            }
            crc.finalize()
        };
        if found == wanted {
            return Ok(());
        }
        let what = format!("object {} has a wrong checksum", pack.id_at(position));
        Err(SourceError::corrupt_at(pack.name(), start, what))
    }

    fn copy(&mut self, pack: &Arc<Pack>, start: u64, end: u64) -> Result<(), SourceError> {
        let bytes = slice(pack, start, end)?;
        let file = if bytes.len() < LEND_FROM { None } else { self.lent(pack) };
        let (mut at, mut hashed) = (start as usize, start as usize);
        for piece in bytes.chunks(PIECE) {
            at += piece.len();
            if let Some(trailer) = &mut self.trailer {
                // before it is copied: to hash takes as long as memory needs
                let ahead = trailer.ahead();
                // nothing waits to be hashed where nobody else hashes
                self.out.slow(ahead == 0);
                let next = (at + ahead).min(start as usize + bytes.len()).max(hashed);
                trailer.copied(pack, hashed, next);
                hashed = next;
            }
            match &file {
                Some(file) => {
                    self.out.lend(file, (at - piece.len()) as u64, piece.len())?;
                    self.went(piece.len());
                }
                None => self.put_unhashed(piece)?,
            }
            if pack.is_faulted() {
                return Err(SourceError::corrupt_at(pack.name(), start, "the file shrank"));
            }
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        if let Some(trailer) = &mut self.trailer {
            trailer.update(bytes);
        }
        self.put_unhashed(bytes)
    }

    fn put_unhashed(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        if let Some(indexing) = &mut self.indexing {
            indexing.update(bytes);
        }
        self.went(bytes.len());
        self.out.data(bytes)
    }

    fn went(&mut self, count: usize) {
        self.offset += count as u64;
        self.written.store(self.offset, Ordering::Relaxed);
    }

    /// The pack's file, to be sent from by whoever sends; opened once for a run of entries of it.
    fn lent(&mut self, pack: &Arc<Pack>) -> Option<Arc<LentFile>> {
        if !self.out.may_lend() {
            return None;
        }
        match &self.lent {
            Some((last, file)) if Arc::ptr_eq(last, pack) => file.clone(),
            _ => {
                let file = pack.reopened();
                let file = file.map(|file| Arc::new(LentFile::new(file, pack.name().to_owned())));
                self.lent = Some((Arc::clone(pack), file.clone()));
                file
            }
        }
    }

    fn pack(&self, pack: u32) -> Result<Arc<Pack>, SourceError> {
        self.source.pack(pack).cloned().ok_or_else(|| SourceError::Corrupt {
            file: format!("pack {pack}"),
            what: "named by the plan, but not there".to_owned(),
        })
    }

    fn reader(&mut self) -> &mut (dyn ObjectReader + 'a) {
        let source = self.source;
        &mut **self.reader.get_or_insert_with(|| source.reader())
    }

    fn take_deflater(&mut self) -> Deflater {
        self.deflater.take().unwrap_or_else(|| Deflater::new(self.level))
    }
}

fn slice(pack: &Pack, start: u64, end: u64) -> Result<&[u8], SourceError> {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    range
        .filter(|_| end <= pack.end_of_entries())
        .and_then(|(start, end)| pack.data().get(start..end))
        .ok_or_else(|| SourceError::corrupt_at(pack.name(), start, "entry beyond the pack"))
}

fn pack_header(objects: u32) -> [u8; PACK_HEADER_LEN] {
    let mut header = *b"PACK\0\0\0\x02\0\0\0\0";
    header[8..].copy_from_slice(&objects.to_be_bytes());
    header
}
