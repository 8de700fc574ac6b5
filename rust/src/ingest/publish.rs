//! Moves what a quarantine holds into the repository's object folder.
//!
//! In: the two folders, on one file system. Out: the files in their places and the folders on
//! the disk, or nothing changed. A file that is there already stays: names are hashes of contents.
//! The times of a cruft pack are no such file: the later ones count.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::IngestError;
use super::keep::{self, Keep};
use super::times;
use crate::durable::{self, SyncRules};
use crate::sharing::Sharing;

/// Files or folders that one batch waits for, each in a thread of its own.
const SYNCED_TOGETHER: usize = 16;

/// What was moved, and the `.keep` files that protect it. Dropping it removes these.
#[derive(Debug)]
pub(super) struct Publication {
    sync: SyncRules,
    packs_first: bool,
    /// Held, so that whoever finds one after a crash knows that it protects nothing any more.
    keeps: Vec<Keep>,
    sharing: Sharing,
    moved: Vec<PathBuf>,
    accepted: bool,
}

impl Publication {
    pub(super) fn make(
        quarantine: &Path,
        objects: &Path,
        sync: SyncRules,
        packs_first: bool,
        sharing: Sharing,
    ) -> Result<Self, IngestError> {
        let (keeps, moved) = (Vec::new(), Vec::new());
        let mut made = Self { sync, packs_first, sharing, keeps, moved, accepted: false };
        made.move_loose(quarantine, objects)?;
        made.move_packs(&quarantine.join("pack"), &objects.join("pack"))?;
        made.accepted = true;
        Ok(made)
    }

    fn move_packs(&mut self, from: &Path, to: &Path) -> Result<(), IngestError> {
        let mut names: Vec<String> = list(from)?;
        // temporary files of hooks that died, and whatever else is no part of a pack
        names.retain(|name| name.starts_with("pack-"));
        if names.is_empty() {
            return Ok(());
        }
        self.make_dir(to)?;
        names.sort_by_key(|name| {
            let order = match name.rsplit_once('.').map(|(_, suffix)| suffix) {
                Some("keep") => 0,
                Some("pack") => 1,
                // readers find packs by their indexes, so these come when all else is there
                Some("idx") => 3,
                _ => 2,
            };
            (order, name.clone())
        });
        let first_index = names.iter().position(|name| name.ends_with(".idx"));
        for (at, name) in names.iter().enumerate() {
            if self.packs_first && Some(at) == first_index {
                self.sync_folder(to)?;
            }
            if name.ends_with(".pack") {
                let keep = to.join(name).with_extension("keep");
                // from now on, until refs name its objects
                self.keeps.extend(keep::place(&from.join(name), keep)?);
            }
            self.move_file(&from.join(name), &to.join(name))?;
        }
        self.sync_folder(to)
    }

