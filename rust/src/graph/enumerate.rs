//! Which objects to send: wants without what haves reach, filtered, in pack order.
//!
//! First the commits ([`super::walk`]), then what the client has at the boundary
//! ([`super::edges`]), then the trees of the new commits ([`super::trees`], on all cores for large
//! requests by [`super::parallel`]), then the tags that go along.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::GraphError;
use super::asked::{Had, Wanted, sort_haves, sort_wants};
use super::edges::{BoundaryNames, mark_whole};
use super::marks::Marks;
use super::parallel::{Shared, walk_trees};
use super::paths::Paths;
use super::request::{ClientHas, Enumeration, Found, WalkRequest};
use super::scan::{Roots, Scan};
use super::seen::{Lowest, SeenSet};
use super::sieve::Sieve;
use super::table::{CommitNumber, CommitReader, CommitTable};
use super::tags::{insert_tags, tags_of};
use super::trees::{Noted, TreeWalk};
use super::walk::{CommitWalk, Walked, settle_generations};
use crate::bitmap::Reachability;
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::{Phase, Watch};

/// How large a request has to be for the ways of large requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From this many new commits on, the boundary is marked whole: most of it would be opened
    /// anyhow, and the walk can use all cores.
    pub(super) whole_boundary_min: usize,
    /// Below this many commits starting threads costs more than the walk.
    pub(super) parallel_min: usize,
    /// When the client has something, from this many new commits on bitmaps are asked; a smaller
    /// request is answered before they are decoded.
    pub(super) bitmap_min: usize,
    /// From this many new commits on it is kept what they reach, for the next request.
    pub(super) learn_min: usize,
    /// From this many objects on the trees of a pack are scanned for a clone of everything.
    pub(super) scan_min: u32,
    /// Entries that are listed then, for each object: what lists take is less than what the walk
    /// would. In the history of git there are about seven.
    pub(super) scan_entries: usize,
}

/// A walk over so many objects takes as long as one over another commit.
const OBJECTS_A_COMMIT: usize = 16;

const LIMITS: Limits = Limits {
    whole_boundary_min: 1000,
    parallel_min: 256,
    bitmap_min: 256,
    learn_min: 512,
    scan_min: 1 << 14,
    scan_entries: 24,
};

/// Bytes that a scan takes of each object; what its threads need beside it tells the turn itself.
pub const BYTES_SCANNED: usize = super::scan::bytes_an_object(LIMITS.scan_entries);

/// How far a walk over commits goes.
#[derive(Clone, Copy)]
struct Until<'a> {
    /// So many commits are enough to know that there is a better way.
    enough: Option<usize>,
    /// Is told from time to time how many were taken.
    told: Option<&'a AtomicUsize>,
}

/// Finds the objects that `request` asks for.
///
/// A wanted object that is missing is an error; what is missing behind a have is ignored, as
/// the client has it.
pub fn enumerate(
    source: &dyn ObjectSource,
    commits: &CommitTable,
    request: &WalkRequest,
    watch: &Watch,
) -> Result<Enumeration, GraphError> {
    let mut found = enumerate_within(source, commits, request, watch, LIMITS)?;
    if !request.leave_out.is_empty() {
        found.leave_out(source, &request.leave_out)?;
    }
    Ok(found)
}

