//! `Quarantine` and `PackReceiver`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use super::client::Client;
use super::errors::{Class, detached, error, source_error, wire_error};
use super::graph::graph_error;
use super::ids;
use super::objects;
use super::refs::RefSnapshot;
use crate::durable::SyncRules;
use crate::fsck::{self, Message, Severity};
use crate::graph;
use crate::hash::{HashKind, IdSet, ObjectId};
use crate::ingest::{self, Blame, IngestError, ReceiveLimits};
use crate::sharing::Sharing;
use crate::source::SourceError;
use crate::store::{Snapshot, Store};
use crate::watch::Watch;

/// How often `on_progress` is called while deltas are resolved.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// A pack below both is done before anybody asks how it goes: a thread that tells would cost as much
/// as the work.
const FEW_OBJECTS: u32 = 100;
const FEW_BYTES: u64 = 1 << 20;

fn ingest_error(error_: IngestError) -> PyErr {
    let class = match (&error_, error_.blame()) {
        (IngestError::Source(_), _) => {
            let IngestError::Source(inner) = error_ else { unreachable!("matched just above") };
            return source_error(inner);
        }
        (_, Blame::Peer) => Class::Pack,
        (_, Blame::Limit) => Class::Refused,
        (IngestError::Spent, _) => Class::Internal,
        (_, Blame::Ours) => Class::Repository,
        (_, Blame::Cancelled) => Class::Cancelled,
    };
    match error_.wire() {
        Some(wire) => wire_error(class, error_.to_string(), &wire),
        None => error(class, error_.to_string()),
    }
}

#[pyclass(frozen, module = "gitserve._core")]
pub struct Quarantine {
    objects_dir: PathBuf,
    kind: HashKind,
    path: PathBuf,
    inner: Mutex<Option<ingest::Quarantine>>,
    received: Arc<Mutex<Received>>,
    /// Of the repository with what waits here, for as long as nothing is received or unpacked.
    waiting: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

/// What is known of the packs that were received into a quarantine.
#[derive(Default)]
struct Received {
    packs: usize,
    /// What the last one leads to outside itself, where that was found out.
    outside: Option<graph::Outside>,
    /// What was found in their objects; `None` where that is not known of all.
    examined: Option<Vec<fsck::Examiner>>,
    /// The repository as the last one was held against it, a moment before.
    base: Option<Arc<Snapshot>>,
}

impl Quarantine {
    fn locked(&self) -> MutexGuard<'_, Option<ingest::Quarantine>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self, severities: Severities, skip: &[PyBackedBytes]) -> PyResult<fsck::Rules> {
        let mut rules = fsck::Rules::default();
        rules.skip = ids::parse_set(skip, self.kind)?;
        for (name, severity) in severities {
            let message = Message::ALL.iter().find(|m| m.name().eq_ignore_ascii_case(&name));
            let severity = match severity.as_str() {
                "ignore" => Severity::Ignore,
                "warn" => Severity::Warn,
                "error" => Severity::Error,
                _ => return Err(PyValueError::new_err(format!("unknown severity '{severity}'"))),
            };
            let known = message.is_some_and(|message| rules.set(*message, severity));
            if !known {
                return Err(PyValueError::new_err(format!("cannot set '{name}'")));
            }
        }
        Ok(rules)
    }

    /// The first object that is missing behind any of these.
    fn missing(
        &self,
        tips: &[ObjectId],
        known: &[ObjectId],
        server_shallow: &IdSet,
        watch: &Watch,
    ) -> Result<Option<ObjectId>, graph::GraphError> {
        let source = self.waiting()?;
        // a table of its own: what stays in quarantine must not be remembered outside it
        let commits = source.commits();
        if server_shallow.is_empty() && self.is_closed(&source, commits, tips, known, watch)? {
            return Ok(None);
        }
        graph::check_connected(source.as_ref(), commits, tips, known, server_shallow, watch)
    }

    /// The tips behind which something is missing, and the first such object.
    fn sift(
        &self,
        tips: &[ObjectId],
        known: &[ObjectId],
        server_shallow: &IdSet,
        watch: &Watch,
    ) -> Result<(IdSet, Option<ObjectId>), graph::GraphError> {
        let missing = self.missing(tips, known, server_shallow, watch)?;
        if missing.is_none() {
            return Ok((IdSet::default(), None));
        }
        let source = self.waiting()?;
        let commits = source.commits();
        let bad = graph::unconnected(source.as_ref(), commits, tips, known, server_shallow, watch)?;
        Ok((bad, missing))
    }

