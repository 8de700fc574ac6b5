//! `Negotiation`, `deepen`, `all_reachable`.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

use super::client::{Client, watch};
use super::errors::{Class, detached, error, source_error, wire_error};
use super::ids;
use super::objects::Snapshot;
use super::refs::RefSnapshot;
use crate::graph::{self, DeepenSpec, GraphError, Shallow};
use crate::source::ObjectSource;
use crate::watch::Watch;

/// What a walk says.
pub fn graph_error(error_: GraphError) -> PyErr {
    match error_ {
        GraphError::Source(inner) => source_error(inner),
        GraphError::InvalidShallow(_) | GraphError::NothingSelected | GraphError::TooManyPaths => {
            let what = error_.to_string();
            wire_error(Class::Peer, what.clone(), &what)
        }
        GraphError::TooManyCommits => error(Class::Repository, error_.to_string()),
        GraphError::Worker(_) => error(Class::Internal, error_.to_string()),
    }
}

#[pyclass(frozen, module = "gitserve._core")]
pub struct Negotiation {
    source: Arc<dyn ObjectSource>,
    client: Option<Arc<crate::client::Client>>,
    inner: Mutex<graph::Negotiation>,
}

impl Negotiation {
    /// For one call: a client that says its haves little by little has a place only while we work.
    fn watch(&self) -> Watch {
        watch(&*self.source, self.client.clone())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, graph::Negotiation> {
        // a panic in a walk leaves marks that are still true of the objects they are on
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Negotiation {
    #[new]
    #[pyo3(signature = (
        objects, wants, client_shallow = vec![], server_shallow = vec![], *, client = None,
    ))]
    fn new(
        py: Python<'_>,
        objects: &Snapshot,
        wants: Vec<PyBackedBytes>,
        client_shallow: Vec<PyBackedBytes>,
        server_shallow: Vec<PyBackedBytes>,
        client: Option<&Client>,
    ) -> PyResult<Self> {
        let kind = objects.source.hash_kind();
        let wants = ids::parse_all(&wants, kind)?;
        let shallow = Shallow {
            client: ids::parse_set(&client_shallow, kind)?,
            server: ids::parse_set(&server_shallow, kind)?,
            ..Shallow::default()
        };
        let client = client.map(Client::shared);
        detached(py, || {
            let source = Arc::clone(&objects.source);
            let commits = Arc::clone(&objects.commits);
            let watch = watch(&*source, client.clone());
            let shown = Arc::clone(&source);
            let inner = graph::Negotiation::new(shown, commits, &wants, &shallow, &watch)
                .map_err(graph_error)?;
            Ok(Self { source, client, inner: Mutex::new(inner) })
        })
    }

    fn add_haves<'py>(
        &self,
        py: Python<'py>,
        haves: Vec<PyBackedBytes>,
    ) -> PyResult<Bound<'py, PyList>> {
        let haves = ids::parse_all(&haves, self.source.hash_kind())?;
        let known =
            detached(py, || self.locked().add_haves(&haves, &self.watch()).map_err(graph_error))?;
        ids::list_to_py(py, &known)
    }

    fn ready(&self, py: Python<'_>) -> PyResult<bool> {
        detached(py, || self.locked().ready(&self.watch()).map_err(graph_error))
    }

    fn common<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let common = detached(py, || Ok(self.locked().common().to_vec()))?;
        ids::list_to_py(py, &common)
    }
}

/// The first of `ids` that no tip reaches.
#[pyfunction]
#[pyo3(signature = (
    objects, ids, tips, server_shallow = vec![], *, refs = None, client = None,
))]
pub fn all_reachable<'py>(
    py: Python<'py>,
    objects: &Snapshot,
    ids: Vec<PyBackedBytes>,
    tips: Vec<PyBackedBytes>,
    server_shallow: Vec<PyBackedBytes>,
    refs: Option<&RefSnapshot>,
    client: Option<&Client>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let kind = objects.source.hash_kind();
    let wanted = self::ids::parse_all(&ids, kind)?;
    let mut tips = self::ids::parse_all(&tips, kind)?;
    let server = self::ids::parse_set(&server_shallow, kind)?;
    let client = client.map(Client::shared);
    let missing = detached(py, || {
        tips.extend(refs.map(RefSnapshot::tips).unwrap_or_default());
        let (source, commits) = (objects.source.as_ref(), &objects.commits);
        let watch = watch(source, client);
        graph::all_reachable(source, commits, &wanted, &tips, &server, &watch).map_err(graph_error)
    })?;
    Ok(missing.map(|id| self::ids::to_py(py, &id)))
}

/// The first object that a tip needs and the store lacks.
#[pyfunction]
#[pyo3(signature = (objects, tips, known, server_shallow = vec![], *, refs = None))]
pub fn check_connected<'py>(
    py: Python<'py>,
    objects: &Snapshot,
    tips: Vec<PyBackedBytes>,
    known: Vec<PyBackedBytes>,
    server_shallow: Vec<PyBackedBytes>,
    refs: Option<&RefSnapshot>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let kind = objects.source.hash_kind();
    let tips = ids::parse_all(&tips, kind)?;
    let mut known = ids::parse_all(&known, kind)?;
    let server = ids::parse_set(&server_shallow, kind)?;
    let missing = detached(py, || {
        known.extend(refs.map(RefSnapshot::tips).unwrap_or_default());
        let (source, commits) = (objects.source.as_ref(), &objects.commits);
        graph::check_connected(source, commits, &tips, &known, &server, &Watch::new())
            .map_err(graph_error)
    })?;
    Ok(missing.map(|id| ids::to_py(py, &id)))
}

/// The shallow and unshallow commits of a bounded fetch.
#[pyfunction]
#[pyo3(signature = (
    objects, wants, client_shallow, server_shallow = vec![], *,
    depth = None, relative = false, since = None, exclude = vec![], client = None,
))]
#[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
pub fn deepen<'py>(
    py: Python<'py>,
    objects: &Snapshot,
    wants: Vec<PyBackedBytes>,
    client_shallow: Vec<PyBackedBytes>,
    server_shallow: Vec<PyBackedBytes>,
    depth: Option<u32>,
    relative: bool,
    since: Option<u64>,
    exclude: Vec<PyBackedBytes>,
    client: Option<&Client>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
    let kind = objects.source.hash_kind();
    let wants = ids::parse_all(&wants, kind)?;
    let shallow = Shallow {
        client: ids::parse_set(&client_shallow, kind)?,
        server: ids::parse_set(&server_shallow, kind)?,
        ..Shallow::default()
    };
    let spec = match depth {
        Some(depth) if relative => DeepenSpec::Relative(depth),
        Some(depth) => DeepenSpec::Depth(depth),
        None => DeepenSpec::SinceNot { since, exclude: ids::parse_all(&exclude, kind)? },
    };
    let client = client.map(Client::shared);
    let (shallow_now, unshallow) = detached(py, || {
        let source = objects.source.as_ref();
        let watch = watch(source, client);
        graph::deepen(source, &objects.commits, &wants, &shallow, spec, &watch).map_err(graph_error)
    })?;
    Ok((ids::list_to_py(py, &shallow_now)?, ids::list_to_py(py, &unshallow)?))
}
