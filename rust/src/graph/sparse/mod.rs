//! The filter `sparse:oid`: of the blobs, those that a sparse checkout would have.
//!
//! In: a request whose filter names blobs with sparse-checkout patterns. Out: the enumeration
//! without the blobs that no path of theirs lets through. Only blobs are held back, so the rest
//! of the walk needs to know nothing of paths: [`enumerate`] asks for everything first, by
//! bitmaps or in parallel as it may be, and then looks from where the blobs can be reached
//! ([`Walk`]). What the patterns mean is [`Patterns`]' business, a `git-sparse-checkout` matter.

mod effort;
mod glob;
mod patterns;

use std::collections::{HashMap, HashSet};

use effort::Effort;
use patterns::{MAX_BYTES, Patterns};

use super::GraphError;
use super::edges::lookup_raw;
use super::enumerate::{Limits, enumerate_within};
use super::filter::Filter;
use super::request::{Enumeration, Found, WalkRequest};
use super::roots::{Root, resolve};
use super::seen::SeenSet;
use super::sieve::Sieve;
use super::table::{CommitReader, CommitTable};
use crate::hash::ObjectId;
use crate::object::{ObjectKind, TreeIter};
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, SourceError};
use crate::watch::Watch;

/// What one request may cost: a few trees that contain each other many times make more paths than
/// there is time for, and a few hundred lines of wildcards make each of them slow.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Trees, each counted once for every path that it has.
    visits: usize,
    /// Bytes kept of paths.
    bytes: usize,
    /// Bytes and tokens compared: see [`Effort`].
    steps: u64,
}

/// What a table needs for a name beside its bytes.
const KEPT_WITH_NAME: usize = 64;

/// Pattern files of one filter: one bit each.
const MAX_LISTS: usize = 32;

const BOUNDS: Bounds = Bounds {
    // the whole history of the largest known public repositories has about half of it
    visits: 16_000_000,
    bytes: 256 << 20,
    // about half a minute
    steps: 1 << 34,
};

/// What `request` asks for, where its filter has parts that go by path.
pub(super) fn enumerate(
    source: &dyn ObjectSource,
    table: &CommitTable,
    request: &WalkRequest,
    watch: &Watch,
    limits: Limits,
) -> Result<Enumeration, GraphError> {
    enumerate_bounded(source, table, request, watch, limits, BOUNDS)
}

fn enumerate_bounded(
    source: &dyn ObjectSource,
    table: &CommitTable,
    request: &WalkRequest,
    watch: &Watch,
    limits: Limits,
    bounds: Bounds,
) -> Result<Enumeration, GraphError> {
    let (specs, rest) = request.filter.split_sparse();
    if specs.len() > MAX_LISTS {
        return Err(GraphError::TooManyPaths);
    }
    let lists =
        specs.iter().map(|spec| read_patterns(source, spec)).collect::<Result<Vec<_>, _>>()?;
    let plain = WalkRequest { filter: rest, ..request.clone() };
    let sieve = Sieve::new(&plain.filter);
    let mut found = enumerate_within(source, table, &plain, watch, limits)?;
    if !sieve.blobs {
        return Ok(found);
    }
    let roots = Roots::of(source, table, request, &found, sieve, watch, limits)?;
    // trees that the client has are not among those found, and what is in them it has, too
    let entered = (sieve.trees && sieve.depth.is_none()).then(|| numbers(&found, ObjectKind::Tree));
    let mut walk = Walk {
        source,
        reader: source.reader(),
        lists: &lists,
        entered: entered.as_ref(),
        sieve,
        leave_missing: request.leave_missing,
        matched: roots.blobs,
        folders: Vec::new(),
        met: HashSet::new(),
        stack: Vec::new(),
        bounds,
        effort: Effort::new(bounds.steps, watch),
    };
    for tree in &roots.trees {
        walk.walk(*tree)?;
    }
    keep_blobs(&mut found, &walk.matched);
    Ok(found)
}

fn read_patterns(source: &dyn ObjectSource, id: &ObjectId) -> Result<Patterns, GraphError> {
    let number = source.lookup(id)?.ok_or(SourceError::Missing(*id))?;
    let mut reader = source.reader();
    let (_, size) = reader.header(number)?;
    if size > MAX_BYTES {
        return Err(GraphError::TooManyPaths);
    }
    let content = reader.read_as(source, number, ObjectKind::Blob)?;
    Ok(Patterns::parse(content))
}

