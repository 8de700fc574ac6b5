//! What concerns the whole process: how large requests share it, and what its allocator does.

use std::time::Duration;

use pyo3::prelude::*;

use crate::turns::{Supply, Turns};
use crate::{bitmap, delta, malloc};

/// What large requests share.
#[pyfunction]
#[pyo3(signature = (*, memory = 0, places = 0, waiting = None, small_work = 0.05))]
pub fn share_out(memory: u64, places: usize, waiting: Option<usize>, small_work: f64) {
    let all = Supply::default();
    Turns::of_process().supply(Supply {
        places: if places == 0 { all.places } else { places },
        memory: if memory == 0 { all.memory } else { memory },
        waiting,
        small_work: Duration::try_from_secs_f64(small_work).unwrap_or(all.small_work),
    });
}

/// What may be learnt from requests: a third of it are deltas, the rest bitmaps.
#[pyfunction]
pub fn limit_learning(memory: usize) {
    delta::set_memory_limit(memory / 3);
    bitmap::set_memory_limit(memory - memory / 3);
}

/// (large requests that have begun, those that wait to).
#[pyfunction]
pub fn large_requests() -> (usize, usize) {
    Turns::of_process().standing()
}

/// Gives back what was freed since the last time.
#[pyfunction]
pub fn give_back_memory(py: Python<'_>) {
    py.detach(malloc::give_back);
}

/// Makes freed memory stay for the next request.
#[pyfunction]
pub fn keep_freed_memory() -> bool {
    malloc::keep_freed()
}
