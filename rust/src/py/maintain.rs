//! `maintain` and its background.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use super::errors::{Class, detached, error, source_error};
use super::graph::graph_error;
use super::ids;
use super::ingest::sync_rules;
use super::refs::RefStore;
use crate::graph::Shallow;
use crate::maintain::{
    self, Census, FilterOptions, FilterVersion, GraphOptions, Least, MaintainError, Options, Place,
    Report,
};
use crate::sharing::Sharing;
use crate::watch::Watch;

/// How often `on_progress` is called.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Beside requests, a search for deltas has to do with little.
const BACKGROUND_MEMORY: u64 = 64 << 20;

fn maintain_error(error_: MaintainError) -> PyErr {
    match error_ {
        MaintainError::Source(inner) => source_error(inner),
        MaintainError::Graph(inner) => graph_error(inner),
        MaintainError::Running(_) => error(Class::Busy, error_.to_string()),
        MaintainError::Lost(_) => error(Class::Internal, error_.to_string()),
        other => error(Class::Repository, other.to_string()),
    }
}

/// A repository that is to be kept in order.
#[pyclass(frozen, module = "gitserve._core")]
pub struct Upkeep {
    place: Arc<Place>,
}

/// What was done, by the names of `gitserve.service.upkeep.Report`.
type Told = (Vec<(&'static str, u64)>, Vec<String>);

#[pymethods]
impl Upkeep {
    #[new]
    #[pyo3(signature = (
        common_dir, objects_dir, refs, object_format = "sha1", *, shallow = vec![], sharing = 0,
    ))]
    fn new(
        common_dir: PathBuf,
        objects_dir: PathBuf,
        refs: &RefStore,
        object_format: &str,
        shallow: Vec<PyBackedBytes>,
        sharing: i32,
    ) -> PyResult<Self> {
        let hash = ids::parse_format(object_format)?;
        let refs = Arc::clone(&refs.inner);
        let server = ids::parse_set(&shallow, hash)?;
        let shallow = Shallow { server, ..Shallow::default() };
        let sharing = Sharing::from_code(sharing);
        let place = Place { common_dir, objects_dir, hash, refs, shallow, sharing };
        Ok(Self { place: Arc::new(place) })
    }

    fn is_due(&self, py: Python<'_>, packs: usize, loose: usize) -> bool {
        let factor = Options::default().factor;
        py.detach(|| maintain::is_due(&self.place.objects_dir, factor, Least { packs, loose }))
    }

    fn untold_failure(&self) -> Option<String> {
        maintain::untold_failure(&self.place)
    }

    #[pyo3(signature = (
        packs, loose, *, depth = 50, fsync = None, pack_refs = true, write_bitmap = true, graph = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
    fn roll_up_soon(
        &self,
        packs: usize,
        loose: usize,
        depth: u32,
        fsync: Option<HashSet<String>>,
        pack_refs: bool,
        write_bitmap: bool,
        graph: Option<Graph>,
    ) {
        let defaults = Options::default();
        let options = Options {
            least: Least { packs, loose },
            threads: 1,
            pack_refs,
            write_bitmap,
            graph: graph.map(graph_options),
            depth,
            memory: BACKGROUND_MEMORY,
            sync: fsync.map_or(defaults.sync, |components| sync_rules(&components)),
            ..defaults
        };
        maintain::maintain_soon(&self.place, options);
    }

    #[staticmethod]
    fn end_all(py: Python<'_>, seconds: f64) -> bool {
        let within = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        py.detach(|| maintain::end_background(within))
    }

    #[pyo3(signature = (
        *, full = false, least_packs = 2, least_loose = 1, grace = None, threads = 0,
        window = 10, depth = 50, level = -1, big_file_threshold = None, fsync = None, pack_refs = true, write_bitmap = true,
        graph = None, on_progress = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python keywords")]
    fn run(
        &self,
        py: Python<'_>,
        full: bool,
        least_packs: usize,
        least_loose: usize,
        grace: Option<f64>,
        threads: usize,
        window: usize,
        depth: u32,
        level: i32,
        big_file_threshold: Option<u64>,
        fsync: Option<HashSet<String>>,
        pack_refs: bool,
        write_bitmap: bool,
        graph: Option<Graph>,
        on_progress: Option<Py<PyAny>>,
    ) -> PyResult<Told> {
        let defaults = Options::default();
        let options = Options {
            full,
            least: Least { packs: least_packs, loose: least_loose },
            grace: grace.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            threads,
            window,
            depth,
            pack_refs,
            write_bitmap,
            graph: graph.map(graph_options),
            level: if level < 0 { defaults.level } else { level },
            big_file_threshold: big_file_threshold.unwrap_or(defaults.big_file_threshold),
            sync: fsync.map_or(defaults.sync, |components| sync_rules(&components)),
            ..defaults
        };
        detached(py, || {
            let watch = Watch::new();
            let work = || maintain::maintain(&self.place, &options, &watch).map_err(maintain_error);
            let Some(on_progress) = on_progress else { return work().map(told) };
            let (done, wait) = crossbeam_channel::bounded::<()>(0);
            std::thread::scope(|scope| {
                let worker = scope.spawn(|| {
                    let outcome = work();
                    drop(done);
                    outcome
                });
                // here, because signals are for the thread that called
                let shown = show(&watch, &wait, &on_progress);
                let outcome =
                    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                shown.and(outcome).map(told)
            })
        })
    }
}

/// Corrected dates, and if there are to be filters: their version (0: any), how many new ones, and
/// are they begun with behind pushes?
type Graph = (bool, Option<(u32, Option<usize>, bool)>);

fn graph_options((dates, filters): Graph) -> GraphOptions {
    let filters = filters.map(|(version, most_new, is_asked_for)| FilterOptions {
        version: FilterVersion::of_number(version),
        most_new,
        is_asked_for,
    });
    GraphOptions { dates, filters }
}

fn told(report: Report) -> Told {
    let Census { packs, loose, bytes } = report.before;
    let after = report.after;
    let numbers = vec![
        ("packs_before", packs as u64),
        ("loose_before", loose as u64),
        ("bytes_before", bytes),
        ("packs_after", after.packs as u64),
        ("loose_after", after.loose as u64),
        ("bytes_after", after.bytes),
        ("packed", report.packed as u64),
        ("set_apart", report.set_apart as u64),
        ("pruned", report.pruned as u64),
        ("refs", report.refs as u64),
        ("bitmaps", report.bitmaps as u64),
        ("graphed", report.graphed as u64),
        ("damaged", report.damaged as u64),
    ];
    (numbers, report.warnings)
}

/// Calls `on_progress(title, done, total, finished)` until the work is over; an exception of it, or
/// of a signal, stops the work.
fn show(
    watch: &Watch,
    wait: &crossbeam_channel::Receiver<()>,
    on_progress: &Py<PyAny>,
) -> PyResult<()> {
    loop {
        let over = matches!(
            wait.recv_timeout(PROGRESS_INTERVAL),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected)
        );
        Python::attach(|py| {
            py.check_signals()?;
            for standing in watch.take() {
                let title = standing.phase.title();
                on_progress.call1(py, (title, standing.done, standing.total, standing.finished))?;
            }
            Ok(())
        })
        .inspect_err(|_: &PyErr| watch.cancel())?;
        if over {
            return Ok(());
        }
    }
}
