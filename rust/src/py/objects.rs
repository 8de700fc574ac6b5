//! `Store` and `Snapshot`.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::errors::{Class, detached, error, source_error};
use super::foreign::ForeignObjects;
use super::ids;
use super::pieces::Pieces;
use crate::cache::Identity;
use crate::graph::CommitTable;
use crate::hash::ObjectId;
use crate::object::{ObjectKind, Tag};
use crate::sharing::Sharing;
use crate::source::{ObjectSource, SourceError};
use crate::store;

/// What `Snapshot.read` gives at most unless told otherwise: enough for every commit and tree.
const DEFAULT_READ_LIMIT: u64 = 64 << 20;

/// Tags of tags deeper than this are somebody's joke.
const MAX_TAG_DEPTH: usize = 100;

#[pyclass(frozen, module = "gitserve._core")]
pub struct Store {
    inner: Arc<store::Store>,
}

#[pymethods]
impl Store {
    #[staticmethod]
    #[pyo3(signature = (objects_dir, object_format = "sha1", *, alternates = vec![]))]
    fn open(
        py: Python<'_>,
        objects_dir: PathBuf,
        object_format: &str,
        alternates: Vec<PathBuf>,
    ) -> PyResult<Self> {
        let kind = ids::parse_format(object_format)?;
        detached(py, || {
            if !objects_dir.is_dir() {
                let message = format!("{}: no objects folder", objects_dir.display());
                return Err(error(Class::NoRepository, message));
            }
            let inner =
                store::Store::open(&objects_dir, kind, &alternates).map_err(source_error)?;
            Ok(Self { inner })
        })
    }

    fn snapshot(&self, py: Python<'_>) -> PyResult<Snapshot> {
        detached(py, || Ok(self.seen_as(self.inner.snapshot().map_err(source_error)?)))
    }

    fn recent(&self, py: Python<'_>) -> PyResult<Snapshot> {
        detached(py, || Ok(self.seen_as(self.inner.recent().map_err(source_error)?)))
    }
}

impl Store {
    fn seen_as(&self, snapshot: Arc<store::Snapshot>) -> Snapshot {
        Snapshot {
            source: snapshot,
            commits: Arc::clone(self.inner.commits()),
            home: Home::Store(Arc::clone(&self.inner)),
        }
    }
}

/// The objects of one moment, from the disk or from somebody's own store.
#[pyclass(frozen, module = "gitserve._core")]
pub struct Snapshot {
    pub source: Arc<dyn ObjectSource>,
    pub commits: Arc<CommitTable>,
    home: Home,
}

/// Where new objects go.
enum Home {
    /// Nowhere: it is somebody's own store.
    None,
    Store(Arc<store::Store>),
    Quarantine(Arc<store::Snapshot>),
}

impl Snapshot {
    /// Parses an id of this snapshot's format.
    pub fn id(&self, hex: &[u8]) -> PyResult<ObjectId> {
        ids::parse(hex, self.source.hash_kind())
    }

    /// Of what waits for acceptance, and all that was there before.
    pub fn of_quarantine(snapshot: Arc<store::Snapshot>) -> Self {
        let commits = Arc::clone(snapshot.commits());
        Self { source: Arc::clone(&snapshot) as _, commits, home: Home::Quarantine(snapshot) }
    }

    /// Which repository these are of; somebody's own store has no name.
    pub fn identity(&self) -> Option<Identity> {
        let folder = match &self.home {
            Home::None => return None,
            Home::Store(store) => store.objects_dir(),
            Home::Quarantine(snapshot) => snapshot.objects_dir(),
        };
        Identity::of(folder).ok()
    }
}

#[pymethods]
impl Snapshot {
    #[staticmethod]
    #[pyo3(signature = (contains, get_raw, object_format = "sha1"))]
    fn foreign(contains: Py<PyAny>, get_raw: Py<PyAny>, object_format: &str) -> PyResult<Self> {
        let kind = ids::parse_format(object_format)?;
        let source = Arc::new(ForeignObjects::new(contains, get_raw, kind));
        Ok(Self { source, commits: Arc::new(CommitTable::new(kind)), home: Home::None })
    }

