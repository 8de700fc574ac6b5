//! One commit-graph file, checked when it is opened.

use std::ops::Range;
use std::path::Path;

use super::{BITS_PER_PATH, HASHES, corrupt};
use crate::hash::{HashKind, Hasher, ObjectId};
use crate::pack::{Mapping, map_file};
use crate::source::SourceError;

const HEADER_LEN: usize = 8;
const CHUNK_ROW_LEN: usize = 12;
const FANOUT_LEN: usize = 256 * 4;
/// Behind the tree in a commit's record: two parents, generation with time.
const RECORD_TAIL_LEN: usize = 16;

/// Version, hashes, bits for each path.
const FILTERS_HEAD_LEN: usize = 12;

/// No parent.
const NO_PARENT: u32 = 0x7000_0000;
/// In the second parent: the further parents are in the list of edges from here on. In the list:
/// the last one. In a corrected date: it is in the overflow chunk.
const FLAG: u32 = 1 << 31;

/// A file of a commit-graph.
#[derive(Debug)]
pub(super) struct Layer {
    data: Mapping,
    hash: HashKind,
    /// Where its positions begin: those below are of the layers below.
    pub(super) first: u32,
    count: u32,
    chunks: Chunks,
}

#[derive(Debug, Default)]
struct Chunks {
    fanout: Range<usize>,
    names: Range<usize>,
    records: Range<usize>,
    edges: Range<usize>,
    bases: Range<usize>,
    corrections: Range<usize>,
    overflows: Range<usize>,
    filter_ends: Range<usize>,
    filters: Range<usize>,
}

/// What the file holds of a commit.
pub(super) struct Record<'l> {
    layer: &'l Layer,
    pub(super) tree: ObjectId,
    first: u32,
    second: u32,
    pub(super) time: u64,
    pub(super) corrected: Option<u64>,
}

/// A parent in a record.
pub(super) enum Parent {
    /// Position in the chain.
    At(u32),
    /// The list of parents leads out of its chunk.
    Lost,
}

impl Layer {
    /// Opens a file that stands on those of these checksums, which have `first` commits.
    pub(super) fn open(
        path: &Path,
        hash: HashKind,
        first: u32,
        below: &[ObjectId],
    ) -> Result<Self, SourceError> {
        let data = map_file(path)?;
        let (count, chunks) = read_layout(&data, hash).map_err(|what| corrupt(path, what))?;
        if first.checked_add(count).is_none_or(|end| end >= NO_PARENT) {
            return Err(corrupt(path, "too many commits"));
        }
        let layer = Self { data, hash, first, count, chunks };
        if !layer.stands_on(below) {
            return Err(corrupt(path, "stands on other files than the chain says"));
        }
        Ok(layer)
    }

    /// Is it the next one above the files with these checksums?
    pub(super) fn stands_on(&self, below: &[ObjectId]) -> bool {
        usize::from(self.data[7]) == below.len()
            && self.data[self.chunks.bases.clone()]
                .chunks_exact(self.hash.len())
                .eq(below.iter().map(ObjectId::as_bytes))
    }

    /// Some of the file could not be read.
    pub(super) fn is_faulted(&self) -> bool {
        self.data.is_faulted()
    }

    pub(super) fn checksum(&self) -> &[u8] {
        &self.data[self.data.len() - self.hash.len()..]
    }

    /// The position behind its last.
    pub(super) fn end(&self) -> Option<u32> {
        self.first.checked_add(self.count)
    }

    /// Where in this file a commit is.
    pub(super) fn position(&self, id: &ObjectId) -> Option<u32> {
        if id.kind() != self.hash {
            return None;
        }
        let fanout = self.chunk(&self.chunks.fanout);
        let byte = usize::from(id.as_bytes()[0]);
        let mut low = if byte == 0 { 0 } else { be32(fanout, byte * 4 - 4)? };
        let mut high = be32(fanout, byte * 4)?.min(self.count);
        let (names, len) = (self.chunk(&self.chunks.names), self.hash.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let at = middle as usize * len;
            match names.get(at..at + len)?.cmp(id.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// The name of the commit at a position of this file.
    pub(super) fn id(&self, position: u32) -> Option<ObjectId> {
        let (at, len) = (position as usize * self.hash.len(), self.hash.len());
        ObjectId::from_bytes(self.chunk(&self.chunks.names).get(at..at + len)?)
    }

    /// What it holds of the commit at a position of this file.
    pub(super) fn record(&self, position: u32) -> Option<Record<'_>> {
        let len = self.hash.len();
        let size = len + RECORD_TAIL_LEN;
        let at = position as usize * size;
        let record = self.chunk(&self.chunks.records).get(at..at + size)?;
        let tree = ObjectId::from_bytes(&record[..len])?;
        let (first, second) = (be32(record, len)?, be32(record, len + 4)?);
        // the generation number version 1 is in the 30 bits above
        let time = u64::from(be32(record, len + 8)? & 3) << 32 | u64::from(be32(record, len + 12)?);
        let corrected = self.correction(position).and_then(|late| time.checked_add(late));
        Some(Record { layer: self, tree, first, second, time, corrected })
    }

    /// What it holds of all its commits.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.count).filter_map(|position| self.record(position))
    }

    /// Has it corrected commit dates (generation numbers version 2)?
    pub(super) fn has_dates(&self) -> bool {
        self.chunks.corrections.len() / 4 == self.count as usize
    }

    /// By how much the corrected commit date is later than the time.
    fn correction(&self, position: u32) -> Option<u64> {
        let late = be32(self.chunk(&self.chunks.corrections), position as usize * 4)?;
        if late & FLAG == 0 {
            return Some(u64::from(late));
        }
        let at = (late & !FLAG) as usize * 8;
        let bytes = self.chunk(&self.chunks.overflows).get(at..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*bytes))
    }

