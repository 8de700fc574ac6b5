//! Loose refs: one small file each, in folders below `refs/` (`gitrepository-layout`).
//!
//! A scan gives a flat table: names in one arena, one fixed-size row a ref, in order of names.
//! It is given the table of the scan before and reads only what changed: a folder whose stamp
//! still holds is not listed again, a file whose stamp still holds is not opened. What is left
//! is one `stat` each. Git, and every program that keeps to its rules, moves a ref by renaming a
//! lock file, which changes the folder's stamp, so with many refs the `stat` of each folder is
//! enough. Only a person with an editor rewrites a file in place; such a change is seen too, within
//! [`UNSEEN_IN_PLACE`], or at once where refs are few.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::RefError;
use super::name;
use super::overlay::{Overlay, keep_name, offset};
use super::read::RefPaths;
use super::stamp::{Seen, Stamp};

/// Folders below `refs/` are not followed deeper than this; symbolic links can make circles.
const MAX_DEPTH: usize = 256;

/// For this long folders alone are looked at where there are many loose refs.
pub(super) const UNSEEN_IN_PLACE: Duration = Duration::from_secs(1);

/// So many files cost little to look at each time.
const FEW: usize = 32;

#[derive(Debug)]
struct Folder {
    /// With its trailing slash.
    name: Range<u32>,
    seen: Seen,
    children: Range<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Child {
    File(u32),
    Folder(u32),
    /// Not there any more when it was looked at.
    Gone,
}

/// All loose refs of one scan.
#[derive(Debug, Default)]
pub(super) struct LooseRefs {
    /// What their files hold.
    pub(super) refs: Arc<Overlay>,
    /// The files' stamps, by row.
    seen: Vec<Seen>,
    folder_names: Vec<u8>,
    folders: Vec<Folder>,
    children: Vec<Child>,
    /// How many files had just been changed when they were read: their stamps tell nothing.
    unsettled: usize,
}

impl LooseRefs {
    /// Is every folder still as it was, and every file where they are few or `all` says so? One
    /// `stat` each and nothing else.
    pub(super) fn is_current(&self, paths: &RefPaths, all: bool) -> bool {
        let files = all || !self.is_told_by_folders();
        let mut path = Vec::new();
        let mut is_still = |name: &[u8], seen: &Seen| {
            path.clear();
            path.extend_from_slice(paths.base(name).as_os_str().as_bytes());
            path.push(b'/');
            path.extend_from_slice(name);
            let meta = fs::metadata(Path::new(OsStr::from_bytes(&path)));
            meta.is_ok_and(|meta| seen.is_still(&Stamp::of(&meta)))
        };
        self.folders.iter().all(|folder| is_still(self.text(&folder.name), &folder.seen))
            && !self.folders.is_empty()
            && self.unsettled == 0
            && (!files
                || (0..self.seen.len()).all(|row| is_still(self.refs.name(row), &self.seen[row])))
    }

    /// Are there so many refs that their folders have to tell of changes?
    pub(super) fn is_told_by_folders(&self) -> bool {
        self.refs.len() > FEW
    }

    fn text(&self, range: &Range<u32>) -> &[u8] {
        &self.folder_names[range.start as usize..range.end as usize]
    }

    fn folder(&self, name: &[u8]) -> Option<&Folder> {
        // few folders, made in order of their names
        let found = self.folders.binary_search_by(|folder| self.text(&folder.name).cmp(name));
        found.ok().map(|at| &self.folders[at])
    }

    /// The names, relative to the folder, of what `previous` knows to be in it.
    fn known_children<'a>(
        &'a self,
        folder: &'a Folder,
    ) -> impl Iterator<Item = (&'a [u8], bool)> + 'a {
        let inner = (folder.name.end - folder.name.start) as usize;
        let range = folder.children.start as usize..folder.children.end as usize;
        self.children[range].iter().filter_map(move |child| match *child {
            Child::File(row) => Some((&self.refs.name(row as usize)[inner..], false)),
            Child::Folder(at) => {
                let name = self.text(&self.folders[at as usize].name);
                Some((&name[inner..name.len() - 1], true))
            }
            Child::Gone => None,
        })
    }
}

/// Scans `refs/`, reading what `previous` does not know already. Looks at files in unchanged folders
/// as [`LooseRefs::is_current`] does.
pub(super) fn scan(
    paths: &RefPaths,
    previous: &LooseRefs,
    all: bool,
) -> Result<LooseRefs, RefError> {
    let trusts_folders = !all && previous.is_told_by_folders();
    let (refs, next) = (Overlay::default(), LooseRefs::default());
    let mut scan = Scan { paths, previous, trusts_folders, refs, next };
    scan.run()?;
    let mut next = scan.next;
    next.refs = Arc::new(scan.refs);
    next.unsettled = next.seen.iter().filter(|seen| !seen.is_settled()).count();
    Ok(next)
}

struct Scan<'a> {
    paths: &'a RefPaths,
    previous: &'a LooseRefs,
    trusts_folders: bool,
    refs: Overlay,
    next: LooseRefs,
}