    #[getter]
    fn object_format(&self) -> &'static str {
        self.source.hash_kind().name()
    }

    fn __contains__(&self, object_id: &[u8]) -> PyResult<bool> {
        let id = self.id(object_id)?;
        Ok(self.source.lookup(&id).map_err(source_error)?.is_some())
    }

    fn is_usable(&self, object_id: &[u8]) -> PyResult<bool> {
        let id = self.id(object_id)?;
        Ok(self.source.lookup_usable(&id).map_err(source_error)?.is_some())
    }

    fn header(&self, py: Python<'_>, object_id: &[u8]) -> PyResult<Option<(&'static str, u64)>> {
        let id = self.id(object_id)?;
        detached(py, || {
            let header = match self.source.lookup(&id) {
                Ok(Some(number)) => self.source.reader().header(number).map(Some),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            Ok(header.map_err(source_error)?.map(|(kind, size)| (kind.name(), size)))
        })
    }

    fn take_warnings(&self) -> Vec<String> {
        self.source.take_warnings()
    }

    #[pyo3(signature = (object_id, limit = DEFAULT_READ_LIMIT))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        object_id: &[u8],
        limit: u64,
    ) -> PyResult<(&'static str, Bound<'py, PyBytes>)> {
        let id = self.id(object_id)?;
        let (kind, content) = detached(py, || self.read_content(&id, limit).map_err(source_error))?;
        Ok((kind.name(), PyBytes::new(py, &content)))
    }

    fn pieces(&self, object_id: &[u8]) -> PyResult<Pieces> {
        let id = self.id(object_id)?;
        let number = self.source.lookup(&id).map_err(source_error)?;
        let number = number.ok_or_else(|| source_error(SourceError::Missing(id)))?;
        Pieces::start(Arc::clone(&self.source), number)
    }

    fn abbreviation(&self, py: Python<'_>, object_id: &[u8]) -> PyResult<(usize, u64)> {
        let id = self.id(object_id)?;
        detached(py, || self.source.abbreviation(&id).map_err(source_error))
    }

    fn peel<'py>(
        &self,
        py: Python<'py>,
        object_id: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let id = self.id(object_id)?;
        let peeled = detached(py, || self.peel_tag(id).map_err(source_error))?;
        Ok(peeled.map(|id| ids::to_py(py, &id)))
    }

    #[pyo3(signature = (kind, content, *, sharing = 0))]
    fn write_loose<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        content: &[u8],
        sharing: i32,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let sharing = Sharing::from_code(sharing);
        let kind = ObjectKind::from_name(kind.as_bytes()).ok_or_else(|| {
            pyo3::exceptions::PyValueError::new_err(format!("unknown object kind {kind:?}"))
        })?;
        let write = || match &self.home {
            Home::None => {
                let message = "this object store cannot be written to from here";
                Err(error(Class::Refused, message.to_owned()))
            }
            Home::Store(store) => store
                .snapshot()
                .and_then(|snapshot| snapshot.write_loose(kind, content, sharing))
                .map_err(source_error),
            Home::Quarantine(snapshot) => {
                snapshot.write_loose(kind, content, sharing).map_err(source_error)
            }
        };
        let id = detached(py, write)?;
        Ok(ids::to_py(py, &id))
    }
}

impl Snapshot {
    fn read_content(
        &self,
        id: &ObjectId,
        limit: u64,
    ) -> Result<(ObjectKind, Vec<u8>), SourceError> {
        let number = self.source.lookup(id)?.ok_or(SourceError::Missing(*id))?;
        let mut reader = self.source.reader();
        let (_, size) = reader.header(number)?;
        if size > limit {
            return Err(SourceError::TooLarge { id: *id, size, limit });
        }
        let (kind, content) = reader.read(number)?;
        Ok((kind, content.to_vec()))
    }

    fn peel_tag(&self, id: ObjectId) -> Result<Option<ObjectId>, SourceError> {
        let mut reader = self.source.reader();
        let (mut at, mut peeled) = (id, None);
        for _ in 0..MAX_TAG_DEPTH {
            let number = self.source.lookup(&at)?.ok_or(SourceError::Missing(at))?;
            if reader.header(number)?.0 != ObjectKind::Tag {
                return Ok(peeled);
            }
            let (_, content) = reader.read(number)?;
            at = Tag::parse(content)
                .map_err(|_| SourceError::Malformed { id: at, kind: ObjectKind::Tag })?
                .target;
            peeled = Some(at);
        }
        Err(SourceError::Malformed { id, kind: ObjectKind::Tag })
    }
}
