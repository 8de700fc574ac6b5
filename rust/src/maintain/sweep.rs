//! What killed processes left beside packs.
//!
//! In: a `pack` folder that nobody else is rearranging. Out: packs are gone that were about to be
//! removed, and bitmaps and temporary files that belong to nothing. A pack without an index that
//! nothing tells of is left alone: it may be all that somebody has.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::retire::{self, GONE};
use crate::hash::HashKind;
use crate::pack::MultiPackIndex;

/// Whoever writes such files is at it for less.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// Of no use without a pack.
const BESIDE: [&str; 3] = ["rev", "bitmap", "mtimes"];

/// See the module.
pub(super) fn sweep(packs: &Path, hash: HashKind, fsync: bool) {
    let entries = fs::read_dir(packs).into_iter().flatten().flatten();
    let names: HashSet<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let gone: Vec<String> =
        names.iter().filter_map(|name| name.strip_prefix(GONE).map(str::to_owned)).collect();
    // what cannot be swept must not stop the rest
    let _ = retire::finish(packs, &gone, fsync);
    let midx = MultiPackIndex::open(&packs.join("multi-pack-index"), hash);
    let current = midx.ok().map(|midx| {
        let hex: String = midx.checksum().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("multi-pack-index-{hex}.")
    });
    let is_nobodys = |name: &&String| {
        if name.starts_with("tmp_bitmap_") {
            return true;
        }
        let Some((stem, suffix)) = name.rsplit_once('.') else { return false };
        if stem.starts_with("multi-pack-index-") {
            let is_current = current.as_ref().is_some_and(|current| name.starts_with(current));
            return ["bitmap", "rev"].contains(&suffix) && !is_current;
        }
        let has = |suffix: &str| names.contains(&format!("{stem}.{suffix}"));
        stem.starts_with("pack-") && BESIDE.contains(&suffix) && !has("idx") && !has("pack")
    };
    for path in names.iter().filter(is_nobodys).map(|name| packs.join(name)) {
        if is_old(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

fn is_old(path: &Path) -> bool {
    let written = fs::symlink_metadata(path).and_then(|meta| meta.modified());
    let age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age >= GRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_nobodys_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let stays = ["pack-1.pack", "pack-1.rev", "pack-2.idx", "pack-2.pack", "pack-2.bitmap"];
        let goes = ["tmp_gone_pack-3.idx", "pack-3.pack", "pack-3.rev", "pack-4.bitmap"];
        let more = ["tmp_bitmap_abc", "multi-pack-index-12.bitmap"];
        for name in stays.iter().chain(&goes).chain(&more) {
            fs::write(path(name), "").unwrap();
            let long_ago = SystemTime::now() - GRACE * 2;
            fs::File::open(path(name)).unwrap().set_modified(long_ago).unwrap();
        }
        fs::write(path("pack-5.bitmap"), "").unwrap();
        // one whose index has come back
        fs::write(path("tmp_gone_pack-2.idx"), "").unwrap();
        sweep(folder.path(), HashKind::Sha1, true);
        let left = fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<String> =
            left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(
            left,
            [&stays[..2], &["pack-2.bitmap", "pack-2.idx", "pack-2.pack"], &["pack-5.bitmap"]]
                .concat()
        );
    }
}
