//! May a client have this id? (`uploadpack.allowReachableSHA1InWant`)

use std::collections::BinaryHeap;

use super::GraphError;
use super::marks::Marks;
use super::roots::{Root, resolve};
use super::table::{CommitNumber, CommitReader, CommitTable, GENERATION_UNKNOWN};
use super::walk::settle_generations;
use crate::hash::{IdSet, ObjectId};
use crate::source::{ObjectSource, SourceError};
use crate::watch::Watch;

/// Was put into the queue.
const MET: u8 = 1;
/// Is asked for.
const ASKED: u8 = 2;
/// History is walked as if it had no parents.
const CUT: u8 = 4;

/// The first of `ids` that is no tip and no commit that a tip reaches; `None` if there is none.
///
/// Objects other than commits are reached only if they are tips: nobody walks all trees for a
/// question.
pub fn all_reachable(
    source: &dyn ObjectSource,
    commits: &CommitTable,
    ids: &[ObjectId],
    tips: &[ObjectId],
    server_shallow: &IdSet,
    watch: &Watch,
) -> Result<Option<ObjectId>, GraphError> {
    let known: IdSet = tips.iter().copied().collect();
    let asked: Vec<_> = ids.iter().filter(|id| !known.contains(*id)).collect();
    if asked.is_empty() {
        return Ok(None);
    }
    let mut reader = CommitReader::new(source);
    let mut marks = Marks::new();
    let mut pace = watch.pace();
    let mut open = 0usize;
    let mut lowest = GENERATION_UNKNOWN;
    for id in &asked {
        pace.step()?;
        if source.lookup(id)?.is_none() {
            return Ok(Some(**id));
        }
        let mut tagged = false;
        let root = resolve(commits, &mut reader, id, |_| {
            tagged = true;
            false
        })?;
        let Some(Root::Commit(commit)) = root.filter(|_| !tagged) else { return Ok(Some(**id)) };
        if marks.set(commit, ASKED) & ASKED == 0 {
            open += 1;
            let generation = commits.load(commit, &mut reader)?.generation();
            lowest = if generation == GENERATION_UNKNOWN { 0 } else { lowest.min(generation) };
        }
    }
    for id in server_shallow {
        pace.step()?;
        if source.lookup(id)?.is_some() {
            marks.set(commits.number(id)?, CUT);
        }
    }
    let mut walk = Walk { commits, marks, queue: BinaryHeap::new(), order: Vec::new(), lowest };
    for tip in tips {
        pace.step()?;
        match resolve(commits, &mut reader, tip, |_| true) {
            Ok(Some(Root::Commit(commit))) => walk.push(commit, &mut reader)?,
            Ok(_) | Err(GraphError::Source(SourceError::Missing(_))) => {}
            Err(other) => return Err(other),
        }
    }
    while open > 0 {
        pace.step()?;
        let Some(commit) = walk.next(&mut reader)? else { break };
        if walk.marks.get(commit) & ASKED != 0 {
            open -= 1;
        }
    }
    if open == 0 {
        return Ok(None);
    }
    // all of it was walked in vain: let the next question be answered sooner
    settle_generations(commits, &walk.order);
    let unmet =
        |id: &&&ObjectId| commits.find(id).is_none_or(|commit| walk.marks.get(commit) & MET == 0);
    Ok(asked.iter().find(unmet).map(|id| **id))
}

struct Walk<'t> {
    commits: &'t CommitTable,
    marks: Marks,
    queue: BinaryHeap<(u64, u64, CommitNumber)>,
    order: Vec<CommitNumber>,
    /// What is lower reaches none of those asked for.
    lowest: u64,
}

impl Walk<'_> {
    fn push(
        &mut self,
        commit: CommitNumber,
        reader: &mut CommitReader<'_>,
    ) -> Result<(), GraphError> {
        if self.marks.set(commit, MET) & MET != 0 {
            return Ok(());
        }
        let fields = self.commits.load(commit, reader)?;
        if fields.generation() >= self.lowest {
            self.queue.push((fields.generation(), fields.time(), commit));
        }
        Ok(())
    }

    fn next(&mut self, reader: &mut CommitReader<'_>) -> Result<Option<CommitNumber>, GraphError> {
        let Some((_, _, commit)) = self.queue.pop() else { return Ok(None) };
        self.order.push(commit);
        if self.marks.get(commit) & CUT == 0 {
            for parent in self.commits.load(commit, reader)?.parents() {
                self.push(parent, reader)?;
            }
        }
        Ok(Some(commit))
    }
}
