//! Reading objects: delta chains without recursion, with what was made kept for what comes next
//! (`gitformat-pack`, "Deltified representation").

use std::sync::Arc;

use super::loose::{self, LooseReader};
use super::snapshot::Place;
use super::spare::Lent;
use super::{MAX_OBJECT_IN_MEMORY, Snapshot, fits_memory};
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::pack::entry::{EntryHeader, EntryKind};
use crate::pack::made::{self, Made};
use crate::pack::{Pack, delta};
use crate::source::{DecodeError, ObjectNumber, ObjectReader, ObjectSource, PackedAt, SourceError};
use crate::zlib::{Inflater, ZlibError};

/// What one reader keeps of objects it has made, in bytes. Walks over the histories of git,
/// rails and spring-framework are no faster with six times as much; half of it costs a third.
pub const DEFAULT_CACHE: usize = 16 << 20;
/// Longer chains, and those that bite their own tail, are refused; git writes none above 4,095.
const MAX_DELTA_DEPTH: usize = 10_000;
/// Streams give pieces of this size.
const PIECE_LEN: usize = 64 * 1024;
/// Two sizes of 10 bytes each are at the front of a delta.
const MAX_DELTA_SIZES_LEN: usize = 20;
/// Deflate makes at most 1,032 bytes of one: a header that promises more is a lie.
const MAX_INFLATE_RATIO: u64 = 1032;

/// Reads the objects of a snapshot for one thread.
pub struct Reader<'a> {
    snapshot: &'a Snapshot,
    /// Deltas between the object asked for and its base, the object's own first.
    chain: Vec<Link>,
    parts: Lent,
}

/// One delta of a chain.
#[derive(Clone, Copy)]
struct Link {
    at: PackedAt,
    size: u64,
    header_len: usize,
}

/// Where a chain ends.
enum Base {
    /// In the cache.
    Slot(u32),
    /// An entry stored whole.
    Entry(PackedAt, ObjectKind, EntryHeader),
    /// A loose object.
    Loose(ObjectId),
}