    /// Is all well with the one pack that was received, without a walk of it?
    fn is_closed(
        &self,
        source: &Snapshot,
        commits: &graph::CommitTable,
        tips: &[ObjectId],
        known: &[ObjectId],
        watch: &Watch,
    ) -> Result<bool, graph::GraphError> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let mut packs = source.packs().iter().filter(|pack| pack.path().starts_with(&self.path));
        let (Some(outside), Some(pack), None) = (&received.outside, packs.next(), packs.next())
        else {
            return Ok(false);
        };
        let is_in_pack = |id: &ObjectId| pack.position(id).is_some();
        let parts = (outside, &is_in_pack as &dyn Fn(&ObjectId) -> bool);
        Ok(received.packs == 1 && graph::is_closed(source, commits, tips, known, parts, watch)?)
    }

    /// The repository, and what the quarantine holds in front of it. The same until something more is
    /// received: what hooks put there meanwhile is found as it is looked up.
    fn waiting(&self) -> Result<Arc<Snapshot>, SourceError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = &*waiting {
            return Ok(Arc::clone(snapshot));
        }
        let base = self.received.lock().unwrap_or_else(PoisonError::into_inner).base.take();
        let base = match base {
            Some(base) => base,
            None => Store::open(&self.objects_dir, self.kind, &[])?.snapshot()?,
        };
        let snapshot = base.with_front(&self.path)?;
        *waiting = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

pub fn sync_rules(components: &HashSet<String>) -> SyncRules {
    let has = |name: &str| components.contains(name);
    SyncRules {
        pack: has("pack"),
        pack_metadata: has("pack-metadata"),
        loose_object: has("loose-object"),
        reference: has("reference"),
        commit_graph: has("commit-graph"),
    }
}

/// Message ids, and what becomes of objects with that fault.
type Severities = Vec<(String, String)>;

fn spent() -> PyErr {
    error(Class::Internal, "quarantine used after it was published or discarded".to_owned())
}

#[pymethods]
impl Quarantine {
    #[new]
    #[pyo3(signature = (objects_dir, object_format = "sha1", *, fsync = None, sharing = 0))]
    fn new(
        py: Python<'_>,
        objects_dir: PathBuf,
        object_format: &str,
        fsync: Option<HashSet<String>>,
        sharing: i32,
    ) -> PyResult<Self> {
        let kind = ids::parse_format(object_format)?;
        detached(py, || {
            let mut inner = ingest::Quarantine::create(&objects_dir, kind).map_err(ingest_error)?;
            if let Some(components) = fsync {
                inner.set_sync_rules(sync_rules(&components));
            }
            inner.set_sharing(Sharing::from_code(sharing));
            let path = inner.path().to_owned();
            let inner = Mutex::new(Some(inner));
            let (received, waiting) = (Arc::default(), Arc::default());
            Ok(Self { objects_dir, kind, path, inner, received, waiting })
        })
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    #[pyo3(signature = (
        *, max_pack_bytes = None, max_object_bytes = None, max_objects = None, max_depth = None,
        max_ratio = None, max_seconds = None, threads = 0, memory = None, examine = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
    fn receive(
        &self,
        py: Python<'_>,
        max_pack_bytes: Option<u64>,
        max_object_bytes: Option<u64>,
        max_objects: Option<u32>,
        max_depth: Option<u32>,
        max_ratio: Option<u64>,
        max_seconds: Option<u64>,
        threads: usize,
        memory: Option<u64>,
        examine: Option<(Severities, Vec<PyBackedBytes>)>,
    ) -> PyResult<PackReceiver> {
        let rules = examine.map(|(severities, skip)| self.rules(severities, &skip)).transpose()?;
        let default = ReceiveLimits::default();
        let limits = ReceiveLimits {
            max_pack_bytes: max_pack_bytes.unwrap_or(default.max_pack_bytes),
            max_object_bytes: max_object_bytes.unwrap_or(default.max_object_bytes),
            max_objects: max_objects.unwrap_or(default.max_objects),
            max_depth: max_depth.unwrap_or(default.max_depth),
            max_ratio: max_ratio.unwrap_or(default.max_ratio),
            max_seconds: max_seconds.unwrap_or(default.max_seconds),
            memory: memory.unwrap_or(default.memory),
            ..default
        };
        let (objects_dir, kind) = (self.objects_dir.clone(), self.kind);
        detached(py, || {
            let quarantine = self.locked();
            let inner = quarantine.as_ref().ok_or_else(spent)?;
            let mut inner = inner.receive(limits).map_err(ingest_error)?;
            if let Some(rules) = rules {
                inner.examine(rules);
            }
            let (inner, received) = (Mutex::new(inner), Arc::clone(&self.received));
            let waiting = Arc::clone(&self.waiting);
            Ok(PackReceiver { objects_dir, kind, threads, inner, received, waiting })
        })
    }

    #[pyo3(signature = (tips, known, server_shallow = vec![], *, refs = None))]
    fn check_connected<'py>(
        &self,
        py: Python<'py>,
        tips: Vec<PyBackedBytes>,
        known: Vec<PyBackedBytes>,
        server_shallow: Vec<PyBackedBytes>,
        refs: Option<&RefSnapshot>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let tips = ids::parse_all(&tips, self.kind)?;
        let mut known = ids::parse_all(&known, self.kind)?;
        let server = ids::parse_set(&server_shallow, self.kind)?;
        let missing = detached(py, || {
            known.extend(refs.map(RefSnapshot::tips).unwrap_or_default());
            self.missing(&tips, &known, &server, &Watch::new()).map_err(graph_error)
        })?;
        Ok(missing.map(|id| ids::to_py(py, &id)))
    }

