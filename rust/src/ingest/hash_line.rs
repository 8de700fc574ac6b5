//! Names whole objects while the next ones are inflated.
//!
//! In: inflated content, written piece by piece straight into a batch. Out: the names, in the
//! order in which the objects began. Detecting SHA-1 is the slowest step of receiving a pack, so
//! batches go to a second thread as soon as there is more than one of them; what fits one batch,
//! as small pushes do, starts no thread. An object may span any number of batches: nothing here
//! grows with its size.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::error::IngestError;
use super::inspect::Inspection;
use crate::hash::{CheckedHasher, CollisionAttack, HashKind, Message, checked_names};
use crate::object::{LooseHeader, ObjectKind};

/// Content in one batch: large enough that handing it over costs nothing beside hashing it, small
/// enough to be in the cache when it is hashed.
const BATCH: usize = 256 * 1024;

/// A batch is handed over when it has less room than this: inflating is slow into small rooms.
const LEAST_ROOM: usize = 1024;

/// Begins and ends in one batch, so that empty objects cannot make it large.
const MOST_MARKS: usize = 8192;

/// Batches under way: one being hashed, one waiting, so that neither thread waits for a hiccup.
const AHEAD: usize = 3;

enum Mark {
    Begin { at: usize, entry: u32, kind: ObjectKind, size: u64 },
    End { at: usize },
}

struct Batch {
    data: Vec<u8>,
    len: usize,
    marks: Vec<Mark>,
}

impl Batch {
    fn new() -> Self {
        Self { data: vec![0; BATCH], len: 0, marks: Vec::new() }
    }

    fn clear(&mut self) {
        self.len = 0;
        self.marks.clear();
    }
}

/// Takes batches in order, makes names.
struct Namer {
    hash: HashKind,
    open: Option<CheckedHasher>,
    ids: Vec<u8>,
    inspection: Option<Inspection>,
    /// Entries that the inspection missed, because they lie in several batches.
    missed: Vec<u32>,
}

struct Whole {
    entry: u32,
    header: LooseHeader,
    range: std::ops::Range<usize>,
    kind: ObjectKind,
}

impl Namer {
    /// Objects that lie whole in the batch are named together, which is faster.
    fn take(&mut self, batch: &Batch) -> Result<(), CollisionAttack> {
        let mut begun = None;
        let mut whole = Vec::new();
        for mark in &batch.marks {
            match *mark {
                Mark::Begin { at, entry, kind, size } => {
                    begun = Some((at, entry, kind, LooseHeader::new(kind, size)));
                }
                Mark::End { at } => match (self.open.take(), begun.take()) {
                    // the first in the batch, if any: its name comes before the others
                    (Some(mut hasher), _) => {
                        hasher.update(&batch.data[..at]);
                        self.ids.extend_from_slice(hasher.finish()?.as_bytes());
                    }
                    (None, Some((from, entry, kind, header))) => {
                        whole.push(Whole { entry, header, range: from..at, kind });
                    }
                    (None, None) => {}
                },
            }
        }
        let messages: Vec<Message<'_>> = whole
            .iter()
            .map(|object| (object.header.as_bytes(), &batch.data[object.range.clone()]))
            .collect();
        let mut names = Vec::with_capacity(messages.len());
        checked_names(self.hash, &messages, &mut names)?;
        names.iter().for_each(|name| self.ids.extend_from_slice(name.as_bytes()));
        if let Some(inspection) = &mut self.inspection {
            let wanted =
                whole.iter().zip(&names).filter(|(object, _)| Inspection::wants(object.kind));
            for (object, name) in wanted {
                let content = &batch.data[object.range.clone()];
                inspection.look(object.entry, name, object.kind, content);
            }
        }
        if let Some((from, entry, kind, header)) = begun {
            if self.inspection.is_some() && Inspection::wants(kind) {
                self.missed.push(entry);
            }
            let mut hasher = CheckedHasher::new(self.hash);
            hasher.update(header.as_bytes());
            hasher.update(&batch.data[from..batch.len]);
            self.open = Some(hasher);
        } else if let Some(hasher) = &mut self.open {
            hasher.update(&batch.data[..batch.len]);
        }
        Ok(())
    }
}

/// The second thread.
struct Worker {
    full: Sender<Batch>,
    empty: Receiver<Batch>,
    namer: JoinHandle<Result<Namer, CollisionAttack>>,
}

impl Worker {
    fn start(mut namer: Namer) -> std::io::Result<Self> {
        let (full, inbox) = bounded::<Batch>(AHEAD);
        let (outbox, empty) = bounded::<Batch>(AHEAD);
        let work = move || {
            for mut batch in inbox {
                namer.take(&batch)?;
                batch.clear();
                // never waits: the receiving side may be gone, or have room enough already
                let _ = outbox.try_send(batch);
            }
            Ok(namer)
        };
        let namer = std::thread::Builder::new().name("ingest-hash".into()).spawn(work)?;
        Ok(Self { full, empty, namer })
    }
}

enum Place {
    Here(Box<Namer>),
    There(Worker),
}

