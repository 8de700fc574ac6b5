//! The folder where a push waits until it is accepted (git's `tmp_objdir`).
//!
//! In: an `objects/` folder. Out: `objects/incoming-XXXXXX`, which looks like an object
//! folder itself, so that hooks see what is pushed (`GIT_QUARANTINE_PATH`, `git-receive-pack`). It
//! goes with everything in it, unless it is published.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::error::IngestError;
use super::keep;
use super::limits::ReceiveLimits;
use super::publish::Publication;
use super::receiver::PackReceiver;
use crate::durable::SyncRules;
use crate::hash::HashKind;
use crate::sharing::Sharing;
use crate::store::{self, Snapshot};
use crate::temporary::{self, Maker};
use crate::watch::Watch;

/// As git called it before 2.35. Under git's present name, `tmp_objdir-incoming-`, `git prune` takes
/// it for rubbish: `git gc --prune=now` beside a push would remove what is just being received.
const PREFIX: &str = "incoming-";

/// Ours, whose makers hold them.
const OURS: &str = "incoming-gitserve-";

/// Where the file system does not tell whether a process works behind it, a quarantine in which
/// nothing was written for so long is taken for abandoned: longer than any push is let to run,
/// hooks included, and far less than the two weeks of `git gc`.
pub const STALE_QUARANTINE: Duration = Duration::from_secs(24 * 60 * 60);

/// Names tried before giving up; a second is hardly ever needed.
const ATTEMPTS: u64 = 100;

/// A quarantine folder. Dropping it discards it.
#[derive(Debug)]
pub struct Quarantine {
    objects_dir: PathBuf,
    path: PathBuf,
    hash: HashKind,
    sync: SyncRules,
    packs_first: bool,
    sharing: Sharing,
    publication: Option<Publication>,
    /// Removed or moved away already.
    gone: bool,
    /// Held, which says that somebody works here.
    _held: File,
}

impl Quarantine {
    /// Makes the folder in `objects_dir`, for nobody but this user, as git's.
    ///
    /// Sweeps stale ones out of `objects_dir` now and then, whose makers were killed.
    pub fn create(objects_dir: &Path, hash: HashKind) -> Result<Self, IngestError> {
        if is_time_to_sweep(objects_dir) {
            // what cannot be swept must not stop a push
            let _ = sweep_stale(objects_dir, STALE_QUARANTINE);
        }
        let (path, held) = make_folder(objects_dir)?;
        let made = Self {
            objects_dir: objects_dir.to_owned(),
            path,
            hash,
            sync: SyncRules::ALL,
            packs_first: false,
            sharing: Sharing::Umask,
            publication: None,
            gone: false,
            _held: held,
        };
        let pack = made.path.join("pack");
        DirBuilder::new().mode(0o700).create(&pack).map_err(IngestError::io(&pack))?;
        Ok(made)
    }

    /// What the disk is waited for; everything unless this is called.
    pub fn set_sync_rules(&mut self, rules: SyncRules) {
        self.sync = rules;
    }

    /// An index is not there before its pack is, also when the power fails: nobody would take it away.
    pub fn set_packs_first(&mut self) {
        self.packs_first = true;
    }

    /// Who may use what is published; those whom the umask lets in unless this is called.
    pub fn set_sharing(&mut self, sharing: Sharing) {
        self.sharing = sharing;
    }