    #[pyo3(signature = (
        tips, known, server_shallow = vec![], *, refs = None, seconds = 0, memory = 0,
        client = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
    fn unconnected<'py>(
        &self,
        py: Python<'py>,
        tips: Vec<PyBackedBytes>,
        known: Vec<PyBackedBytes>,
        server_shallow: Vec<PyBackedBytes>,
        refs: Option<&RefSnapshot>,
        seconds: u64,
        memory: u64,
        client: Option<&Client>,
    ) -> PyResult<(Vec<usize>, Option<Bound<'py, PyBytes>>)> {
        let tips = ids::parse_all(&tips, self.kind)?;
        let mut known = ids::parse_all(&known, self.kind)?;
        let server = ids::parse_set(&server_shallow, self.kind)?;
        let watch = Watch::for_seconds(seconds).within_bytes(memory);
        let watch = watch.of_client(client.map(Client::shared));
        let (bad, missing) = detached(py, || {
            known.extend(refs.map(RefSnapshot::tips).unwrap_or_default());
            self.sift(&tips, &known, &server, &watch).map_err(graph_error)
        })?;
        let bad = (0..tips.len()).filter(|&at| bad.contains(&tips[at])).collect();
        Ok((bad, missing.map(|id| ids::to_py(py, &id))))
    }

    #[pyo3(signature = (severities = vec![], skip = vec![]))]
    fn check_objects(
        &self,
        py: Python<'_>,
        severities: Severities,
        skip: Vec<PyBackedBytes>,
    ) -> PyResult<(Vec<String>, bool)> {
        let rules = self.rules(severities, &skip)?;
        let report = detached(py, || {
            let source = self.waiting().map_err(source_error)?;
            let watch = Watch::new();
            let examined =
                self.received.lock().unwrap_or_else(PoisonError::into_inner).examined.take();
            match examined {
                Some(examined) => fsck::report(examined, &source, &watch),
                None => fsck::check_packs(&source, &self.path, rules, &watch),
            }
            .map_err(source_error)
        })?;
        Ok((report.lines, report.refused))
    }

    fn unpack(&self, py: Python<'_>) -> PyResult<u32> {
        detached(py, || {
            let waiting = self.waiting().map_err(source_error)?;
            let base = Store::open(&self.objects_dir, self.kind, &[]).map_err(source_error)?;
            let base = base.snapshot().map_err(source_error)?;
            let quarantine = self.locked();
            let inner = quarantine.as_ref().ok_or_else(spent)?;
            let unpacked = inner.unpack(&waiting, &base, &Watch::new()).map_err(ingest_error);
            forget(&self.waiting);
            unpacked
        })
    }

    fn objects(&self, py: Python<'_>) -> PyResult<objects::Snapshot> {
        detached(py, || {
            let snapshot = self.waiting().map_err(source_error)?;
            Ok(objects::Snapshot::of_quarantine(snapshot))
        })
    }

    fn publish(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            // the value stays: it keeps the new packs from a repack until the refs have moved
            self.locked().as_mut().ok_or_else(spent)?.publish().map_err(ingest_error)
        })
    }

    fn discard(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || match self.locked().take() {
            Some(mut inner) => inner.discard().map_err(ingest_error),
            None => Ok(()),
        })
    }
}

