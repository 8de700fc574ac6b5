//! Which of what a client has is common, and whether that is enough.
//!
//! `gitprotocol-pack`, "Packfile Negotiation": the server may stop the client's listing when
//! every want reaches something common. The answer is looked for no further back than the oldest
//! common commit, so that a client which is little behind costs little.

use std::sync::Arc;

use super::GraphError;
use super::marks::Marks;
use super::roots::{Root, resolve};
use super::shallow::Shallow;
use super::table::{CommitNumber, CommitReader, CommitTable, GENERATION_UNKNOWN};
use crate::hash::{IdSet, ObjectId};
use crate::object::ObjectKind;
use crate::source::{ObjectSource, SourceError};
use crate::watch::{Pace, Watch};

/// The client has it: a have, or a parent of one.
const COMMON: u8 = 1;
/// It reaches something common.
const REACHES: u8 = 2;
/// Was entered in the current look.
const ENTERED: u8 = 4;
/// History is walked as if it had no parents.
const CUT: u8 = 8;

/// The state of one negotiation; it means nothing any more once a call was cancelled.
pub struct Negotiation {
    source: Arc<dyn ObjectSource>,
    commits: Arc<CommitTable>,
    wants: Vec<ObjectId>,
    /// Wanted commits that are not known to reach anything common; filled at the first look.
    unsatisfied: Option<Vec<CommitNumber>>,
    marks: Marks,
    common: Vec<ObjectId>,
    listed: IdSet,
    /// Time and corrected date of the oldest have: what is older can reach no have.
    oldest_time: u64,
    oldest_generation: u64,
    /// Something was added since the last look.
    changed: bool,
}

impl std::fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Negotiation").field("common", &self.common).finish_non_exhaustive()
    }
}

impl Negotiation {
    /// Begins with what the client wants and where its history ends.
    pub fn new(
        source: Arc<dyn ObjectSource>,
        commits: Arc<CommitTable>,
        wants: &[ObjectId],
        shallow: &Shallow,
        watch: &Watch,
    ) -> Result<Self, GraphError> {
        let mut marks = Marks::new();
        let mut pace = watch.pace();
        for id in shallow.client.iter().chain(&shallow.server) {
            pace.step()?;
            if source.lookup(id)?.is_some() {
                marks.set(commits.number(id)?, CUT);
            }
        }
        Ok(Self {
            source,
            commits,
            wants: wants.to_vec(),
            unsatisfied: None,
            marks,
            common: Vec::new(),
            listed: IdSet::default(),
            oldest_time: u64::MAX,
            oldest_generation: GENERATION_UNKNOWN,
            changed: false,
        })
    }

    /// Takes one have; true when the repository has it.
    pub fn add_have(&mut self, id: &ObjectId, watch: &Watch) -> Result<bool, GraphError> {
        Ok(!self.add_haves(std::slice::from_ref(id), watch)?.is_empty())
    }

    /// Takes several haves; those of them that the repository has, in order.
    pub fn add_haves(
        &mut self,
        ids: &[ObjectId],
        watch: &Watch,
    ) -> Result<Vec<ObjectId>, GraphError> {
        let (source, commits) = (Arc::clone(&self.source), Arc::clone(&self.commits));
        let mut reader = CommitReader::new(&*source);
        let mut had = Vec::new();
        let mut pace = watch.pace();
        for id in ids {
            pace.step()?;
            let Some(number) = source.lookup_usable(id)? else { continue };
            had.push(*id);
            if !self.listed.insert(*id) {
                continue;
            }
            self.common.push(*id);
            let commit = match commits.find(id).filter(|&c| commits.loaded(c).is_some()) {
                Some(commit) => commit,
                None if reader.objects().header(number)?.0 == ObjectKind::Commit => {
                    commits.number(id)?
                }
                // a tag or tree is the client's, and says nothing of histories
                None => continue,
            };
            let fields = commits.load(commit, &mut reader)?;
            self.changed = true;
            self.oldest_time = self.oldest_time.min(fields.time());
            self.oldest_generation = match fields.generation() {
                // older than all that is known: no cutting off by corrected dates
                GENERATION_UNKNOWN => 0,
                generation => self.oldest_generation.min(generation),
            };
            if self.marks.set(commit, COMMON) & CUT == 0 {
                for parent in fields.parents() {
                    self.marks.set(parent, COMMON);
                }
            }
        }
        Ok(had)
    }

