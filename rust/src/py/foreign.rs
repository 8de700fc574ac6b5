//! Objects that live in somebody's Python object store.
//!
//! The second [`ObjectSource`], beside the disk: numbers objects as they are asked for, reads each
//! through a callable, never computes an id anew and knows no packed bytes to reuse.

use std::sync::{Arc, RwLock};

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use super::ids;
use crate::hash::{HashKind, IdMap, ObjectId};
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, PackedAt, SourceError};
use crate::store::Pack;

/// A store that raises is quoted in the log up to so many characters.
const MAX_QUOTED: usize = 500;

/// What is known of the objects that were asked for.
#[derive(Default)]
struct Known {
    numbers: IdMap<ObjectNumber>,
    rows: Vec<Row>,
}

#[derive(Clone, Copy)]
struct Row {
    id: ObjectId,
    /// Once it was read.
    header: Option<(ObjectKind, u64)>,
}

/// Somebody's object store.
pub struct ForeignObjects {
    contains: Py<PyAny>,
    get_raw: Py<PyAny>,
    kind: HashKind,
    known: RwLock<Known>,
}

impl ForeignObjects {
    pub fn new(contains: Py<PyAny>, get_raw: Py<PyAny>, kind: HashKind) -> Self {
        Self { contains, get_raw, kind, known: RwLock::default() }
    }

    fn known(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        // nothing in here panics half-way through a change
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn known_mut(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn row(&self, number: ObjectNumber) -> Option<Row> {
        self.known().rows.get(number as usize).copied()
    }

    fn fetch(&self, number: ObjectNumber) -> Result<(ObjectKind, PyBackedBytes), SourceError> {
        let row = self.row(number).ok_or_else(unknown_number)?;
        let (number_of_kind, content) = Python::attach(|py| {
            let raw = self.get_raw.call1(py, (ids::to_py(py, &row.id),));
            raw.and_then(|raw| raw.extract::<(u8, PyBackedBytes)>(py))
                .map_err(|error| raised(py, &error, Some(row.id)))
        })?;
        let kind = match number_of_kind {
            1 => ObjectKind::Commit,
            2 => ObjectKind::Tree,
            3 => ObjectKind::Blob,
            4 => ObjectKind::Tag,
            other => {
                let what = format!("object {}: unknown kind {other}", row.id);
                return Err(SourceError::Foreign(what));
            }
        };
        if let Some(row) = self.known_mut().rows.get_mut(number as usize) {
            row.header = Some((kind, content.len() as u64));
        }
        Ok((kind, content))
    }
}

fn unknown_number() -> SourceError {
    SourceError::Foreign("a number that was never given out".to_owned())
}

/// What a callable raised: a KeyError says that the object is missing.
fn raised(py: Python<'_>, error: &PyErr, id: Option<ObjectId>) -> SourceError {
    match id {
        Some(id) if error.is_instance_of::<PyKeyError>(py) => SourceError::Missing(id),
        _ => SourceError::Foreign(error.to_string().chars().take(MAX_QUOTED).collect()),
    }
}

impl ObjectSource for ForeignObjects {
    fn hash_kind(&self) -> HashKind {
        self.kind
    }

    fn lookup(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        if let Some(&number) = self.known().numbers.get(id) {
            return Ok(Some(number));
        }
        // no lock is held while Python runs: it may come back to us
        let is_there = Python::attach(|py| {
            let answer = self.contains.call1(py, (ids::to_py(py, id),));
            answer.and_then(|answer| answer.is_truthy(py)).map_err(|error| raised(py, &error, None))
        })?;
        if !is_there {
            return Ok(None);
        }
        let mut known = self.known_mut();
        if let Some(&number) = known.numbers.get(id) {
            return Ok(Some(number));
        }
        let number = ObjectNumber::try_from(known.rows.len())
            .map_err(|_| SourceError::Foreign("too many objects".to_owned()))?;
        known.rows.push(Row { id: *id, header: None });
        known.numbers.insert(*id, number);
        Ok(Some(number))
    }

    fn id(&self, number: ObjectNumber) -> ObjectId {
        self.row(number).map_or(ObjectId::null(self.kind), |row| row.id)
    }

    fn number_bound(&self) -> u32 {
        self.known().rows.len() as u32
    }

    fn packed_at(&self, _number: ObjectNumber) -> Option<PackedAt> {
        None
    }

    fn pack(&self, _pack: u32) -> Option<&Arc<Pack>> {
        None
    }

    fn reader(&self) -> Box<dyn ObjectReader + '_> {
        Box::new(ForeignReader { objects: self, last: None })
    }
}

/// Reads for one thread; keeps the object it read last.
struct ForeignReader<'a> {
    objects: &'a ForeignObjects,
    last: Option<(ObjectNumber, ObjectKind, PyBackedBytes)>,
}

impl ForeignReader<'_> {
    fn load(&mut self, number: ObjectNumber) -> Result<(ObjectKind, &[u8]), SourceError> {
        let last = match self.last.take() {
            Some(last) if last.0 == number => last,
            _ => {
                let (kind, content) = self.objects.fetch(number)?;
                (number, kind, content)
            }
        };
        let (_, kind, content) = self.last.insert(last);
        Ok((*kind, &**content))
    }
}

impl ObjectReader for ForeignReader<'_> {
    fn header(&mut self, number: ObjectNumber) -> Result<(ObjectKind, u64), SourceError> {
        if let Some(header) = self.objects.row(number).and_then(|row| row.header) {
            return Ok(header);
        }
        self.load(number).map(|(kind, content)| (kind, content.len() as u64))
    }

    fn read(&mut self, number: ObjectNumber) -> Result<(ObjectKind, &[u8]), SourceError> {
        self.load(number)
    }

    fn stream(
        &mut self,
        number: ObjectNumber,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), SourceError> {
        // the store gave it whole, so it is in memory already
        let (_, content) = self.load(number)?;
        if sink(content) { Ok(()) } else { Err(SourceError::Cancelled) }
    }
}
