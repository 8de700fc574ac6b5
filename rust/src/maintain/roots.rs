//! What is wanted beside what refs name: reflogs, and the heads of worktrees and of work that is
//! under way.
//!
//! In: a repository's folder. Out: names of objects, some of which may be gone. Every line of these
//! files that begins with object names counts; what else they say is not looked at.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::MaintainError;
use crate::hash::{HashKind, IdSet, ObjectId};

/// Folders in folders of refs; nobody nests names deeper.
const MAX_DEPTH: u32 = 64;

/// All of it.
pub(super) fn extra_roots(common_dir: &Path, hash: HashKind) -> Result<IdSet, MaintainError> {
    let mut roots = IdSet::default();
    collect(common_dir, hash, &mut roots)?;
    let worktrees = common_dir.join("worktrees");
    for name in folder(&worktrees)? {
        collect(&worktrees.join(name), hash, &mut roots)?;
    }
    Ok(roots)
}

/// May objects be named where we do not look: in the indexes of work trees, or in the logs of
/// reftables?
pub(super) fn are_hidden(common_dir: &Path) -> bool {
    ["index", "worktrees", "reftable"].iter().any(|name| common_dir.join(name).exists())
}

fn collect(git_dir: &Path, hash: HashKind, roots: &mut IdSet) -> Result<(), MaintainError> {
    // HEAD, FETCH_HEAD, ORIG_HEAD, MERGE_HEAD, AUTO_MERGE and the like
    for name in folder(git_dir)? {
        let upper = |&byte: &u8| byte.is_ascii_uppercase() || byte == b'_';
        let upper = name.as_encoded_bytes().iter().all(upper);
        if upper && git_dir.join(&name).is_file() {
            read_lines(&git_dir.join(&name), hash, roots)?;
        }
    }
    below(&git_dir.join("logs"), hash, roots, 0)?;
    // those of a linked worktree, which the repository's refs do not list
    below(&git_dir.join("refs"), hash, roots, 0)
}

fn below(path: &Path, hash: HashKind, roots: &mut IdSet, depth: u32) -> Result<(), MaintainError> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    for name in folder(path)? {
        let path = path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => below(&path, hash, roots, depth + 1)?,
            Ok(_) => read_lines(&path, hash, roots)?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Each line's first two words, where these are names.
fn read_lines(path: &Path, hash: HashKind, roots: &mut IdSet) -> Result<(), MaintainError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(MaintainError::io(path)(error)),
    };
    for line in text.split(|&byte| byte == b'\n') {
        let words = line.split(|byte| byte.is_ascii_whitespace()).take(2);
        let ids = words.filter_map(ObjectId::from_hex);
        roots.extend(ids.filter(|id| id.kind() == hash && !id.is_null()));
    }
    Ok(())
}

fn folder(path: &Path) -> Result<Vec<OsString>, MaintainError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(MaintainError::io(path)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(MaintainError::io(path))?.file_name());
    }
    Ok(names)
}
