//! The commits that a commit-graph is to have, in its order, with their generation numbers.
//!
//! In: tips. Out: rows sorted by name. What an earlier file says of a commit is taken from there;
//! the others are read.

use crate::commitgraph::CommitGraphs;
use crate::hash::{IdMap, IdSet, ObjectId};
use crate::maintain::MaintainError;
use crate::object::{Commit, ObjectKind, Tag};
use crate::source::{ObjectReader, ObjectSource, SourceError};
use crate::watch::Watch;

/// Commits between two looks at the watch.
const CHECK_EVERY: usize = 256;
/// Positions from here on have a meaning of their own.
const MOST_COMMITS: usize = 0x7000_0000;
/// The highest topological level: 30 bits.
const HIGHEST_LEVEL: u32 = (1 << 30) - 1;

/// A commit.
pub(super) struct Row {
    pub(super) id: ObjectId,
    pub(super) tree: ObjectId,
    /// Places of its parents.
    pub(super) parents: Vec<u32>,
    pub(super) time: u64,
    /// One more than that of its highest parent.
    pub(super) level: u32,
    /// Not before its time, and after those of its parents.
    pub(super) corrected: u64,
}

/// Are there so many commits that no earlier file knows?
pub(super) fn has_new(
    source: &dyn ObjectSource,
    tips: &[ObjectId],
    known: &CommitGraphs,
    least: usize,
    watch: &Watch,
) -> Result<bool, MaintainError> {
    let mut walk = Walk::new(source, known, watch);
    let mut stack = walk.peel(tips)?;
    stack.retain(|id| known.find(id).is_none());
    let mut found = 0;
    while let Some(id) = stack.pop() {
        found += 1;
        if found >= least {
            return Ok(true);
        }
        for parent in walk.read(&id)?.parents {
            if known.find(&parent).is_none() && walk.seen.insert(parent) {
                stack.push(parent);
            }
        }
    }
    Ok(false)
}

/// All that these reach, sorted by name.
pub(super) fn gather(
    source: &dyn ObjectSource,
    tips: &[ObjectId],
    known: &CommitGraphs,
    watch: &Watch,
) -> Result<Vec<Row>, MaintainError> {
    let mut walk = Walk::new(source, known, watch);
    let mut stack = walk.peel(tips)?;
    let mut found: Vec<(ObjectId, Commit)> = Vec::new();
    while let Some(id) = stack.pop() {
        let commit = walk.read(&id)?;
        let parents = commit.parents.iter().copied();
        stack.extend(parents.filter(|&parent| walk.seen.insert(parent)));
        found.push((id, commit));
    }
    if found.len() >= MOST_COMMITS {
        return Err(MaintainError::TooMany(found.len()));
    }
    found.sort_unstable_by_key(|&(id, _)| id);
    let places: IdMap<u32> = found.iter().map(|&(id, _)| id).zip(0..).collect();
    let row = |(id, commit): (ObjectId, Commit)| {
        let parents = commit.parents.iter().map(|parent| places[parent]).collect();
        Row { id, tree: commit.tree, parents, time: commit.time, level: 0, corrected: 0 }
    };
    let mut rows: Vec<Row> = found.into_iter().map(row).collect();
    number(&mut rows);
    Ok(rows)
}

struct Walk<'a> {
    source: &'a dyn ObjectSource,
    reader: Box<dyn ObjectReader + 'a>,
    known: &'a CommitGraphs,
    watch: &'a Watch,
    seen: IdSet,
    steps: usize,
}

impl<'a> Walk<'a> {
    fn new(source: &'a dyn ObjectSource, known: &'a CommitGraphs, watch: &'a Watch) -> Self {
        let (reader, seen) = (source.reader(), IdSet::default());
        Self { source, reader, known, watch, seen, steps: 0 }
    }

    /// The commits that these lead to, each once.
    fn peel(&mut self, tips: &[ObjectId]) -> Result<Vec<ObjectId>, SourceError> {
        let mut commits = Vec::new();
        'tips: for tip in tips {
            let mut id = *tip;
            while self.known.find(&id).is_none() {
                let number = self.source.lookup(&id)?.ok_or(SourceError::Missing(id))?;
                match self.reader.header(number)?.0 {
                    ObjectKind::Commit => break,
                    ObjectKind::Tag => {
                        let malformed = |_| SourceError::Malformed { id, kind: ObjectKind::Tag };
                        id = Tag::parse(self.reader.read(number)?.1).map_err(malformed)?.target;
                    }
                    ObjectKind::Tree | ObjectKind::Blob => continue 'tips,
                }
            }
            if self.seen.insert(id) {
                commits.push(id);
            }
        }
        Ok(commits)
    }

    fn read(&mut self, id: &ObjectId) -> Result<Commit, SourceError> {
        self.steps += 1;
        if self.steps.is_multiple_of(CHECK_EVERY) {
            self.watch.check()?;
        }
        if let Some(known) = self.known.find(id) {
            return Ok(Commit { tree: known.tree, parents: known.parents, time: known.time });
        }
        let number = self.source.lookup(id)?.ok_or(SourceError::Missing(*id))?;
        let content = self.reader.read_as(self.source, number, ObjectKind::Commit)?;
        let malformed = |_| SourceError::Malformed { id: *id, kind: ObjectKind::Commit };
        Commit::parse(content).map_err(malformed)
    }
}

/// Generation numbers of both versions, parents first.
fn number(rows: &mut [Row]) {
    let mut stack = Vec::new();
    for start in 0..rows.len() as u32 {
        stack.push(start);
        while let Some(&at) = stack.last() {
            let row = &rows[at as usize];
            if row.level != 0 {
                stack.pop();
                continue;
            }
            let before = stack.len();
            let unknown = |parent: &&u32| rows[**parent as usize].level == 0;
            stack.extend(row.parents.iter().filter(unknown));
            if stack.len() > before {
                continue;
            }
            stack.pop();
            let parents = || row.parents.iter().map(|&parent| &rows[parent as usize]);
            let level = parents().map(|parent| parent.level).max().unwrap_or(0);
            // zero stands for a date that is not known
            let earliest = parents().map(|parent| parent.corrected).max().unwrap_or(0) + 1;
            let corrected = row.time.max(earliest);
            let row = &mut rows[at as usize];
            row.level = level.saturating_add(1).min(HIGHEST_LEVEL);
            row.corrected = corrected;
        }
    }
}
