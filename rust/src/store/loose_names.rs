//! Which loose objects there are, listed once.
//!
//! In flow folders, out flow answers for one request. A push asks for each of its objects whether
//! it exists already; listing a folder of loose objects costs about what asking for one file does.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::hash::{HashKind, IdSet, ObjectId};
use crate::source::SourceError;

/// The names of loose objects by their first byte, each group listed when it is first asked for.
pub(super) struct LooseNames<'a> {
    folders: &'a [PathBuf],
    hash: HashKind,
    groups: Box<[OnceLock<IdSet>]>,
}

impl<'a> LooseNames<'a> {
    pub(super) fn new(folders: &'a [PathBuf], hash: HashKind) -> Self {
        Self { folders, hash, groups: (0..256).map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn contains(&self, id: &ObjectId) -> Result<bool, SourceError> {
        if super::loose::is_empty_tree(id) {
            return Ok(true);
        }
        let first = id.as_bytes()[0];
        let group = &self.groups[usize::from(first)];
        if let Some(names) = group.get() {
            return Ok(names.contains(id));
        }
        let names = self.list(first)?;
        Ok(group.get_or_init(|| names).contains(id))
    }

    fn list(&self, first: u8) -> Result<IdSet, SourceError> {
        let group = format!("{first:02x}");
        let mut names = IdSet::default();
        for folder in self.folders {
            let path = folder.join(&group);
            let failed = |error| SourceError::Io { file: path.display().to_string(), error };
            let files = match std::fs::read_dir(&path) {
                Ok(files) => files,
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            for file in files {
                let name = file.map_err(failed)?.file_name();
                let hex = [group.as_bytes(), name.as_encoded_bytes()].concat();
                names.extend(ObjectId::from_hex(&hex).filter(|id| id.kind() == self.hash));
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_folder_are_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folders =
            [folder.path().join("a"), folder.path().join("b"), folder.path().join("none")];
        let id = |c: u8| ObjectId::from_hex(&[c; 40]).unwrap();
        for (at, c) in [(0, "a"), (1, "b"), (1, "a")] {
            let group = folders[at].join(c.repeat(2));
            std::fs::create_dir_all(&group).unwrap();
            std::fs::write(group.join(c.repeat(38)), b"").unwrap();
            std::fs::write(group.join("tmp_obj_x"), b"").unwrap();
        }
        let names = LooseNames::new(&folders, HashKind::Sha1);
        for (c, there) in [(b'a', true), (b'b', true), (b'c', false)] {
            assert_eq!(names.contains(&id(c)).unwrap(), there);
        }
    }
}