/// Where paths begin, and blobs that are sent without one.
struct Roots {
    trees: Vec<ObjectNumber>,
    blobs: SeenSet,
}

impl Roots {
    fn of(
        source: &dyn ObjectSource,
        table: &CommitTable,
        request: &WalkRequest,
        found: &Enumeration,
        sieve: Sieve,
        watch: &Watch,
        limits: Limits,
    ) -> Result<Self, GraphError> {
        let mut reader = CommitReader::new(source);
        let (mut trees, blobs) = (Vec::new(), SeenSet::new());
        for want in &request.wants {
            match resolve(table, &mut reader, want, |_| true)? {
                Some(Root::Tree(tree)) => trees.push(tree),
                Some(Root::Blob(blob)) => {
                    blobs.insert(blob);
                }
                Some(Root::Commit(_)) | None => {}
            }
        }
        let listed;
        let commits = if sieve.commits {
            found
        } else {
            let filter = Filter::ObjectType(ObjectKind::Commit);
            let asked = WalkRequest { filter, tags: Vec::new(), thin: false, ..request.clone() };
            listed = enumerate_within(source, table, &asked, watch, limits)?;
            &listed
        };
        let seen = SeenSet::new();
        for number in all(commits, ObjectKind::Commit) {
            let commit = table.number(&source.id(number))?;
            let tree = table.load(commit, &mut reader)?.tree();
            match source.lookup(&tree)? {
                Some(tree) if seen.insert(tree) => trees.push(tree),
                Some(_) => {}
                None if request.leave_missing => {}
                None => return Err(SourceError::Missing(tree).into()),
            }
        }
        Ok(Self { trees, blobs })
    }
}

/// The objects of one kind, listed or stored.
fn all(found: &Enumeration, kind: ObjectKind) -> impl Iterator<Item = ObjectNumber> + '_ {
    let stored = found.stored.iter().flat_map(|stored| stored.found_from(0));
    let all = found.objects.iter().copied().chain(stored);
    all.filter(move |object| object.kind == kind).map(|object| object.number)
}

fn numbers(found: &Enumeration, kind: ObjectKind) -> SeenSet {
    let set = SeenSet::new();
    for number in all(found, kind) {
        set.insert(number);
    }
    set
}

fn keep_blobs(found: &mut Enumeration, kept: &SeenSet) {
    let goes = |object: &Found| object.kind == ObjectKind::Blob && !kept.contains(object.number);
    found.objects.retain(|object| !goes(object));
    if let Some(stored) = &mut found.stored {
        let objects = stored.found_from(0).filter(goes);
        let gone: Vec<u32> = objects.filter_map(|object| stored.reach.bit(object.number)).collect();
        for bit in gone {
            stored.bits.remove(bit);
        }
    }
}

/// A tree that waits to be looked into, and where it was met.
struct Visit {
    tree: ObjectNumber,
    folder: u32,
}

/// A path that has trees, and what the patterns say of what is in them. A path is met again in
/// tree after tree of a history: a name is looked up much faster than matched.
struct Folder {
    /// With a slash at its end, but for the root.
    path: Box<[u8]>,
    /// How deep its entries are.
    depth: u64,
    /// What holds for that of which no pattern speaks: a bit for each list.
    inherited: u32,
    /// Which lists let a file through.
    files: HashMap<Box<[u8]>, u32>,
    /// The folders in it, by their numbers.
    folders: HashMap<Box<[u8]>, u32>,
}

/// Finds the blobs that have a path which all lists of patterns let through. A tree is read once
/// for each path that it has.
struct Walk<'a> {
    source: &'a dyn ObjectSource,
    reader: Box<dyn ObjectReader + 'a>,
    lists: &'a [Patterns],
    /// The trees worth a look, where that is known.
    entered: Option<&'a SeenSet>,
    sieve: Sieve,
    leave_missing: bool,
    matched: SeenSet,
    /// The root first.
    folders: Vec<Folder>,
    met: HashSet<(ObjectNumber, u32)>,
    stack: Vec<Visit>,
    bounds: Bounds,
    effort: Effort<'a>,
}

