//! What one request walked serves the next: bitmaps in memory for repositories that have none.
//!
//! The first clone leaves behind what it sent and the union that its wants reach ([`learn`]),
//! so that another clone of the same need not walk at all. Then, in the background, bitmaps are
//! made of each tip and of commits at intervals below ([`keep_learning`]), oldest first, each from
//! those before and a walk of the difference: as a request does that finds no bitmap for its tip,
//! by the same code ([`super::bitmapped`]). Such requests ask for more ([`ask_after`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::GraphError;
use super::bitmapped::{Gather, KEPT, Side};
use super::request::{Found, WalkRequest};
use super::roots::{Root, resolve};
use super::sieve::Sieve;
use super::table::{CommitNumber, CommitReader, CommitTable};
use super::walk::CommitWalk;
use crate::bitmap::{Learning, ReachMemory, Reachability};
use crate::hash::ObjectId;
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::Watch;

/// A request that walks more commits, or finds more objects without a bit, than this asks for
/// bitmaps of its wants: it cost milliseconds.
const MANY_COMMITS: usize = 64;
const MANY_OBJECTS: usize = 512;
/// A clone that walks more commits keeps what its wants reach together, for the next.
const WORTH_KEEPING: usize = if cfg!(test) { 1 } else { 8 };
/// Commits between two bitmaps on the way down, at least.
const INTERVAL: usize = 200;
/// Bitmaps at intervals, at most: a have between two of them costs a walk to the next.
const MOST_BETWEEN: usize = 400;

impl From<&Found> for Learning {
    fn from(found: &Found) -> Self {
        let Found { number, name_hash, kind } = *found;
        Self { number, name_hash, kind }
    }
}

/// Keeps what a long walk from `tips` (commits and blobs) found, and asks for bitmaps of its wants.
pub(super) fn learn(
    source: &dyn ObjectSource,
    table: &CommitTable,
    request: &WalkRequest,
    tips: Option<(&[CommitNumber], &[ObjectNumber])>,
    objects: &[Found],
) -> Result<(), GraphError> {
    let Some(memory) = source.reach_memory() else { return Ok(()) };
    let whole = request.haves.is_empty() && Sieve::new(&request.filter).lets_all_through();
    if whole
        && memory.is_empty()
        && let Some((commits, blobs)) = tips
    {
        let all: Vec<Learning> = objects.iter().map(Learning::from).collect();
        let Some(reach) = Reachability::empty().with(source, &all) else { return Ok(()) };
        let mut numbers = numbers_of(source, table, commits)?;
        numbers.extend(blobs);
        let mut reached = reach.of_kind(ObjectKind::Commit).clone();
        reached.or(reach.of_kind(ObjectKind::Tree));
        reached.or(reach.of_kind(ObjectKind::Blob));
        reach.keep_union(&numbers, reached);
        memory.put(Arc::new(reach));
    }
    memory.ask(&request.wants);
    Ok(())
}

/// Keeps what the wants of a clone reach together, if that took a walk.
pub(super) fn keep_walked(
    source: &dyn ObjectSource,
    table: &CommitTable,
    reach: &Reachability,
    wanted: &Side,
) -> Result<(), GraphError> {
    // of what has no bit, bits cannot tell
    if wanted.walked < WORTH_KEEPING || !wanted.found.is_empty() || wanted.has_trees {
        return Ok(());
    }
    let mut tips = numbers_of(source, table, &wanted.tips)?;
    tips.extend(&wanted.blobs);
    reach.keep_union(&tips, wanted.bits.clone());
    Ok(())
}

fn numbers_of(
    source: &dyn ObjectSource,
    table: &CommitTable,
    commits: &[CommitNumber],
) -> Result<Vec<ObjectNumber>, GraphError> {
    let number_of = |&commit| {
        let id = table.id(commit);
        Ok(source.lookup(&id)?.ok_or(SourceError::Missing(id))?)
    };
    commits.iter().map(number_of).collect()
}

/// Asks for bitmaps of `wants` if the lack of them was felt.
pub(super) fn ask_after(
    source: &dyn ObjectSource,
    reach: &Reachability,
    wants: &[ObjectId],
    walked: usize,
    beside: usize,
) {
    if (walked >= MANY_COMMITS || beside >= MANY_OBJECTS)
        && reach.has_room_for(1)
        && let Some(memory) = source.reach_memory()
    {
        memory.ask(wants);
    }
}

/// Makes the bitmaps that were asked for, on a thread of low priority, if there are any and no
/// other repository is having its made.
pub fn keep_learning(source: &Arc<dyn ObjectSource>, table: &Arc<CommitTable>) {
    static BUSY: AtomicBool = AtomicBool::new(false);
    if source.reach_memory().is_none_or(|memory| memory.is_idle())
        || BUSY.swap(true, Ordering::Acquire)
    {
        return;
    }
    let (source, table) = (Arc::clone(source), Arc::clone(table));
    let work = move || {
        lower_priority();
        // what cannot be read now is told by the request that needs it
        let _ = make_asked(&source, &table);
        BUSY.store(false, Ordering::Release);
    };
    if std::thread::Builder::new().name("reachability".to_owned()).spawn(work).is_err() {
        BUSY.store(false, Ordering::Release);
    }
}

