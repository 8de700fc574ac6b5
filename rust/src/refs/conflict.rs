//! Names that cannot be together: a ref cannot be a folder of refs (`git-check-ref-format` lets
//! both names be; the file system and git do not let them be at once).

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::UpdateError;
use super::folders;
use super::packed::PackedRefs;
use super::read::RefPaths;

/// Checks new names against those that exist; remembers the folders it has looked at.
pub(super) struct ConflictCheck<'a> {
    paths: &'a RefPaths,
    packed: &'a PackedRefs,
    free: HashSet<Vec<u8>>,
}

impl<'a> ConflictCheck<'a> {
    pub(super) fn new(paths: &'a RefPaths, packed: &'a PackedRefs) -> Self {
        Self { paths, packed, free: HashSet::new() }
    }

    /// May a ref of this name be created? Its lock must be held.
    pub(super) fn check(&mut self, name: &[u8]) -> Result<(), UpdateError> {
        for above in folders_of(name) {
            if self.free.contains(above) {
                continue;
            }
            let path = self.paths.of(above);
            let is_loose = fs::metadata(&path).is_ok_and(|meta| !meta.is_dir());
            if is_loose || self.packed.find(above).is_some() {
                return Err(conflict(above));
            }
            self.free.insert(above.to_vec());
        }
        let below = [name, b"/"].concat();
        let packed = self.packed.range(&below);
        if !packed.is_empty() {
            return Err(conflict(self.packed.name(packed.start)));
        }
        let path = self.paths.of(name);
        // Locks count: somebody is creating a ref in there.
        let found = folders::first_file(&path).map_err(|error| UpdateError::io(&path, error))?;
        match found {
            Some(found) => Err(conflict(&[&below, found.as_os_str().as_bytes()].concat())),
            None => Ok(()),
        }
    }

    /// Is somebody creating a ref where this one needs a folder? For refs that go into
    /// `packed-refs`, where no folder stands in the other's way.
    pub(super) fn check_locks(&mut self, name: &[u8]) -> Result<(), UpdateError> {
        for above in folders_of(name) {
            let lock = self.paths.of(&[above, b".lock"].concat());
            if self.free.insert([above, b".lock"].concat()) && lock.exists() {
                return Err(conflict(above));
            }
        }
        Ok(())
    }
}

/// Which of these names, in the order in which they were asked for, are in the way of earlier
/// ones of the same transaction? With the name each collides with.
pub(super) fn conflicts_among<'a>(names: &[&'a [u8]]) -> Vec<(usize, &'a [u8])> {
    let mut taken: HashSet<&[u8]> = HashSet::new();
    let mut taken_folders: std::collections::HashMap<&[u8], &[u8]> = Default::default();
    let mut found = Vec::new();
    for (at, &name) in names.iter().enumerate() {
        let above = folders_of(name).find(|above| taken.contains(above));
        match above.or_else(|| taken_folders.get(name).copied()) {
            Some(with) => found.push((at, with)),
            None => {
                taken.insert(name);
                taken_folders.extend(folders_of(name).map(|folder| (folder, name)));
            }
        }
    }
    found
}

/// `refs/a`, `refs/a/b` of `refs/a/b/c`.
pub(super) fn folders_of(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = name.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
    slashes.map(|(at, _)| &name[..at]).filter(|folder| folder.len() > "refs".len())
}

pub(super) fn conflict(with: &[u8]) -> UpdateError {
    let with = with.strip_suffix(b".lock").unwrap_or(with);
    UpdateError::Conflict { with: String::from_utf8_lossy(with).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_one_is_in_the_way() {
        let names: [&[u8]; 6] =
            [b"refs/a/b", b"refs/a", b"refs/a-b", b"refs/a/b/c", b"refs/a/c", b"refs/x"];
        let found = conflicts_among(&names);
        assert_eq!(found, [(1, &b"refs/a/b"[..]), (3, b"refs/a/b")]);
    }
}