    /// The version of its changed-path filters, if they are made as ours.
    pub(super) fn filter_version(&self) -> Option<u32> {
        let head = self.chunk(&self.chunks.filters);
        let is_ours = be32(head, 4)? == HASHES && be32(head, 8)? == BITS_PER_PATH;
        be32(head, 0).filter(|_| is_ours)
    }

    /// The changed-path filter of the commit at a position of this file; empty where none was made.
    pub(super) fn filter(&self, position: u32) -> Option<&[u8]> {
        let ends = self.chunk(&self.chunks.filter_ends);
        let end = |position: u32| be32(ends, position as usize * 4);
        let from = match position.checked_sub(1) {
            Some(before) => end(before)? as usize,
            None => 0,
        };
        let filters = self.chunk(&self.chunks.filters).get(FILTERS_HEAD_LEN..)?;
        filters.get(from..end(position)? as usize)
    }

    fn chunk(&self, range: &Range<usize>) -> &[u8] {
        &self.data[range.clone()]
    }
}

impl Record<'_> {
    /// Its parents, in order.
    pub(super) fn parents(&self) -> Vec<Parent> {
        let mut parents = Vec::new();
        for parent in [self.first, self.second] {
            match parent {
                NO_PARENT => {}
                list if list & FLAG != 0 => self.further((list & !FLAG) as usize, &mut parents),
                position => parents.push(Parent::At(position)),
            }
        }
        parents
    }

    fn further(&self, mut nth: usize, parents: &mut Vec<Parent>) {
        let edges = self.layer.chunk(&self.layer.chunks.edges);
        loop {
            let Some(edge) = nth.checked_mul(4).and_then(|at| be32(edges, at)) else {
                parents.push(Parent::Lost);
                return;
            };
            parents.push(Parent::At(edge & !FLAG));
            if edge & FLAG != 0 {
                return;
            }
            nth += 1;
        }
    }
}

/// Finds and checks the parts of a file, and its checksum.
fn read_layout(data: &[u8], hash: HashKind) -> Result<(u32, Chunks), &'static str> {
    let short = "too short for a commit-graph";
    let body = data.len().checked_sub(hash.len()).ok_or(short)?;
    let head = data.get(..HEADER_LEN).ok_or(short)?;
    if &head[..4] != b"CGPH" {
        return Err("no commit-graph signature");
    }
    if head[4] != 1 {
        return Err("unknown commit-graph version");
    }
    let version = match hash {
        HashKind::Sha1 => 1,
        HashKind::Sha256 => 2,
    };
    if head[5] != version {
        return Err("commit-graph of another object format");
    }
    let (chunk_count, base_count) = (usize::from(head[6]), usize::from(head[7]));
    let mut hasher = Hasher::new(hash);
    hasher.update(&data[..body]);
    if hasher.finish().as_bytes() != &data[body..] {
        return Err("checksum does not match");
    }
    let mut chunks = Chunks::default();
    let table_end = HEADER_LEN + (chunk_count + 1) * CHUNK_ROW_LEN;
    if table_end > body {
        return Err(short);
    }
    let row = |nth: usize| {
        let at = HEADER_LEN + nth * CHUNK_ROW_LEN;
        let offset = data.get(at + 4..)?.first_chunk::<8>()?;
        Some((&data[at..at + 4], usize::try_from(u64::from_be_bytes(*offset)).ok()?))
    };
    for nth in 0..chunk_count {
        let (id, start) = row(nth).ok_or("chunk is out of place")?;
        let (_, end) = row(nth + 1).ok_or("chunk is out of place")?;
        if start < table_end || end < start || end > body {
            return Err("chunk is out of place");
        }
        let chunk = match id {
            b"OIDF" => &mut chunks.fanout,
            b"OIDL" => &mut chunks.names,
            b"CDAT" => &mut chunks.records,
            b"EDGE" => &mut chunks.edges,
            b"BASE" => &mut chunks.bases,
            b"GDA2" => &mut chunks.corrections,
            b"GDO2" => &mut chunks.overflows,
            b"BIDX" => &mut chunks.filter_ends,
            b"BDAT" => &mut chunks.filters,
            // what later versions bring
            _ => continue,
        };
        if chunk.start != chunk.end {
            return Err("chunk is there twice");
        }
        *chunk = start..end;
    }
    if chunks.fanout.len() != FANOUT_LEN {
        return Err("fan-out has the wrong size");
    }
    let fanout: Vec<u32> =
        (0..256).filter_map(|nth| be32(&data[chunks.fanout.clone()], nth * 4)).collect();
    if !fanout.is_sorted() {
        return Err("fan-out is not in order");
    }
    let count = fanout.last().copied().unwrap_or(0);
    let fits =
        |chunk: &Range<usize>, size: usize| (count as usize).checked_mul(size) == Some(chunk.len());
    if !fits(&chunks.names, hash.len()) || !fits(&chunks.records, hash.len() + RECORD_TAIL_LEN) {
        return Err("chunk does not have a row for each commit");
    }
    if chunks.corrections.start != chunks.corrections.end && !fits(&chunks.corrections, 4) {
        return Err("chunk does not have a row for each commit");
    }
    if base_count.checked_mul(hash.len()) != Some(chunks.bases.len()) {
        return Err("list of files below has the wrong size");
    }
    Ok((count, chunks))
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}
