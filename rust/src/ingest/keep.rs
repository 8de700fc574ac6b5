//! The `.keep` files that protect new packs from `git repack` until refs name their objects.
//!
//! Git asks only whether there is one. Ours is a second name of the pack itself, which is on the
//! disk already: nothing more is written and waited for, and by its content it is known as ours, after
//! a power failure too, where a file of its own could have become an empty one, which could be a
//! person's. Where files have no second names it is one that says so. Whoever made it holds it
//! ([`temporary::hold`]); when nobody does, its maker was killed, and it is swept.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::IngestError;
use crate::temporary::{self, Maker};

/// How the files begin that are ours to take away: packs, and what is written where there are no
/// second names.
const PACK: &[u8] = b"PACK\0\0\0";
const TEXT: &[u8] = b"gitserve receive-pack ";

/// A pack's protection. Dropping it takes the file away.
#[derive(Debug)]
pub(super) struct Keep {
    path: PathBuf,
    _held: File,
}

/// Writes one that protects nothing yet, and says whose it is.
fn write(path: &Path) -> Result<File, IngestError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(TEXT)?;
        writeln!(file, "{}", std::process::id())?;
        file.sync_all()?;
        Ok(file)
    };
    write().map_err(IngestError::io(path))
}

/// How often, and for how long each time, whoever sweeps one is waited for.
const SWEEP_TRIES: u32 = 20;
const SWEEP_TIME: Duration = Duration::from_millis(10);

/// Protects the pack that still lies at `from` in the place where it will be. `None` when one is
/// there, of somebody else, who will also take it away.
///
/// One whose maker was killed is taken over: who sweeps it would sweep the pack with it, which this
/// push is about to count on.
pub(super) fn place(from: &Path, path: PathBuf) -> Result<Option<Keep>, IngestError> {
    let mut held = File::open(from).map_err(IngestError::io(from))?;
    temporary::hold(&held);
    let mut tries = 0;
    while fs::hard_link(from, &path).is_err() {
        let mut found = match File::open(&path) {
            Ok(found) => found,
            Err(_) if path.exists() => return Ok(None),
            // swept meanwhile, or there may be no second names here
            Err(_) if tries == 0 => {
                tries += 1;
                continue;
            }
            Err(_) => {
                let text = from.with_extension("keep");
                held = write(&text)?;
                temporary::hold(&held);
                fs::rename(&text, &path).map_err(IngestError::io(&path))?;
                break;
            }
        };
        if !says_so(&mut found) || tries >= SWEEP_TRIES {
            return Ok(None);
        }
        match temporary::maker_of(&found, &path) {
            Maker::Gone => {
                let meta = found.metadata().map_err(IngestError::io(&path))?;
                if temporary::is_still(&path, &meta) {
                    return Ok(Some(Keep { path, _held: found }));
                }
            }
            // at work, or sweeping
            Maker::Working => std::thread::sleep(SWEEP_TIME),
            Maker::Unknown => return Ok(None),
        }
        tries += 1;
    }
    Ok(Some(Keep { path, _held: held }))
}

impl Drop for Keep {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Is it one of this module's?
fn says_so(file: &mut File) -> bool {
    let mut text = Vec::with_capacity(TEXT.len());
    let read = file.take(TEXT.len() as u64).read_to_end(&mut text);
    read.is_ok() && (text == TEXT || text.starts_with(PACK))
}

/// Removes those in a pack folder whose makers are gone; how many.
pub(super) fn sweep(packs: &Path) -> usize {
    let Ok(found) = fs::read_dir(packs) else { return 0 };
    let paths = found.flatten().map(|entry| entry.path());
    let keeps = paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "keep"));
    keeps.filter(|path| remove_abandoned(path)).count()
}

fn remove_abandoned(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let is_abandoned = says_so(&mut file)
        && file.metadata().is_ok_and(|meta| temporary::is_past_grace(&meta))
        && temporary::maker_of(&file, path) == Maker::Gone;
    let pack = fs::metadata(path.with_extension("pack"));
    // one that is being brought once more was made young, and counts on what is there
    let is_unused = pack.map_or(true, |meta| temporary::is_past_grace(&meta));
    if is_abandoned && is_unused && !path.with_extension("idx").exists() {
        // killed before the index came: nobody has ever seen the pack
        for suffix in ["bitmap", "mtimes", "rev", "pack"] {
            let _ = fs::remove_file(path.with_extension(suffix));
        }
    }
    is_abandoned && fs::remove_file(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn one_of_the_killed_is_taken_over_with_its_pack() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("new")).unwrap();
        fs::write(path("new/a.pack"), b"PACK\0\0\0\x02").unwrap();
        fs::write(path("a.pack"), b"PACK\0\0\0\x02").unwrap();
        fs::hard_link(path("a.pack"), path("a.keep")).unwrap();
        let make_old = || {
            let long_ago = SystemTime::now() - temporary::GRACE * 2;
            for name in ["a.keep", "a.pack"] {
                File::open(path(name)).unwrap().set_modified(long_ago).unwrap();
            }
        };
        make_old();
        let keep = place(&path("new/a.pack"), path("a.keep")).unwrap();
        assert!(keep.is_some());
        assert_eq!(sweep(dir.path()), 0);
        assert!(path("a.pack").exists());
        // not twice
        assert!(place(&path("new/a.pack"), path("a.keep")).unwrap().is_none());
        drop(keep);
        assert!(!path("a.keep").exists());
        // a person's stays a person's
        fs::write(path("a.keep"), "mine").unwrap();
        assert!(place(&path("new/a.pack"), path("a.keep")).unwrap().is_none());
        fs::remove_file(path("a.keep")).unwrap();
        drop(write(&path("a.keep")).unwrap());
        make_old();
        assert_eq!(sweep(dir.path()), 1);
        assert!(!path("a.pack").exists());
    }
}
