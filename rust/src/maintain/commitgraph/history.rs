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
/// Times have 34 bits, and are not to be cut off.
const LATEST: u64 = (1 << 34) - 1;
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
        watch.add(1);
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
    // commits cannot, but what an earlier file says of them can
    let circular = |id| SourceError::Malformed { id, kind: ObjectKind::Commit };
    number(&mut rows).map_err(circular)?;
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

    fn read(&mut self, id: &ObjectId) -> Result<Commit, MaintainError> {
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
        let commit = Commit::parse(content).map_err(malformed)?;
        if commit.time > LATEST {
            return Err(MaintainError::TooLate(*id));
        }
        Ok(commit)
    }
}

/// Generation numbers of both versions, parents first. Fails where a commit is its own ancestor.
fn number(rows: &mut [Row]) -> Result<(), ObjectId> {
    let mut is_open = vec![false; rows.len()];
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
                // all its parents were numbered when it was seen again
                if std::mem::replace(&mut is_open[at as usize], true) {
                    return Err(row.id);
                }
                continue;
            }
            stack.pop();
            let parents = || row.parents.iter().map(|&parent| &rows[parent as usize]);
            let level = parents().map(|parent| parent.level).max().unwrap_or(0);
            // zero stands for a date that is not known
            let latest = parents().map(|parent| parent.corrected).max().unwrap_or(0);
            let corrected = row.time.max(latest.saturating_add(1));
            let row = &mut rows[at as usize];
            row.level = level.saturating_add(1).min(HIGHEST_LEVEL);
            row.corrected = corrected;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(of: &[(&[u32], u64)]) -> Vec<Row> {
        let id = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let row = |&(parents, time): &(&[u32], u64)| Row {
            id,
            tree: id,
            parents: parents.to_vec(),
            time,
            level: 0,
            corrected: 0,
        };
        of.iter().map(row).collect()
    }

    #[test]
    fn circles_end_and_so_do_times() {
        for circle in [rows(&[(&[0], 1)]), rows(&[(&[1], 1), (&[3, 2], 1), (&[0], 1), (&[], 1)])] {
            let mut circle = circle;
            assert!(number(&mut circle).is_err());
        }
        let mut late = rows(&[(&[1, 1], 5), (&[2], u64::MAX), (&[], 7)]);
        number(&mut late).unwrap();
        let levels: Vec<u32> = late.iter().map(|row| row.level).collect();
        assert_eq!(levels, [3, 2, 1]);
        assert_eq!(late[0].corrected, u64::MAX);
    }
}
