//! `tables.list`: the names of the tables there are, the oldest first.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::refs::RefError;
use crate::refs::stamp::{Seen, Stamp};

/// The list's own name.
const FILE: &str = "tables.list";

/// A list is no longer. Writers keep the number of tables down to some twenty.
const MAX_LIST: u64 = 1 << 20;

/// The list as it was read.
#[derive(Debug, Default)]
pub(super) struct TableList {
    /// Names of files in the list's folder.
    pub(super) names: Vec<Vec<u8>>,
    /// `None` when there was no list.
    seen: Option<Seen>,
}

impl TableList {
    /// Where it is.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Is the file certainly what was read?
    pub(super) fn is_current(&self, folder: &Path) -> bool {
        self.seen.is_some_and(|seen| {
            std::fs::metadata(Self::path(folder)).is_ok_and(|meta| seen.is_still(&Stamp::of(&meta)))
        })
    }

    /// Reads it. None, as before the first transaction, is an empty one.
    pub(super) fn read(folder: &Path) -> Result<Self, RefError> {
        let path = Self::path(folder);
        let read_at = SystemTime::now();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(RefError::io(&path, error)),
        };
        let meta = file.metadata().map_err(|error| RefError::io(&path, error))?;
        let mut text = Vec::new();
        let read = file.by_ref().take(MAX_LIST + 1).read_to_end(&mut text);
        read.map_err(|error| RefError::io(&path, error))?;
        if text.len() as u64 > MAX_LIST {
            let (file, size) = (path.display().to_string(), meta.len());
            return Err(RefError::TooLarge { file, size, limit: MAX_LIST });
        }
        let names = parse(&text).map_err(|line| RefError::Corrupt {
            file: path.display().to_string(),
            line,
            what: "is no name of a table",
        })?;
        Ok(Self { names, seen: Some(Seen::new(Stamp::of(&meta), read_at)) })
    }
}

/// The names, or the number of the line that holds none.
fn parse(text: &[u8]) -> Result<Vec<Vec<u8>>, usize> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        // the last line ends like the others, or does not
        if line.is_empty() {
            continue;
        }
        let leads_out = line.contains(&b'/') || line.contains(&0) || line == b"." || line == b"..";
        if leads_out || line == FILE.as_bytes() {
            return Err(at + 1);
        }
        names.push(line.to_vec());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        assert_eq!(parse(b"a.ref\nb.ref\n").unwrap(), [b"a.ref", b"b.ref"]);
        assert!(parse(b"").unwrap().is_empty());
        for bad in ["a\n../../x\n", "a\n/etc/passwd", "a\n..\n", "a\ntables.list\n"] {
            assert_eq!(parse(bad.as_bytes()), Err(2), "{bad:?}");
        }
    }
}
