//! `RefStore` and `RefSnapshot`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyTuple};

use super::chunk::Chunk;
use super::client::Client;
use super::errors::{Class, detached, error, source_error};
use super::ids;
use super::objects::Snapshot;
use crate::hash::{HashKind, ObjectId};
use crate::refs::{
    self, AdvertiseOptions, GivenHead, LsRefsOptions, Phase, RefError, RefUpdate, Reflog,
    TableSettings, UpdateError, UpdateOptions, Witness,
};
use crate::sharing::Sharing;
use crate::source::ObjectSource;

/// Longer answers are lent to Python, shorter ones copied, which is all they cost then.
const LENT_FROM: usize = 96 << 10;

/// What is remembered, from this place on, as something that can be sent.
fn sent(py: Python<'_>, lines: Arc<Vec<u8>>, from: usize) -> PyResult<Bound<'_, PyAny>> {
    let bytes = lines.get(from..).unwrap_or_default();
    if bytes.len() < LENT_FROM {
        return Ok(PyBytes::new(py, bytes).into_any());
    }
    Ok(Bound::new(py, Chunk::shared(lines, from))?.into_any())
}

/// What the refs say.
fn ref_error(error_: RefError) -> PyErr {
    match error_ {
        RefError::Source(inner) => source_error(inner),
        other => error(Class::Repository, other.to_string()),
    }
}

#[pyclass(frozen, module = "gitserve._core")]
pub struct RefStore {
    pub inner: Arc<refs::RefStore>,
    kind: HashKind,
}

#[pymethods]
impl RefStore {
    #[new]
    #[pyo3(signature = (
        git_dir, common_dir = None, object_format = "sha1", ref_format = "files", *,
        block_size = 0, restart_interval = 0, geometric_factor = 0, lock_timeout = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
    fn new(
        git_dir: PathBuf,
        common_dir: Option<PathBuf>,
        object_format: &str,
        ref_format: &str,
        block_size: usize,
        restart_interval: usize,
        geometric_factor: u64,
        lock_timeout: Option<i64>,
    ) -> PyResult<Self> {
        let kind = ids::parse_format(object_format)?;
        let common_dir = common_dir.as_deref();
        let inner = match ref_format {
            "files" => refs::RefStore::open(&git_dir, common_dir, kind),
            "reftable" => {
                let sizes = (block_size, restart_interval, geometric_factor);
                let settings = table_settings(sizes, lock_timeout)?;
                refs::RefStore::open_tables_with(&git_dir, common_dir, kind, settings)
            }
            other => {
                let what = format!("unknown ref format {other:?}");
                return Err(pyo3::exceptions::PyValueError::new_err(what));
            }
        };
        Ok(Self { inner: Arc::new(inner), kind })
    }

    fn snapshot(&self, py: Python<'_>) -> PyResult<RefSnapshot> {
        let inner = detached(py, || self.inner.snapshot().map_err(ref_error))?;
        Ok(RefSnapshot { inner })
    }

    #[pyo3(signature = (
        updates, *, atomic = false, committer = None, message = None, reflog = "existing",
        fsync = true, objects = None, witness = None, sharing = 0,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
    fn update(
        &self,
        py: Python<'_>,
        updates: Vec<(PyBackedBytes, Option<PyBackedBytes>, Option<PyBackedBytes>)>,
        atomic: bool,
        committer: Option<PyBackedBytes>,
        message: Option<PyBackedBytes>,
        reflog: &str,
        fsync: bool,
        objects: Option<&Snapshot>,
        witness: Option<Py<PyAny>>,
        sharing: i32,
    ) -> PyResult<Vec<Option<(String, String)>>> {
        let id = |hex: &Option<PyBackedBytes>| {
            hex.as_ref().map(|hex| ids::parse(hex, self.kind)).transpose()
        };
        let moves = updates
            .iter()
            .map(|(name, old, new)| Ok(RefUpdate { name, old: id(old)?, new: id(new)? }))
            .collect::<PyResult<Vec<_>>>()?;
        let ask = witness.map(|witness| {
            move |phase: Phase, lines: &[u8]| {
                Python::attach(|py| {
                    let arguments = (phase.name(), PyBytes::new(py, lines));
                    let answer = witness.call1(py, arguments);
                    answer.and_then(|answer| answer.is_truthy(py)).unwrap_or_else(|error| {
                        // who cannot answer has not agreed
                        error.write_unraisable(py, Some(witness.bind(py)));
                        false
                    })
                })
            }
        });
        let options = UpdateOptions {
            atomic,
            committer: committer.as_deref().unwrap_or_default(),
            message: message.as_deref().unwrap_or_default(),
            reflog: parse_reflog(reflog)?,
            fsync,
            objects: objects.map(|objects| objects.source.as_ref()),
            sharing: Sharing::from_code(sharing),
            witness: ask.as_ref().map(|ask| ask as &Witness<'_>),
        };
        detached(py, || {
            let results = self.inner.update(&moves, &options);
            Ok(results.into_iter().map(|result| result.err().as_ref().map(told)).collect())
        })
    }

    #[pyo3(signature = (name, target, *, committer = None, message = None, reflog = "existing"))]
    fn set_symbolic(
        &self,
        py: Python<'_>,
        name: &[u8],
        target: &[u8],
        committer: Option<PyBackedBytes>,
        message: Option<PyBackedBytes>,
        reflog: &str,
    ) -> PyResult<()> {
        let options = UpdateOptions {
            committer: committer.as_deref().unwrap_or_default(),
            message: message.as_deref().unwrap_or_default(),
            reflog: parse_reflog(reflog)?,
            ..UpdateOptions::default()
        };
        detached(py, || {
            self.inner
                .set_symbolic(name, target, &options)
                .map_err(|refusal| error(Class::Repository, refusal.detail()))
        })
    }
}

/// (what a client may read, what is for the log).
fn told(refusal: &UpdateError) -> (String, String) {
    (refusal.to_string(), refusal.detail())
}

/// 0 stands for git's default, and a time-out below 0 for none.
fn table_settings(
    (block_size, restart_interval, factor): (usize, usize, u64),
    lock_timeout: Option<i64>,
) -> PyResult<TableSettings> {
    if block_size > TableSettings::MAX_BLOCK
        || restart_interval > TableSettings::MAX_RESTART_INTERVAL
        || factor > TableSettings::MAX_FACTOR
    {
        return Err(pyo3::exceptions::PyValueError::new_err("out of range for a reftable"));
    }
    let mut settings = TableSettings::default();
    if block_size > 0 {
        settings.block_size = block_size;
    }
    if restart_interval > 0 {
        settings.restart_interval = restart_interval;
    }
    if factor > 0 {
        settings.factor = factor;
    }
    if let Some(milliseconds) = lock_timeout {
        settings.lock_timeout =
            u64::try_from(milliseconds).map_or(Duration::MAX, Duration::from_millis);
    }
    Ok(settings)
}

fn parse_reflog(name: &str) -> PyResult<Reflog> {
    match name {
        "existing" => Ok(Reflog::Existing),
        "branches" => Ok(Reflog::Branches),
        "all" => Ok(Reflog::All),
        other => {
            Err(pyo3::exceptions::PyValueError::new_err(format!("unknown reflog rule {other:?}")))
        }
    }
}

#[pyclass(frozen, module = "gitserve._core")]
pub struct RefSnapshot {
    inner: Arc<refs::RefSnapshot>,
}

impl RefSnapshot {
    /// (tag, what it peels to) of every annotated tag below `refs/tags/`, for `include-tag`.
    pub fn annotated_tags(
        &self,
        objects: &dyn ObjectSource,
    ) -> PyResult<Vec<(ObjectId, ObjectId)>> {
        self.inner.peeled_tags(objects).map_err(ref_error)
    }

    /// What every ref and HEAD lead to, each id once.
    pub fn tips(&self) -> Vec<ObjectId> {
        let mut tips: Vec<_> = self.inner.items(b"").map(|(_, id)| id).collect();
        tips.extend(self.inner.get(b"HEAD"));
        tips.sort_unstable();
        tips.dedup();
        tips
    }
}

#[pymethods]
impl RefSnapshot {
    #[staticmethod]
    #[pyo3(signature = (refs, head = None, object_format = "sha1", *, before = None))]
    fn given(
        refs: Vec<(PyBackedBytes, PyBackedBytes)>,
        head: Option<&[u8]>,
        object_format: &str,
        before: Option<&Self>,
    ) -> PyResult<Self> {
        let kind = ids::parse_format(object_format)?;
        let refs = refs
            .iter()
            .map(|(name, id)| Ok((&**name, ids::parse(id, kind)?)))
            .collect::<PyResult<Vec<_>>>()?;
        let head = match head {
            None => GivenHead::Missing,
            Some(name) if name.starts_with(b"refs/") => GivenHead::Branch(name.to_vec()),
            Some(id) => GivenHead::Detached(ids::parse(id, kind)?),
        };
        let before = before.map(|before| before.inner.as_ref());
        let inner = refs::RefSnapshot::given(kind, refs, head, before).map_err(ref_error)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        detached(py, || Ok(self.inner.len()))
    }

    fn get<'py>(&self, py: Python<'py>, name: &[u8]) -> Option<Bound<'py, PyBytes>> {
        self.inner.get(name).map(|id| ids::to_py(py, &id))
    }

    fn symbolic<'py>(&self, py: Python<'py>, name: &[u8]) -> Option<Bound<'py, PyBytes>> {
        self.inner.symbolic(name).map(|target| PyBytes::new(py, target))
    }

    #[pyo3(signature = (prefix = None))]
    fn items<'py>(&self, py: Python<'py>, prefix: Option<&[u8]>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for (name, id) in self.inner.items(prefix.unwrap_or_default()) {
            let pair = [PyBytes::new(py, name), ids::to_py(py, &id)];
            list.append(PyTuple::new(py, pair)?)?;
        }
        Ok(list)
    }

    fn peeled<'py>(
        &self,
        py: Python<'py>,
        name: &[u8],
        objects: &Snapshot,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let peeled =
            detached(py, || self.inner.peeled(name, objects.source.as_ref()).map_err(ref_error))?;
        Ok(peeled.map(|id| ids::to_py(py, &id)))
    }

    fn hidden(&self, py: Python<'_>, patterns: Vec<PyBackedBytes>) -> PyResult<Self> {
        detached(py, || {
            let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| &**pattern).collect();
            Ok(Self { inner: Arc::new(self.inner.hidden(&patterns)) })
        })
    }

    fn has_tip(&self, py: Python<'_>, object_id: &[u8]) -> PyResult<bool> {
        let id = ids::parse(object_id, self.inner.hash_kind())?;
        detached(py, || Ok(self.inner.has_tip(&id)))
    }

    #[pyo3(signature = (
        objects, capabilities, receive = false, *, haves = vec![], shallow = vec![], client = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
    fn advertisement<'py>(
        &self,
        py: Python<'py>,
        objects: &Snapshot,
        capabilities: &[u8],
        receive: bool,
        haves: Vec<PyBackedBytes>,
        shallow: Vec<PyBackedBytes>,
        client: Option<&Client>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let haves = ids::parse_all(&haves, self.inner.hash_kind())?;
        let shallow = ids::parse_all(&shallow, self.inner.hash_kind())?;
        let client = client.map(Client::shared);
        let said = detached(py, || {
            let options = AdvertiseOptions {
                capabilities,
                receive,
                haves: &haves,
                shallow: &shallow,
                client: client.as_deref(),
            };
            self.inner.advertisement(objects.source.as_ref(), &options).map_err(ref_error)
        })?;
        let lines = sent(py, said.lines, said.rest)?;
        if said.first.is_empty() && said.last.is_empty() {
            return PyTuple::new(py, [lines]);
        }
        let (first, last) = (PyBytes::new(py, &said.first), PyBytes::new(py, &said.last));
        PyTuple::new(py, [first.into_any(), lines, last.into_any()])
    }

    /// Nobody waits for what is held here, so the interpreter is not let go.
    #[pyo3(signature = (prefixes = vec![], *, peel = false, symrefs = false, unborn = false))]
    fn remembered_ls_refs<'py>(
        &self,
        py: Python<'py>,
        prefixes: Vec<PyBackedBytes>,
        peel: bool,
        symrefs: bool,
        unborn: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let prefixes: Vec<&[u8]> = prefixes.iter().map(|prefix| &**prefix).collect();
        let options = LsRefsOptions { prefixes: &prefixes, peel, symrefs, unborn, client: None };
        let known = self.inner.remembered_ls_refs(&options);
        known.map(|lines| sent(py, lines, 0)).transpose()
    }

    #[pyo3(signature = (
        objects, prefixes = vec![], *, peel = false, symrefs = false, unborn = false, client = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
    fn ls_refs<'py>(
        &self,
        py: Python<'py>,
        objects: &Snapshot,
        prefixes: Vec<PyBackedBytes>,
        peel: bool,
        symrefs: bool,
        unborn: bool,
        client: Option<&Client>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = client.map(Client::shared);
        let lines = detached(py, || {
            let prefixes: Vec<&[u8]> = prefixes.iter().map(|prefix| &**prefix).collect();
            let client = client.as_deref();
            let options = LsRefsOptions { prefixes: &prefixes, peel, symrefs, unborn, client };
            self.inner.ls_refs(objects.source.as_ref(), &options).map_err(ref_error)
        })?;
        sent(py, lines, 0)
    }
}