/// A name within a folder, and whether it is a folder itself.
type Listed = (Vec<u8>, bool);

impl Scan<'_> {
    /// Depth first, each folder's children in order of their full names, so that rows and
    /// folders come out sorted. On a stack of its own, because names choose the depth.
    fn run(&mut self) -> Result<(), RefError> {
        struct Open {
            name: Vec<u8>,
            listed: std::vec::IntoIter<Listed>,
            is_unchanged: bool,
            next_child: usize,
        }
        let mut stack = Vec::new();
        let enter = |scan: &mut Self, name: Vec<u8>, stack: &mut Vec<Open>| {
            let Some((seen, listed, is_unchanged)) = scan.list(&name)? else { return Ok(None) };
            let first = offset(scan.next.children.len())?;
            let end = offset(scan.next.children.len() + listed.len())?;
            scan.next.children.resize(end as usize, Child::Gone);
            let at = offset(scan.next.folders.len())?;
            let range = keep_name(&mut scan.next.folder_names, &name)?;
            scan.next.folders.push(Folder { name: range, seen, children: first..end });
            let (listed, next_child) = (listed.into_iter(), first as usize);
            stack.push(Open { name, listed, is_unchanged, next_child });
            Ok::<_, RefError>(Some(at))
        };
        enter(self, b"refs/".to_vec(), &mut stack)?;
        while let Some(open) = stack.last_mut() {
            let Some((child_name, is_folder)) = open.listed.next() else {
                stack.pop();
                continue;
            };
            let slot = open.next_child;
            open.next_child += 1;
            let is_trusted = open.is_unchanged && self.trusts_folders;
            let mut full = open.name.clone();
            full.extend_from_slice(&child_name);
            let child = if is_folder && stack.len() < MAX_DEPTH {
                full.push(b'/');
                enter(self, full, &mut stack)?.map(Child::Folder)
            } else if is_folder {
                None
            } else {
                self.file(&full, is_trusted)?.map(Child::File)
            };
            self.next.children[slot] = child.unwrap_or(Child::Gone);
        }
        Ok(())
    }

    /// What is in a folder, in order of full names, and whether that is as it was; `None` when there
    /// is no such folder.
    fn list(&self, name: &[u8]) -> Result<Option<(Seen, Vec<Listed>, bool)>, RefError> {
        let path = self.paths.of(name);
        let read_at = SystemTime::now();
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(RefError::io(&path, error)),
        };
        let stamp = Stamp::of(&meta);
        let known = self.previous.folder(name);
        let owned = |(name, is_folder): (&[u8], bool)| (name.to_vec(), is_folder);
        if let Some(known) = known.filter(|known| known.seen.is_still(&stamp)) {
            let listed = self.previous.known_children(known).map(owned).collect();
            return Ok(Some((known.seen, listed, true)));
        }
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(RefError::io(&path, error)),
        };
        let mut listed = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| RefError::io(&path, error))?;
            let file_name = entry.file_name();
            let file_name = file_name.as_bytes();
            if file_name.starts_with(b".") || file_name.ends_with(b".lock") {
                continue;
            }
            let is_folder = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => match fs::metadata(entry.path()) {
                    Ok(meta) => meta.is_dir(),
                    Err(_) => continue, // dangling
                },
                Ok(kind) => kind.is_dir(),
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(RefError::io(&entry.path(), error)),
            };
            if !(is_folder && self.paths.is_foreign(&join(name, file_name))) {
                listed.push((file_name.to_vec(), is_folder));
            }
        }
        if name == b"refs/" {
            listed.extend(self.paths.own_folders().map(|own| (own.to_vec(), true)));
        }
        // A listing may miss a name that is renamed over while it is made. What was there before
        // is looked for by name, and the look tells whether it is gone.
        if let Some(known) = known {
            let missing: Vec<Listed> = {
                let names: HashSet<&[u8]> = listed.iter().map(|(name, _)| &name[..]).collect();
                let known = self.previous.known_children(known);
                known.filter(|(name, _)| !names.contains(name)).map(owned).collect()
            };
            listed.extend(missing);
        }
        listed.sort_by(|a, b| full_order(a).cmp(full_order(b)));
        Ok(Some((Seen::new(stamp, read_at), listed, false)))
    }

    /// Reads one ref unless it is known; its row, `None` when it is gone or no ref. `is_trusted`: its
    /// folder says that it is there as it was.
    fn file(&mut self, name: &[u8], is_trusted: bool) -> Result<Option<u32>, RefError> {
        if !name::is_listed(name) {
            return Ok(None);
        }
        let path = self.paths.of(name);
        let known = self.previous.refs.find(name);
        let known = known.map(|row| (self.previous.refs.value(row), self.previous.seen[row]));
        let (value, seen) = match known {
            Some((value, seen)) if is_trusted && seen.is_settled() => (value.clone(), seen),
            Some((value, seen)) => match fs::metadata(&path) {
                Ok(meta) if seen.is_still(&Stamp::of(&meta)) => (value.clone(), seen),
                Err(error) if is_gone(&error) => return Ok(None),
                _ => match super::read::read_file(&path, self.paths.kind())? {
                    Some((raw, seen)) => (raw.into(), seen),
                    None => return Ok(None),
                },
            },
            None => match super::read::read_file(&path, self.paths.kind())? {
                Some((raw, seen)) => (raw.into(), seen),
                None => return Ok(None),
            },
        };
        let at = offset(self.refs.len())?;
        self.refs.push(name, value)?;
        self.next.seen.push(seen);
        Ok(Some(at))
    }
}

