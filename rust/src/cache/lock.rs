//! Locks of open files: they go with the last descriptor, so with the process that held them.
//!
//! They are on bytes of a file, which need not be there, and belong to one opening of it: threads
//! of a process lock against each other. See `fcntl(2)`, "Open file description locks".

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::fd::AsRawFd;

/// Held by whoever makes the pack.
pub(super) const MAKER: libc::off_t = 0;
/// Shared by all who read the pack while it is made.
pub(super) const READERS: libc::off_t = 1;

/// Does this system have such locks?
pub(super) const AVAILABLE: bool = cfg!(target_os = "linux");

/// Takes the lock for us alone; false when others have it.
pub(super) fn try_exclusive(file: &File, at: libc::off_t) -> std::io::Result<bool> {
    match asked(file, at, SET, libc::F_WRLCK as libc::c_short) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(false),
        Err(error) => Err(error),
    }
}

/// As [`try_exclusive`], but waits for it.
pub(super) fn exclusive(file: &File, at: libc::off_t) -> std::io::Result<()> {
    loop {
        match asked(file, at, SET_WAITING, libc::F_WRLCK as libc::c_short) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done.map(|_| ()),
        }
    }
}

/// Takes the lock beside others who share it.
pub(super) fn shared(file: &File, at: libc::off_t) -> std::io::Result<()> {
    asked(file, at, SET, libc::F_RDLCK as libc::c_short).map(|_| ())
}

/// Does another opening of this file have the lock, alone or shared?
pub(super) fn is_held(file: &File, at: libc::off_t) -> std::io::Result<bool> {
    let found = asked(file, at, GET, libc::F_WRLCK as libc::c_short)?;
    Ok(found != libc::F_UNLCK as libc::c_short)
}

#[cfg(target_os = "linux")]
const GET: libc::c_int = libc::F_OFD_GETLK;
#[cfg(target_os = "linux")]
const SET: libc::c_int = libc::F_OFD_SETLK;
#[cfg(target_os = "linux")]
const SET_WAITING: libc::c_int = libc::F_OFD_SETLKW;
// what nobody comes to: see AVAILABLE
#[cfg(not(target_os = "linux"))]
const GET: libc::c_int = libc::F_GETLK;
#[cfg(not(target_os = "linux"))]
const SET: libc::c_int = libc::F_SETLK;
#[cfg(not(target_os = "linux"))]
const SET_WAITING: libc::c_int = libc::F_SETLKW;

fn asked(
    file: &File,
    at: libc::off_t,
    command: libc::c_int,
    kind: libc::c_short,
) -> std::io::Result<libc::c_short> {
    // SAFETY: a C struct of numbers, for which zeros are values.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = at;
    lock.l_len = 1;
    // SAFETY: the descriptor is open for as long as `file` is; the struct lives through the call.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), command, &mut lock) };
    if done == -1 { Err(Error::last_os_error()) } else { Ok(lock.l_type) }
}