impl Walk<'_> {
    fn walk(&mut self, root: ObjectNumber) -> Result<(), GraphError> {
        if self.folders.is_empty() {
            self.add_folder(Box::from(&b""[..]), 1, 0)?;
        }
        if self.sieve.enters(1) {
            self.meet(root, 0);
        }
        while let Some(visit) = self.stack.pop() {
            if self.met.len() > self.bounds.visits {
                return Err(GraphError::TooManyPaths);
            }
            self.enter(&visit)?;
        }
        Ok(())
    }

    fn meet(&mut self, tree: ObjectNumber, folder: u32) {
        if self.entered.is_none_or(|entered| entered.contains(tree))
            && self.met.insert((tree, folder))
        {
            self.stack.push(Visit { tree, folder });
        }
    }

    fn enter(&mut self, visit: &Visit) -> Result<(), GraphError> {
        let source = self.source;
        let content = self.reader.read_as(source, visit.tree, ObjectKind::Tree)?.to_vec();
        self.effort.spend(content.len() as u64)?;
        let enters = self.sieve.enters(self.folders[visit.folder as usize].depth + 1);
        for entry in TreeIter::new(&content, source.hash_kind()) {
            let entry = entry.map_err(|_| SourceError::Malformed {
                id: source.id(visit.tree),
                kind: ObjectKind::Tree,
            })?;
            if entry.mode.is_gitlink() {
                continue;
            }
            let Some(number) = lookup_raw(source, entry.id)? else {
                // what is to be sent has been found already
                if self.leave_missing || self.entered.is_some() {
                    continue;
                }
                return Err(super::trees::missing(entry.id));
            };
            if entry.mode.is_tree() {
                if enters && self.entered.is_none_or(|entered| entered.contains(number)) {
                    let below = self.folder(visit.folder, entry.name)?;
                    self.meet(number, below);
                }
            } else if !self.matched.contains(number)
                && self.lets_through(visit.folder, entry.name)?
            {
                self.matched.insert(number);
            }
        }
        Ok(())
    }

    /// Do all lists let this file through?
    fn lets_through(&mut self, folder: u32, name: &[u8]) -> Result<bool, GraphError> {
        let known = self.folders[folder as usize].files.get(name).copied();
        let verdicts = match known {
            Some(verdicts) => verdicts,
            None => {
                let verdicts = self.verdicts(folder, name, false)?;
                self.spend_bytes(name.len())?;
                self.folders[folder as usize].files.insert(Box::from(name), verdicts);
                verdicts
            }
        };
        Ok(verdicts.count_ones() as usize == self.lists.len())
    }

    /// The folder of this name in another.
    fn folder(&mut self, parent: u32, name: &[u8]) -> Result<u32, GraphError> {
        if let Some(&known) = self.folders[parent as usize].folders.get(name) {
            return Ok(known);
        }
        let inherited = self.verdicts(parent, name, true)?;
        let Folder { path, depth, .. } = &self.folders[parent as usize];
        let (path, depth) = ([path, name, b"/"].concat().into_boxed_slice(), depth + 1);
        let number = self.add_folder(path, depth, inherited)?;
        self.spend_bytes(name.len())?;
        self.folders[parent as usize].folders.insert(Box::from(name), number);
        Ok(number)
    }

    fn add_folder(
        &mut self,
        path: Box<[u8]>,
        depth: u64,
        inherited: u32,
    ) -> Result<u32, GraphError> {
        let number = u32::try_from(self.folders.len()).map_err(|_| GraphError::TooManyPaths)?;
        self.spend_bytes(path.len() + size_of::<Folder>())?;
        let (files, folders) = (HashMap::new(), HashMap::new());
        self.folders.push(Folder { path, depth, inherited, files, folders });
        Ok(number)
    }

    /// What each list says of a path, or what holds where it says nothing.
    fn verdicts(&mut self, folder: u32, name: &[u8], is_folder: bool) -> Result<u32, GraphError> {
        let Folder { path, inherited, .. } = &self.folders[folder as usize];
        let path = [path, name].concat();
        self.effort.spend(path.len() as u64)?;
        let mut all = 0;
        for (n, list) in self.lists.iter().enumerate() {
            let verdict = list.verdict(&path, name, is_folder, &mut self.effort)?;
            all |= u32::from(verdict.unwrap_or(inherited >> n & 1 == 1)) << n;
        }
        Ok(all)
    }

    /// For a name that is kept, and what is kept with it.
    fn spend_bytes(&mut self, name: usize) -> Result<(), GraphError> {
        let left = self.bounds.bytes.checked_sub(name + KEPT_WITH_NAME);
        self.bounds.bytes = left.ok_or(GraphError::TooManyPaths)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
