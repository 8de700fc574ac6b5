//! Packing loose refs, as `git pack-refs --all` does.
//!
//! First `packed-refs` gets what the loose files say; it is on the disk when its lock is given up.
//! Then each file whose ref still has that value, there and in `packed-refs`, is removed under its
//! own lock. A ref that moves or goes meanwhile is left to whoever moves it: the loose file counts
//! before the packed row.

use std::fs;
use std::io::ErrorKind;
use std::sync::PoisonError;

use super::folders::{Folders, prune_parents};
use super::lock::LockFile;
use super::name;
use super::packed_edit::{Addition, PackedLock};
use super::peel::Peeler;
use super::read::{self, RawRef};
use super::store::FileRefs;
use super::{RefError, UpdateError};
use crate::hash::ObjectId;
use crate::source::ObjectSource;

/// To pack loose refs writes all packed ones anew: one in so many is to be loose.
const PART_LOOSE: usize = 64;
/// Fewer loose refs than this are no burden to readers, more than that are.
const LEAST_LOOSE: usize = 16;
const MOST_LOOSE: usize = 512;

/// Are there many loose refs, beside the packed ones?
pub(super) fn is_due(refs: &FileRefs) -> Result<bool, RefError> {
    let loose = refs.loose_names()?.len();
    let packed = refs.packed_now()?.len();
    Ok(loose >= (packed / PART_LOOSE).clamp(LEAST_LOOSE, MOST_LOOSE))
}

/// Packs all loose refs whose objects are there; how many.
pub(super) fn pack_loose(
    refs: &FileRefs,
    objects: &dyn ObjectSource,
    fsync: bool,
) -> Result<usize, UpdateError> {
    refs.staging.sweep_once();
    let names = refs.loose_names()?;
    let packed = pack(refs, names, objects, fsync)?;
    let mut folders = Folders::default();
    let mut removed = 0;
    for (name, id) in &packed {
        removed += usize::from(remove(refs, name, id, &mut folders)?);
    }
    if fsync {
        folders.sync()?;
    }
    Ok(removed)
}

/// Puts the refs of these names into `packed-refs`; what they were.
fn pack(
    refs: &FileRefs,
    names: Vec<Vec<u8>>,
    objects: &dyn ObjectSource,
    fsync: bool,
) -> Result<Vec<(Vec<u8>, ObjectId)>, UpdateError> {
    let mut loose = Vec::new();
    let _gate = refs.packing.lock().unwrap_or_else(PoisonError::into_inner);
    let lock = PackedLock::acquire(&refs.paths.packed(), &refs.staging)?;
    let mut peeler = Peeler::new(&refs.peels, objects);
    for name in names {
        if name::is_per_worktree(&name) {
            continue;
        }
        let path = refs.paths.of(&name);
        // symbolic refs and broken ones have no place in the file
        let Some((RawRef::Id(id), _)) = read::read_file(&path, refs.paths.kind())? else {
            continue;
        };
        let is_there = objects.lookup(&id).map_err(super::RefError::from)?.is_some();
        peeler.complete = true;
        let peeled = peeler.peel(&id).map_err(super::RefError::from)?;
        // as git: a ref that names nothing stays where somebody will see it
        if is_there && peeler.complete {
            loose.push((name, id, peeled));
        }
    }
    if loose.is_empty() {
        return Ok(Vec::new());
    }
    loose.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let additions: Vec<Addition<'_>> = loose
        .iter()
        .map(|(name, id, peeled)| Addition { name, id: *id, peeled: *peeled })
        .collect();
    lock.replace(&*refs.packed_now()?, &[], &additions, fsync)?;
    Ok(loose.into_iter().map(|(name, id, _)| (name, id)).collect())
}

