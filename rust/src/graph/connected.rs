//! Is everything there that new tips reach? The check that a push, or a quarantine, is complete.
//!
//! As `git rev-list --objects <tips> --not --all`: what the known refs reach is trusted, what is
//! new is walked and has to exist. The cost follows what is new, not the number of refs.

use super::GraphError;
use super::links::Outside;
use super::marks::Marks;
use super::paths::Paths;
use super::roots::{Root, resolve};
use super::seen::SeenSet;
use super::sieve::Sieve;
use super::table::{CommitNumber, CommitReader, CommitTable};
use super::trees::{Noted, TreeWalk};
use super::walk::CommitWalk;
use crate::hash::{IdSet, ObjectId};
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::{Phase, Watch};

/// A walk that meets nothing but known ids within so many commits need not load all the refs.
const SHORT: usize = 2000;

/// How often it is looked whether there is time left.
const CHECK_EVERY: usize = 256;

/// The id of the first missing object that `tips` reach and `known` do not; `None` when there
/// is none. `source` sees the quarantine as well.
///
/// `known` are the ids of refs that were complete before. An object of a kind that its place
/// does not allow is an error.
pub fn check_connected(
    source: &dyn ObjectSource,
    commits: &CommitTable,
    tips: &[ObjectId],
    known: &[ObjectId],
    server_shallow: &IdSet,
    watch: &Watch,
) -> Result<Option<ObjectId>, GraphError> {
    let known = Known::new(known);
    check_against(source, commits, tips, &known, server_shallow, watch)
}

/// Ids that were complete before, to be asked about again and again.
#[derive(Debug, Default)]
pub(super) struct Known {
    list: Vec<ObjectId>,
    set: IdSet,
}

impl Known {
    pub(super) fn new(ids: &[ObjectId]) -> Self {
        Self { list: ids.to_vec(), set: ids.iter().copied().collect() }
    }

    pub(super) fn extend(&mut self, ids: &[ObjectId]) {
        self.list.extend_from_slice(ids);
        self.set.extend(ids);
    }
}

pub(super) fn check_against(
    source: &dyn ObjectSource,
    commits: &CommitTable,
    tips: &[ObjectId],
    known: &Known,
    server_shallow: &IdSet,
    watch: &Watch,
) -> Result<Option<ObjectId>, GraphError> {
    watch.begin(Phase::Checking, None);
    let result = check(source, commits, tips, known, server_shallow, watch);
    watch.end();
    match result {
        Ok(()) => Ok(None),
        Err(GraphError::Source(SourceError::Missing(id))) => Ok(Some(id)),
        Err(other) => Err(other),
    }
}

/// The same of tips in a pack that was looked at when it came, and leads only to `outside` it. False:
/// only [`check_connected`] can tell, and say what is missing.
///
/// `is_in_pack` knows the objects of that pack. Histories that end at a shallow boundary are not
/// for this: their parents may be missing.
pub fn is_closed(
    source: &dyn ObjectSource,
    commits: &CommitTable,
    tips: &[ObjectId],
    known: &[ObjectId],
    (outside, is_in_pack): (&Outside, &dyn Fn(&ObjectId) -> bool),
    watch: &Watch,
) -> Result<bool, GraphError> {
    let mut reader = source.reader();
    for (at, (id, kind)) in outside.iter().enumerate() {
        if at % CHECK_EVERY == 0 {
            watch.check()?;
        }
        match source.lookup(id)? {
            Some(number) if reader.header(number)?.0 == *kind => {}
            _ => return Ok(false),
        }
    }
    drop(reader);
    let others = tips.iter().filter(|tip| !is_in_pack(tip)).copied();
    let rest: Vec<ObjectId> = others.chain(outside.iter().map(|(id, _)| *id)).collect();
    if rest.is_empty() {
        return Ok(true);
    }
    let no_boundary = IdSet::default();
    Ok(check_connected(source, commits, &rest, known, &no_boundary, watch)?.is_none())
}

