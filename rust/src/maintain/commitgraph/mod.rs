//! Writes the commit-graph: what refs reach, as one file (`gitformat-commit-graph`).
//!
//! In: a repository and its tips. Out: `info/commit-graph`, in the place of what was there, a chain
//! included; or nothing, where it holds all that already, and behind pushes where there is none.
//! Stages: [`history`] finds the commits and numbers their generations, [`changes`] compares trees
//! for the filters of [`bloom`], and here is the layout. Filters of earlier files are taken over;
//! behind pushes none are begun with unless that is asked for.
//!
//! The file takes its place by a rename once it is on the disk, under `commit-graph.lock`, by which
//! git's own writers are kept out.

mod bloom;
mod changes;
mod history;
#[cfg(test)]
mod tests;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use bloom::FilterVersion;

use super::chunks::Chunks;
use super::pending::Pending;
use super::{MaintainError, Options, Place, partition};
use crate::commitgraph::{BITS_PER_PATH, CommitGraphs, HASHES};
use crate::source::SourceError;
use crate::store::Snapshot;
use crate::watch::{Phase, Watch};
use changes::Comparer;
use history::Row;

/// No parent.
const NO_PARENT: u32 = 0x7000_0000;
/// Further parents are in the list of edges; the last of them; a date is in the overflow chunk.
const FLAG: u32 = 1 << 31;
/// Behind pushes a file that is there is written again when one in so many commits is new: what it
/// costs is that of all.
const PART_NEW: usize = 32;
/// Commits that a thread compares before it looks for more.
const BATCH: usize = 64;

/// What the file is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphOptions {
    /// Corrected commit dates (generation numbers version 2).
    pub dates: bool,
    /// Changed-path filters.
    pub filters: Option<FilterOptions>,
}

/// How filters are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilterOptions {
    /// `None`: as there are, or else [`FilterVersion::One`].
    pub version: Option<FilterVersion>,
    /// So many that were not there before, of the newest commits without; `None`: all.
    pub most_new: Option<usize>,
    /// Behind pushes they are begun with where there are none.
    pub is_asked_for: bool,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self { dates: true, filters: Some(FilterOptions::default()) }
    }
}

/// Writes it, unless all is there; how many commits it has then. 0: none was written.
pub(super) fn write(
    place: &Place,
    options: &Options,
    graph: GraphOptions,
    source: &Snapshot,
    watch: &Watch,
) -> Result<usize, MaintainError> {
    let refs = place.refs.snapshot()?;
    let replaces = refs.items(b"refs/replace/").next().is_some();
    // what commits say is not what there is to be seen
    if !place.shallow.server.is_empty() || replaces || place.common_dir.join("info/grafts").exists()
    {
        return Ok(0);
    }
    let info = place.objects_dir.join("info");
    let path = info.join("commit-graph");
    let known =
        CommitGraphs::open(std::slice::from_ref(&place.objects_dir), place.hash, &mut vec![]);
    watch.begin(Phase::Graphing, None);
    let tips = partition::tips(&refs);
    if !options.is_thorough() {
        let least = (known.len() / PART_NEW).max(1);
        if known.is_empty() || !history::has_new(source, &tips, &known, least, watch)? {
            return Ok(0);
        }
    }
    let rows = history::gather(source, &tips, &known, watch)?;
    // an empty file is none
    if rows.is_empty() {
        return Ok(0);
    }
    let wanted = graph.filters.and_then(|mut wanted| {
        if !options.is_thorough() {
            // as many as there are new commits, wherever they are missing
            let new = rows.iter().filter(|row| known.find(&row.id).is_none()).count();
            wanted.most_new = Some(wanted.most_new.map_or(new, |most| most.min(new)));
        }
        let begins = options.is_thorough() || wanted.is_asked_for;
        Some(wanted).filter(|_| begins || known.filter_version().is_some())
    });
    let filters = match wanted {
        Some(wanted) => Some(filters(&rows, wanted, &known, source, options.threads, watch)?),
        None => None,
    };
    let file = layout(&rows, graph.dates, filters.as_ref());
    match fs::create_dir(&info) {
        Ok(()) => place.sharing.share(&info).map_err(MaintainError::io(&info))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(MaintainError::io(&info)(error)),
    }
    let head = [b'C', b'G', b'P', b'H', 1, place.hash.file_version(), file.count(), 0];
    let pending = Pending::write(&path, place.hash, &head, &file)?;
    let is_new = !pending.is_there();
    if is_new {
        pending.place(place.sharing, options.sync.commit_graph)?;
    }
    // whoever replaces the chain at this moment takes our file away, and counts on what is below his
    if !info.join("commit-graphs/commit-graph-chain.lock").exists() {
        super::retire::remove_chain(&place.objects_dir, options.sync.commit_graph)?;
    }
    watch.end();
    Ok(if is_new { rows.len() } else { 0 })
}

