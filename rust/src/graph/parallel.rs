//! The trees of many commits, walked on several threads with one result.
//!
//! The commits, newest first, are cut into parts; each thread takes the next part. An object
//! belongs to the first part that meets it, whoever was faster: a part notes its number with
//! each object, and what carries a lower number in the end is left out. So the result is the one
//! that a single thread makes, in the same order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::GraphError;
use super::request::Found;
use super::seen::{Lowest, SeenSet};
use super::sieve::Sieve;
use super::table::{CommitNumber, CommitReader, CommitTable};
use super::trees::{Noted, TreeWalk};
use crate::source::ObjectSource;
use crate::watch::Watch;

/// Commits in a part at most: large parts share more, small ones balance better.
const MAX_PART: usize = 1024;
/// And at least.
const MIN_PART: usize = 64;
/// Parts a thread, where there are commits enough.
const PARTS_A_THREAD: usize = 8;

/// What all threads look at.
pub(super) struct Shared<'a> {
    pub(super) source: &'a dyn ObjectSource,
    pub(super) table: &'a CommitTable,
    pub(super) commits: &'a [CommitNumber],
    pub(super) has: Option<&'a SeenSet>,
    /// Objects noted as part 0 are in the result already.
    pub(super) lowest: &'a Lowest,
    pub(super) sieve: Sieve,
    pub(super) watch: &'a Watch,
}

/// Trees and blobs of these commits, each once.
pub(super) fn walk_trees(shared: &Shared<'_>, threads: usize) -> Result<Vec<Found>, GraphError> {
    let size = (shared.commits.len() / (threads * PARTS_A_THREAD)).clamp(MIN_PART, MAX_PART);
    let parts: Vec<&[CommitNumber]> = shared.commits.chunks(size).collect();
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = || {
        let result = work_parts(shared, &parts, &next, &failed);
        if result.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        result
    };
    let results = std::thread::scope(|scope| {
        // with fewer threads than asked for it takes longer, and that is all
        let workers: Vec<_> = (1..threads.min(parts.len()))
            .map_while(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut results = vec![work()];
        results.extend(workers.into_iter().map(|worker| {
            worker.join().unwrap_or_else(|_| Err(GraphError::Worker("panicked".into())))
        }));
        results
    });
    let mut by_part: Vec<(usize, Vec<Found>)> = Vec::new();
    for result in results {
        by_part.extend(result?);
    }
    by_part.sort_unstable_by_key(|(part, _)| *part);
    let mut out = Vec::with_capacity(by_part.iter().map(|(_, found)| found.len()).sum());
    for (part, found) in by_part {
        let rank = rank(part);
        out.extend(found.into_iter().filter(|found| shared.lowest.get(found.number) == rank));
    }
    Ok(out)
}

fn rank(part: usize) -> u32 {
    u32::try_from(part + 1).unwrap_or(u32::MAX - 1)
}

fn work_parts(
    shared: &Shared<'_>,
    parts: &[&[CommitNumber]],
    next: &AtomicUsize,
    failed: &AtomicBool,
) -> Result<Vec<(usize, Vec<Found>)>, GraphError> {
    let mut done = Vec::new();
    let mut walk = TreeWalk::new(
        CommitReader::new(shared.source),
        Noted::Part(shared.lowest, 0),
        shared.sieve,
        shared.has,
        shared.watch,
    );
    loop {
        let part = next.fetch_add(1, Ordering::Relaxed);
        let Some(commits) = parts.get(part) else { return Ok(done) };
        walk.noted = Noted::Part(shared.lowest, rank(part));
        for &commit in *commits {
            if failed.load(Ordering::Relaxed) {
                // whoever failed says why
                return Ok(Vec::new());
            }
            let fields = shared.table.load(commit, &mut walk.reader)?;
            walk.walk_commit_tree(&fields.tree())?;
        }
        done.push((part, walk.take()));
    }
}