pub(super) fn enumerate_within(
    source: &dyn ObjectSource,
    commits: &CommitTable,
    request: &WalkRequest,
    watch: &Watch,
    limits: Limits,
) -> Result<Enumeration, GraphError> {
    if request.filter.has_sparse() {
        return super::sparse::enumerate(source, commits, request, watch, limits);
    }
    watch.begin(Phase::Enumerating, None);
    let suited = super::bitmapped::suit(request);
    let mut may_ask = suited && source.may_have_reachability();
    if may_ask && (request.haves.is_empty() || limits.bitmap_min == 0) {
        if let Some(reach) = source.reachability() {
            return counted(by_bitmaps(source, commits, &reach, request, watch), watch);
        }
        may_ask = false;
    }
    let mut reader = CommitReader::new(source);
    let has = SeenSet::new();
    let had = sort_haves(commits, &mut reader, request, &has, watch)?;
    let wanted = sort_wants(commits, &mut reader, request, &has, watch)?;
    let until = Until { enough: may_ask.then_some(limits.bitmap_min), told: None };
    let mut sieve = Sieve::new(&request.filter);
    let is_whole = suited && request.haves.is_empty() && sieve.lets_all_through();
    let scan = match is_whole {
        true => Scan::of(source, request.threads, limits, watch),
        false => None,
    };
    let mut walk =
        |until: Until<'_>| walk_commits(commits, &mut reader, request, &wanted, &had, until, watch);
    let (mut walked, listings) = match &scan {
        Some(scan) => scan.beside(|told| walk(Until { told: Some(told), ..until }))?,
        None => (walk(until)?, None),
    };
    if walked.stopped {
        if let Some(reach) = source.reachability() {
            return counted(by_bitmaps(source, commits, &reach, request, watch), watch);
        }
        walked = walk(Until { enough: None, ..until })?;
    }
    if walked.complete {
        settle_generations(commits, &walked.commits);
    }
    sieve.leave_missing = request.leave_missing;
    let mut objects = emit_commits(commits, source, &walked.commits, &wanted, sieve, watch)?;
    watch.add(objects.len() as u64);
    objects.extend_from_slice(&wanted.tags);

    let nothing_new =
        walked.commits.is_empty() && wanted.trees.is_empty() && wanted.blobs.is_empty();
    let (mut bases, mut names) = (Vec::new(), BoundaryNames::default());
    if let (Some(scan), Some(listings)) = (&scan, &listings) {
        let roots = Roots { commits: &walked.commits, trees: &wanted.trees, blobs: &wanted.blobs };
        scan.reach(reader, commits, listings, &roots, &mut objects)?;
    } else if !nothing_new {
        let edge_trees = edge_trees(commits, &mut reader, &walked, &had, &has, watch)?;
        let work = Work { source, table: commits, request, sieve, has: &has, watch, limits };
        let trees = work.trees(reader, &walked.commits, &wanted, edge_trees, &had, &mut bases)?;
        objects.extend(trees.0);
        names = trees.1;
    }
    let is_long = walked.commits.len() >= limits.learn_min
        || objects.len() / OBJECTS_A_COMMIT >= limits.learn_min;
    if suited && is_long {
        // what was asked for by its id need not belong to any of the commits
        let tips = wanted.trees.is_empty().then_some((&wanted.commits[..], &wanted.blobs[..]));
        super::learn::learn(source, commits, request, tips, &objects)?;
        // in the order of packs, most of what was scanned can be copied without another look
        if listings.is_some()
            && let Some(reach) = source.reachability()
        {
            drop(objects);
            let found = by_bitmaps(source, commits, &reach, request, watch);
            watch.end();
            return found;
        }
    }
    if !objects.is_empty() && !request.tags.is_empty() {
        let sent = SeenSet::new();
        for found in &objects {
            sent.insert(found.number);
        }
        let tags = tags_of(commits, source, request, watch, |number| sent.contains(number))?;
        insert_tags(&mut objects, tags);
    }
    let mut preferred_bases = Vec::new();
    if request.thin {
        preferred_bases = names.prefer(source, &objects)?;
        preferred_bases.extend(prefer(bases, &objects));
    }
    watch.end();
    let client_has = ClientHas { numbers: has, names };
    Ok(Enumeration { objects, stored: None, client_has, preferred_bases, left_out: Vec::new() })
}

/// The same from bitmaps.
fn by_bitmaps(
    source: &dyn ObjectSource,
    commits: &CommitTable,
    reach: &Arc<Reachability>,
    request: &WalkRequest,
    watch: &Watch,
) -> Result<Enumeration, GraphError> {
    let mut found = super::bitmapped::enumerate(source, commits, reach, request, watch)?;
    if !found.is_empty() && !request.tags.is_empty() {
        let listed = SeenSet::new();
        for found in &found.objects {
            listed.insert(found.number);
        }
        let stored = found.stored.as_ref();
        let mut tags = tags_of(commits, source, request, watch, |number| {
            listed.contains(number) || stored.is_some_and(|stored| stored.contains(number))
        })?;
        if let Some(stored) = &mut found.stored {
            tags.retain(|tag| match reach.bit(tag.number) {
                Some(bit) => {
                    stored.bits.insert(bit);
                    false
                }
                None => true,
            });
        }
        insert_tags(&mut found.objects, tags);
    }
    Ok(found)
}