/// Removes the file of a ref that is packed with this value, if it still has it.
fn remove(
    refs: &FileRefs,
    name: &[u8],
    id: &ObjectId,
    folders: &mut Folders,
) -> Result<bool, UpdateError> {
    let path = refs.paths.of(name);
    if !path.exists() {
        return Ok(false);
    }
    let lock = match LockFile::acquire(&path, b"", &mut Folders::default(), &refs.staging) {
        Ok(lock) => lock,
        // it is being moved: it stays loose
        Err(UpdateError::Locked { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    // whoever deletes the ref takes the row away, and makes it anew with a file only
    let rows = refs.packed_now()?;
    let is_packed = rows.find(name).is_some_and(|row| rows.id(row) == *id);
    let is_same = is_packed
        && matches!(
            read::read_file(&path, refs.paths.kind())?,
            Some((RawRef::Id(now), _)) if now == *id
        );
    if is_same {
        match fs::remove_file(&path) {
            Ok(()) => folders.changed_in(&path),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(UpdateError::io(&path, error)),
        }
    }
    drop(lock);
    if is_same {
        prune_parents(refs.paths.base(name), name);
    }
    Ok(is_same)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fixture, delete, plain, set};
    use super::*;
    use crate::hash::HashKind;

    #[test]
    fn behind_pushes_only_when_many_are_loose() {
        let fixture = Fixture::new(HashKind::Sha1);
        let create = |numbers: std::ops::Range<usize>| {
            let value = format!("{}\n", fixture.two);
            numbers
                .into_iter()
                .for_each(|nth| fixture.repo.write(&format!("refs/heads/b{nth}"), &value));
        };
        let is_due = || fixture.store.is_pack_due().unwrap();
        create(0..10);
        assert!(!is_due());
        create(10..20);
        assert!(is_due());
        create(20..64 * 30);
        fixture.store.pack(&fixture.repo.objects(), false).unwrap();
        create(64 * 30..64 * 30 + 20);
        assert!(!is_due());
        create(64 * 31..64 * 31 + 20);
        assert!(is_due());
    }

    #[test]
    fn what_git_would_pack_is_packed() {
        for kind in [HashKind::Sha1, HashKind::Sha256] {
            let fixture = Fixture::new(kind);
            let git = |words: &str| fixture.repo.git(words);
            git(&format!("branch topic/deep/a {}", fixture.two));
            git("tag -a -m t v1 HEAD");
            git("symbolic-ref refs/heads/alias refs/heads/topic/deep/a");
            git("update-ref refs/bisect/bad HEAD");
            let missing = "1".repeat(kind.hex_len()) + "\n";
            fixture.repo.write("refs/heads/lost", &missing);
            let packed = fixture.store.pack(&fixture.repo.objects(), true).unwrap();
            std::fs::remove_file(fixture.repo.git_dir().join("refs/heads/lost")).unwrap();
            fixture.check();
            let ours = std::fs::read(fixture.repo.git_dir().join("packed-refs")).unwrap();
            assert_eq!(packed, 3, "{}", String::from_utf8_lossy(&ours));
            assert!(!fixture.repo.git_dir().join("refs/heads/topic").exists());
            git("pack-refs --all");
            let theirs = std::fs::read(fixture.repo.git_dir().join("packed-refs")).unwrap();
            assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs));
            assert_eq!(fixture.store.pack(&fixture.repo.objects(), true).unwrap(), 0);
            assert!(fixture.locks().is_empty());
        }
    }

    #[test]
    fn a_ref_that_moves_meanwhile_keeps_its_value() {
        let fixture = Fixture::new(HashKind::Sha1);
        let (store, objects) = (&fixture.store, fixture.repo.objects());
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    store.pack(&objects, false).unwrap();
                }
            });
            for nth in 0..60 {
                let id = [fixture.one, fixture.two, fixture.three][nth % 3];
                let results = store.update(&[set("refs/heads/a", id)], &plain());
                assert!(results[0].is_ok(), "{results:?}");
                let now = store.snapshot().unwrap().get(b"refs/heads/a");
                assert_eq!(now, Some(id));
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        fixture.check();
        assert!(fixture.locks().is_empty());
    }

    #[test]
    fn a_ref_that_was_deleted_and_made_anew_meanwhile_stays_loose() {
        let fixture = Fixture::new(HashKind::Sha1);
        let id = fixture.one;
        let results = fixture.store.update(&[set("refs/heads/a", id)], &plain());
        assert!(results[0].is_ok(), "{results:?}");
        let refs = FileRefs::new(&fixture.repo.git_dir(), None, HashKind::Sha1);
        let names = vec![b"refs/heads/a".to_vec()];
        let packed = pack(&refs, names, &fixture.repo.objects(), false).unwrap();
        assert_eq!(packed, [(b"refs/heads/a".to_vec(), id)]);
        for update in [delete("refs/heads/a"), set("refs/heads/a", id)] {
            let results = fixture.store.update(&[update], &plain());
            assert!(results[0].is_ok(), "{results:?}");
        }
        assert!(!remove(&refs, b"refs/heads/a", &id, &mut Folders::default()).unwrap());
        assert_eq!(fixture.store.snapshot().unwrap().get(b"refs/heads/a"), Some(id));
        fixture.check();
    }

    #[test]
    fn a_locked_ref_stays_loose() {
        let fixture = Fixture::new(HashKind::Sha1);
        fixture.repo.git("branch locked");
        let file = fixture.repo.git_dir().join("refs/heads/locked");
        std::fs::write(file.with_extension("lock"), "").unwrap();
        fixture.store.pack(&fixture.repo.objects(), false).unwrap();
        assert!(file.exists());
        fixture.check();
    }
}
