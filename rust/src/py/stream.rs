//! `PackStream`: an iterator of ready-to-send buffers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyList;

use super::errors::{Class, detached, error, source_error};

use super::cache::PackCache;
use super::chunk::Chunk;
use super::client::Client;
use super::graph::graph_error;
use super::ids;
use super::objects::Snapshot;
use super::refs::RefSnapshot;
use crate::cache::Key;
use crate::emit::{self, EmitError, PackStats, Remembered, StreamOptions};
use crate::graph::{Filter, Shallow, WalkRequest};
use crate::plan::PlanOptions;

/// Neighbours tried for each object: room for all of them is made beforehand.
const MAX_WINDOW: usize = 4095;

fn emit_error(error_: EmitError) -> PyErr {
    match error_ {
        EmitError::Source(inner) => source_error(inner),
        EmitError::Graph(inner) => graph_error(inner),
        EmitError::ClientGone => error(Class::Hangup, error_.to_string()),
        other => error(Class::Internal, other.to_string()),
    }
}

#[pyclass(frozen, module = "gitserve._core")]
pub struct PackStream {
    inner: Mutex<Option<emit::PackStream>>,
    last: Mutex<PackStats>,
    origin: Mutex<Remembered>,
}

impl PackStream {
    fn stats(&self) -> PackStats {
        match self.inner.try_lock().as_deref() {
            Ok(Some(stream)) => stream.stats(),
            _ => *self.last.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl PackStream {
    /// For when the stream is gone.
    fn note(&self, stream: &emit::PackStream) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = stream.stats();
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = stream.remembered();
    }
}

impl Drop for PackStream {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if inner.is_some() {
            // its workers may be asking a foreign store, which takes the interpreter, while we wait
            // for their end
            Python::attach(|py| py.detach(|| drop(inner)));
        }
    }
}

#[pymethods]
impl PackStream {
    #[new]
    #[pyo3(signature = (
        objects, wants, common = vec![], *,
        client_shallow = vec![], server_shallow = vec![], shallow = vec![], unshallow = vec![],
        filter_spec = None, thin = false, ofs_delta = false, include_tag = None,
        progress = false, band_limit = 65520, keepalive = 5.0, threads = 0, sideband_all = false,
        use_bitmaps = true, client = None, leave_missing = false,
        cache = None, leave_out = vec![],
        window = 10, depth = 50, window_memory = 0, level = -1, big_file_threshold = None,
        reuse_packs = true,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
    fn new(
        py: Python<'_>,
        objects: &Snapshot,
        wants: Vec<PyBackedBytes>,
        common: Vec<PyBackedBytes>,
        client_shallow: Vec<PyBackedBytes>,
        server_shallow: Vec<PyBackedBytes>,
        shallow: Vec<PyBackedBytes>,
        unshallow: Vec<PyBackedBytes>,
        filter_spec: Option<PyBackedBytes>,
        thin: bool,
        ofs_delta: bool,
        include_tag: Option<&RefSnapshot>,
        progress: bool,
        band_limit: usize,
        keepalive: f64,
        threads: usize,
        sideband_all: bool,
        use_bitmaps: bool,
        client: Option<&Client>,
        leave_missing: bool,
        cache: Option<&PackCache>,
        leave_out: Vec<PyBackedBytes>,
        window: usize,
        depth: u32,
        window_memory: u64,
        level: i32,
        big_file_threshold: Option<u64>,
        reuse_packs: bool,
    ) -> PyResult<Self> {
        let kind = objects.source.hash_kind();
        let filter = match filter_spec {
            Some(spec) => Filter::parse(&spec).map_err(|what| {
                super::errors::wire_error(Class::Peer, what.to_string(), &what.to_string())
            })?,
            None => Filter::None,
        };
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        };
        let wants = ids::parse_all(&wants, kind)?;
        let haves = ids::parse_all(&common, kind)?;
        let shallow = Shallow {
            client: ids::parse_set(&client_shallow, kind)?,
            server: ids::parse_set(&server_shallow, kind)?,
            new_boundary: ids::parse_set(&shallow, kind)?,
            unshallow: ids::parse_set(&unshallow, kind)?,
        };
        let leave_out = ids::parse_all(&leave_out, kind)?;
        let _ = sideband_all;
        let client = client.map(Client::descriptor);
        detached(py, || {
            let source = Arc::clone(&objects.source);
            let tags = match include_tag {
                Some(refs) => refs.annotated_tags(source.as_ref())?,
                None => Vec::new(),
            };
            let request = WalkRequest {
                wants,
                haves,
                shallow,
                filter,
                tags,
                thin,
                threads,
                no_bitmaps: !use_bitmaps,
                leave_missing,
                leave_out,
            };
            let defaults = PlanOptions::default();
            let search_memory = match window_memory {
                0 => defaults.search_memory,
                each => each.saturating_mul(threads as u64).min(defaults.search_memory),
            };
            let plan = PlanOptions {
                thin,
                ofs_delta,
                threads,
                window: window.min(MAX_WINDOW),
                depth,
                big_file_threshold: big_file_threshold.unwrap_or(defaults.big_file_threshold),
                search_memory,
                reuse_packs,
                level: if level < 0 { defaults.level } else { level },
                ..defaults
            };
            let stream = StreamOptions {
                band_limit,
                progress,
                keepalive: Duration::try_from_secs_f64(keepalive).unwrap_or_default(),
                client,
            };
            let commits = Arc::clone(&objects.commits);
            // what is left out because it is missing may be there the next time; what was left out
            // because it is elsewhere, a file does not tell
            let whole = !leave_missing && request.leave_out.is_empty();
            let shelf = cache.filter(|_| whole).zip(objects.identity());
            let inner = match shelf {
                Some((cache, identity)) => {
                    let key = Key::of(&identity, kind, &request, &plan);
                    let shelf = (&cache.inner, &key);
                    emit::PackStream::start_remembered(
                        source, commits, request, plan, stream, shelf,
                    )
                }
                None => emit::PackStream::start(source, commits, request, plan, stream),
            };
            Ok(Self {
                inner: Mutex::new(Some(inner)),
                last: Mutex::default(),
                origin: Mutex::default(),
            })
        })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Chunk>> {
        let chunk = detached(py, || {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(stream) = inner.as_mut() else { return Ok(None) };
            let chunk = stream.next_chunk().map_err(emit_error);
            self.note(stream);
            if !matches!(chunk, Ok(Some(_))) {
                *inner = None;
            }
            chunk
        })?;
        Ok(chunk.map(Chunk::own))
    }

