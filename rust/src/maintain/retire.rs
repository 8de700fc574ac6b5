//! Removes what new packs hold as well.
//!
//! In: files of a survey. Out: those that are still what they were, and hold nothing that is not
//! elsewhere, are gone: the index first, so that no reader finds a pack that is about to go.
//! Readers that have a file open keep it.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::MaintainError;
use super::survey::{LooseFile, PackFile};
use crate::commitgraph::CommitGraphs;
use crate::hash::ObjectId;
use crate::pack::{MultiPackIndex, Pack};

/// Everything that may lie beside a pack, in the order in which it goes.
const SUFFIXES: [&str; 5] = ["idx", "bitmap", "rev", "mtimes", "pack"];

/// Is every object of `old` in one of `new`, or `given_up`?
pub(super) fn check_replaced(
    old: &Pack,
    new: &[Pack],
    given_up: impl Fn(&ObjectId) -> bool,
) -> Result<(), MaintainError> {
    for position in 0..old.object_count() {
        let id = old.id_at(position);
        if !new.iter().any(|pack| pack.position(&id).is_some()) && !given_up(&id) {
            return Err(MaintainError::Lost(id));
        }
    }
    Ok(())
}

/// Has somebody found a file of use since the survey? A push that has an object already makes its
/// file young, and counts on it.
pub(super) fn is_in_use(path: &Path, surveyed: SystemTime) -> bool {
    fs::metadata(path).and_then(|meta| meta.modified()).is_ok_and(|now| now > surveyed)
}

/// Removes a pack, unless somebody has asked for it to be kept meanwhile; was it?
pub(super) fn remove_pack(pack: &PackFile) -> bool {
    if ["keep", "promisor"].iter().any(|mark| pack.path.with_extension(mark).exists()) {
        return false;
    }
    for suffix in SUFFIXES {
        // what cannot be removed is found again the next time
        let _ = fs::remove_file(pack.path.with_extension(suffix));
    }
    true
}

/// Removes a multi-pack-index that names one of these packs: whoever reads it would look for them.
pub(super) fn remove_midx(packs: &Path, going: &[&PackFile], hash: crate::hash::HashKind) {
    let path = packs.join("multi-pack-index");
    let Ok(midx) = MultiPackIndex::open(&path, hash) else { return };
    let name = |pack: &PackFile| {
        pack.path.with_extension("idx").file_name().map(|name| name.to_string_lossy().into_owned())
    };
    let named = going.iter().filter_map(|pack| name(pack)).any(|gone| midx.packs().contains(&gone));
    if named {
        let hex: String = midx.checksum().iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = fs::remove_file(&path);
        for suffix in ["bitmap", "rev"] {
            let _ = fs::remove_file(packs.join(format!("multi-pack-index-{hex}.{suffix}")));
        }
    }
}

/// Removes commit-graph files that know one of these, before it goes: who believes them would look
/// for it. Readers do without, and whoever writes them next leaves it out.
pub(super) fn remove_graphs<'a>(
    objects: &Path,
    mut gone: impl Iterator<Item = &'a ObjectId>,
    hash: crate::hash::HashKind,
) {
    // what is wrong in the files is told to those who read them
    let graphs = CommitGraphs::open(&[objects.to_owned()], hash, &mut Vec::new());
    if graphs.is_empty() || !gone.any(|id| graphs.find(id).is_some()) {
        return;
    }
    let info = objects.join("info");
    let _ = fs::remove_file(info.join("commit-graph"));
    // the list first: without it the files beside it are nobody's
    let chain = info.join("commit-graphs");
    let _ = fs::remove_file(chain.join("commit-graph-chain"));
    for entry in fs::read_dir(chain).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".graph") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes a loose object that is in a pack, or that nobody needs. Its folder stays, also when it was
/// the last: a push may be about to move another there.
pub(super) fn remove_loose(loose: &LooseFile) -> bool {
    fs::remove_file(&loose.path).is_ok()
}
