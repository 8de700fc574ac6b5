//! Roll-ups that pushes make due, on a thread of low priority.
//!
//! One repository after the other, each once however often it is asked for; requests come first.
//! What fails here is tried again after a later push, and told by `gitserve maintain`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Options, Place, maintain};
use crate::watch::Watch;

/// Repositories that wait; of more, those that are pushed to again come later.
const MOST_WAITING: usize = 256;

struct Queue {
    waiting: VecDeque<(PathBuf, Arc<Place>, Options)>,
    is_running: bool,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { waiting: VecDeque::new(), is_running: false });

/// Rolls up soon, unless that is about to happen.
pub fn maintain_soon(place: &Arc<Place>, options: Options) {
    let mut queue = lock();
    let key = &place.objects_dir;
    if queue.waiting.len() >= MOST_WAITING || queue.waiting.iter().any(|(path, ..)| path == key) {
        return;
    }
    queue.waiting.push_back((key.clone(), Arc::clone(place), options));
    if !queue.is_running {
        queue.is_running = true;
        let started = std::thread::Builder::new().name("upkeep".to_owned()).spawn(work);
        if started.is_err() {
            queue.is_running = false;
            queue.waiting.clear();
        }
    }
}

fn work() {
    crate::graph::lower_priority();
    while let Some((place, options)) = next() {
        // somebody else at it, or a repository that is broken: not for this thread to tell
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = maintain(&place, &options, &Watch::new());
        }));
    }
}

fn next() -> Option<(Arc<Place>, Options)> {
    let mut queue = lock();
    let first = queue.waiting.pop_front();
    queue.is_running = first.is_some();
    first.map(|(_, place, options)| (place, options))
}

fn lock() -> MutexGuard<'static, Queue> {
    // nothing panics while it is locked
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}
