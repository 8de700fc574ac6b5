//! Files and folders that are to go with whoever made them.
//!
//! A process that makes something temporary holds it (`flock`) for as long as it works. The system
//! lets go when the process ends, however it ends, so that whoever finds the thing later can tell
//! whether somebody still works behind it. That tells nothing on file systems that several
//! machines share, and nothing of what other programs made: there things are left alone.

use std::fs::{self, File, Metadata, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Between making a thing and holding it a process may lose its turn; what is younger is let be.
pub const GRACE: Duration = Duration::from_secs(60);

/// Who made a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Holds it.
    Working,
    /// Does not hold it, or never held it. We hold it now, for as long as the file is open.
    Gone,
    /// This file system does not say.
    Unknown,
}

/// Takes hold of what we made. False: somebody was faster, who took it for abandoned.
pub fn hold(made: &File) -> bool {
    // where nothing can be held nobody can take it for abandoned either
    !matches!(made.try_lock(), Err(TryLockError::WouldBlock))
}

/// Asks, and takes hold of it when its maker is gone.
pub fn maker_of(found: &File, path: &Path) -> Maker {
    match found.try_lock() {
        Err(TryLockError::WouldBlock) => Maker::Working,
        Ok(()) if is_local(path) => Maker::Gone,
        Ok(()) | Err(TryLockError::Error(_)) => Maker::Unknown,
    }
}

/// Was the inode last changed before this machine was started? Then no process of it is at work
/// on it, if the file system is its own.
pub fn predates_boot(meta: &Metadata, path: &Path) -> bool {
    let Some(boot) = boot_time() else { return false };
    meta.ctime() < boot && is_local(path)
}

/// Is it older than [`GRACE`]? By the clock of the file system, as far as that is ours.
pub fn is_past_grace(meta: &Metadata) -> bool {
    let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age >= GRACE)
}

/// Is `path` still the file that `meta` is of?
pub fn is_still(path: &Path, meta: &Metadata) -> bool {
    fs::symlink_metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (meta.dev(), meta.ino()))
}

/// Six letters and digits. They need not be a secret: a name that exists is refused.
pub fn random_name(attempt: u64) -> String {
    const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    // each state is seeded anew, from the system's randomness and a count
    let mut state = std::collections::hash_map::RandomState::new().build_hasher();
    state.write_u64(attempt);
    state.write_u32(std::process::id());
    let mut number = state.finish();
    let mut name = String::with_capacity(6);
    for _ in 0..6 {
        name.push(char::from(LETTERS[(number % 62) as usize]));
        number /= 62;
    }
    name
}

/// Seconds since 1970 at which this machine was started.
#[cfg(target_os = "linux")]
fn boot_time() -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(not(target_os = "linux"))]
fn boot_time() -> Option<i64> {
    None
}

/// Is the file system one that only this machine can write to?
#[cfg(target_os = "linux")]
fn is_local(path: &Path) -> bool {
    /// ext, XFS, Btrfs, tmpfs, ramfs, F2FS, ZFS, overlay, bcachefs (`statfs(2)`).
    const LOCAL: [u32; 9] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x8584_58f6,
        0xf2f5_2010,
        0x2fc1_2fc1,
        0x794c_7630,
        0xca45_1a4e,
    ];
    filesystem_type(path).is_ok_and(|magic| LOCAL.contains(&magic))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_path: &Path) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn filesystem_type(path: &Path) -> io::Result<u32> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut told = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `path` ends with a zero, and `told` has room for what is written to it.
    if unsafe { libc::statfs(path.as_ptr(), told.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled the value.
    let told = unsafe { told.assume_init() };
    Ok(told.f_type as u32) // the magic numbers are of 32 bits, whatever the field is
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maker_is_known_by_its_hold() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made");
        let made = File::create(&path).unwrap();
        assert!(hold(&made));
        assert_eq!(maker_of(&File::open(&path).unwrap(), &path), Maker::Working);
        drop(made);
        let found = File::open(&path).unwrap();
        assert_eq!(maker_of(&found, &path), Maker::Gone);
        assert_eq!(maker_of(&File::open(&path).unwrap(), &path), Maker::Working);
        let other = File::open(&path).unwrap();
        assert!(!hold(&other));
    }

    #[test]
    fn folders_too() {
        let dir = tempfile::tempdir().unwrap();
        let made = File::open(dir.path()).unwrap();
        assert!(hold(&made));
        assert_eq!(maker_of(&File::open(dir.path()).unwrap(), dir.path()), Maker::Working);
    }

    #[test]
    fn what_is_new_was_not_there_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made");
        fs::write(&path, "").unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert!(!predates_boot(&meta, &path) && !is_past_grace(&meta) && is_still(&path, &meta));
        fs::rename(&path, dir.path().join("kept")).unwrap();
        fs::write(&path, "").unwrap();
        assert!(!is_still(&path, &meta));
    }
}
