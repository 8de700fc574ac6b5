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
use crate::hash::{HashKind, ObjectId};
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

/// Does the multi-pack-index name one of these packs, as far as it can be told?
pub(super) fn midx_names(packs: &Path, going: &[&PackFile], hash: HashKind) -> bool {
    let path = packs.join("multi-pack-index");
    if going.is_empty() || !path.exists() {
        return false;
    }
    let name = |pack: &PackFile| {
        pack.path.with_extension("idx").file_name().map(|name| name.to_string_lossy().into_owned())
    };
    // of one that cannot be read others may make more
    MultiPackIndex::open(&path, hash).map_or(true, |midx| {
        going.iter().filter_map(|pack| name(pack)).any(|gone| midx.packs().contains(&gone))
    })
}

/// Removes a multi-pack-index that names one of these packs: whoever reads it would look for them.
pub(super) fn remove_midx(packs: &Path, going: &[&PackFile], hash: HashKind) {
    if midx_names(packs, going, hash) {
        let _ = fs::remove_file(packs.join("multi-pack-index"));
        remove_midx_files(packs, None);
    }
    if !going.is_empty() {
        remove_midx_chain(packs);
    }
}

/// Removes what lies beside a multi-pack-index, but not what belongs to the one with this checksum.
pub(super) fn remove_midx_files(packs: &Path, current: Option<&ObjectId>) {
    let current = current.map(|checksum| format!("multi-pack-index-{checksum}."));
    for entry in fs::read_dir(packs).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_beside = name.starts_with("multi-pack-index-")
            && [".bitmap", ".rev"].iter().any(|suffix| name.ends_with(suffix));
        if is_beside && !current.as_ref().is_some_and(|current| name.starts_with(current)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes multi-pack-indexes that stand on each other (`multi-pack-index.d`).
pub(super) fn remove_midx_chain(packs: &Path) {
    let folder = packs.join("multi-pack-index.d");
    // the list first: without it the files beside it are nobody's
    let _ = fs::remove_file(folder.join("multi-pack-index-chain"));
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("multi-pack-index-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes commit-graph files that know one of these, before it goes: who believes them would look
/// for it. Readers do without, and whoever writes them next leaves it out.
pub(super) fn remove_graphs<'a>(
    objects: &Path,
    mut gone: impl Iterator<Item = &'a ObjectId>,
    hash: HashKind,
) {
    // what is wrong in the files is told to those who read them
    let graphs = CommitGraphs::open(&[objects.to_owned()], hash, &mut Vec::new());
    if graphs.is_empty() || !gone.any(|id| graphs.find(id).is_some()) {
        return;
    }
    let _ = fs::remove_file(objects.join("info/commit-graph"));
    remove_chain(objects);
}

/// Removes a chain of commit-graph files.
pub(super) fn remove_chain(objects: &Path) {
    // the list first: without it the files beside it are nobody's
    let chain = objects.join("info/commit-graphs");
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