impl<'a> Reader<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self::keeping(snapshot, DEFAULT_CACHE)
    }

    /// With a smaller cache: see [`ObjectSource::brief_reader`].
    pub(super) fn keeping(snapshot: &'a Snapshot, bytes: usize) -> Self {
        Self { snapshot, chain: Vec::new(), parts: Lent::take(snapshot.serial(), bytes) }
    }

    /// Reads the object whose entry is there, which may be any copy of it.
    pub fn read_packed(&mut self, at: PackedAt) -> Result<(ObjectKind, &[u8]), SourceError> {
        let slot = self.make(at)?;
        Ok(self.parts.cache.get(slot))
    }

    /// Puts the object of an entry into the cache.
    fn make(&mut self, at: PackedAt) -> Result<u32, SourceError> {
        let mut base = match self.descend(at)? {
            Base::Slot(slot) => slot,
            Base::Entry(at, kind, header) => {
                let pack = self.pack(at)?;
                let mut out = Vec::new();
                inflate(
                    &mut self.parts.inflater,
                    pack,
                    at.offset,
                    header.len,
                    header.size,
                    &mut out,
                )?;
                self.keep(at, kind, out)?
            }
            Base::Loose(id) => {
                let kind = self.read_loose(&id)?.ok_or(SourceError::Missing(id))?;
                self.apply_chain_to_loose(kind)?
            }
        };
        while let Some(link) = self.chain.pop() {
            let parts = &mut *self.parts;
            let (kind, content) = parts.cache.get(base);
            let pack = self.snapshot.pack(link.at.pack);
            let pack = pack.expect("the chain was followed through this pack");
            let mut out = Vec::new();
            apply(&mut parts.inflater, pack, link, content, &mut parts.delta, &mut out)?;
            base = self.keep(link.at, kind, out)?;
        }
        Ok(base)
    }

    /// The first delta on a loose base; the chain has one, because packs are entered by entries.
    fn apply_chain_to_loose(&mut self, kind: ObjectKind) -> Result<u32, SourceError> {
        let link = self.chain.pop().expect("only a delta leads from a pack to a loose object");
        let pack = self.pack(link.at)?;
        let mut out = Vec::new();
        let parts = &mut *self.parts;
        apply(&mut parts.inflater, pack, link, &parts.loose, &mut parts.delta, &mut out)?;
        self.keep(link.at, kind, out)
    }

    /// Keeps what was made of an entry, for this reader and for others; its slot.
    fn keep(
        &mut self,
        at: PackedAt,
        kind: ObjectKind,
        content: Vec<u8>,
    ) -> Result<u32, SourceError> {
        let made = Arc::new(Made { kind, content });
        made::keep(self.pack(at)?, at.offset, &made);
        Ok(self.parts.cache.insert((at.pack, at.offset), made))
    }

    /// Follows a chain down to something that needs no base, noting the deltas on the way.
    fn descend(&mut self, mut at: PackedAt) -> Result<Base, SourceError> {
        self.chain.clear();
        loop {
            if let Some(slot) = self.parts.cache.find((at.pack, at.offset)) {
                return Ok(Base::Slot(slot));
            }
            let pack = self.pack(at)?;
            if let Some(made) = made::find(pack, at.offset) {
                return Ok(Base::Slot(self.parts.cache.insert((at.pack, at.offset), made)));
            }
            let header = pack.header_at(at.offset)?;
            if let EntryKind::Whole(kind) = header.kind {
                return Ok(Base::Entry(at, kind, header));
            }
            self.chain.push(Link { at, size: header.size, header_len: header.len });
            if self.chain.len() > MAX_DELTA_DEPTH {
                let what = "delta chain is too deep, or a circle";
                return Err(SourceError::corrupt_at(pack.name(), self.chain[0].at.offset, what));
            }
            at = match base_of(self.snapshot, pack, at, &header)? {
                Place::Packed(base) => base,
                Place::Loose(id) => return Ok(Base::Loose(id)),
            };
        }
    }

    fn pack(&self, at: PackedAt) -> Result<&'a Pack, SourceError> {
        pack_at(self.snapshot, at)
    }

    /// Reads a loose object into `self.parts.loose`; `None` when its file is gone.
    fn read_loose(&mut self, id: &ObjectId) -> Result<Option<ObjectKind>, SourceError> {
        let parts = &mut *self.parts;
        let found = loose::open(self.snapshot.folders(), id, &mut parts.scratch)?;
        let Some(found) = found else { return Ok(None) };
        let kind = found.kind;
        parts.loose.clear();
        found.read_all(&mut parts.loose)?;
        Ok(Some(kind))
    }

    fn place(&self, number: ObjectNumber) -> Place {
        let place = self.snapshot.place(number);
        place.expect("numbers come from this snapshot because the trait asks for it")
    }

    /// Where a loose object whose file is gone is packed now.
    fn moved(&self, id: &ObjectId) -> Result<PackedAt, SourceError> {
        match self.snapshot.find_packed_late(id)? {
            Some((pack, offset)) => Ok(PackedAt { pack, offset }),
            None => Err(SourceError::Missing(*id)),
        }
    }

    fn open_loose(&mut self, id: &ObjectId) -> Result<Option<LooseReader<'_>>, SourceError> {
        loose::open(self.snapshot.folders(), id, &mut self.parts.scratch)
    }

    fn packed_header(&mut self, at: PackedAt) -> Result<(ObjectKind, u64), SourceError> {
        if let Some(slot) = self.parts.cache.find((at.pack, at.offset)) {
            let (kind, content) = self.parts.cache.get(slot);
            return Ok((kind, content.len() as u64));
        }
        let pack = self.pack(at)?;
        let header = pack.header_at(at.offset)?;
        if let EntryKind::Whole(kind) = header.kind {
            return Ok((kind, header.size));
        }
        let mut front = [0; MAX_DELTA_SIZES_LEN];
        let data = &pack.entry_data(at.offset)?[header.len..];
        let corrupt = |error| SourceError::corrupt_at(pack.name(), at.offset, error);
        let len = self
            .parts
            .inflater
            .inflate_prefix(data, &mut front)
            .map_err(|error| corrupt(DecodeError::from(error)))?;
        let sizes = delta::sizes(&front[..len]).map_err(|error| corrupt(error.into()))?;
        let kind = match self.descend(at)? {
            Base::Slot(slot) => self.parts.cache.get(slot).0,
            Base::Entry(_, kind, _) => kind,
            Base::Loose(id) => self.open_loose(&id)?.ok_or(SourceError::Missing(id))?.kind,
        };
        Ok((kind, sizes.result))
    }

    /// Inflates an entry stored whole, piece by piece.
    fn stream_entry(
        &mut self,
        at: PackedAt,
        header: &EntryHeader,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), SourceError> {
        let pack = self.pack(at)?;
        let corrupt = |error| SourceError::corrupt_at(pack.name(), at.offset, error);
        let mut input = &pack.entry_data(at.offset)?[header.len..];
        let parts = &mut *self.parts;
        parts.piece.resize(PIECE_LEN, 0);
        parts.inflater.reset();
        let mut given = 0u64;
        loop {
            let step = parts.inflater.step(input, &mut parts.piece).map_err(corrupt)?;
            input = &input[step.consumed..];
            given += step.produced as u64;
            if given > header.size || (step.done && given != header.size) {
                return Err(corrupt(ZlibError::WrongSize));
            }
            if step.produced > 0 && !sink(&parts.piece[..step.produced]) {
                return Err(SourceError::Cancelled);
            }
            if step.done {
                return Ok(());
            }
            if step.consumed == 0 && step.produced == 0 {
                return Err(corrupt(ZlibError::Truncated));
            }
        }
    }
}