/// Tells how many they are.
fn counted(
    found: Result<Enumeration, GraphError>,
    watch: &Watch,
) -> Result<Enumeration, GraphError> {
    let found = found?;
    watch.add(found.len() as u64);
    watch.end();
    Ok(found)
}

fn walk_commits(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    request: &WalkRequest,
    wanted: &Wanted,
    had: &Had,
    until: Until<'_>,
    watch: &Watch,
) -> Result<Walked, GraphError> {
    let (shallow, source) = (&request.shallow, reader.source);
    let mut walk = CommitWalk::new(table, reader);
    walk.stop_at(until.enough.unwrap_or(usize::MAX));
    walk.tell(until.told);
    let mut pace = watch.pace();
    for id in shallow.client.iter().chain(&shallow.server).chain(&shallow.new_boundary) {
        pace.step()?;
        if source.lookup(id)?.is_some() {
            walk.cut(table.number(id)?);
        }
    }
    for &commit in &had.commits {
        pace.step()?;
        walk.have(commit)?;
    }
    for &commit in &wanted.commits {
        pace.step()?;
        walk.want(commit)?;
    }
    walk.run(watch)
}

/// Commits to be sent. One that was asked for by its id is sent whatever the filter says.
fn emit_commits(
    table: &CommitTable,
    source: &dyn ObjectSource,
    commits: &[CommitNumber],
    wanted: &Wanted,
    sieve: Sieve,
    watch: &Watch,
) -> Result<Vec<Found>, GraphError> {
    let mut by_id = Marks::new();
    let mut pace = watch.pace();
    if !sieve.commits {
        for &commit in &wanted.commits {
            by_id.set(commit, 1);
        }
    }
    let mut out = Vec::with_capacity(commits.len());
    for &commit in commits {
        pace.step()?;
        if !sieve.commits && by_id.get(commit) == 0 {
            continue;
        }
        let id = table.id(commit);
        // the table remembers commits that the repository may have lost
        let number = source.lookup(&id)?.ok_or(SourceError::Missing(id))?;
        out.push(Found { number, name_hash: 0, kind: ObjectKind::Commit });
    }
    Ok(out)
}

/// The trees of boundary commits and of the haves; the commits themselves are marked.
fn edge_trees(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    walked: &Walked,
    had: &Had,
    has: &SeenSet,
    watch: &Watch,
) -> Result<Vec<ObjectNumber>, GraphError> {
    let source = reader.source;
    let (mut trees, listed) = (Vec::new(), SeenSet::new());
    let mut pace = watch.pace();
    for &commit in walked.boundary.iter().chain(&had.commits) {
        pace.step()?;
        let Some(number) = source.lookup(&table.id(commit))? else { continue };
        has.insert(number);
        let tree = table.load(commit, reader)?.tree();
        if let Some(tree) = source.lookup(&tree)?
            && listed.insert(tree)
        {
            trees.push(tree);
        }
    }
    Ok(trees)
}

/// What the stages of the tree walk share.
struct Work<'a> {
    source: &'a dyn ObjectSource,
    table: &'a CommitTable,
    request: &'a WalkRequest,
    sieve: Sieve,
    has: &'a SeenSet,
    watch: &'a Watch,
    limits: Limits,
}

