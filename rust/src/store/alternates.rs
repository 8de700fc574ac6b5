//! Object folders borrowed from other repositories (`gitrepository-layout`,
//! "objects/info/alternates").

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::scan::stamp_at;
use crate::source::SourceError;

/// Git's own limit on alternates of alternates.
const MAX_DEPTH: u32 = 5;
/// More folders than this would make every missing object cost thousands of system calls.
const MAX_FOLDERS: usize = 512;
/// An alternates file is a few lines; this is thousands.
const MAX_FILE_LEN: u64 = 1 << 20;

/// The folders of one store, its own first, each once; and what is odd about them.
pub(super) struct Folders {
    pub(super) paths: Vec<PathBuf>,
    pub(super) warnings: Vec<String>,
}

/// Follows `extra` and then each `info/alternates`, depth first as git does.
pub(super) fn resolve(own: &Path, extra: &[PathBuf]) -> Result<Folders, SourceError> {
    let mut found = Found { folders: Folders { paths: vec![], warnings: vec![] }, seen: vec![] };
    let stamp = stamp_at(own)?.ok_or_else(|| SourceError::Io {
        file: own.display().to_string(),
        error: ErrorKind::NotFound.into(),
    })?;
    found.seen.push(stamp.identity());
    found.folders.paths.push(own.to_owned());
    for alternate in extra {
        found.add(alternate, 0)?;
    }
    found.follow(own, 0)?;
    Ok(found.folders)
}

struct Found {
    folders: Folders,
    seen: Vec<(u64, u64)>,
}

impl Found {
    fn add(&mut self, path: &Path, depth: u32) -> Result<(), SourceError> {
        let Some(stamp) = stamp_at(path)? else {
            return self
                .warn(format!("{}: alternate object folder does not exist", path.display()));
        };
        // a folder that two name, or a cycle of them, counts once
        if self.seen.contains(&stamp.identity()) {
            return Ok(());
        }
        if self.folders.paths.len() >= MAX_FOLDERS {
            return self.warn(format!("{}: too many alternates, ignored", path.display()));
        }
        self.seen.push(stamp.identity());
        self.folders.paths.push(path.to_owned());
        self.follow(path, depth + 1)
    }

    fn follow(&mut self, folder: &Path, depth: u32) -> Result<(), SourceError> {
        let list = folder.join("info/alternates");
        let content = match fs::metadata(&list) {
            Ok(metadata) if metadata.len() > MAX_FILE_LEN => {
                return self.warn(format!("{}: too large, ignored", list.display()));
            }
            Ok(_) => fs::read(&list),
            Err(error) => Err(error),
        };
        let content = match content {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(SourceError::Io { file: list.display().to_string(), error });
            }
        };
        for line in content.split(|&b| b == b'\n') {
            let Some(path) = parse_line(line) else { continue };
            if depth > MAX_DEPTH {
                return self
                    .warn(format!("{}: alternates nested too deep, ignored", list.display()));
            }
            // joining an absolute path replaces the folder
            self.add(&folder.join(path), depth)?;
        }
        Ok(())
    }

    fn warn(&mut self, warning: String) -> Result<(), SourceError> {
        self.folders.warnings.push(warning);
        Ok(())
    }
}

/// A path, a quoted path, a comment or nothing.
fn parse_line(line: &[u8]) -> Option<PathBuf> {
    if line.is_empty() || line[0] == b'#' {
        return None;
    }
    let raw =
        if line[0] == b'"' { unquote(line).unwrap_or(line.to_owned()) } else { line.to_owned() };
    Some(PathBuf::from(std::ffi::OsString::from_vec(raw)))
}

/// Undoes C-style quoting; `None` where the line is not quoted so.
fn unquote(line: &[u8]) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix(b"\"")?;
    let mut out = Vec::with_capacity(rest.len());
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some(out),
            b'\\' => {
                let (&escape, after) = rest.split_first()?;
                rest = after;
                out.push(match escape {
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    b'\\' | b'"' => escape,
                    b'0'..=b'3' => {
                        let digits = rest.get(..2)?;
                        if !digits.iter().all(|digit| matches!(digit, b'0'..=b'7')) {
                            return None;
                        }
                        rest = &rest[2..];
                        (escape - b'0') << 6 | (digits[0] - b'0') << 3 | (digits[1] - b'0')
                    }
                    _ => return None,
                });
            }
            other => out.push(other),
        }
    }
}

/// `objects/xx/yyyy…`, the file of a loose object.
pub(super) fn loose_path(folder: &Path, id: &crate::hash::ObjectId) -> PathBuf {
    let mut hex = Vec::with_capacity(66);
    id.write_hex(&mut hex);
    let mut path = Vec::with_capacity(folder.as_os_str().len() + 67);
    path.extend_from_slice(folder.as_os_str().as_bytes());
    path.push(b'/');
    path.extend_from_slice(&hex[..2]);
    path.push(b'/');
    path.extend_from_slice(&hex[2..]);
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_paths_quoted_or_not() {
        assert_eq!(parse_line(b""), None);
        assert_eq!(parse_line(b"# comment"), None);
        assert_eq!(parse_line(b"/a b"), Some(PathBuf::from("/a b")));
        assert_eq!(parse_line(b"\"/a\\n\\303\\244\\\"\""), Some(PathBuf::from("/a\n\u{e4}\"")));
        assert_eq!(parse_line(b"\"/a"), Some(PathBuf::from("\"/a")));
    }

    #[test]
    fn cycles_and_missing_folders_are_survived() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str| root.path().join(name);
        for name in ["a", "b", "c"] {
            fs::create_dir_all(folder(name).join("info")).unwrap();
        }
        fs::write(folder("a/info/alternates"), "../b\n#x\n/nowhere/at/all\n").unwrap();
        fs::write(folder("b/info/alternates"), "../a\n../c\n").unwrap();
        let found = resolve(&folder("a"), &[]).unwrap();
        assert_eq!(found.paths.len(), 3);
        assert_eq!(found.warnings.len(), 1);
        let found = resolve(&folder("a"), &[folder("c")]).unwrap();
        assert_eq!(found.paths[1], folder("c"));
        assert_eq!(found.paths.len(), 3);
    }

    #[test]
    fn nesting_ends_somewhere() {
        let root = tempfile::tempdir().unwrap();
        for nth in 0..10 {
            let info = root.path().join(format!("{nth}/info"));
            fs::create_dir_all(&info).unwrap();
            fs::write(info.join("alternates"), format!("../{}\n", nth + 1)).unwrap();
        }
        let found = resolve(&root.path().join("0"), &[]).unwrap();
        assert_eq!(found.paths.len(), 1 + 1 + MAX_DEPTH as usize);
        assert!(found.warnings[0].contains("too deep"));
    }
}