impl ObjectReader for Reader<'_> {
    fn header(&mut self, number: ObjectNumber) -> Result<(ObjectKind, u64), SourceError> {
        let at = match self.place(number) {
            Place::Packed(at) => at,
            Place::Loose(id) => match self.open_loose(&id)? {
                Some(found) => return Ok((found.kind, found.size)),
                None => self.moved(&id)?,
            },
        };
        self.packed_header(at)
    }

    fn read(&mut self, number: ObjectNumber) -> Result<(ObjectKind, &[u8]), SourceError> {
        let at = match self.place(number) {
            Place::Packed(at) => at,
            Place::Loose(id) => match self.read_loose(&id)? {
                Some(kind) => return Ok((kind, &self.parts.loose)),
                None => self.moved(&id)?,
            },
        };
        self.read_packed(at)
    }

    fn read_into(
        &mut self,
        number: ObjectNumber,
        out: &mut Vec<u8>,
    ) -> Result<ObjectKind, SourceError> {
        if let Place::Packed(at) = self.place(number)
            && self.parts.cache.find((at.pack, at.offset)).is_none()
        {
            let pack = self.pack(at)?;
            let header = pack.header_at(at.offset)?;
            // what deltas make is looked for on the way down
            if let EntryKind::Whole(kind) = header.kind {
                if let Some(made) = made::find(pack, at.offset) {
                    out.clear();
                    out.extend_from_slice(&made.content);
                    return Ok(made.kind);
                }
                let inflater = &mut self.parts.inflater;
                inflate(inflater, pack, at.offset, header.len, header.size, out)?;
                made::keep_copy(pack, at.offset, kind, out);
                return Ok(kind);
            }
        }
        let (kind, content) = self.read(number)?;
        out.clear();
        out.extend_from_slice(content);
        Ok(kind)
    }

    fn stream(
        &mut self,
        number: ObjectNumber,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), SourceError> {
        let at = match self.place(number) {
            Place::Packed(at) => at,
            Place::Loose(id) => {
                let parts = &mut *self.parts;
                parts.piece.resize(PIECE_LEN, 0);
                match loose::open(self.snapshot.folders(), &id, &mut parts.scratch)? {
                    Some(found) => return found.stream(&mut parts.piece, sink),
                    None => self.moved(&id)?,
                }
            }
        };
        let header = self.pack(at)?.header_at(at.offset)?;
        if let EntryKind::Whole(_) = header.kind {
            return self.stream_entry(at, &header, sink);
        }
        let (_, content) = self.read_packed(at)?;
        if content.chunks(PIECE_LEN).all(sink) { Ok(()) } else { Err(SourceError::Cancelled) }
    }
}

