//! What happens when the last byte has come: deltas, thin bases, indexes, names, disk.
//!
//! In: a receiver whose pack is complete. Out: `pack-<trailer>.{pack,rev,idx}` in the quarantine,
//! durable; small ones have no `.rev`. The order of steps is that of `git index-pack --stdin --fix-thin`.

use super::children::Children;
use super::entries::ByName;
use super::entry_reader::PackBytes;
use super::error::IngestError;
use super::index_writer::{write_idx, write_rev};
use super::inspect;
use super::receiver::PackReceiver;
use super::resolve::{Job, Roots, WORTH_THREADS, resolve};
use super::thin;
use crate::durable;
use crate::source::ObjectSource;
use crate::watch::{Phase, Watch};

/// Finishes a complete pack; the number of objects in it.
pub(super) fn complete(
    receiver: &mut PackReceiver,
    base: &dyn ObjectSource,
    threads: usize,
    watch: &Watch,
) -> Result<u32, IngestError> {
    let hash = receiver.entries.hash_kind();
    if receiver.entries.len() == 0 {
        receiver.file.remove()?;
        return Ok(0);
    }
    receiver.file.flush()?;
    let deltas = receiver.entries.delta_count();
    watch.begin(Phase::Resolving, Some(deltas.into()));
    let children = Children::new(&receiver.entries);
    let pack_end = receiver.taken - hash.len() as u64;
    let threads = match threads {
        // what it would tell is in files
        0 if deltas < WORTH_THREADS => 1,
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given,
    };
    let known = base.bulk_lookup();
    let mut job = Job {
        children: &children,
        pack: PackBytes { file: receiver.file.handle(), path: receiver.file.path(), hash },
        pack_end,
        base,
        known: known.as_deref(),
        outside: &[],
        limits: &receiver.limits,
        watch,
        threads,
        interest: &receiver.interest,
        missed: &receiver.missed,
        deltas,
    };
    let (mut resolved, seen) = resolve(&mut receiver.entries, Roots::Entries, &job)?;
    receiver.seen.extend(seen);
    let mut appended = Vec::new();
    if resolved < deltas {
        let outside = thin::find_bases(base, &children)?;
        job.outside = &outside;
        job.deltas = deltas - resolved;
        let (more, seen) = resolve(&mut receiver.entries, Roots::Outside, &job)?;
        resolved += more;
        receiver.seen.extend(seen);
        if resolved < deltas {
            return Err(IngestError::Unresolved { count: (deltas - resolved) as usize });
        }
        appended = thin::still_missing(&receiver.entries, &children, outside)?;
    }
    watch.end();
    let mut order = receiver.entries.sorted_by_id();
    let (entries, seen) = (&receiver.entries, std::mem::take(&mut receiver.seen));
    if !seen.is_empty() {
        let by_name = ByName::new(entries, &order);
        receiver.found = inspect::conclude(seen, |id| entries.kind(by_name.find(id)?));
    }
    // nobody looked at what bases lead to that the repository has: these count as outside
    if !appended.is_empty() {
        let (file, entries) = (&mut receiver.file, &mut receiver.entries);
        receiver.trailer =
            thin::append_bases(file, entries, base, &appended, pack_end, &receiver.trailer)?;
        order = entries.sorted_by_id();
    }
    let entries = &receiver.entries;
    for pair in order.windows(2) {
        if entries.id_bytes(pair[0]) == entries.id_bytes(pair[1]) {
            return Err(IngestError::Duplicate(entries.id(pair[0])));
        }
    }
    let name = |suffix: &str| format!("pack-{}.{suffix}", receiver.trailer);
    let path = receiver.file.path().to_owned();
    let rev = (entries.len() >= receiver.limits.rev_from)
        .then(|| write_rev(path.with_file_name(name("rev")), entries, &order, &receiver.trailer))
        .transpose()?;
    let idx = write_idx(path.with_file_name(name("idx")), entries, &order, &receiver.trailer)?;
    receiver.file.flush()?;
    let mut waited_for = Vec::with_capacity(3);
    if receiver.sync.pack_metadata {
        waited_for.extend(rev.as_ref().map(|rev| rev.handle()));
        waited_for.push(idx.handle());
    }
    if receiver.sync.pack {
        waited_for.push(receiver.file.handle());
    }
    durable::sync_files(&waited_for).map_err(IngestError::io(&path))?;
    receiver.file.rename(&name("pack"))?;
    Ok(entries.len())
}
