//! Roll-ups that pushes make due, on a thread of low priority.
//!
//! One repository after the other, each once however often it is asked for; requests come first,
//! unless they leave so little time for it that they become slow themselves ([`is_behind`]).
//! What fails here is told once, to whoever asks next, and tried again an hour later.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Least, MaintainError, Options, Place, is_due, maintain};
use crate::watch::Watch;

/// Repositories that wait; of more, those that are pushed to again come later.
const MOST_WAITING: usize = 256;

/// With so many times the packs that make a roll-up due, each push and each reader pays for them all.
const BEHIND: usize = 4;

/// Who fails after long work would otherwise do it again with every push.
const PAUSE: Duration = Duration::from_secs(60 * 60);

struct Failure {
    at: Instant,
    /// What went wrong, until somebody has been told.
    untold: Option<String>,
}

struct Queue {
    waiting: VecDeque<(PathBuf, Arc<Place>, Options)>,
    failed: BTreeMap<PathBuf, Failure>,
    is_running: bool,
    at_work: Option<Arc<Watch>>,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    failed: BTreeMap::new(),
    is_running: false,
    at_work: None,
});

/// Nothing runs any more.
static OVER: Condvar = Condvar::new();

/// Rolls up soon, unless that is about to happen or has failed of late ([`untold_failure`]).
pub fn maintain_soon(place: &Arc<Place>, options: Options) {
    let mut queue = lock();
    let key = &place.objects_dir;
    queue.failed.retain(|_, failure| failure.at.elapsed() < PAUSE);
    let is_waiting = queue.waiting.iter().any(|(path, ..)| path == key);
    if queue.failed.contains_key(key) || is_waiting || queue.waiting.len() >= MOST_WAITING {
        return;
    }
    queue.waiting.push_back((key.clone(), Arc::clone(place), options));
    if !queue.is_running {
        queue.is_running = true;
        let started = std::thread::Builder::new().name("upkeep".to_owned()).spawn(work);
        if started.is_err() {
            queue.is_running = false;
            queue.waiting.clear();
            OVER.notify_all();
        }
    }
}

/// What went wrong with the last roll-up of this repository, once.
pub fn untold_failure(place: &Place) -> Option<String> {
    lock().failed.get_mut(&place.objects_dir)?.untold.take()
}

/// Ends what runs and forgets what waits, for a process that is about to end: a roll-up that is cut
/// off leaves files that wait for the next one. Has it ended within that time?
pub fn end_background(within: Duration) -> bool {
    let mut queue = lock();
    queue.waiting.clear();
    if let Some(watch) = &queue.at_work {
        watch.cancel();
    }
    let queue = OVER.wait_timeout_while(queue, within, |queue| queue.is_running);
    !queue.unwrap_or_else(PoisonError::into_inner).0.is_running
}

fn work() {
    while let Some((place, options, watch)) = next() {
        // a thread of its own, as nobody may raise what he has lowered
        let work = || {
            if !is_behind(&place, &options) {
                crate::graph::lower_priority();
            }
            maintain(&place, &options, &watch)
        };
        let done = std::thread::scope(|scope| {
            let started = std::thread::Builder::new().name("upkeep".to_owned());
            started.spawn_scoped(scope, work).map(std::thread::ScopedJoinHandle::join)
        });
        // asked for again by the next push
        let Ok(done) = done else { continue };
        if watch.is_cancelled() {
            continue;
        }
        let what = match done {
            // found out anew each time, at the cost of reading all packs
            Ok(Ok(report)) if report.damaged > 0 => report.warnings.join("; "),
            // somebody else at it: what is due is done
            Ok(Ok(_) | Err(MaintainError::Running(_))) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a bug in gitserve".to_owned(),
        };
        let failure = Failure { at: Instant::now(), untold: Some(what) };
        let mut queue = lock();
        // asked for once more while it was at work
        queue.waiting.retain(|(path, ..)| *path != place.objects_dir);
        queue.failed.insert(place.objects_dir.clone(), failure);
    }
}

/// Have pushes come faster than roll-ups?
fn is_behind(place: &Place, options: &Options) -> bool {
    let packs = options.least.packs.saturating_mul(BEHIND);
    is_due(&place.objects_dir, options.factor, Least { packs, loose: usize::MAX })
}

fn next() -> Option<(Arc<Place>, Options, Arc<Watch>)> {
    let mut queue = lock();
    let first = queue.waiting.pop_front();
    queue.is_running = first.is_some();
    queue.at_work = first.is_some().then(|| Arc::new(Watch::new()));
    if first.is_none() {
        OVER.notify_all();
    }
    let watch = queue.at_work.clone()?;
    first.map(|(_, place, options)| (place, options, watch))
}

fn lock() -> MutexGuard<'static, Queue> {
    // nothing panics while it is locked
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For tests that count on roll-ups in the background, or end them all.
#[cfg(test)]
pub(super) static ALONE: Mutex<()> = Mutex::new(());

#[cfg(test)]
mod tests {
    use super::super::tests::Repo;
    use super::*;

    #[test]
    fn what_is_ended_leaves_nothing_behind() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let repo = Repo::new();
        let options = Options { least: Least { packs: 2, loose: 1 }, ..Options::default() };
        for push in 0..20 {
            repo.commits("main", push, 1);
            let place = Arc::new(repo.place());
            maintain_soon(&place, options.clone());
            assert_eq!(untold_failure(&place), None, "{push}");
            if push % 3 == 0 {
                assert!(end_background(Duration::from_secs(60)));
                assert!(lock().waiting.is_empty() && lock().at_work.is_none());
                let left: Vec<_> = std::fs::read_dir(repo.place().objects_dir.join("pack"))
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .filter(|name| name.starts_with("tmp_") || name.ends_with(".keep"))
                    .collect();
                assert!(left.is_empty(), "{push}: {left:?}");
            }
        }
    }

    #[test]
    fn who_is_behind_does_not_wait_for_others() {
        let repo = Repo::new();
        let options = Options { least: Least { packs: 2, loose: 1 }, ..Options::default() };
        for push in 0..8 {
            assert!(!is_behind(&repo.place(), &options), "{push}");
            repo.commits("main", push, 1);
        }
        assert!(is_behind(&repo.place(), &options));
    }
}