    fn left_out<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let left_out = detached(py, || {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(stream) = inner.as_mut() else { return Ok(Vec::new()) };
            stream.left_out().map_err(emit_error)
        })?;
        ids::list_to_py(py, &left_out)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            if let Some(stream) = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take() {
                self.note(&stream);
            }
            Ok(())
        })
    }

    #[getter]
    fn urgent(&self) -> bool {
        match self.inner.try_lock().as_deref() {
            Ok(Some(stream)) => stream.is_urgent(),
            _ => false,
        }
    }

    #[getter]
    fn remembered(&self) -> Option<&'static str> {
        let remembered = match self.inner.try_lock().as_deref() {
            Ok(Some(stream)) => stream.remembered(),
            _ => *self.origin.lock().unwrap_or_else(PoisonError::into_inner),
        };
        match remembered {
            Remembered::No => None,
            Remembered::Made => Some("made"),
            Remembered::Followed => Some("followed"),
            Remembered::Kept => Some("kept"),
        }
    }

    #[getter]
    fn objects(&self) -> u32 {
        self.stats().objects
    }

    #[getter]
    fn deltas(&self) -> u32 {
        self.stats().deltas
    }

    #[getter]
    fn reused(&self) -> u32 {
        self.stats().reused
    }

    #[getter]
    fn pack_bytes(&self) -> u64 {
        self.stats().bytes
    }
}
