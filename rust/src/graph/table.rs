//! Commits remembered between requests: parents, tree, time and generation in packed arrays.
//!
//! Commits are visited again and again, and what is in them never changes, so one table serves
//! all requests of a store, whatever snapshot each works on. A commit gets a number when it is
//! first named and its fields when a walk first needs them ([`CommitTable::load`], the one place
//! that reads commit objects). Reading fields takes no lock. About 80 bytes a commit.
//!
//! That the table knows a commit does not mean that the repository still has it: whoever sends
//! an object asks the snapshot for it.

use std::collections::HashSet;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::GraphError;
use super::differences::Differences;
use super::index::IdIndex;
use super::paged::Paged;
use crate::allowance::Allowance;
use crate::commitgraph::{CommitGraphs, GraphCommit};
use crate::hash::{HashKind, ObjectId};
use crate::object::{Commit, ObjectKind};
use crate::source::{ObjectReader, ObjectSource, SourceError};

/// The dense number of a commit in one [`CommitTable`].
pub type CommitNumber = u32;

/// Commits in a page.
const PAGE: usize = 1024;
/// Numbers stay below this, so that the top bit is free for [`MANY`].
const MAX_COMMITS: u32 = 1 << 31;
/// So many commits are read as objects before commit-graph files are opened.
const FEW: u32 = 64;
/// No parent.
const NONE: u32 = u32::MAX;
/// Set in the second parent: the others are a list in [`CommitTable`]'s `octopus`.
const MANY: u32 = 1 << 31;

/// Bytes that the table and a walk hold of a commit, and of each parent beyond the second.
const COMMIT_BYTES: usize = 200;
const PARENT_BYTES: usize = 12;

/// Fields not read yet.
const UNKNOWN: u32 = 0;
/// Fields are there.
const LOADED: u32 = 1;

/// Generation of a commit whose ancestors are not all known: above every real one.
pub(super) const GENERATION_UNKNOWN: u64 = u64::MAX;
/// Later times count as this one in generations, which leaves room to count up from it.
const MAX_TIME: u64 = 1 << 62;

struct Page {
    ids: Box<[AtomicU32]>,
    trees: Box<[AtomicU32]>,
    parents: Box<[[AtomicU32; 2]]>,
    times: Box<[AtomicU64]>,
    generations: Box<[AtomicU64]>,
    state: Box<[AtomicU32]>,
}

impl Page {
    fn new(words: usize) -> Self {
        let zeros = |n: usize| std::iter::repeat_with(|| AtomicU32::new(0)).take(n).collect();
        Self {
            ids: zeros(PAGE * words),
            trees: zeros(PAGE * words),
            parents: std::iter::repeat_with(|| [AtomicU32::new(NONE), AtomicU32::new(NONE)])
                .take(PAGE)
                .collect(),
            times: std::iter::repeat_with(|| AtomicU64::new(0)).take(PAGE).collect(),
            generations: std::iter::repeat_with(|| AtomicU64::new(GENERATION_UNKNOWN))
                .take(PAGE)
                .collect(),
            state: zeros(PAGE),
        }
    }
}

/// All commits that any request of a store came across.
pub struct CommitTable {
    kind: HashKind,
    pages: Paged<Page>,
    /// Lists of the second and further parents of commits with more than two.
    octopus: Paged<Box<[CommitNumber]>>,
    names: RwLock<Names>,
    graphs_used: AtomicBool,
    differences: Differences,
}

struct Names {
    index: IdIndex,
    commits: u32,
    octopus: u32,
}

