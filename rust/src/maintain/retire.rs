//! Removes what new packs hold as well.
//!
//! In: files of a survey. Out: those that are still what they were, and hold nothing that is not
//! elsewhere, are gone: the index first, so that no reader finds a pack that is about to go.
//! Readers that have a file open keep it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::MaintainError;
use super::survey::{LooseFile, PackFile};
use crate::commitgraph::CommitGraphs;
use crate::durable;
use crate::hash::{HashKind, ObjectId};
use crate::pack::{MultiPackIndex, Pack};

/// Before the name of an index whose pack is being removed: readers do not see it any more, and
/// whoever comes next knows that the rest is nobody's. git takes it for a temporary file.
pub(super) const GONE: &str = "tmp_gone_";

/// Everything that may lie beside an index, in the order in which it goes.
const SUFFIXES: [&str; 4] = ["bitmap", "rev", "mtimes", "pack"];

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

/// Removes packs, those excepted that somebody has asked to be kept meanwhile. The indexes are gone
/// for good before anything else goes, so that also after a power failure none is left alone.
pub(super) fn remove_packs(packs: &[&PackFile], fsync: bool) -> Result<(), MaintainError> {
    let is_kept =
        |pack: &PackFile| ["keep", "promisor"].iter().any(|m| pack.path.with_extension(m).exists());
    let mut hidden = Vec::new();
    for pack in packs.iter().filter(|pack| !is_kept(pack)) {
        let index = pack.path.with_extension("idx");
        let name = index.file_name().map(|name| name.to_string_lossy().into_owned());
        let gone = name.map(|name| (index.with_file_name(format!("{GONE}{name}")), name));
        // one that cannot be renamed, or is gone, is left to the next time and to others
        hidden.extend(
            gone.filter(|(gone, _)| fs::rename(&index, gone).is_ok()).map(|(_, name)| name),
        );
    }
    let Some(folder) = packs.first().and_then(|pack| pack.path.parent()) else { return Ok(()) };
    if fsync && !hidden.is_empty() {
        durable::sync_folder(folder).map_err(MaintainError::io(folder))?;
    }
    finish(folder, &hidden, fsync)
}

/// Removes the rest of packs whose indexes are called [`GONE`] by now, and those last.
pub(super) fn finish(folder: &Path, indexes: &[String], fsync: bool) -> Result<(), MaintainError> {
    let mark = |index: &String| folder.join(format!("{GONE}{index}"));
    let over: Vec<&String> =
        indexes.iter().filter(|index| is_finished(&folder.join(index), &mark(index))).collect();
    if fsync && !over.is_empty() {
        durable::sync_folder(folder).map_err(MaintainError::io(folder))?;
    }
    for index in over {
        let _ = fs::remove_file(mark(index));
    }
    Ok(())
}

/// Is there nothing left of this pack, or is it wanted again? Somebody who brings it once more counts
/// on what is there.
fn is_finished(index: &Path, mark: &Path) -> bool {
    let is_wanted = || ["idx", "keep"].iter().any(|suffix| index.with_extension(suffix).exists());
    let hidden = fs::metadata(mark).map(|meta| meta.ctime()).unwrap_or(i64::MIN);
    let written = fs::metadata(index.with_extension("pack")).map(|meta| meta.mtime());
    if index.exists() {
        return true;
    }
    // what cannot be removed now is swept later
    written.map_or(true, |written| written <= hidden)
        && SUFFIXES
            .iter()
            .all(|suffix| !is_wanted() && remove_if_there(&index.with_extension(suffix)).is_ok())
}

/// Waits until these packs, which others made, are on the disk: they are the only copies soon.
pub(super) fn sync_packs(packs: &[&Path]) -> Result<(), MaintainError> {
    for pack in packs {
        for path in [pack.to_path_buf(), pack.with_extension("idx")] {
            let synced = fs::File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(MaintainError::io(&path))?;
        }
    }
    match packs.first().and_then(|pack| pack.parent()) {
        Some(folder) => durable::sync_folder(folder).map_err(MaintainError::io(folder)),
        None => Ok(()),
    }
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

/// Removes a multi-pack-index that names packs that are not there: somebody removed them beside us,
/// or the machine ended between both. Nobody else mends it, and `git fsck` complains.
pub(super) fn remove_stale_midx(packs: &Path, hash: HashKind) {
    let path = packs.join("multi-pack-index");
    // what cannot be read is replaced
    let Ok(midx) = MultiPackIndex::open(&path, hash) else { return };
    if midx.packs().iter().any(|name| !packs.join(name).exists()) {
        let _ = fs::remove_file(path);
        remove_midx_files(packs, None);
    }
}

/// Removes a multi-pack-index that names one of these packs: whoever reads it would look for them.
pub(super) fn remove_midx(
    packs: &Path,
    going: &[&PackFile],
    hash: HashKind,
    fsync: bool,
) -> Result<(), MaintainError> {
    if going.is_empty() {
        return Ok(());
    }
    if midx_names(packs, going, hash) {
        remove_if_there(&packs.join("multi-pack-index"))?;
        remove_midx_files(packs, None);
    }
    remove_midx_chain(packs, fsync)?;
    if fsync {
        durable::sync_folder(packs).map_err(MaintainError::io(packs))?;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<(), MaintainError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(MaintainError::io(path)(error)),
        _ => Ok(()),
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
pub(super) fn remove_midx_chain(packs: &Path, fsync: bool) -> Result<(), MaintainError> {
    let folder = packs.join("multi-pack-index.d");
    remove_list(&folder, "multi-pack-index-chain", "multi-pack-index-", fsync)
}

/// Removes commit-graph files that know one of these, before it goes: who believes them would look
/// for it. Readers do without, and whoever writes them next leaves it out.
pub(super) fn remove_graphs<'a>(
    objects: &Path,
    mut gone: impl Iterator<Item = &'a ObjectId>,
    hash: HashKind,
    fsync: bool,
) -> Result<(), MaintainError> {
    // what is wrong in the files is told to those who read them
    let graphs = CommitGraphs::open(&[objects.to_owned()], hash, &mut Vec::new());
    if graphs.is_empty() || !gone.any(|id| graphs.find(id).is_some()) {
        return Ok(());
    }
    let info = objects.join("info");
    remove_if_there(&info.join("commit-graph"))?;
    if fsync {
        durable::sync_folder(&info).map_err(MaintainError::io(&info))?;
    }
    remove_chain(objects, fsync)
}

/// Removes a chain of commit-graph files.
pub(super) fn remove_chain(objects: &Path, fsync: bool) -> Result<(), MaintainError> {
    remove_list(&objects.join("info/commit-graphs"), "commit-graph-chain", "graph-", fsync)
}

/// Removes a list of files and, once it is gone for good, those in it: without the list they are
/// nobody's.
fn remove_list(folder: &Path, list: &str, prefix: &str, fsync: bool) -> Result<(), MaintainError> {
    if !folder.exists() {
        return Ok(());
    }
    remove_if_there(&folder.join(list))?;
    if fsync {
        durable::sync_folder(folder).map_err(MaintainError::io(folder))?;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(prefix) && name != list {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Removes a loose object that is in a pack, or that nobody needs. Its folder stays, also when it was
/// the last: a push may be about to move another there.
pub(super) fn remove_loose(loose: &LooseFile) -> bool {
    fs::remove_file(&loose.path).is_ok()
}
