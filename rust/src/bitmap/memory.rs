//! What a snapshot's requests learnt of reachability, and the snapshot after it inherits.
//!
//! The snapshot holds one [`ReachMemory`]; who fills it is [`crate::graph`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::reachability::Reachability;
use crate::hash::ObjectId;
use crate::source::{ObjectSource, SourceError};

/// Commits that may wait for bitmaps: more tips than that are not all worth one.
const MAX_ASKED: usize = 1 << 16;

/// Learnt bitmaps of one snapshot.
#[derive(Default)]
pub struct ReachMemory {
    state: Mutex<State>,
    /// Commits whose bitmaps were missed.
    asked: Mutex<Vec<ObjectId>>,
    retired: AtomicBool,
}

#[derive(Default, Clone)]
enum State {
    #[default]
    Nothing,
    Here(Arc<Reachability>),
    /// Numbers are those of the snapshot it was learnt from.
    Elsewhere {
        from: Arc<dyn ObjectSource>,
        learnt: Arc<Reachability>,
    },
}

impl ReachMemory {
    /// Of the snapshot that comes after `from`, which has this memory.
    pub fn handed_on(&self, from: &Arc<dyn ObjectSource>) -> Self {
        self.retired.store(true, Ordering::Relaxed);
        let state = match &*lock(&self.state) {
            State::Here(learnt) => {
                State::Elsewhere { from: Arc::clone(from), learnt: Arc::clone(learnt) }
            }
            other => other.clone(),
        };
        let asked = std::mem::take(&mut *lock(&self.asked));
        Self { state: Mutex::new(state), asked: Mutex::new(asked), ..Self::default() }
    }

    /// Has nothing been learnt?
    pub fn is_empty(&self) -> bool {
        matches!(*lock(&self.state), State::Nothing)
    }

    /// What was learnt. It may take as long as looking every object up, once after a repack.
    pub fn get(&self, source: &dyn ObjectSource) -> Result<Option<Arc<Reachability>>, SourceError> {
        // locked, so that requests that arrive together carry it over once
        let mut state = lock(&self.state);
        if let State::Elsewhere { from, learnt } = &*state {
            let carried = learnt.carried(&**from, source)?;
            *state = carried.map_or(State::Nothing, |carried| State::Here(Arc::new(carried)));
        }
        match &*state {
            State::Here(learnt) => Ok(Some(Arc::clone(learnt))),
            _ => Ok(None),
        }
    }

    /// Replaces what was learnt.
    pub fn put(&self, learnt: Arc<Reachability>) {
        *lock(&self.state) = State::Here(learnt);
    }

    /// Asks for bitmaps of these commits.
    pub fn ask(&self, commits: &[ObjectId]) {
        let mut asked = lock(&self.asked);
        let room = MAX_ASKED.saturating_sub(asked.len());
        asked.extend(commits.iter().take(room));
    }

    /// Is there nothing to do?
    ///
    /// As long as it is not carried over, it keeps the packs of the earlier snapshot open, and
    /// with them the space of deleted ones on disk.
    pub fn is_idle(&self) -> bool {
        let is_elsewhere = matches!(*lock(&self.state), State::Elsewhere { .. });
        self.is_retired() || (!is_elsewhere && lock(&self.asked).is_empty())
    }

    /// What was asked for.
    pub fn take_asked(&self) -> Vec<ObjectId> {
        std::mem::take(&mut *lock(&self.asked))
    }

    /// Has another snapshot taken over?
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // whoever panicked left a whole value
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