fn check(
    source: &dyn ObjectSource,
    table: &CommitTable,
    tips: &[ObjectId],
    known: &Known,
    server_shallow: &IdSet,
    watch: &Watch,
) -> Result<(), GraphError> {
    let mut reader = CommitReader::new(source).within(watch.allowance());
    let known_ids = &known.set;
    let seen = SeenSet::new();
    let (mut heads, mut trees, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    for (at, tip) in tips.iter().filter(|tip| !known_ids.contains(*tip)).enumerate() {
        if at % CHECK_EVERY == 0 {
            watch.check()?;
        }
        match resolve(table, &mut reader, tip, |tag| seen.insert(tag))? {
            Some(Root::Commit(commit)) => heads.push(commit),
            Some(Root::Tree(tree)) => trees.push(tree),
            Some(Root::Blob(blob)) => blobs.push(blob),
            None => {}
        }
    }
    for &blob in &blobs {
        seen.insert(blob);
    }
    let work = Work { source, table, server_shallow, watch };
    let missing = |error: &GraphError| matches!(error, GraphError::Source(SourceError::Missing(_)));
    match short_walk(table, &mut reader, &heads, known_ids, server_shallow) {
        Ok(Some(new)) => match work.check_trees(&new, &trees, &seen) {
            // what is missing may be old, and known refs may reach it on ways not taken
            Err(error) if missing(&error) && !known_ids.is_empty() => {}
            done => return done,
        },
        Err(error) if !missing(&error) => return Err(error),
        _ => {}
    }
    let new = work.long_walk(&mut reader, &heads, &known.list)?;
    work.check_trees(&new, &trees, &SeenSet::new())
}

struct New {
    commits: Vec<CommitNumber>,
    boundary: Vec<CommitNumber>,
}

const MET: u8 = 1;

/// New commits, when all ways back from the heads end at known ids soon.
fn short_walk(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    heads: &[CommitNumber],
    known: &IdSet,
    server_shallow: &IdSet,
) -> Result<Option<New>, GraphError> {
    let mut new = New { commits: Vec::new(), boundary: Vec::new() };
    let (mut marks, mut todo) = (Marks::new(), heads.to_vec());
    todo.retain(|&commit| marks.set(commit, MET) & MET == 0);
    while let Some(commit) = todo.pop() {
        let id = table.id(commit);
        if known.contains(&id) {
            new.boundary.push(commit);
            continue;
        }
        if new.commits.len() == SHORT {
            return Ok(None);
        }
        new.commits.push(commit);
        let fields = table.load(commit, reader)?;
        let is_end = server_shallow.contains(&id) || fields.parents().next().is_none();
        if !is_end {
            todo.extend(fields.parents().filter(|&parent| marks.set(parent, MET) & MET == 0));
        }
        if is_end && !known.is_empty() {
            // an end of history is seldom new: this way led around the known ids
            return Ok(None);
        }
    }
    Ok(Some(new))
}

struct Work<'a> {
    source: &'a dyn ObjectSource,
    table: &'a CommitTable,
    server_shallow: &'a IdSet,
    watch: &'a Watch,
}

impl Work<'_> {
    /// New commits by painting what the known refs reach.
    fn long_walk(
        &self,
        reader: &mut CommitReader<'_>,
        heads: &[CommitNumber],
        known: &[ObjectId],
    ) -> Result<New, GraphError> {
        let mut had = Vec::new();
        for (at, id) in known.iter().enumerate() {
            if at % CHECK_EVERY == 0 {
                self.watch.check()?;
            }
            match resolve(self.table, reader, id, |_| true) {
                Ok(Some(Root::Commit(commit))) => had.push(commit),
                // trees and blobs behind refs are rare: what they hold is looked at again
                Ok(_) | Err(GraphError::Source(SourceError::Missing(_))) => {}
                Err(other) => return Err(other),
            }
        }
        let mut walk = CommitWalk::new(self.table, reader);
        for id in self.server_shallow {
            if self.source.lookup(id)?.is_some() {
                walk.cut(self.table.number(id)?);
            }
        }
        for commit in had {
            walk.have(commit)?;
        }
        for &commit in heads {
            walk.want(commit)?;
        }
        let walked = walk.run(self.watch)?;
        Ok(New { commits: walked.commits, boundary: walked.boundary })
    }

    /// Everything in the trees of new commits has to be there and of its kind.
    fn check_trees(
        &self,
        new: &New,
        wanted: &[ObjectNumber],
        seen: &SeenSet,
    ) -> Result<(), GraphError> {
        let mut reader = CommitReader::new(self.source).within(self.watch.allowance());
        let has = SeenSet::new();
        let edges = edge_trees(self.table, &mut reader, &new.boundary)?;
        let sieve = Sieve::new(&super::Filter::None);
        let mut walk = TreeWalk::new(reader, Noted::Once(seen), sieve, Some(&has), self.watch)
            .checking_kinds();
        if !edges.is_empty() {
            // every tree of a push is read
            walk = walk.along(Paths::new(self.source.hash_kind(), edges, None));
        }
        for (at, &commit) in new.commits.iter().enumerate() {
            if at % CHECK_EVERY == 0 {
                self.watch.check()?;
            }
            // the table remembers commits that were refused once and are not here
            let id = self.table.id(commit);
            self.source.lookup(&id)?.ok_or(SourceError::Missing(id))?;
            let tree = self.table.load(commit, &mut walk.reader)?.tree();
            walk.walk_commit_tree(&tree)?;
            // what was found is of no interest but that it was
            walk.take();
        }
        wanted.iter().try_for_each(|&tree| walk.walk_wanted_tree(tree))
    }
}

fn edge_trees(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    boundary: &[CommitNumber],
) -> Result<Vec<ObjectId>, GraphError> {
    let mut listed = IdSet::default();
    let mut trees = Vec::new();
    for &commit in boundary {
        if reader.source.lookup(&table.id(commit))?.is_none() {
            continue;
        }
        let tree = table.load(commit, reader)?.tree();
        if listed.insert(tree) {
            trees.push(tree);
        }
    }
    Ok(trees)
}
