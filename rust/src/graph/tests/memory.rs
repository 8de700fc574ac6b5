//! A source that holds all objects in memory: the walks are tested without the store.

use crate::hash::{HashKind, IdMap, ObjectId};
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, PackedAt, SourceError};

pub(crate) struct MemorySource {
    kind: HashKind,
    pub(crate) objects: Vec<(ObjectId, ObjectKind, Vec<u8>)>,
    numbers: IdMap<u32>,
}

impl MemorySource {
    /// As if it had never been there.
    pub(crate) fn forget(&mut self, id: &ObjectId) {
        self.numbers.remove(id);
    }

    /// From what `git cat-file --batch-all-objects --batch` says.
    pub(crate) fn parse(kind: HashKind, mut text: &[u8]) -> Self {
        let mut source = Self { kind, objects: Vec::new(), numbers: IdMap::default() };
        while !text.is_empty() {
            let end = text.iter().position(|&b| b == b'\n').unwrap();
            let header = std::str::from_utf8(&text[..end]).unwrap();
            let mut words = header.split(' ');
            let id = ObjectId::from_hex(words.next().unwrap().as_bytes()).unwrap();
            let object_kind = ObjectKind::from_name(words.next().unwrap().as_bytes()).unwrap();
            let size: usize = words.next().unwrap().parse().unwrap();
            let content = text[end + 1..end + 1 + size].to_vec();
            text = &text[end + 2 + size..];
            source.numbers.insert(id, source.objects.len() as u32);
            source.objects.push((id, object_kind, content));
        }
        source
    }

    /// The repository loses an object.
    pub(crate) fn remove(&mut self, id: &ObjectId) -> ObjectNumber {
        self.numbers.remove(id).unwrap()
    }

    /// And gets it back.
    pub(crate) fn put_back(&mut self, id: ObjectId, number: ObjectNumber) {
        self.numbers.insert(id, number);
    }

    pub(crate) fn number(&self, id: &ObjectId) -> ObjectNumber {
        self.numbers[id]
    }
}

impl ObjectSource for MemorySource {
    fn hash_kind(&self) -> HashKind {
        self.kind
    }

    fn lookup(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        Ok(self.numbers.get(id).copied())
    }

    fn id(&self, number: ObjectNumber) -> ObjectId {
        self.objects[number as usize].0
    }

    fn number_bound(&self) -> u32 {
        self.objects.len() as u32
    }

    fn packed_at(&self, _: ObjectNumber) -> Option<PackedAt> {
        None
    }

    fn pack(&self, _: u32) -> Option<&std::sync::Arc<crate::store::Pack>> {
        None
    }

    fn reader(&self) -> Box<dyn ObjectReader + '_> {
        Box::new(Reader { source: self })
    }
}

struct Reader<'a> {
    source: &'a MemorySource,
}

impl ObjectReader for Reader<'_> {
    fn header(&mut self, number: ObjectNumber) -> Result<(ObjectKind, u64), SourceError> {
        let (_, kind, content) = &self.source.objects[number as usize];
        Ok((*kind, content.len() as u64))
    }

    fn read(&mut self, number: ObjectNumber) -> Result<(ObjectKind, &[u8]), SourceError> {
        let (_, kind, content) = &self.source.objects[number as usize];
        Ok((*kind, content))
    }

    fn stream(
        &mut self,
        number: ObjectNumber,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), SourceError> {
        let (_, _, content) = &self.source.objects[number as usize];
        if sink(content) { Ok(()) } else { Err(SourceError::Cancelled) }
    }
}
