//! What is wanted beside what refs name: reflogs, what is staged in work trees, and the heads of
//! these and of work that is under way.
//!
//! In: a repository's folder, with those of its linked worktrees. Out: names of objects, some of
//! which may be gone. As `git gc` counts, and a little more: every line of these files that begins
//! with object names counts (`FETCH_HEAD`, `ORIG_HEAD`); what else they say is not looked at. What
//! cannot be read is an error: nobody knows then what it names.

mod index;

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::MaintainError;
use crate::hash::{HashKind, IdSet, ObjectId};
use crate::refs::named_in_tables;
use crate::source::SourceError;

/// Folders in folders of refs; nobody nests names deeper.
const MAX_DEPTH: u32 = 64;

/// Folders of a worktree with files whose lines name objects: logs, refs of its own, and what a rebase
/// or a row of picks keeps for later.
const FOLDERS: [&str; 4] = ["logs", "rebase-merge", "rebase-apply", "sequencer"];

/// All of it.
pub(super) fn extra_roots(common_dir: &Path, hash: HashKind) -> Result<IdSet, MaintainError> {
    let mut roots = IdSet::default();
    collect(common_dir, hash, Lines::Any, &mut roots)?;
    let worktrees = common_dir.join("worktrees");
    for name in folder(&worktrees)? {
        // those of the repository are told by whoever reads its refs, when they are no refs
        collect(&worktrees.join(name), hash, Lines::Refs, &mut roots)?;
    }
    Ok(roots)
}

/// What the lines of a file may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// Names of objects, or anything.
    Any,
    /// One ref, which is an id or leads to another.
    Refs,
}

fn collect(
    git_dir: &Path,
    hash: HashKind,
    refs: Lines,
    roots: &mut IdSet,
) -> Result<(), MaintainError> {
    // with tables, these files only keep other programs from taking it for something else
    let tables = git_dir.join("reftable");
    let refs = if tables.exists() { Lines::Any } else { refs };
    // HEAD, FETCH_HEAD, ORIG_HEAD, MERGE_HEAD, AUTO_MERGE and the like
    for name in folder(git_dir)? {
        let upper = |&byte: &u8| byte.is_ascii_uppercase() || byte == b'_';
        let upper = name.as_encoded_bytes().iter().all(upper);
        if upper && git_dir.join(&name).is_file() {
            let lines = if name == "HEAD" { refs } else { Lines::Any };
            read_lines(&git_dir.join(&name), hash, lines, roots)?;
        }
    }
    for name in FOLDERS {
        below(&git_dir.join(name), hash, Lines::Any, roots, 0)?;
    }
    // those of a linked worktree, which the repository's refs do not list
    below(&git_dir.join("refs"), hash, refs, roots, 0)?;
    index::add_named(&git_dir.join("index"), hash, roots)?;
    named_in_tables(&tables, hash, &mut |id| {
        roots.extend((!id.is_null()).then_some(id));
    })?;
    Ok(())
}

fn below(
    path: &Path,
    hash: HashKind,
    lines: Lines,
    roots: &mut IdSet,
    depth: u32,
) -> Result<(), MaintainError> {
    if depth > MAX_DEPTH {
        return Err(no_ref(path, "folders in folders without end"));
    }
    for name in folder(path)? {
        let path = path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => below(&path, hash, lines, roots, depth + 1)?,
            Ok(_) => read_lines(&path, hash, lines, roots)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(MaintainError::io(&path)(error)),
        }
    }
    Ok(())
}

/// Each line's first two words, where these are names.
fn read_lines(
    path: &Path,
    hash: HashKind,
    lines: Lines,
    roots: &mut IdSet,
) -> Result<(), MaintainError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(MaintainError::io(path)(error)),
    };
    let is_lock = path.extension().is_some_and(|extension| extension == "lock");
    if lines == Lines::Refs && !is_lock && !text.starts_with(b"ref:") {
        let id = ObjectId::from_hex(text.trim_ascii_end());
        if id.is_none_or(|id| id.kind() != hash) {
            return Err(no_ref(path, "holds neither an id nor another ref"));
        }
    }
    for line in text.split(|&byte| byte == b'\n') {
        let words = line.split(|byte| byte.is_ascii_whitespace()).take(2);
        let ids = words.filter_map(ObjectId::from_hex);
        roots.extend(ids.filter(|id| id.kind() == hash && !id.is_null()));
    }
    Ok(())
}

fn no_ref(path: &Path, what: &str) -> MaintainError {
    SourceError::Corrupt { file: path.display().to_string(), what: what.to_owned() }.into()
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
