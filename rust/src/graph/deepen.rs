//! Where a shallow client's history shall end (`shallow` and `unshallow` lines of
//! `gitprotocol-pack`, "Shallow"; `--depth`, `--deepen`, `--shallow-since`, `--shallow-exclude`).

use super::GraphError;
use super::marks::Marks;
use super::roots::{Root, resolve};
use super::shallow::Shallow;
use super::table::{CommitNumber, CommitReader, CommitTable};
use super::walk::CommitWalk;
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::source::ObjectSource;
use crate::watch::{Pace, Watch};

/// The depth that means everything (`--unshallow`).
pub const INFINITE_DEPTH: u32 = 0x7fff_ffff;

/// How a client bounds the history it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeepenSpec {
    /// So many commits from each want; 1 is the wants alone.
    Depth(u32),
    /// So many commits beyond the client's present boundary.
    Relative(u32),
    /// Commits since a time, and not reached from `exclude`.
    SinceNot {
        /// Seconds since 1970.
        since: Option<u64>,
        /// Ids behind the refs of `deepen-not`.
        exclude: Vec<ObjectId>,
    },
}

/// Selected: the client gets it with its parents.
const INSIDE: u8 = 1;
/// On the new boundary.
const BORDER: u8 = 2;
/// Was reached.
const MET: u8 = 4;

/// The new boundary against the client's: commits that lose their parents in the client, and
/// commits of `shallow.client` that get theirs.
pub fn deepen(
    source: &dyn ObjectSource,
    commits: &CommitTable,
    wants: &[ObjectId],
    shallow: &Shallow,
    spec: DeepenSpec,
    watch: &Watch,
) -> Result<(Vec<ObjectId>, Vec<ObjectId>), GraphError> {
    let mut reader = CommitReader::new(source);
    let mut pace = watch.pace();
    let client = client_boundary(commits, &mut reader, shallow, &mut pace)?;
    let (border, marks) = match spec {
        DeepenSpec::Depth(INFINITE_DEPTH) if shallow.server.is_empty() => {
            return Ok((Vec::new(), client.iter().map(|&commit| commits.id(commit)).collect()));
        }
        DeepenSpec::Depth(depth) => {
            let heads = commits_of(commits, &mut reader, wants, &mut pace)?;
            by_depth(commits, &mut reader, heads, depth, shallow, &mut pace)?
        }
        DeepenSpec::Relative(depth) => {
            let depth = depth.saturating_add(1);
            by_depth(commits, &mut reader, client.clone(), depth, shallow, &mut pace)?
        }
        DeepenSpec::SinceNot { since, exclude } => {
            let heads = commits_of(commits, &mut reader, wants, &mut pace)?;
            let exclude = commits_of(commits, &mut reader, &exclude, &mut pace)?;
            by_selection(commits, &mut reader, heads, exclude, since, shallow, watch)?
        }
    };
    let ids = |list: Vec<CommitNumber>| list.into_iter().map(|c| commits.id(c)).collect();
    let unshallow = client.iter().copied().filter(|&c| marks.get(c) & INSIDE != 0).collect();
    let mut is_old = Marks::new();
    for &commit in &client {
        is_old.set(commit, MET);
    }
    let new = border.into_iter().filter(|&commit| is_old.get(commit) == 0).collect();
    Ok((ids(new), ids(unshallow)))
}

/// The client's shallow commits that are here, in a fixed order.
fn client_boundary(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    shallow: &Shallow,
    pace: &mut Pace<'_>,
) -> Result<Vec<CommitNumber>, GraphError> {
    let mut ids: Vec<_> = shallow.client.iter().collect();
    ids.sort_unstable();
    let mut client = Vec::with_capacity(ids.len());
    for id in ids {
        pace.step()?;
        let Some(number) = reader.source.lookup(id)? else { continue };
        if reader.objects().header(number)?.0 != ObjectKind::Commit {
            return Err(GraphError::InvalidShallow(*id));
        }
        client.push(table.number(id)?);
    }
    Ok(client)
}

/// The commits that these ids lead to; trees and blobs have no history.
fn commits_of(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    ids: &[ObjectId],
    pace: &mut Pace<'_>,
) -> Result<Vec<CommitNumber>, GraphError> {
    let mut commits = Vec::new();
    for id in ids {
        pace.step()?;
        if let Some(Root::Commit(commit)) = resolve(table, reader, id, |_| true)? {
            commits.push(commit);
        }
    }
    Ok(commits)
}

/// Level by level from the heads, so that each commit is met at its least depth.
fn by_depth(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    heads: Vec<CommitNumber>,
    depth: u32,
    shallow: &Shallow,
    pace: &mut Pace<'_>,
) -> Result<(Vec<CommitNumber>, Marks), GraphError> {
    let (mut marks, mut border) = (Marks::new(), Vec::new());
    let (mut level, mut next) = (heads, Vec::new());
    let mut at = 1;
    while !level.is_empty() {
        for commit in level.drain(..) {
            pace.step()?;
            if marks.set(commit, MET) & MET != 0 {
                continue;
            }
            let cut = !shallow.server.is_empty() && shallow.server.contains(&table.id(commit));
            if cut || depth != INFINITE_DEPTH && at >= depth {
                marks.set(commit, BORDER);
                border.push(commit);
                continue;
            }
            marks.set(commit, INSIDE);
            next.extend(table.load(commit, reader)?.parents());
        }
        std::mem::swap(&mut level, &mut next);
        at += 1;
    }
    Ok((border, marks))
}

/// What wants reach, without what is too old or excluded; its border are the commits with a
/// parent that is not selected.
fn by_selection(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    heads: Vec<CommitNumber>,
    exclude: Vec<CommitNumber>,
    since: Option<u64>,
    shallow: &Shallow,
    watch: &Watch,
) -> Result<(Vec<CommitNumber>, Marks), GraphError> {
    let source = reader.source;
    let mut walk = CommitWalk::new(table, reader);
    if let Some(since) = since {
        // git looks at the history as a whole only when there is something to exclude
        walk.only_since(since, !exclude.is_empty());
    }
    let mut cut = Marks::new();
    for id in &shallow.server {
        if source.lookup(id)?.is_some() {
            let commit = table.number(id)?;
            walk.cut(commit);
            cut.set(commit, MET);
        }
    }
    let mut pace = watch.pace();
    for commit in exclude {
        pace.step()?;
        walk.have(commit)?;
    }
    for commit in heads {
        pace.step()?;
        walk.want(commit)?;
    }
    let walked = walk.run(watch)?;
    if walked.commits.is_empty() {
        return Err(GraphError::NothingSelected);
    }
    let mut marks = Marks::new();
    for &commit in &walked.commits {
        marks.set(commit, INSIDE);
    }
    let mut border = Vec::new();
    for &commit in &walked.commits {
        let Some(fields) = table.loaded(commit) else { continue };
        // what the repository itself lacks the parents of, the client cannot get them of either
        let is_cut = cut.get(commit) != 0;
        if is_cut || fields.parents().any(|parent| marks.get(parent) & INSIDE == 0) {
            border.push(commit);
        }
    }
    for &commit in &border {
        marks.set(commit, BORDER);
    }
    // a commit on the border is none that gets its parents
    for &commit in &border {
        marks.clear(commit, INSIDE);
    }
    Ok((border, marks))
}
