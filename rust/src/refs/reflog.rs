//! Reflogs: one line for each move of a ref (`git-reflog`, `gitrepository-layout`).

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::folders::{self, Folders};
use super::read::RefPaths;
use super::{Reflog, UpdateError, UpdateOptions};
use crate::hash::ObjectId;
use crate::sharing::Sharing;

/// Appends to the logs of one transaction's refs.
pub(super) struct ReflogWriter<'a> {
    paths: &'a RefPaths,
    policy: Reflog,
    /// ` <committer>[\t<message>]\n`
    tail: Vec<u8>,
    is_off: bool,
}

impl<'a> ReflogWriter<'a> {
    pub(super) fn new(paths: &'a RefPaths, options: &UpdateOptions<'_>) -> Self {
        let mut tail = vec![b' '];
        tail.extend(one_line(options.committer));
        let message = one_line(options.message);
        if !message.is_empty() {
            tail.push(b'\t');
            tail.extend(message);
        }
        tail.push(b'\n');
        Self { paths, policy: options.reflog, tail, is_off: options.committer.is_empty() }
    }

    /// The ref goes from one id to another; zeros stand for none.
    pub(super) fn append(
        &self,
        name: &[u8],
        old: &ObjectId,
        new: &ObjectId,
        folders: &mut Folders,
    ) -> Result<(), UpdateError> {
        if self.is_off {
            return Ok(());
        }
        let path = self.path(name);
        let mut line = Vec::with_capacity(self.tail.len() + 130);
        old.write_hex(&mut line);
        line.push(b' ');
        new.write_hex(&mut line);
        line.extend_from_slice(&self.tail);
        let creates = creates(self.policy, name);
        let mut is_retry = false;
        loop {
            // one write of a whole line at the end: lines of several writers do not mix
            match OpenOptions::new().append(true).create(creates).open(&path) {
                Ok(mut log) => {
                    let shared = if creates && folders.sharing() != Sharing::Umask {
                        share(&log, folders.sharing())
                    } else {
                        Ok(())
                    };
                    let written = shared.and_then(|()| log.write_all(&line));
                    return written.map_err(|error| UpdateError::io(&path, error));
                }
                Err(error) if error.kind() == ErrorKind::NotFound && !creates => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NotFound && !is_retry => {
                    folders.make_parent(&path)?;
                }
                Err(error) if error.kind() == ErrorKind::IsADirectory && !is_retry => {
                    if !creates {
                        return Ok(());
                    }
                    folders::remove_empty_tree(&path);
                }
                Err(error) if !creates && super::loose::is_gone(&error) => return Ok(()),
                Err(error) => return Err(UpdateError::io(&path, error)),
            }
            is_retry = true;
        }
    }

    /// The ref is gone; its log goes too.
    pub(super) fn remove(&self, name: &[u8]) {
        // a log that stays does no harm: the next ref of that name goes on with it
        if fs::remove_file(self.path(name)).is_ok() {
            folders::prune_parents(&self.paths.base(name).join("logs"), name);
        }
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        self.paths.base(name).join("logs").join(Path::new(OsStr::from_bytes(name)))
    }
}

/// Shares a log that has just been made. One that others made is theirs.
fn share(log: &File, sharing: Sharing) -> std::io::Result<()> {
    if log.metadata()?.len() == 0 { sharing.share_file(log) } else { Ok(()) }
}

/// Is a log begun for a ref that has none?
pub(super) fn creates(policy: Reflog, name: &[u8]) -> bool {
    let branches: [&[u8]; 3] = [b"refs/heads/", b"refs/remotes/", b"refs/notes/"];
    match policy {
        Reflog::Existing => false,
        Reflog::Branches => {
            name == b"HEAD" || branches.iter().any(|folder| name.starts_with(folder))
        }
        Reflog::All => true,
    }
}

/// Runs of white space as one space, none at the ends; other control characters do no harm.
pub(super) fn one_line(text: &[u8]) -> Vec<u8> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(&b' ')
}
