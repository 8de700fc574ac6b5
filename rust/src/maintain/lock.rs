//! One at a time: `gc.pid`, by which `git gc` knows of others too.
//!
//! The file says which process of which machine is at it. As git does, we believe it for twelve
//! hours and as long as that process lives; of our own, the kernel tells more surely, for they hold
//! the file.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::MaintainError;
use crate::temporary::{self, Maker};

/// Longer than any `gc` should take; git's own limit.
const BELIEVED: Duration = Duration::from_secs(12 * 60 * 60);
/// Behind the process and the machine, where git does not look.
const MARK: &str = "gitserve";
/// A process number and a host name.
const MAX_LEN: u64 = 1024;

/// The right to rearrange a repository, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    held: File,
}

impl Turn {
    /// Takes it, unless somebody has it.
    pub(super) fn take(common_dir: &Path) -> Result<Self, MaintainError> {
        let path = common_dir.join("gc.pid");
        let lock = common_dir.join("gc.pid.lock");
        let mut held = create(&lock)?;
        let taken = match other(&path) {
            Some(who) => Err(MaintainError::Running(who)),
            None => writeln!(held, "{} {} {MARK}", std::process::id(), host_name())
                .and_then(|()| fs::rename(&lock, &path))
                .map_err(MaintainError::io(&lock)),
        };
        if taken.is_err() {
            let _ = fs::remove_file(&lock);
        }
        taken.map(|()| Self { path, held })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.held.metadata().is_ok_and(|meta| temporary::is_still(&self.path, &meta)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the lock of the file and holds it; one that a killed process left is taken away.
fn create(lock: &Path) -> Result<File, MaintainError> {
    remove_abandoned(lock);
    match OpenOptions::new().write(true).create_new(true).mode(0o644).open(lock) {
        Ok(file) if temporary::hold(&file) => Ok(file),
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(MaintainError::io(lock)(error))
        }
        _ => Err(MaintainError::Running("another process".to_owned())),
    }
}

/// Takes a lock file away that a killed process of ours left.
fn remove_abandoned(lock: &Path) {
    let Ok(found) = File::open(lock) else { return };
    if found.metadata().is_ok_and(|meta| temporary::is_past_grace(&meta))
        && temporary::maker_of(&found, lock) == Maker::Gone
    {
        let _ = fs::remove_file(lock);
    }
}

/// Who is at it.
fn other(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    // whoever it was, the power has failed since; what the file says may be cut off
    if file.metadata().is_ok_and(|meta| temporary::predates_boot(&meta, path)) {
        return None;
    }
    let mut text = String::new();
    (&file).take(MAX_LEN).read_to_string(&mut text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (pid, host, mark) = (words.next()?, words.next()?, words.next());
    let who = format!("process {pid} on {host}");
    if mark == Some(MARK) {
        match temporary::maker_of(&file, path) {
            Maker::Working => return Some(who),
            Maker::Gone => return None,
            Maker::Unknown => {}
        }
    }
    let written = file.metadata().ok()?.modified().ok()?;
    let is_too_old =
        SystemTime::now().duration_since(written).is_ok_and(|passed| passed > BELIEVED);
    let pid: libc::pid_t = pid.parse().ok()?;
    let lives = host != host_name() || is_alive(pid);
    (!is_too_old && lives).then_some(who)
}

fn is_alive(pid: libc::pid_t) -> bool {
    // SAFETY: signal 0 is not sent; the call only tells whether there is such a process
    let there = unsafe { libc::kill(pid, 0) } == 0;
    there || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the length leaves room for the final zero, which is there from the start
    let told = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default().to_string_lossy();
    if told == 0 && !name.is_empty() { name.into_owned() } else { "unknown".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let turn = Turn::take(dir.path()).unwrap();
        let refused = Turn::take(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(turn);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        Turn::take(dir.path()).unwrap();
    }

    #[test]
    fn the_dead_do_not_count_and_the_living_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gc.pid");
        // ours, and nobody holds it
        fs::write(&path, format!("{} {} {MARK}\n", std::process::id(), host_name())).unwrap();
        drop(Turn::take(dir.path()).unwrap());
        // git's, of a process that lives
        fs::write(&path, format!("{} {}", std::process::id(), host_name())).unwrap();
        assert!(matches!(Turn::take(dir.path()), Err(MaintainError::Running(_))));
        // another machine's, then the same long ago
        fs::write(&path, "1 elsewhere.example").unwrap();
        assert!(matches!(Turn::take(dir.path()), Err(MaintainError::Running(_))));
        let long_ago = SystemTime::now() - BELIEVED * 2;
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        Turn::take(dir.path()).unwrap();
    }

    #[test]
    fn git_gc_knows_of_us() {
        let dir = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut git = std::process::Command::new("git");
            git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
            git.current_dir(dir.path()).args(arguments).output().unwrap()
        };
        assert!(git(&["init", "-q", "--bare", "."]).status.success());
        let turn = Turn::take(dir.path()).unwrap();
        let told = git(&["gc"]);
        assert!(!told.status.success());
        assert!(String::from_utf8_lossy(&told.stderr).contains("already running"));
        drop(turn);
        assert!(git(&["gc", "-q"]).status.success());
    }
}