impl<'a> Work<'a> {
    /// Trees and blobs to be sent.
    fn trees(
        &self,
        mut reader: CommitReader<'a>,
        commits: &[CommitNumber],
        wanted: &Wanted,
        edge_trees: Vec<ObjectNumber>,
        had: &Had,
        bases: &mut Vec<Found>,
    ) -> Result<(Vec<Found>, BoundaryNames), GraphError> {
        let thin = self.request.thin;
        mark_whole(&had.trees, self.has, false, &mut reader, self.watch)?;
        let whole = commits.len() >= self.limits.whole_boundary_min;
        if whole {
            *bases = mark_whole(&edge_trees, self.has, thin, &mut reader, self.watch)?;
        }
        let sparse = !whole && !edge_trees.is_empty();
        let threads = self.request.threads.max(1);
        if threads > 1
            && !sparse
            && commits.len() >= self.limits.parallel_min
            && !self.sieve.minds_depth()
        {
            let found = self.trees_in_parallel(reader, commits, wanted, threads)?;
            return Ok((found, BoundaryNames::default()));
        }
        let (seen, lowest) = (SeenSet::new(), Lowest::new());
        let noted = match self.sieve.minds_depth() {
            true => Noted::Depth(&seen, &lowest),
            false => Noted::Once(&seen),
        };
        let mut walk = TreeWalk::new(reader, noted, self.sieve, Some(self.has), self.watch);
        if sparse {
            let roots = edge_trees.iter().map(|&tree| self.source.id(tree)).collect();
            let memory = Some(self.table.differences());
            walk = walk.along(Paths::new(self.source.hash_kind(), roots, memory).minding_moves());
        }
        self.wanted_roots(&mut walk, wanted, &seen)?;
        for &commit in commits {
            let tree = self.table.load(commit, &mut walk.reader)?.tree();
            walk.walk_commit_tree(&tree)?;
        }
        let (mut found, paths, mut reader) = walk.finish();
        let Some(paths) = paths else { return Ok((found, BoundaryNames::default())) };
        // what was met before its place in the boundary was opened, and what is in it
        let (names, mut whole) = (paths.boundary, Vec::new());
        for tree in paths.late {
            whole.extend(self.source.lookup_usable(&tree)?);
        }
        found.retain(|found| {
            let is_had = names.contains(&self.source.id(found.number));
            if is_had && found.kind == ObjectKind::Tree {
                whole.push(found.number);
            }
            !is_had
        });
        if !whole.is_empty() {
            mark_whole(&whole, self.has, false, &mut reader, self.watch)?;
            found.retain(|found| !self.has.contains(found.number));
        }
        Ok((found, names))
    }

    fn trees_in_parallel(
        &self,
        reader: CommitReader<'a>,
        commits: &[CommitNumber],
        wanted: &Wanted,
        threads: usize,
    ) -> Result<Vec<Found>, GraphError> {
        let (seen, lowest) = (SeenSet::new(), Lowest::new());
        let noted = Noted::Part(&lowest, 0);
        let mut walk = TreeWalk::new(reader, noted, self.sieve, Some(self.has), self.watch);
        self.wanted_roots(&mut walk, wanted, &seen)?;
        let (mut found, ..) = walk.finish();
        let shared = Shared {
            source: self.source,
            table: self.table,
            commits,
            has: Some(self.has),
            lowest: &lowest,
            sieve: self.sieve,
            watch: self.watch,
        };
        found.extend(walk_trees(&shared, threads)?);
        Ok(found)
    }

    /// Trees and blobs that were asked for by their ids.
    fn wanted_roots(
        &self,
        walk: &mut TreeWalk<'_, '_>,
        wanted: &Wanted,
        seen: &SeenSet,
    ) -> Result<(), GraphError> {
        for &number in &wanted.blobs {
            if !self.has.contains(number) {
                match walk.noted {
                    Noted::Part(lowest, part) => lowest.lower(number, part),
                    _ => seen.insert(number),
                };
                walk.out.push(Found { number, name_hash: 0, kind: ObjectKind::Blob });
            }
        }
        wanted.trees.iter().try_for_each(|&tree| walk.walk_wanted_tree(tree))
    }
}

/// Of all that the boundary holds, what lies at the paths of objects to be sent.
fn prefer(mut bases: Vec<Found>, objects: &[Found]) -> Vec<Found> {
    let mut hashes: Vec<(ObjectKind, u32)> = objects
        .iter()
        .filter(|found| matches!(found.kind, ObjectKind::Tree | ObjectKind::Blob))
        .map(|found| (found.kind, found.name_hash))
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    bases.retain(|base| hashes.binary_search(&(base.kind, base.name_hash)).is_ok());
    bases
}