#[pyfunction]
pub fn fsck_messages() -> Vec<(&'static str, bool)> {
    let all = Message::ALL.iter();
    all.map(|message| (message.name(), message.severity() == Severity::Fatal)).collect()
}

#[pyclass(frozen, module = "gitserve._core")]
pub struct PackReceiver {
    objects_dir: PathBuf,
    kind: HashKind,
    threads: usize,
    inner: Mutex<ingest::PackReceiver>,
    /// The quarantine's.
    received: Arc<Mutex<Received>>,
    waiting: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

fn forget(waiting: &Mutex<Option<Arc<Snapshot>>>) {
    *waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

impl PackReceiver {
    fn locked(&self) -> MutexGuard<'_, ingest::PackReceiver> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_small(&self) -> bool {
        let inner = self.locked();
        inner.objects_expected() < FEW_OBJECTS && inner.bytes_received() < FEW_BYTES
    }

    fn finish_with(&self, base: Arc<Snapshot>, watch: &Watch) -> PyResult<u32> {
        let mut inner = self.locked();
        forget(&self.waiting);
        let count =
            inner.finish(Arc::clone(&base) as _, self.threads, watch).map_err(ingest_error)?;
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let examined = inner.take_examined();
        received.examined = match (received.examined.take(), examined) {
            (None, examined) if received.packs == 0 => examined,
            (Some(mut before), Some(examined)) => {
                before.extend(examined);
                Some(before)
            }
            _ => None,
        };
        received.packs += 1;
        received.outside = inner.outside().cloned();
        received.base = Some(base);
        Ok(count)
    }
}

#[pymethods]
impl PackReceiver {
    fn write(&self, py: Python<'_>, chunk: &[u8]) -> PyResult<usize> {
        detached(py, || self.locked().write(chunk).map_err(ingest_error))
    }

    #[getter]
    fn complete(&self) -> bool {
        self.locked().complete()
    }

    #[getter]
    fn objects_expected(&self) -> u32 {
        self.locked().objects_expected()
    }

    #[getter]
    fn objects_received(&self) -> u32 {
        self.locked().objects_received()
    }

    #[pyo3(signature = (on_progress = None))]
    fn finish(&self, py: Python<'_>, on_progress: Option<Py<PyAny>>) -> PyResult<u32> {
        detached(py, || {
            let base = Store::open(&self.objects_dir, self.kind, &[]).map_err(source_error)?;
            let base = base.snapshot().map_err(source_error)?;
            let watch = Watch::for_seconds(self.locked().max_seconds());
            let Some(on_progress) = on_progress else {
                return self.finish_with(base, &watch);
            };
            if self.is_small() {
                let count = self.finish_with(base, &watch)?;
                tell_standing(&watch, &on_progress)?;
                return Ok(count);
            }
            let (done, wait) = crossbeam_channel::bounded::<()>(0);
            std::thread::scope(|scope| {
                let teller = scope.spawn(|| tell(&watch, &wait, &on_progress));
                let result = self.finish_with(base, &watch);
                drop(done);
                match teller.join() {
                    Ok(Err(raised)) => Err(raised),
                    _ => result,
                }
            })
        })
    }
}

/// Calls `on_progress` until the other end of `wait` is dropped; an exception of it cancels.
fn tell(
    watch: &Watch,
    wait: &crossbeam_channel::Receiver<()>,
    on_progress: &Py<PyAny>,
) -> PyResult<()> {
    loop {
        let over = matches!(
            wait.recv_timeout(PROGRESS_INTERVAL),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected)
        );
        tell_standing(watch, on_progress).inspect_err(|_| watch.cancel())?;
        if over {
            return Ok(());
        }
    }
}

fn tell_standing(watch: &Watch, on_progress: &Py<PyAny>) -> PyResult<()> {
    if let Some(standing) = watch.take().last() {
        let total = standing.total.unwrap_or(standing.done);
        Python::attach(|py| on_progress.call1(py, (standing.done, total)))?;
    }
    Ok(())
}