impl std::fmt::Debug for CommitTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitTable").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl CommitTable {
    /// An empty table for commits of this object format.
    pub fn new(kind: HashKind) -> Self {
        Self {
            kind,
            pages: Paged::new(MAX_COMMITS as usize / PAGE),
            octopus: Paged::new(MAX_COMMITS as usize / PAGE),
            names: RwLock::new(Names { index: IdIndex::new(), commits: 0, octopus: 0 }),
            graphs_used: AtomicBool::new(false),
            differences: Differences::default(),
        }
    }

    /// What is known of how their trees differ.
    pub(super) fn differences(&self) -> &Differences {
        &self.differences
    }

    /// How many commits are known by name.
    pub fn len(&self) -> u32 {
        self.names().commits
    }

    /// True before the first request.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of a commit that was met before.
    pub fn find(&self, id: &ObjectId) -> Option<CommitNumber> {
        self.names().index.get(id, |number| self.is(number, id))
    }

    /// The number of this commit; only for ids that objects of the repository name.
    pub(super) fn number(&self, id: &ObjectId) -> Result<CommitNumber, GraphError> {
        if let Some(number) = self.find(id) {
            return Ok(number);
        }
        let mut names = self.names_mut();
        self.number_locked(&mut names, id)
    }

    fn number_locked(&self, names: &mut Names, id: &ObjectId) -> Result<CommitNumber, GraphError> {
        if let Some(number) = names.index.get(id, |number| self.is(number, id)) {
            return Ok(number);
        }
        let number = names.commits;
        if number >= MAX_COMMITS {
            return Err(GraphError::TooManyCommits);
        }
        let words = self.kind.len() / 4;
        let page = self
            .pages
            .get_or_make(number as usize / PAGE, || Page::new(words))
            .ok_or(GraphError::TooManyCommits)?;
        store_id(&page.ids, number as usize % PAGE, id);
        names.commits += 1;
        names.index.insert(id, number, |other| self.id(other));
        Ok(number)
    }

    /// The id of a commit.
    #[inline]
    pub fn id(&self, number: CommitNumber) -> ObjectId {
        let (page, at) = self.place(number);
        load_id(&page.ids, at, self.kind)
    }

    fn is(&self, number: CommitNumber, id: &ObjectId) -> bool {
        let (page, at) = self.place(number);
        let words = self.kind.len() / 4;
        id.kind() == self.kind
            && id
                .as_bytes()
                .chunks_exact(4)
                .zip(&page.ids[at * words..])
                .all(|(word, cell)| word == cell.load(Ordering::Relaxed).to_ne_bytes().as_slice())
    }

    #[inline]
    fn place(&self, number: CommitNumber) -> (&Page, usize) {
        let page = self
            .pages
            .get(number as usize / PAGE)
            .expect("the page exists because the table gave the number out");
        (page, number as usize % PAGE)
    }

    /// The fields of a commit, read through `reader` when no walk came here before.
    #[inline]
    pub(super) fn load(
        &self,
        number: CommitNumber,
        reader: &mut CommitReader<'_>,
    ) -> Result<Fields<'_>, GraphError> {
        let (page, at) = self.place(number);
        if page.state[at].load(Ordering::Acquire) == UNKNOWN {
            self.fill(number, reader)?;
        }
        Ok(Fields { table: self, page, at })
    }

    /// The fields of a commit if they were read before.
    #[inline]
    pub(super) fn loaded(&self, number: CommitNumber) -> Option<Fields<'_>> {
        let (page, at) = self.place(number);
        (page.state[at].load(Ordering::Acquire) == LOADED).then_some(Fields {
            table: self,
            page,
            at,
        })
    }

    /// Reads a commit into the table: from its object, or for one who reads many from a
    /// commit-graph file.
    #[cold]
    fn fill(&self, number: CommitNumber, reader: &mut CommitReader<'_>) -> Result<(), GraphError> {
        let id = self.id(number);
        let source = reader.source;
        let object = source.lookup(&id)?.ok_or(SourceError::Missing(id))?;
        if let Some(graphs) = reader.graphs(&self.graphs_used)
            && let Some(known) = graphs.find(&id)
        {
            return self.set(number, &known, Some(graphs), reader.allowance);
        }
        let content = reader.objects().read_as(source, object, ObjectKind::Commit)?;
        let malformed = || SourceError::Malformed { id, kind: ObjectKind::Commit };
        let commit = Commit::parse(content).map_err(|_| malformed())?;
        if commit.tree.kind() != self.kind {
            return Err(malformed().into());
        }
        let Commit { tree, parents, time, .. } = commit;
        let commit = GraphCommit { tree, parents, time, corrected: None };
        self.set(number, &commit, None, reader.allowance)
    }

    fn set(
        &self,
        number: CommitNumber,
        commit: &GraphCommit,
        graphs: Option<&CommitGraphs>,
        allowance: Option<&Allowance>,
    ) -> Result<(), GraphError> {
        let mut names = self.names_mut();
        let (page, at) = self.place(number);
        if page.state[at].load(Ordering::Relaxed) == LOADED {
            // another thread was faster; an octopus must not get a second list
            return Ok(());
        }
        let mut parents = self.parents(&mut names, &commit.parents, allowance)?;
        if parents.len() > 2 {
            // the same one a million times is a line to send, and would be kept a million times
            let mut listed = HashSet::new();
            parents.retain(|&parent| listed.insert(parent));
        }
        if let Some(allowance) = allowance.filter(|_| parents.len() > 2) {
            allowance.take(parents.len() * PARENT_BYTES)?;
        }
        let first = parents.first().copied().unwrap_or(NONE);
        let second = match parents.len() {
            0 | 1 => NONE,
            2 => parents[1],
            _ => {
                let list = names.octopus;
                self.octopus
                    .get_or_make(list as usize, || parents[1..].into())
                    .ok_or(GraphError::TooManyCommits)?;
                names.octopus += 1;
                list | MANY
            }
        };
        store_id(&page.trees, at, &commit.tree);
        page.parents[at][0].store(first, Ordering::Relaxed);
        page.parents[at][1].store(second, Ordering::Relaxed);
        page.times[at].store(commit.time, Ordering::Relaxed);
        let corrected = commit.corrected.filter(|&date| date < MAX_TIME);
        let corrected =
            corrected.filter(|_| graphs.is_some_and(|g| self.correct_below(&parents, g)));
        let generation = corrected.or_else(|| self.generation_from(commit.time, &parents));
        if let Some(generation) = generation {
            page.generations[at].store(generation, Ordering::Relaxed);
        }
        page.state[at].store(LOADED, Ordering::Release);
        Ok(())
    }

    fn parents(
        &self,
        names: &mut Names,
        ids: &[ObjectId],
        allowance: Option<&Allowance>,
    ) -> Result<Vec<CommitNumber>, GraphError> {
        let mut parents = Vec::with_capacity(ids.len());
        for id in ids {
            let known = names.commits;
            parents.push(self.number_locked(names, id)?);
            if let Some(allowance) = allowance.filter(|_| names.commits > known) {
                allowance.take(COMMIT_BYTES)?;
            }
        }
        Ok(parents)
    }

    /// Gives their corrected dates to commits that were read as objects before a file was asked.
    ///
    /// What a commit of known date reaches has to be of known date, too; false if it is not.
    fn correct_below(&self, parents: &[CommitNumber], graphs: &CommitGraphs) -> bool {
        let mut waiting = parents.to_vec();
        while let Some(commit) = waiting.pop() {
            let Some(fields) = self.loaded(commit) else { continue };
            if fields.generation() != GENERATION_UNKNOWN {
                continue;
            }
            let known = graphs.find(&self.id(commit)).and_then(|known| known.corrected);
            let Some(date) = known.filter(|&date| date < MAX_TIME) else { return false };
            let (page, at) = self.place(commit);
            page.generations[at].store(date, Ordering::Relaxed);
            waiting.extend(fields.parents());
        }
        true
    }

    /// The corrected commit date of `gitformat-commit-graph`, if the parents' are known: the
    /// commit's own time, but later than those of all its ancestors.
    ///
    /// It orders a walk as the plain times do, and without their errors.
    fn generation_from(&self, time: u64, parents: &[CommitNumber]) -> Option<u64> {
        parents.iter().try_fold(time.min(MAX_TIME), |highest, &parent| {
            let (page, at) = self.place(parent);
            match page.generations[at].load(Ordering::Relaxed) {
                GENERATION_UNKNOWN => None,
                generation => Some(highest.max(generation + 1)),
            }
        })
    }

    /// Notes the generation of a loaded commit whose parents' generations are known.
    pub(super) fn settle(&self, number: CommitNumber) {
        let Some(fields) = self.loaded(number) else { return };
        let parents: Vec<_> = fields.parents().collect();
        if let Some(generation) = self.generation_from(fields.time(), &parents) {
            let (page, at) = self.place(number);
            page.generations[at].store(generation, Ordering::Relaxed);
        }
    }

    fn names(&self) -> std::sync::RwLockReadGuard<'_, Names> {
        // a panic while it was held left a valid index: ids are written before they are indexed
        self.names.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn names_mut(&self) -> std::sync::RwLockWriteGuard<'_, Names> {
        self.names.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What a walk needs to fill the table; one a thread.