/// The chunks, in the order in which git writes them.
fn layout(rows: &[Row], dates: bool, filters: Option<&Filters>) -> Chunks {
    let mut chunks = Chunks::new();
    chunks.add_names(rows.iter().map(|row| row.id.as_bytes()));
    let (mut records, mut edges) = (Vec::new(), Vec::new());
    let (mut corrections, mut overflows) = (Vec::new(), Vec::new());
    for row in rows {
        records.extend_from_slice(row.tree.as_bytes());
        let parent = |nth: usize| row.parents.get(nth).copied().unwrap_or(NO_PARENT);
        records.extend(parent(0).to_be_bytes());
        match row.parents.get(1..) {
            Some(further @ [.., last]) if further.len() > 1 => {
                records.extend((FLAG | (edges.len() / 4) as u32).to_be_bytes());
                for edge in &further[..further.len() - 1] {
                    edges.extend(edge.to_be_bytes());
                }
                edges.extend((FLAG | last).to_be_bytes());
            }
            _ => records.extend(parent(1).to_be_bytes()),
        }
        records.extend((u64::from(row.level) << 34 | row.time).to_be_bytes());
        let late = row.corrected - row.time;
        match u32::try_from(late).ok().filter(|late| late & FLAG == 0) {
            Some(late) => corrections.extend(late.to_be_bytes()),
            None => {
                corrections.extend((FLAG | (overflows.len() / 8) as u32).to_be_bytes());
                overflows.extend(late.to_be_bytes());
            }
        }
    }
    chunks.add(b"CDAT", records);
    if dates {
        chunks.add(b"GDA2", corrections);
        chunks.add_some(b"GDO2", overflows);
    }
    chunks.add_some(b"EDGE", edges);
    if let Some(filters) = filters {
        let numbers = [filters.version.number(), HASHES, BITS_PER_PATH];
        let mut data: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let (mut end, mut ends) = (0u32, Vec::new());
        for filter in &filters.of {
            // what ends behind 32 bits goes without, as if none had been made
            let next = u32::try_from(filter.len()).ok().and_then(|len| end.checked_add(len));
            if let Some(next) = next {
                data.extend_from_slice(filter);
                end = next;
            }
            ends.extend(end.to_be_bytes());
        }
        chunks.add(b"BIDX", ends);
        chunks.add(b"BDAT", data);
    }
    chunks
}

/// A filter for each commit; empty where there is none.
struct Filters {
    version: FilterVersion,
    of: Vec<Vec<u8>>,
}

/// Takes over the filters that there are, and makes those that are not.
fn filters(
    rows: &[Row],
    wanted: FilterOptions,
    known: &CommitGraphs,
    source: &Snapshot,
    threads: usize,
    watch: &Watch,
) -> Result<Filters, MaintainError> {
    let there = known.filter_version().and_then(FilterVersion::of_number);
    let version = wanted.version.or(there).unwrap_or(FilterVersion::One);
    let mut of: Vec<Vec<u8>> = Vec::with_capacity(rows.len());
    for row in rows {
        let filter = if there == Some(version) { known.filter(&row.id) } else { None };
        of.push(filter.unwrap_or_default());
    }
    let mut missing: Vec<u32> =
        (0..).zip(&of).filter(|(_, filter)| filter.is_empty()).map(|(at, _)| at).collect();
    // neighbours in history have trees in common, which are at hand then
    missing.sort_unstable_by_key(|&at| std::cmp::Reverse((rows[at as usize].corrected, at)));
    missing.truncate(wanted.most_new.unwrap_or(usize::MAX));
    if !missing.is_empty() {
        watch.begin(Phase::Filtering, Some(missing.len() as u64));
    }
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given,
    };
    let threads = threads.min(missing.len().div_ceil(BATCH)).max(1);
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(u32, Vec<u8>)>, SourceError> {
        let mut comparer = Comparer::new(source);
        let mut made = Vec::new();
        loop {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(batch) = missing.get(from..) else { return Ok(made) };
            if batch.is_empty() {
                return Ok(made);
            }
            for &at in batch.iter().take(BATCH) {
                watch.check()?;
                let row = &rows[at as usize];
                let parent = row.parents.first().map(|&parent| &rows[parent as usize].tree);
                let filter = match comparer.changed(parent, &row.tree)? {
                    Some(files) => bloom::of_paths(files, version),
                    None => bloom::of_too_many(),
                };
                made.push((at, filter));
                watch.add(1);
            }
        }
    };
    let made = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut made = work();
        for other in others {
            let more = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            made = made.and_then(|mut made| {
                made.extend(more?);
                Ok(made)
            });
        }
        made
    })?;
    for (at, filter) in made {
        of[at as usize] = filter;
    }
    Ok(Filters { version, of })
}