fn pack_at(snapshot: &Snapshot, at: PackedAt) -> Result<&Pack, SourceError> {
    snapshot.pack(at.pack).map(AsRef::as_ref).ok_or_else(|| SourceError::Corrupt {
        file: snapshot.objects_dir().display().to_string(),
        what: format!("no pack has the number {}", at.pack),
    })
}

/// Where the base of a delta is: before it in the same pack, by name in the same pack, or
/// elsewhere, which packs on disk should not need.
fn base_of(
    snapshot: &Snapshot,
    pack: &Pack,
    at: PackedAt,
    header: &EntryHeader,
) -> Result<Place, SourceError> {
    let corrupt = |what: &str| SourceError::corrupt_at(pack.name(), at.offset, what);
    match header.kind {
        EntryKind::OfsDelta(distance) => match at.offset.checked_sub(distance) {
            Some(offset) => Ok(Place::Packed(PackedAt { pack: at.pack, offset })),
            None => Err(corrupt("base is before the start of the pack")),
        },
        EntryKind::RefDelta(id) => match pack.position(&id) {
            Some(position) => {
                let offset = pack.offset_at(position);
                Ok(Place::Packed(PackedAt { pack: at.pack, offset }))
            }
            None => snapshot
                .find_place(&id)?
                .ok_or_else(|| corrupt(&format!("base {id} of a delta is missing"))),
        },
        EntryKind::Whole(_) => Err(corrupt("an object stored whole has no base")),
    }
}

/// Inflates the stream of an entry onto `out`.
fn inflate(
    inflater: &mut Inflater,
    pack: &Pack,
    offset: u64,
    header_len: usize,
    size: u64,
    out: &mut Vec<u8>,
) -> Result<(), SourceError> {
    let corrupt = |error: ZlibError| SourceError::corrupt_at(pack.name(), offset, error);
    let data = &pack.entry_data(offset)?[header_len..];
    if size / MAX_INFLATE_RATIO > data.len() as u64 {
        return Err(corrupt(ZlibError::WrongSize));
    }
    let size = in_memory(pack, offset, size)?;
    out.clear();
    inflater.inflate_exact(data, size, out).map_err(corrupt)?;
    Ok(())
}

/// Inflates a delta and applies it.
fn apply(
    inflater: &mut Inflater,
    pack: &Pack,
    link: Link,
    base: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), SourceError> {
    let Link { at, size, header_len } = link;
    inflate(inflater, pack, at.offset, header_len, size, scratch)?;
    let corrupt = |error| SourceError::corrupt_at(pack.name(), at.offset, error);
    let sizes = delta::sizes(scratch).map_err(corrupt)?;
    in_memory(pack, at.offset, sizes.result)?;
    delta::apply(base, scratch, out).map_err(corrupt)
}

fn in_memory(pack: &Pack, offset: u64, size: u64) -> Result<usize, SourceError> {
    let id = || pack.position_at_offset(offset).map(|position| pack.id_at(position));
    match fits_memory(&ObjectId::null(pack.hash_kind()), size, MAX_OBJECT_IN_MEMORY) {
        Ok(len) => Ok(len),
        Err(error) => Err(match id() {
            Some(id) => SourceError::TooLarge { id, size, limit: MAX_OBJECT_IN_MEMORY },
            None => error,
        }),
    }
}