    /// The haves that the repository has, in the order they came.
    pub fn common(&self) -> &[ObjectId] {
        &self.common
    }

    /// Does every want reach something common? More haves would change little then.
    ///
    /// Wants that lead to no commit have no history and count as reaching; without a common
    /// object nothing reaches.
    pub fn ready(&mut self, watch: &Watch) -> Result<bool, GraphError> {
        if self.common.is_empty() {
            return Ok(false);
        }
        let source = Arc::clone(&self.source);
        let mut reader = CommitReader::new(&*source);
        let mut pace = watch.pace();
        let mut unsatisfied = match self.unsatisfied.take() {
            Some(unsatisfied) => {
                if !self.changed {
                    let ready = unsatisfied.is_empty();
                    self.unsatisfied = Some(unsatisfied);
                    return Ok(ready);
                }
                unsatisfied
            }
            None => self.wanted_commits(&mut reader, &mut pace)?,
        };
        self.changed = false;
        let mut entered = Vec::new();
        // the one that failed last comes first: as long as it fails the others need no look
        while let Some(&want) = unsatisfied.last() {
            if !self.reaches(want, &mut reader, &mut entered, &mut pace)? {
                break;
            }
            unsatisfied.pop();
        }
        for commit in entered {
            self.marks.clear(commit, ENTERED);
        }
        let ready = unsatisfied.is_empty();
        self.unsatisfied = Some(unsatisfied);
        Ok(ready)
    }

    fn wanted_commits(
        &self,
        reader: &mut CommitReader<'_>,
        pace: &mut Pace<'_>,
    ) -> Result<Vec<CommitNumber>, GraphError> {
        let mut wanted = Vec::new();
        for id in &self.wants {
            pace.step()?;
            if let Some(Root::Commit(commit)) = resolve(&self.commits, reader, id, |_| true)? {
                wanted.push(commit);
            }
        }
        Ok(wanted)
    }

    /// Looks for something common below `want`, depth first, not beyond the oldest have.
    fn reaches(
        &mut self,
        want: CommitNumber,
        reader: &mut CommitReader<'_>,
        entered: &mut Vec<CommitNumber>,
        pace: &mut Pace<'_>,
    ) -> Result<bool, GraphError> {
        let mut path = vec![want];
        while let Some(&commit) = path.last() {
            pace.step()?;
            let flags = self.marks.get(commit);
            if flags & (COMMON | REACHES) != 0 {
                for &commit in &path {
                    self.marks.set(commit, REACHES);
                }
                return Ok(true);
            }
            if self.marks.set(commit, ENTERED) & ENTERED == 0 {
                entered.push(commit);
            }
            let next = if flags & CUT != 0 { None } else { self.next_parent(commit, reader)? };
            match next {
                Some(parent) => path.push(parent),
                None => {
                    path.pop();
                }
            }
        }
        Ok(false)
    }

    /// The first parent that was not entered and may reach a have.
    fn next_parent(
        &self,
        commit: CommitNumber,
        reader: &mut CommitReader<'_>,
    ) -> Result<Option<CommitNumber>, GraphError> {
        let fields = self.commits.load(commit, reader)?;
        for parent in fields.parents() {
            let flags = self.marks.get(parent);
            if flags & (COMMON | REACHES) != 0 {
                return Ok(Some(parent));
            }
            if flags & ENTERED != 0 {
                continue;
            }
            let fields = match self.commits.load(parent, reader) {
                Ok(fields) => fields,
                Err(GraphError::Source(SourceError::Missing(_))) => continue,
                Err(other) => return Err(other),
            };
            if fields.time() >= self.oldest_time && fields.generation() >= self.oldest_generation {
                return Ok(Some(parent));
            }
        }
        Ok(None)
    }
}
