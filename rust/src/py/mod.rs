//! The bindings: the only place that names pyo3.
//!
//! In: Python's arguments, as the bytes of the wire. Out: opaque frozen handles, bytes, and the
//! exceptions of `gitserve.errors`. No rule of Git is decided here; each method converts, detaches
//! from the interpreter, calls the core and converts back. `python/gitserve/_core.pyi` documents
//! what is exported.

mod cache;
mod chunk;
mod client;
mod errors;
mod foreign;
mod graph;
mod ids;
mod ingest;
mod locked;
mod maintain;
mod objects;
mod pieces;
mod process;
mod refs;
mod stamps;
mod stream;

use pyo3::prelude::*;

/// The module `gitserve._core`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("build_profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    module.add_class::<objects::Store>()?;
    module.add_class::<objects::Snapshot>()?;
    module.add_class::<pieces::Pieces>()?;
    module.add_class::<refs::RefStore>()?;
    module.add_class::<refs::RefSnapshot>()?;
    module.add_class::<locked::LockedFile>()?;
    module.add_class::<graph::Negotiation>()?;
    module.add_function(wrap_pyfunction!(graph::all_reachable, module)?)?;
    module.add_function(wrap_pyfunction!(graph::check_connected, module)?)?;
    module.add_function(wrap_pyfunction!(graph::deepen, module)?)?;
    module.add_function(wrap_pyfunction!(ingest::fsck_messages, module)?)?;
    module.add_class::<client::Client>()?;
    module.add_class::<cache::PackCache>()?;
    module.add_class::<chunk::Chunk>()?;
    module.add_class::<stream::PackStream>()?;
    module.add_class::<ingest::Quarantine>()?;
    module.add_class::<ingest::PackReceiver>()?;
    module.add_class::<maintain::Upkeep>()?;
    module.add_class::<stamps::FileStamps>()?;
    module.add_function(wrap_pyfunction!(process::share_out, module)?)?;
    module.add_function(wrap_pyfunction!(process::large_requests, module)?)?;
    module.add_function(wrap_pyfunction!(process::give_back_memory, module)?)?;
    module.add_function(wrap_pyfunction!(process::keep_freed_memory, module)?)?;
    module.add_function(wrap_pyfunction!(process::limit_learning, module)?)?;
    Ok(())
}
