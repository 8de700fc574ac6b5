//! What is remembered of each entry: some forty bytes, in parallel arrays.

use super::index_writer::IndexRows;
use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;

/// What an entry is: its place in the arrays' one-byte kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// A whole object.
    Whole(ObjectKind),
    /// A delta against the entry of this number.
    Offset(u32),
    /// A delta against an object that is named.
    Named,
}

const OFFSET: u8 = 6;
const NAMED: u8 = 7;

/// Names end to end, one an entry.
///
/// Until a delta against a named base is resolved, its place holds the base's name.
pub(super) struct Names {
    len: usize,
    bytes: Vec<u8>,
    /// What a delta turned out to be; 0 until then, and for whole objects.
    kinds: Vec<u8>,
}

impl Names {
    pub(super) fn get(&self, entry: u32) -> &[u8] {
        &self.bytes[entry as usize * self.len..][..self.len]
    }

    pub(super) fn set(&mut self, entry: u32, id: &[u8]) {
        self.bytes[entry as usize * self.len..][..self.len].copy_from_slice(id);
    }

    pub(super) fn set_kind(&mut self, entry: u32, kind: ObjectKind) {
        self.kinds[entry as usize] = kind as u8;
    }
}

/// The entries of a pack in pack order.
///
/// They are numbered from 0. Memory grows with the entries that arrived, never with the
/// number that a header claims.
pub(super) struct Entries {
    hash: HashKind,
    offsets: Vec<u64>,
    crcs: Vec<u32>,
    bases: Vec<u32>,
    kinds: Vec<u8>,
    names: Names,
}

impl Entries {
    /// None yet.
    pub(super) fn new(hash: HashKind) -> Self {
        Self {
            hash,
            offsets: Vec::new(),
            crcs: Vec::new(),
            bases: Vec::new(),
            kinds: Vec::new(),
            names: Names { len: hash.len(), bytes: Vec::new(), kinds: Vec::new() },
        }
    }

    pub(super) fn hash_kind(&self) -> HashKind {
        self.hash
    }

    pub(super) fn len(&self) -> u32 {
        // the pack header's count is 32 bits and every push is counted against it
        self.offsets.len() as u32
    }

    /// Adds an entry; `base_name` for a delta against a named base.
    pub(super) fn push(&mut self, offset: u64, stored: Stored, base_name: Option<&ObjectId>) {
        let (kind, base) = match stored {
            Stored::Whole(kind) => (kind as u8, 0),
            Stored::Offset(base) => (OFFSET, base),
            Stored::Named => (NAMED, 0),
        };
        self.offsets.push(offset);
        self.crcs.push(0);
        self.kinds.push(kind);
        self.bases.push(base);
        self.names.kinds.push(0);
        match base_name {
            Some(id) => self.names.bytes.extend_from_slice(id.as_bytes()),
            None => self.names.bytes.resize(self.names.bytes.len() + self.hash.len(), 0),
        }
    }

    pub(super) fn set_crc(&mut self, entry: u32, crc: u32) {
        self.crcs[entry as usize] = crc;
    }

    pub(super) fn set_id(&mut self, entry: u32, id: &[u8]) {
        self.names.set(entry, id);
    }

    pub(super) fn offset(&self, entry: u32) -> u64 {
        self.offsets[entry as usize]
    }

    pub(super) fn crc(&self, entry: u32) -> u32 {
        self.crcs[entry as usize]
    }

    /// Where the entry after this one begins; `end` for the last.
    pub(super) fn end(&self, entry: u32, end: u64) -> u64 {
        self.offsets.get(entry as usize + 1).copied().unwrap_or(end)
    }

    pub(super) fn stored(&self, entry: u32) -> Stored {
        let at = entry as usize;
        match self.kinds[at] {
            OFFSET => Stored::Offset(self.bases[at]),
            NAMED => Stored::Named,
            kind => Stored::Whole(kind_of(kind)),
        }
    }

