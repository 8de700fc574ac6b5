//! Compares received objects with those of the same name that the repository has.
//!
//! In: objects of the pack. Out: an error when one differs from what the repository has under
//! its name. Detection of known attacks is not all: what is stored is never replaced by something
//! that only hashes alike, and git compares likewise.

use super::entry_reader::EntryReader;
use super::error::IngestError;
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::source::{BulkLookup, ObjectNumber, ObjectReader, ObjectSource, SourceError};

/// Objects above this size are compared piece by piece.
const STREAMED: u64 = 4 << 20;

/// Compares for one thread.
pub(super) struct Existing<'a> {
    source: &'a dyn ObjectSource,
    known: Option<&'a dyn BulkLookup>,
    /// Made when the first object turns out to exist: most pushes have none.
    reader: Option<Box<dyn ObjectReader + 'a>>,
}

impl<'a> Existing<'a> {
    /// `known` is the source's, made once for all threads.
    pub(super) fn new(source: &'a dyn ObjectSource, known: Option<&'a dyn BulkLookup>) -> Self {
        Self { source, known, reader: None }
    }

    fn find(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        match self.known {
            Some(known) => known.find(id),
            None => self.source.lookup(id),
        }
    }

    /// The repository's reader.
    pub(super) fn reader(&mut self) -> &mut (dyn ObjectReader + 'a) {
        let source = self.source;
        self.reader.get_or_insert_with(|| source.reader()).as_mut()
    }

    /// An object whose content is at hand.
    pub(super) fn compare(
        &mut self,
        id: &ObjectId,
        kind: ObjectKind,
        content: &[u8],
    ) -> Result<(), IngestError> {
        let Some(number) = self.find(id)? else { return Ok(()) };
        let size = content.len() as u64;
        let same = self.same_header(number, kind, size)?
            && if size <= STREAMED {
                self.reader().read(number)?.1 == content
            } else {
                let mut rest = content;
                self.stream_same(number, &mut |piece| match rest.strip_prefix(piece) {
                    Some(after) => {
                        rest = after;
                        Ok(true)
                    }
                    None => Ok(false),
                })?
            };
        if same { Ok(()) } else { Err(IngestError::Differs(*id)) }
    }

    /// A whole object in the pack, from `start` to `end`.
    pub(super) fn compare_stored(
        &mut self,
        id: &ObjectId,
        kind: ObjectKind,
        pack: &mut EntryReader<'_>,
        (start, end): (u64, u64),
    ) -> Result<(), IngestError> {
        let Some(number) = self.find(id)? else { return Ok(()) };
        let mut entry = pack.open(start, end)?;
        let mut ours = Vec::new();
        let same = self.same_header(number, kind, entry.header.size)?
            && self.stream_same(number, &mut |piece| {
                if ours.len() < piece.len() {
                    ours.resize(piece.len(), 0);
                }
                let len = pack.next(&mut entry, &mut ours[..piece.len()])?;
                Ok(ours[..len] == *piece)
            })?;
        if same { Ok(()) } else { Err(IngestError::Differs(*id)) }
    }

    fn same_header(
        &mut self,
        number: ObjectNumber,
        kind: ObjectKind,
        size: u64,
    ) -> Result<bool, IngestError> {
        Ok(self.reader().header(number)? == (kind, size))
    }

    fn stream_same(
        &mut self,
        number: ObjectNumber,
        same: &mut dyn FnMut(&[u8]) -> Result<bool, IngestError>,
    ) -> Result<bool, IngestError> {
        let mut outcome = Ok(true);
        let streamed = self.reader().stream(number, &mut |piece| {
            outcome = same(piece);
            matches!(outcome, Ok(true))
        });
        match streamed {
            // the sink stopped it: it knows why
            Err(SourceError::Cancelled) if !matches!(outcome, Ok(true)) => outcome,
            Err(error) => Err(error.into()),
            Ok(()) => outcome,
        }
    }
}