/// Makes what was asked for, as long as anybody but us holds the source.
pub(super) fn make_asked(
    source: &Arc<dyn ObjectSource>,
    table: &CommitTable,
) -> Result<(), GraphError> {
    let is_of_use = |memory: &ReachMemory| !memory.is_retired() && Arc::strong_count(source) > 1;
    let Some(memory) = source.reach_memory() else { return Ok(()) };
    if is_of_use(memory)
        && let Some(reach) = memory.get(&**source)?
        && let Some(sorted) = reach.sorted(&**source)
    {
        memory.put(Arc::new(sorted));
    }
    while is_of_use(memory) {
        let asked = memory.take_asked();
        if asked.is_empty() {
            break;
        }
        make(&**source, table, memory, &asked, || is_of_use(memory))?;
    }
    Ok(())
}

fn make(
    source: &dyn ObjectSource,
    table: &CommitTable,
    memory: &ReachMemory,
    asked: &[ObjectId],
    is_of_use: impl Fn() -> bool,
) -> Result<(), GraphError> {
    let watch = Watch::new();
    let mut reader = CommitReader::new(source);
    let mut tips = Vec::new();
    for id in asked {
        // a want that is gone meanwhile needs no bitmap
        if source.lookup(id)?.is_some()
            && let Some(Root::Commit(commit)) = resolve(table, &mut reader, id, |_| true)?
        {
            tips.push(commit);
        }
    }
    tips.sort_unstable();
    tips.dedup();
    let mut reach = match memory.get(source)? {
        Some(reach) => reach,
        None => Arc::new(Reachability::empty()),
    };
    let ids: Vec<ObjectId> = tips.iter().map(|&tip| table.id(tip)).collect();
    let all = Gather::new(source, table, &reach, &watch, KEPT).side(&ids, None, false)?;
    if !all.found.is_empty() {
        let new: Vec<Learning> = all.found.iter().map(Learning::from).collect();
        let Some(larger) = reach.with(source, &new) else { return Ok(()) };
        reach = Arc::new(larger);
        memory.put(Arc::clone(&reach));
    }
    let many = !reach.has_commits() || all.walked > INTERVAL;
    for commit in choose(table, &mut reader, &tips, many, &reach, &watch)? {
        if !is_of_use() || !reach.has_room_for(1) {
            break;
        }
        let id = table.id(commit);
        let Some(number) = source.lookup(&id)? else { continue };
        if reach.has_commit(number) {
            continue;
        }
        let side = Gather::new(source, table, &reach, &watch, KEPT).side(&[id], None, false)?;
        if side.found.is_empty() {
            reach.keep(number, side.bits);
        }
    }
    Ok(())
}

/// Which commits get bitmaps, oldest first: the tips, and some below them.
fn choose(
    table: &CommitTable,
    reader: &mut CommitReader<'_>,
    tips: &[CommitNumber],
    between: bool,
    reach: &Reachability,
    watch: &Watch,
) -> Result<Vec<CommitNumber>, GraphError> {
    let mut chosen = tips.to_vec();
    if between {
        let mut walk = CommitWalk::new(table, reader);
        for &tip in tips {
            walk.want(tip)?;
        }
        let commits = walk.run(watch)?.commits;
        let interval = (commits.len() / MOST_BETWEEN).max(INTERVAL);
        // where lines of development meet, more leads to it
        let is_merge = |c: &&CommitNumber| {
            table.loaded(**c).is_some_and(|fields| fields.parents().nth(1).is_some())
        };
        chosen.extend(
            commits.chunks(interval).filter_map(|c| c.iter().find(is_merge).or(c.first()).copied()),
        );
    }
    let mut room = chosen.len();
    while room > 1 && !reach.has_room_for(room) {
        room = room * 3 / 4;
    }
    let mut aged: Vec<(u64, CommitNumber)> = Vec::with_capacity(chosen.len());
    for &commit in &chosen {
        let fields = table.load(commit, reader)?;
        aged.push((fields.time(), commit));
    }
    aged.sort_unstable();
    aged.dedup();
    // as many as there is room for, the newest among them
    let step = aged.len().div_ceil(room.max(1)).max(1);
    let offset = (aged.len() + step - 1) % step;
    Ok(aged.into_iter().skip(offset).step_by(step).map(|(_, commit)| commit).collect())
}

/// Requests come first.
pub(crate) fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: it takes numbers and touches no memory; 0 stands for the calling thread on Linux
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
}