    /// The folder: an object directory whose alternate is the one it lies in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A receiver for one pack, which it writes into this quarantine.
    pub fn receive(&self, limits: ReceiveLimits) -> Result<PackReceiver, IngestError> {
        let mut attempt = 0;
        loop {
            let path = self
                .path
                .join("pack")
                .join(format!("tmp_pack_{}", temporary::random_name(attempt)));
            match PackReceiver::create(path, self.hash, limits, self.sync) {
                Err(IngestError::Io { error, .. })
                    if error.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    /// Makes loose objects of the packs that were received, but of what `base` has; how many.
    /// `waiting` is the snapshot of this folder.
    pub fn unpack(
        &self,
        waiting: &Snapshot,
        base: &Snapshot,
        watch: &Watch,
    ) -> Result<u32, IngestError> {
        if self.gone {
            return Err(IngestError::Spent);
        }
        let written = store::unpack(waiting, base, &self.path, watch)?;
        for pack in waiting.packs().iter().filter(|pack| pack.path().starts_with(&self.path)) {
            for suffix in ["idx", "rev", "pack"] {
                let path = pack.path().with_extension(suffix);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound || suffix != "rev" => {
                        return Err(IngestError::io(&path)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(written)
    }

    /// Moves packs and loose objects into the repository, durably, and removes the folder.
    ///
    /// No reader sees an index before its pack. New packs get a `.keep` file, so that a repack
    /// beside it does not take them for garbage before refs name their objects: it stays until
    /// [`Quarantine::release`] or until this value is dropped. An error takes back
    /// what was moved; the quarantine is then only fit for discarding.
    pub fn publish(&mut self) -> Result<(), IngestError> {
        if self.gone {
            return Err(IngestError::Spent);
        }
        let publication = Publication::make(
            &self.path,
            &self.objects_dir,
            self.sync,
            self.packs_first,
            self.sharing,
        )?;
        self.publication = Some(publication);
        self.discard()
    }

    /// The refs name the objects now, or never will: takes the `.keep` files away.
    pub fn release(&mut self) {
        self.publication = None;
    }

    /// Removes the folder and everything in it. Nothing happens the second time.
    pub fn discard(&mut self) -> Result<(), IngestError> {
        if self.gone {
            return Ok(());
        }
        self.gone = true;
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(IngestError::io(&self.path)(error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        // a folder that cannot be removed now is swept later
        let _ = self.discard();
    }
}

fn make_folder(objects_dir: &Path) -> Result<(PathBuf, File), IngestError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let path = objects_dir.join(format!("{OURS}{}", temporary::random_name(attempt)));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                let held = File::open(&path).map_err(IngestError::io(&path))?;
                if temporary::hold(&held) || attempt >= ATTEMPTS {
                    return Ok((path, held));
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS => {}
            Err(error) => return Err(IngestError::io(&path)(error)),
        }
    }
}

/// Sweeping lists the object folder, so each is swept once in so long by each process.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// So many object folders' last sweeps are remembered.
const MAX_SWEPT: usize = 4096;

fn is_time_to_sweep(objects_dir: &Path) -> bool {
    static SWEPT: Mutex<BTreeMap<PathBuf, Instant>> = Mutex::new(BTreeMap::new());
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if swept.get(objects_dir).is_some_and(|last| last.elapsed() < SWEEP_INTERVAL) {
        return false;
    }
    if swept.len() >= MAX_SWEPT {
        swept.clear();
    }
    swept.insert(objects_dir.to_owned(), Instant::now());
    true
}

/// Removes what killed processes left in `objects_dir`: quarantines, and `.keep` files of packs
/// that were published; how many.
///
/// Where the file system does not tell who is gone, quarantines go that nobody wrote to for `age`
/// ([`STALE_QUARANTINE`]). What cannot be read or removed is left for the next time.
pub fn sweep_stale(objects_dir: &Path, age: Duration) -> Result<usize, IngestError> {
    let now = SystemTime::now();
    let mut removed = keep::sweep(&objects_dir.join("pack"));
    for found in fs::read_dir(objects_dir).map_err(IngestError::io(objects_dir))? {
        let found = found.map_err(IngestError::io(objects_dir))?;
        let name = found.file_name();
        let is_quarantine = name.to_string_lossy().starts_with(PREFIX)
            && found.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_quarantine {
            continue;
        }
        let path = found.path();
        let Ok(folder) = File::open(&path) else { continue };
        let Some(written) = last_written(&path) else { continue };
        let rest = match temporary::maker_of(&folder, &path) {
            Maker::Working => continue,
            Maker::Gone if name.to_string_lossy().starts_with(OURS) => temporary::GRACE.min(age),
            // an old git holds none of its own
            Maker::Gone | Maker::Unknown => age,
        };
        let stale = now.duration_since(written).is_ok_and(|passed| passed >= rest);
        if stale && fs::remove_dir_all(&path).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// When the folder, or anything one or two levels below it, was last written to.
fn last_written(folder: &Path) -> Option<SystemTime> {
    let mut newest = fs::symlink_metadata(folder).ok()?.modified().ok()?;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let meta = fs::symlink_metadata(entry.path()).ok()?;
        newest = newest.max(meta.modified().ok()?);
        if meta.is_dir() {
            for inner in fs::read_dir(entry.path()).ok()?.flatten() {
                newest = newest.max(inner.metadata().ok()?.modified().ok()?);
            }
        }
    }
    Some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_quarantine_is_private_and_goes_when_dropped() {
        let objects = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::create(objects.path(), HashKind::Sha1).unwrap();
        let path = quarantine.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(path.join("pack/tmp_something"), b"x").unwrap();
        drop(quarantine);
        assert_eq!(fs::read_dir(objects.path()).unwrap().count(), 0);
    }

    #[test]
    fn git_prunes_no_quarantine_under_us() {
        let root = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut git = std::process::Command::new("git");
            git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
            assert!(git.current_dir(root.path()).args(arguments).status().unwrap().success());
        };
        git(&["init", "-q", "--bare", "."]);
        let objects = root.path().join("objects");
        let quarantine = Quarantine::create(&objects, HashKind::Sha1).unwrap();
        let waiting = quarantine.path().join("pack/tmp_pack_x");
        fs::write(&waiting, b"x").unwrap();
        git(&["prune", "--expire=now"]);
        assert!(waiting.exists());
    }

    #[test]
    fn only_abandoned_quarantines_are_swept() {
        let objects = tempfile::tempdir().unwrap();
        fs::create_dir(objects.path().join("pack")).unwrap();
        let mut quarantine = Quarantine::create(objects.path(), HashKind::Sha1).unwrap();
        fs::write(quarantine.path().join("pack/tmp_pack_x"), b"x").unwrap();
        assert_eq!(sweep_stale(objects.path(), Duration::ZERO).unwrap(), 0, "somebody works here");
        // as a killed process leaves it
        quarantine._held = File::open(objects.path()).unwrap();
        assert_eq!(sweep_stale(objects.path(), STALE_QUARANTINE).unwrap(), 0, "it is too young");
        assert!(quarantine.path().exists());
        assert_eq!(sweep_stale(objects.path(), Duration::ZERO).unwrap(), 1);
        assert!(!quarantine.path().exists() && objects.path().join("pack").exists());
        quarantine.discard().unwrap();
        assert!(matches!(quarantine.publish(), Err(IngestError::Spent)));
    }

    #[test]
    fn an_old_gits_quarantine_is_left_alone_for_long() {
        let objects = tempfile::tempdir().unwrap();
        let theirs = objects.path().join("incoming-Zz9aB1");
        fs::create_dir_all(theirs.join("pack")).unwrap();
        fs::create_dir(objects.path().join("pack")).unwrap();
        let set = |ago: Duration| {
            for path in [theirs.join("pack"), theirs.clone()] {
                File::open(path).unwrap().set_modified(SystemTime::now() - ago).unwrap();
            }
        };
        set(temporary::GRACE * 2);
        assert_eq!(sweep_stale(objects.path(), STALE_QUARANTINE).unwrap(), 0);
        set(STALE_QUARANTINE * 2);
        assert_eq!(sweep_stale(objects.path(), STALE_QUARANTINE).unwrap(), 1);
    }

    #[test]
    fn a_new_quarantine_sweeps_once() {
        let objects = tempfile::tempdir().unwrap();
        assert!(is_time_to_sweep(objects.path()));
        assert!(!is_time_to_sweep(objects.path()));
    }

    #[test]
    fn an_object_folder_that_is_not_there_is_named() {
        let missing = Path::new("/nonexistent/objects");
        let error = Quarantine::create(missing, HashKind::Sha1).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/objects"));
        assert_eq!(error.wire(), None);
    }
}
