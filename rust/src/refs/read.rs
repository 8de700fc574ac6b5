//! One ref's file: where it is, and what it may hold (`gitrepository-layout`, `git-symbolic-ref`).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::RefError;
use super::loose::is_gone;
use super::name::{self, MAX_NAME, PER_WORKTREE_FOLDERS};
use super::stamp::{Seen, Stamp};
use crate::hash::{HashKind, ObjectId};

/// A ref's file is no longer than a symbolic ref with the longest name.
const MAX_FILE: u64 = MAX_NAME as u64 + 64;

/// Where the files of a repository's refs are.
///
/// A linked worktree has its own HEAD and its own `refs/bisect` and the like; everything else is
/// in the directory common to all (`git-worktree`, "Refs").
#[derive(Debug, Clone)]
pub(super) struct RefPaths {
    git_dir: PathBuf,
    common_dir: PathBuf,
    kind: HashKind,
    is_linked: bool,
}

impl RefPaths {
    pub(super) fn new(git_dir: &Path, common_dir: Option<&Path>, kind: HashKind) -> Self {
        let common_dir = common_dir.unwrap_or(git_dir);
        Self {
            is_linked: common_dir != git_dir,
            git_dir: git_dir.to_owned(),
            common_dir: common_dir.to_owned(),
            kind,
        }
    }

    /// The object format.
    pub(super) fn kind(&self) -> HashKind {
        self.kind
    }

    /// The file of a ref, or the folder when `name` ends with a slash.
    pub(super) fn of(&self, name: &[u8]) -> PathBuf {
        self.base(name).join(OsStr::from_bytes(name))
    }

    /// The directory that a ref's name is relative to.
    pub(super) fn base(&self, name: &[u8]) -> &Path {
        if name::is_per_worktree(name) { &self.git_dir } else { &self.common_dir }
    }

    /// `packed-refs` is common to all worktrees.
    pub(super) fn packed(&self) -> PathBuf {
        self.common_dir.join("packed-refs")
    }

    /// Is this folder, found in the common directory, another worktree's?
    pub(super) fn is_foreign(&self, folder: &[u8]) -> bool {
        self.is_linked && PER_WORKTREE_FOLDERS.contains(&folder)
    }

    /// The folders below `refs/` that are this linked worktree's own.
    pub(super) fn own_folders(&self) -> impl Iterator<Item = &'static [u8]> {
        let own = if self.is_linked { &PER_WORKTREE_FOLDERS[..] } else { &[] };
        own.iter().map(|folder| &folder["refs/".len()..folder.len() - 1])
    }
}

/// What a ref's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RawRef {
    /// An id, not all zeros.
    Id(ObjectId),
    /// `ref: <name>`; the name may be of no ref, but it is a valid name.
    Symbolic(Vec<u8>),
    /// Something else.
    Broken,
}

impl RawRef {
    /// From a file's content: an id and white space after it, or `ref:` and a name.
    pub(super) fn parse(content: &[u8], kind: HashKind) -> Self {
        if let Some(target) = content.strip_prefix(b"ref:") {
            let target = target.trim_ascii();
            return if name::is_valid_onelevel(target) {
                RawRef::Symbolic(target.to_vec())
            } else {
                RawRef::Broken
            };
        }
        let digits = content.get(..kind.hex_len());
        let after = content.get(kind.hex_len());
        match digits.and_then(ObjectId::from_hex) {
            Some(id) if !id.is_null() && after.is_none_or(u8::is_ascii_whitespace) => {
                RawRef::Id(id)
            }
            _ => RawRef::Broken,
        }
    }
}

/// Reads a ref's file; `None` when there is none (a folder of its name is none).
///
/// A symbolic link to a path that begins with `refs/` is an old way to write a symbolic ref.
pub(super) fn read_file(path: &Path, kind: HashKind) -> Result<Option<(RawRef, Seen)>, RefError> {
    let read_at = SystemTime::now();
    if let Some(target) = link_target(path)? {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(RefError::io(path, error)),
        };
        // its stamp is the link's, and readers stat what it leads to: read anew each time
        return Ok(Some((RawRef::Symbolic(target), Seen::never_settled(Stamp::of(&meta)))));
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(RefError::io(path, error)),
    };
    let meta = file.metadata().map_err(|error| RefError::io(path, error))?;
    if meta.is_dir() {
        return Ok(None);
    }
    let seen = Seen::new(Stamp::of(&meta), read_at);
    let mut content = Vec::with_capacity(128);
    match file.by_ref().take(MAX_FILE + 1).read_to_end(&mut content) {
        Ok(_) => {}
        // a ref that cannot be read must not take the others with it
        Err(_) => return Ok(Some((RawRef::Broken, seen))),
    }
    let raw = if content.len() as u64 > MAX_FILE {
        RawRef::Broken
    } else {
        RawRef::parse(&content, kind)
    };
    Ok(Some((raw, seen)))
}

/// The ref that a symbolic link names, when it is one that names a ref.
fn link_target(path: &Path) -> Result<Option<Vec<u8>>, RefError> {
    match fs::read_link(path) {
        Ok(target) => {
            let target = target.into_os_string().into_vec();
            Ok(name::is_listed(&target).then_some(target))
        }
        // EINVAL: no symbolic link
        Err(error) if error.kind() == ErrorKind::InvalidInput || is_gone(&error) => Ok(None),
        Err(error) => Err(RefError::io(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "1234567890abcdef1234567890abcdef12345678";

    fn parse(content: &str) -> RawRef {
        RawRef::parse(content.as_bytes(), HashKind::Sha1)
    }

    #[test]
    fn ids_and_names_in_all_forms_that_git_reads() {
        let id = RawRef::Id(ObjectId::from_hex(HEX.as_bytes()).unwrap());
        for good in [format!("{HEX}\n"), HEX.to_owned(), format!("{HEX} x"), HEX.to_uppercase()] {
            assert_eq!(parse(&good), id, "{good:?}");
        }
        let symbolic = RawRef::Symbolic(b"refs/heads/a".to_vec());
        for good in ["ref: refs/heads/a\n", "ref:refs/heads/a", "ref: \t refs/heads/a \n\n"] {
            assert_eq!(parse(good), symbolic, "{good:?}");
        }
    }

    #[test]
    fn everything_else_is_broken() {
        let zeros = "0".repeat(40);
        for bad in [
            "",
            "\n",
            "garbage\n",
            &HEX[..39],
            &format!("{HEX}a\n"),
            &zeros,
            "ref:",
            "ref: refs/heads/../a\n",
            "ref: refs/heads/a b",
        ] {
            assert_eq!(parse(bad), RawRef::Broken, "{bad:?}");
        }
        assert_eq!(RawRef::parse(HEX.as_bytes(), HashKind::Sha256), RawRef::Broken);
    }
}