    pub(super) fn id_bytes(&self, entry: u32) -> &[u8] {
        self.names.get(entry)
    }

    pub(super) fn id(&self, entry: u32) -> ObjectId {
        ObjectId::from_bytes(self.id_bytes(entry))
            .expect("a name has the length of its kind because push made its place")
    }

    /// Takes the names out, for those who write them while others read the rest.
    pub(super) fn take_names(&mut self) -> Names {
        let none = Names { len: self.hash.len(), bytes: Vec::new(), kinds: Vec::new() };
        std::mem::replace(&mut self.names, none)
    }

    /// The way back of [`Entries::take_names`].
    pub(super) fn put_names(&mut self, names: Names) {
        self.names = names;
    }

    /// The entry that begins at `offset`.
    pub(super) fn at_offset(&self, offset: u64) -> Option<u32> {
        self.offsets.binary_search(&offset).ok().map(|at| at as u32)
    }

    /// Deltas of either kind.
    pub(super) fn delta_count(&self) -> u32 {
        self.kinds.iter().filter(|&&kind| kind >= OFFSET).count() as u32
    }

    /// What the object is; `None` for a delta that is not resolved.
    pub(super) fn kind(&self, entry: u32) -> Option<ObjectKind> {
        match self.stored(entry) {
            Stored::Whole(kind) => Some(kind),
            Stored::Offset(_) | Stored::Named => match self.names.kinds[entry as usize] {
                0 => None,
                kind => Some(kind_of(kind)),
            },
        }
    }

    /// All numbers, sorted by name.
    pub(super) fn sorted_by_id(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len()).collect();
        let key = |entry: u32| {
            let id = self.id_bytes(entry);
            let mut head = [0u8; 8];
            head.copy_from_slice(&id[..8]);
            u64::from_be_bytes(head)
        };
        order.sort_unstable_by(|&a, &b| {
            key(a).cmp(&key(b)).then_with(|| self.id_bytes(a).cmp(self.id_bytes(b)))
        });
        order
    }
}

fn kind_of(number: u8) -> ObjectKind {
    match number {
        1 => ObjectKind::Commit,
        2 => ObjectKind::Tree,
        3 => ObjectKind::Blob,
        _ => ObjectKind::Tag,
    }
}

/// Finds entries by name in what [`Entries::sorted_by_id`] gave: by the first two bytes to a few of
/// them.
pub(super) struct ByName<'a> {
    entries: &'a Entries,
    order: &'a [u32],
    /// Where names that begin with these two bytes begin, and one more.
    starts: Vec<u32>,
}

impl<'a> ByName<'a> {
    pub(super) fn new(entries: &'a Entries, order: &'a [u32]) -> Self {
        let mut starts = vec![0; (1 << 16) + 1];
        for &entry in order {
            starts[Self::bucket(entries.id_bytes(entry)) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Self { entries, order, starts }
    }

    fn bucket(id: &[u8]) -> usize {
        usize::from(u16::from_be_bytes([id[0], id[1]]))
    }

    pub(super) fn find(&self, id: &ObjectId) -> Option<u32> {
        let id = id.as_bytes();
        let bucket = Self::bucket(id);
        let few = &self.order[self.starts[bucket] as usize..self.starts[bucket + 1] as usize];
        let at = few.binary_search_by(|&entry| self.entries.id_bytes(entry).cmp(id)).ok()?;
        Some(few[at])
    }
}

impl IndexRows for Entries {
    fn hash_kind(&self) -> HashKind {
        Entries::hash_kind(self)
    }

    fn id_bytes(&self, entry: u32) -> &[u8] {
        Entries::id_bytes(self, entry)
    }

    fn offset(&self, entry: u32) -> u64 {
        Entries::offset(self, entry)
    }

    fn crc(&self, entry: u32) -> u32 {
        Entries::crc(self, entry)
    }
}