pub(super) struct CommitReader<'a> {
    pub(super) source: &'a dyn ObjectSource,
    objects: Option<Box<dyn ObjectReader + 'a>>,
    /// Commits that were not in the table.
    filled: u32,
    /// Bytes of bases that its reader keeps, where these are fewer than others keep.
    kept: Option<usize>,
    /// Of memory, for what a walk brings into the table.
    allowance: Option<&'a Allowance>,
}

impl<'a> CommitReader<'a> {
    pub(super) fn new(source: &'a dyn ObjectSource) -> Self {
        Self { source, objects: None, filled: 0, kept: None, allowance: None }
    }

    /// For work that may hold only so much.
    pub(super) fn within(mut self, allowance: Option<&'a Allowance>) -> Self {
        self.allowance = allowance;
        self
    }

    /// For one who reads few trees: see [`ObjectSource::brief_reader`].
    pub(super) fn keeping(source: &'a dyn ObjectSource, bytes: usize) -> Self {
        Self { kept: Some(bytes), ..Self::new(source) }
    }

    /// The commit-graph files, for one who reads many commits: the first few are read sooner than
    /// the files are opened. `used` remembers that they were.
    fn graphs(&mut self, used: &AtomicBool) -> Option<&'a CommitGraphs> {
        self.filled = self.filled.saturating_add(1);
        if self.filled <= FEW && !used.load(Ordering::Relaxed) {
            return None;
        }
        used.store(true, Ordering::Relaxed);
        self.source.commit_graphs()
    }

    /// The reader, made when first needed: most small requests find all they want in the table.
    pub(super) fn objects(&mut self) -> &mut (dyn ObjectReader + 'a) {
        let (source, kept) = (self.source, self.kept);
        let make = || kept.map_or_else(|| source.reader(), |kept| source.brief_reader(kept));
        &mut **self.objects.get_or_insert_with(make)
    }
}