    /// Makes a folder unless it exists; true when it did not.
    fn make_dir(&self, path: &Path) -> Result<bool, IngestError> {
        match fs::create_dir(path) {
            Ok(()) => self.sharing.share(path).map(|()| true).map_err(IngestError::io(path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(IngestError::io(path)(error)),
        }
    }

    /// The names in a folder are on the disk when this returns.
    fn sync_folder(&self, path: &Path) -> Result<(), IngestError> {
        if self.sync.any_object() {
            durable::sync_folder(path).map_err(IngestError::io(path))?;
        }
        Ok(())
    }

    /// Loose objects: small packs taken apart, and what hooks may have written.
    fn move_loose(&mut self, from: &Path, to: &Path) -> Result<(), IngestError> {
        let is_fan = |name: &String| name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit());
        let fans: Vec<String> = list(from)?.into_iter().filter(is_fan).collect();
        let mut files = Vec::new();
        for fan in &fans {
            let names = list(&from.join(fan))?;
            let names = names.iter().filter(|name| !name.starts_with("tmp_obj"));
            files.extend(names.map(|name| Path::new(fan).join(name)));
        }
        if self.sync.loose_object {
            for group in files.chunks(SYNCED_TOGETHER) {
                let group: Vec<PathBuf> = group.iter().map(|name| from.join(name)).collect();
                sync_files(&group)?;
            }
        }
        let mut created = false;
        for fan in &fans {
            created |= self.make_dir(&to.join(fan))?;
        }
        for name in &files {
            self.move_file(&from.join(name), &to.join(name))?;
        }
        for group in fans.chunks(SYNCED_TOGETHER).filter(|_| self.sync.any_object()) {
            let group: Vec<PathBuf> = group.iter().map(|fan| to.join(fan)).collect();
            sync_files(&group)?;
        }
        if created { self.sync_folder(to) } else { Ok(()) }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), IngestError> {
        let mut renamed = fs::rename(from, to);
        if let (Err(error), Some(folder)) = (&renamed, to.parent())
            && error.kind() == ErrorKind::NotFound
        {
            // a repack has just taken the folder away, which was empty
            if self.make_dir(folder)?
                && let Some(objects) = folder.parent()
            {
                self.sync_folder(objects)?;
            }
            renamed = fs::rename(from, to);
        }
        renamed.map_err(IngestError::io(to))
    }

    fn move_file(&mut self, from: &Path, to: &Path) -> Result<(), IngestError> {
        match fs::symlink_metadata(to) {
            // not named by its content: what was there goes on counting
            Ok(_) if to.extension().is_some_and(|suffix| suffix == "mtimes") => {
                times::keep_latest(from, to, self.sync.pack_metadata)?;
                self.sharing.share(from).map_err(IngestError::io(from))?;
                fs::rename(from, to).map_err(IngestError::io(to))
            }
            Ok(_) => {
                freshen(to);
                let is_pack = to.extension().is_some_and(|suffix| suffix == "pack");
                if is_pack && !is_same(from, to)? {
                    return Err(IngestError::io(to)(std::io::Error::other(
                        "another pack of this name exists",
                    )));
                }
                // somebody who swept had not seen yet that it is in use again
                if to.exists() { Ok(()) } else { self.move_new(from, to) }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.move_new(from, to),
            Err(error) => Err(IngestError::io(to)(error)),
        }
    }

    fn move_new(&mut self, from: &Path, to: &Path) -> Result<(), IngestError> {
        self.sharing.share(from).map_err(IngestError::io(from))?;
        self.rename(from, to)?;
        self.moved.push(to.to_owned());
        Ok(())
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if !self.accepted {
            for path in self.moved.iter().rev() {
                // indexes went last, so they go first; a pack that has one now is somebody else's too
                let index = path.with_extension("idx");
                if path.extension().is_none() || *path == index || !index.exists() {
                    let _ = fs::remove_file(path);
                }
            }
        }
    }
}

/// Files or folders that are on the disk when this returns.
fn sync_files(paths: &[PathBuf]) -> Result<(), IngestError> {
    let open = |path: &PathBuf| File::open(path).map_err(IngestError::io(path));
    let files = paths.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let Some(folder) = paths.first().and_then(|path| path.parent()) else { return Ok(()) };
    durable::sync_files(&files.iter().collect::<Vec<_>>()).map_err(IngestError::io(folder))
}

/// Whoever looks for old garbage sees that it is in use again.
fn freshen(path: &Path) {
    // as with git, a file of somebody else's keeps its time
    if let Ok(file) = File::open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

fn list(folder: &Path) -> Result<Vec<String>, IngestError> {
    let mut names = Vec::new();
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) => return Err(IngestError::io(folder)(error)),
    };
    for entry in found {
        let entry = entry.map_err(IngestError::io(folder))?;
        // names of objects and packs are ASCII
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Has the file that is there this content? One that has just gone has.
fn is_same(from: &Path, to: &Path) -> Result<bool, IngestError> {
    match same_content(from, to) {
        Err(_) if !to.exists() => Ok(true),
        outcome => outcome,
    }
}

fn same_content(a: &Path, b: &Path) -> Result<bool, IngestError> {
    const PIECE: usize = 64 * 1024;
    let (mut one, mut two) =
        (File::open(a).map_err(IngestError::io(a))?, File::open(b).map_err(IngestError::io(b))?);
    let (mut left, mut right) = (vec![0u8; PIECE], vec![0u8; PIECE]);
    loop {
        let n = fill(&mut one, &mut left).map_err(IngestError::io(a))?;
        let m = fill(&mut two, &mut right).map_err(IngestError::io(b))?;
        if left[..n] != right[..m] {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, out: &mut [u8]) -> std::io::Result<usize> {
    let mut len = 0;
    while len < out.len() {
        match file.read(&mut out[len..])? {
            0 => break,
            n => len += n,
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::super::Quarantine;
    use super::*;
    use crate::hash::HashKind;
    use crate::temporary;

    fn names(folder: &Path) -> Vec<String> {
        list(folder).unwrap()
    }

    fn folders() -> (tempfile::TempDir, Quarantine) {
        let objects = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::create(objects.path(), HashKind::Sha1).unwrap();
        for suffix in ["idx", "pack", "rev"] {
            fs::write(quarantine.path().join(format!("pack/pack-1.{suffix}")), suffix).unwrap();
        }
        fs::write(quarantine.path().join("pack/tmp_pack_dead"), b"").unwrap();
        fs::create_dir(quarantine.path().join("ab")).unwrap();
        fs::write(quarantine.path().join("ab/cdef"), b"loose").unwrap();
        (objects, quarantine)
    }

    #[test]
    fn everything_moves_and_is_kept_until_released() {
        let (objects, mut quarantine) = folders();
        quarantine.publish().unwrap();
        assert_eq!(names(objects.path()), ["ab", "pack"]);
        let packs = objects.path().join("pack");
        assert_eq!(names(&packs), ["pack-1.idx", "pack-1.keep", "pack-1.pack", "pack-1.rev"]);
        assert_eq!(fs::read(objects.path().join("ab/cdef")).unwrap(), b"loose");
        quarantine.release();
        assert_eq!(names(&packs), ["pack-1.idx", "pack-1.pack", "pack-1.rev"]);
    }

    #[test]
    fn only_our_abandoned_keep_files_are_swept() {
        let (objects, mut quarantine) = folders();
        quarantine.publish().unwrap();
        let packs = objects.path().join("pack");
        let age = |path: &Path| {
            let long_ago = SystemTime::now() - temporary::GRACE * 2;
            File::open(path).unwrap().set_modified(long_ago).unwrap();
        };
        for (name, text) in [("dead", "gitserve receive-pack 7\n"), ("mine", "by hand\n")] {
            let path = packs.join(format!("pack-{name}.keep"));
            fs::write(&path, text).unwrap();
            age(&path);
        }
        age(&packs.join("pack-1.keep"));
        assert_eq!(keep::sweep(&packs), 1);
        let left: Vec<_> = names(&packs).into_iter().filter(|n| n.ends_with("keep")).collect();
        assert_eq!(left, ["pack-1.keep", "pack-mine.keep"]);
    }

    #[test]
    fn a_folder_that_goes_in_between_is_made_again() {
        let objects = tempfile::tempdir().unwrap();
        let made = Publication {
            sync: SyncRules::ALL,
            packs_first: false,
            sharing: Sharing::Umask,
            keeps: Vec::new(),
            moved: Vec::new(),
            accepted: true,
        };
        let from = objects.path().join("file");
        fs::write(&from, b"loose").unwrap();
        made.rename(&from, &objects.path().join("ab/cdef")).unwrap();
        assert_eq!(fs::read(objects.path().join("ab/cdef")).unwrap(), b"loose");
        assert!(made.rename(&from, &objects.path().join("ab/other")).is_err());
    }

    #[test]
    fn a_pack_that_is_there_already_stays() {
        let (objects, mut quarantine) = folders();
        let packs = objects.path().join("pack");
        fs::create_dir(&packs).unwrap();
        fs::write(packs.join("pack-1.pack"), b"pack").unwrap();
        fs::write(packs.join("pack-1.idx"), b"older").unwrap();
        quarantine.publish().unwrap();
        assert_eq!(fs::read(packs.join("pack-1.idx")).unwrap(), b"older");
        assert!(!quarantine.path().exists());
    }

    #[test]
    fn what_fails_leaves_nothing() {
        let (objects, mut quarantine) = folders();
        let packs = objects.path().join("pack");
        fs::create_dir(&packs).unwrap();
        // another pack under one of the names, noticed when the first has been moved
        for suffix in ["idx", "pack"] {
            fs::write(quarantine.path().join(format!("pack/pack-2.{suffix}")), b"mine").unwrap();
        }
        fs::write(packs.join("pack-2.pack"), b"other").unwrap();
        let error = quarantine.publish().unwrap_err();
        assert!(error.to_string().contains("pack-2.pack"), "{error}");
        quarantine.discard().unwrap();
        assert_eq!(names(&packs), ["pack-2.pack"]);
        assert_eq!(names(&objects.path().join("ab")), [""; 0]);
    }
}