/// A folder sorts as its children's names do, with a slash behind it.
fn full_order((name, is_folder): &Listed) -> impl Iterator<Item = &u8> {
    name.iter().chain(is_folder.then_some(&b'/'))
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    [folder, name, b"/"].concat()
}

/// Not there, or a file where a folder was, or the other way round: somebody is moving things.
pub(super) fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{HashKind, ObjectId};
    use crate::refs::overlay::LooseValue;

    const HEX: &str = "1234567890abcdef1234567890abcdef12345678";

    struct Folder {
        dir: tempfile::TempDir,
        paths: RefPaths,
    }

    impl Folder {
        fn new(names: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let paths = RefPaths::new(dir.path(), None, HashKind::Sha1);
            let folder = Self { dir, paths };
            names.iter().for_each(|name| folder.write(name, HEX));
            folder
        }

        fn write(&self, name: &str, content: &str) {
            let path = self.dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    fn names(table: &LooseRefs) -> Vec<String> {
        let name = |row| String::from_utf8_lossy(table.refs.name(row)).into_owned();
        (0..table.refs.len()).map(name).collect()
    }

    /// As it would be had everything been left alone for long.
    fn settle(table: &mut LooseRefs, paths: &RefPaths) {
        let later = SystemTime::now() + Duration::from_secs(10);
        let stamp = |name: &[u8]| Stamp::of(&fs::metadata(paths.of(name)).unwrap());
        let seen = |name: &[u8]| Seen::new(stamp(name), later);
        table.seen = (0..table.refs.len()).map(|row| seen(table.refs.name(row))).collect();
        let folders: Vec<_> = table.folders.iter().map(|it| seen(table.text(&it.name))).collect();
        table.folders.iter_mut().zip(folders).for_each(|(folder, seen)| folder.seen = seen);
        table.unsettled = 0;
    }

    fn set_broken(table: &mut LooseRefs, row: usize) {
        Arc::get_mut(&mut table.refs).unwrap().set(row, LooseValue::Broken);
    }

    #[test]
    fn rows_are_in_order_of_full_names() {
        let folder = Folder::new(&[
            "refs/heads/a/x",
            "refs/heads/a-b",
            "refs/heads/a.c",
            "refs/heads/a0",
            "refs/heads/b/c/d/e",
            "refs/tags/a",
            "refs/top",
        ]);
        let table = scan(&folder.paths, &LooseRefs::default(), true).unwrap();
        let mut sorted = names(&table);
        sorted.sort();
        assert_eq!(names(&table), sorted);
        assert_eq!(table.refs.len(), 7);
        assert_eq!(table.refs.range(b"refs/heads/a"), 0..4);
        assert_eq!(
            table.refs.find(b"refs/heads/a/x").map(|row| table.refs.name(row)),
            Some(&b"refs/heads/a/x"[..])
        );
        assert!(!table.is_current(&folder.paths, true), "fresh files are looked at again");
    }

    /// A value that is in no file shows what was read and what was not.
    #[test]
    fn only_what_changed_is_read() {
        let folder = Folder::new(&["refs/heads/a", "refs/heads/b", "refs/tags/c/d"]);
        let mut table = scan(&folder.paths, &LooseRefs::default(), true).unwrap();
        settle(&mut table, &folder.paths);
        for row in 0..3 {
            set_broken(&mut table, row);
        }
        assert!(table.is_current(&folder.paths, true));
        let other = HEX.replace('1', "2");
        folder.write("refs/heads/b", &other);
        assert!(!table.is_current(&folder.paths, true), "a file rewritten in place");
        folder.write("refs/tags/c/new", HEX);
        let next = scan(&folder.paths, &table, true).unwrap();
        let id = |hex: &str| LooseValue::Id(ObjectId::from_hex(hex.as_bytes()).unwrap());
        let values: Vec<_> = (0..next.refs.len()).map(|row| next.refs.value(row).clone()).collect();
        assert_eq!(values, [LooseValue::Broken, id(&other), LooseValue::Broken, id(HEX)]);
        fs::remove_dir_all(folder.dir.path().join("refs/tags")).unwrap();
        assert_eq!(
            names(&scan(&folder.paths, &next, true).unwrap()),
            ["refs/heads/a", "refs/heads/b"]
        );
    }

    #[test]
    fn many_files_are_told_by_their_folders() {
        let names: Vec<_> = (0..2 * FEW).map(|n| format!("refs/heads/{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let folder = Folder::new(&names);
        let mut table = scan(&folder.paths, &LooseRefs::default(), true).unwrap();
        settle(&mut table, &folder.paths);
        let other = HEX.replace('1', "2");
        folder.write("refs/heads/7", &other);
        assert!(table.is_current(&folder.paths, false), "an editor's change, not seen yet");
        assert!(!table.is_current(&folder.paths, true));
        // as git does it
        folder.write("refs/heads/8.lock", &other);
        let at = |name: &str| folder.dir.path().join(name);
        fs::rename(at("refs/heads/8.lock"), at("refs/heads/8")).unwrap();
        assert!(!table.is_current(&folder.paths, false));
        let id = |hex: &str| LooseValue::Id(ObjectId::from_hex(hex.as_bytes()).unwrap());
        folder.write("refs/tags/new", HEX);
        let mut known = scan(&folder.paths, &table, true).unwrap();
        settle(&mut known, &folder.paths);
        set_broken(&mut known, 3);
        folder.write("refs/tags/newer", &other);
        let next = scan(&folder.paths, &known, false).unwrap();
        assert_eq!(next.refs.value(3), &LooseValue::Broken, "not read: its folder is unchanged");
        let newer = next.refs.find(b"refs/tags/newer").unwrap();
        assert_eq!((next.refs.value(newer), next.unsettled), (&id(&other), 1));
        Arc::get_mut(&mut table.refs).unwrap().truncate(FEW);
        settle(&mut table, &folder.paths);
        folder.write("refs/heads/11", &HEX.replace('1', "33"));
        assert!(!table.is_current(&folder.paths, false), "few are looked at each time");
    }

    #[test]
    fn circles_of_folders_end() {
        let folder = Folder::new(&["refs/heads/a"]);
        let refs = folder.dir.path().join("refs");
        std::os::unix::fs::symlink(&refs, refs.join("circle")).unwrap();
        assert!(scan(&folder.paths, &LooseRefs::default(), true).unwrap().refs.len() < MAX_DEPTH);
    }

    #[test]
    fn no_folder_is_no_refs() {
        let folder = Folder::new(&[]);
        let table = scan(&folder.paths, &LooseRefs::default(), true).unwrap();
        assert_eq!(table.refs.len(), 0);
        assert!(!table.is_current(&folder.paths, true));
    }
}