/// The fields of one commit.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    table: &'a CommitTable,
    page: &'a Page,
    at: usize,
}

impl<'a> Fields<'a> {
    /// Its tree.
    pub(super) fn tree(&self) -> ObjectId {
        load_id(&self.page.trees, self.at, self.table.kind)
    }

    /// Committer time.
    #[inline]
    pub(super) fn time(&self) -> u64 {
        self.page.times[self.at].load(Ordering::Relaxed)
    }

    /// Corrected commit date, above those of all ancestors, or [`GENERATION_UNKNOWN`].
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.page.generations[self.at].load(Ordering::Relaxed)
    }

    /// Its parents, in order.
    #[inline]
    pub(super) fn parents(&self) -> impl Iterator<Item = CommitNumber> + 'a {
        let [first, second] = &self.page.parents[self.at];
        let (first, second) = (first.load(Ordering::Relaxed), second.load(Ordering::Relaxed));
        let (second, list): (u32, &'a [u32]) = if second != NONE && second & MANY != 0 {
            let list = self
                .table
                .octopus
                .get((second & !MANY) as usize)
                .expect("the list exists because it was stored before the commit was loaded");
            (NONE, list)
        } else {
            (second, &[])
        };
        [first, second].into_iter().filter(|&p| p != NONE).chain(list.iter().copied())
    }
}

/// Ids are kept as words so that they can be shared without locks or `unsafe`; whoever learns of
/// a commit number learned of its id before (through the index's lock, or the `LOADED` state).
fn store_id(cells: &[AtomicU32], at: usize, id: &ObjectId) {
    let words = id.as_bytes().len() / 4;
    for (cell, word) in cells[at * words..].iter().zip(id.as_bytes().chunks_exact(4)) {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        cell.store(word, Ordering::Relaxed);
    }
}

#[inline]
fn load_id(cells: &[AtomicU32], at: usize, kind: HashKind) -> ObjectId {
    let words = kind.len() / 4;
    let mut bytes = [0u8; 32];
    for (out, cell) in bytes.chunks_exact_mut(4).zip(&cells[at * words..(at + 1) * words]) {
        out.copy_from_slice(&cell.load(Ordering::Relaxed).to_ne_bytes());
    }
    ObjectId::from_bytes(&bytes[..kind.len()])
        .expect("an id has the length of its kind because the cells are laid out by it")
}