/// What comes out.
pub(super) struct Named {
    /// End to end.
    pub(super) ids: Vec<u8>,
    pub(super) inspection: Option<Inspection>,
    /// Entries whose contents are still to be inspected, in order.
    pub(super) missed: Vec<u32>,
}

/// The line from inflated content to names.
pub(super) struct HashLine {
    batch: Batch,
    /// `None` only after an error, which ends the line.
    place: Option<Place>,
}

impl HashLine {
    pub(super) fn new(hash: HashKind) -> Self {
        let namer =
            Namer { hash, open: None, ids: Vec::new(), inspection: None, missed: Vec::new() };
        Self { batch: Batch::new(), place: Some(Place::Here(Box::new(namer))) }
    }

    /// Somebody looks at all objects from here on; before the first of them.
    pub(super) fn inspect(&mut self, inspection: Option<Inspection>) {
        if let Some(Place::Here(namer)) = &mut self.place {
            namer.inspection = inspection;
        }
    }

    /// An object begins.
    pub(super) fn begin(
        &mut self,
        entry: u32,
        kind: ObjectKind,
        size: u64,
    ) -> Result<(), IngestError> {
        if self.batch.marks.len() >= MOST_MARKS {
            self.hand_over()?;
        }
        self.batch.marks.push(Mark::Begin { at: self.batch.len, entry, kind, size });
        Ok(())
    }

    /// Where the next piece of the object is to be inflated to; never small.
    pub(super) fn room(&mut self) -> Result<&mut [u8], IngestError> {
        if self.batch.data.len() - self.batch.len < LEAST_ROOM {
            self.hand_over()?;
        }
        Ok(&mut self.batch.data[self.batch.len..])
    }

    /// The first `len` bytes of the room are content now.
    pub(super) fn fill(&mut self, len: usize) {
        self.batch.len += len;
    }

    /// The object is complete.
    pub(super) fn end(&mut self) {
        self.batch.marks.push(Mark::End { at: self.batch.len });
    }

    /// The names of all objects, and what was seen in them.
    pub(super) fn finish(mut self) -> Result<Named, IngestError> {
        let namer = match self.place.take() {
            Some(Place::Here(mut namer)) => {
                namer.take(&self.batch)?;
                *namer
            }
            Some(Place::There(worker)) => {
                // when the worker is gone already, joining it tells why
                let _ = worker.full.send(self.batch);
                drop(worker.full);
                join(worker.namer)?
            }
            None => return Err(IngestError::Spent),
        };
        Ok(Named { ids: namer.ids, inspection: namer.inspection, missed: namer.missed })
    }

    fn hand_over(&mut self) -> Result<(), IngestError> {
        let worker = match self.place.take() {
            Some(Place::There(worker)) => worker,
            Some(Place::Here(namer)) => Worker::start(*namer).map_err(|error| IngestError::Io {
                file: "thread that names objects".to_owned(),
                error,
            })?,
            None => return Err(IngestError::Spent),
        };
        let next = worker.empty.try_recv().unwrap_or_else(|_| Batch::new());
        let batch = std::mem::replace(&mut self.batch, next);
        if worker.full.send(batch).is_err() {
            drop(worker.full);
            join(worker.namer)?;
            return Err(IngestError::Spent);
        }
        self.place = Some(Place::There(worker));
        Ok(())
    }
}

fn join(namer: JoinHandle<Result<Namer, CollisionAttack>>) -> Result<Namer, IngestError> {
    match namer.join() {
        Ok(result) => Ok(result?),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::object_id;

    fn name_all(objects: &[Vec<u8>], piece: usize) -> Vec<u8> {
        let mut line = HashLine::new(HashKind::Sha1);
        for object in objects {
            line.begin(0, ObjectKind::Blob, object.len() as u64).unwrap();
            let mut rest = &object[..];
            while !rest.is_empty() {
                let room = line.room().unwrap();
                let n = rest.len().min(room.len()).min(piece);
                room[..n].copy_from_slice(&rest[..n]);
                line.fill(n);
                rest = &rest[n..];
            }
            line.end();
        }
        line.finish().unwrap().ids
    }

    #[test]
    fn objects_of_any_size_get_their_names() {
        let sizes = [0, 1, 100, BATCH - 1, BATCH, 5 * BATCH + 7, 0, 3];
        let objects: Vec<Vec<u8>> =
            sizes.iter().map(|&n| (0..n).map(|i| ((i * 7) >> 3) as u8).collect()).collect();
        let wanted: Vec<u8> = objects
            .iter()
            .flat_map(|o| object_id(HashKind::Sha1, ObjectKind::Blob, o).as_bytes().to_vec())
            .collect();
        for piece in [977, BATCH] {
            assert_eq!(name_all(&objects, piece), wanted);
            assert_eq!(name_all(&objects[..3], piece), wanted[..60]);
        }
    }

    #[test]
    fn many_empty_objects_take_bounded_room() {
        let mut line = HashLine::new(HashKind::Sha1);
        for _ in 0..3 * MOST_MARKS {
            line.begin(0, ObjectKind::Blob, 0).unwrap();
            line.end();
            assert!(line.batch.marks.len() <= MOST_MARKS + 1);
        }
        assert_eq!(line.finish().unwrap().ids.len(), 3 * MOST_MARKS * 20);
    }
}
