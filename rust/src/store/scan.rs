//! What is in the object folders, and whether it still is.
//!
//! A change of a folder shows in its times, unless it happens within the clock's granularity of
//! the moment when the folder was read. Such young folders are read again until they have
//! settled (git's "racy" problem, `technical/racy-git`).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::alternates;
use crate::source::SourceError;
use crate::stamps::Stamp;

/// No file system that serves repositories has coarser times than two seconds.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// Before the names of files that are being written or removed, git's and ours. The index of a pack
/// that goes is called so until the rest has gone.
const TEMPORARY: &str = "tmp_";
/// A folder that changes while it is read is read again, this often.
const MAX_TRIES: u32 = 20;

/// `None` when there is no such file.
pub(super) fn stamp_at(path: &Path) -> Result<Option<Stamp>, SourceError> {
    Stamp::at(path).map_err(|error| SourceError::Io { file: path.display().to_string(), error })
}

/// Has it changed so lately that it may change again unseen?
fn is_young(stamp: Stamp, read_at: SystemTime) -> bool {
    let (modified, changed) = stamp.times();
    let Ok(touched) = u64::try_from(modified.max(changed)) else { return false };
    UNIX_EPOCH + Duration::from_nanos(touched) + SETTLED_AFTER > read_at
}

/// The times of one object folder's parts that can bring or take packs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FolderStamps {
    packs: Option<Stamp>,
    alternates: Option<Stamp>,
}

/// The object folders and their packs, as read at one time.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    own: PathBuf,
    extra: Vec<PathBuf>,
    stamps: Vec<FolderStamps>,
    read_at: SystemTime,
    pub(super) content: Content,
}

/// What a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// The object folders, the store's own first.
    pub(super) folders: Vec<PathBuf>,
    /// `.idx` files, sorted by name within each folder.
    pub(super) indexes: Vec<PathBuf>,
    /// Each folder's multi-pack-index.
    pub(super) midxs: Vec<(PathBuf, Stamp)>,
    /// `.bitmap` files, which may come and go while all else stays.
    pub(super) bitmaps: Vec<(PathBuf, Stamp)>,
    /// What is odd about the alternates.
    pub(super) warnings: Vec<String>,
}

impl Listing {
    /// Reads the folders of a store.
    pub(super) fn read(own: &Path, extra: &[PathBuf]) -> Result<Self, SourceError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let read_at = SystemTime::now();
            let folders = alternates::resolve(own, extra)?;
            let stamps = stamps(&folders.paths)?;
            let mut content = Content {
                folders: folders.paths,
                indexes: vec![],
                midxs: vec![],
                bitmaps: vec![],
                warnings: folders.warnings,
            };
            for folder in content.folders.clone() {
                content.add_packs(&folder.join("pack"))?;
            }
            // a folder that changed meanwhile may have hidden both the old packs and the new
            let after = self::stamps(&content.folders)?;
            if stamps == after || tries >= MAX_TRIES {
                let (own, extra) = (own.to_owned(), extra.to_owned());
                return Ok(Self { own, extra, stamps, read_at, content });
            }
        }
    }

    /// The same with `folder` in front, the only one that is read. `None` where that folder names
    /// others, which only [`Listing::read`] follows.
    pub(super) fn in_front(&self, folder: &Path) -> Result<Option<Self>, SourceError> {
        let mut stamps = stamps(std::slice::from_ref(&folder.to_owned()))?;
        if stamps.iter().any(|stamp| stamp.alternates.is_some()) {
            return Ok(None);
        }
        let mut content = Content {
            folders: vec![folder.to_owned()],
            indexes: vec![],
            midxs: vec![],
            bitmaps: vec![],
            warnings: vec![],
        };
        content.add_packs(&folder.join("pack"))?;
        stamps.extend_from_slice(&self.stamps);
        content.folders.extend_from_slice(&self.content.folders);
        content.indexes.extend_from_slice(&self.content.indexes);
        content.midxs.extend_from_slice(&self.content.midxs);
        content.bitmaps.extend_from_slice(&self.content.bitmaps);
        content.warnings.extend_from_slice(&self.content.warnings);
        let (own, extra) = (folder.to_owned(), vec![self.own.clone()]);
        Ok(Some(Self { own, extra, stamps, read_at: self.read_at, content }))
    }

    /// Is it still so? Reads the folders again only where their times leave a doubt.
    pub(super) fn is_current(&mut self) -> Result<bool, SourceError> {
        if !self.is_young() && stamps(&self.content.folders)? == self.stamps {
            return Ok(true);
        }
        let again = Self::read(&self.own, &self.extra)?;
        if again.content != self.content {
            return Ok(false);
        }
        *self = again;
        Ok(true)
    }

    fn is_young(&self) -> bool {
        self.stamps
            .iter()
            .flat_map(|stamps| [stamps.packs, stamps.alternates])
            .flatten()
            .any(|stamp| is_young(stamp, self.read_at))
    }
}

impl Content {
    /// Does this folder have a multi-pack-index or bitmaps?
    pub(super) fn has_more_than_packs(&self, folder: &Path) -> bool {
        let others = self.midxs.iter().chain(&self.bitmaps);
        others.into_iter().any(|(path, _)| path.starts_with(folder))
    }

    fn add_packs(&mut self, folder: &Path) -> Result<(), SourceError> {
        let io = |error| SourceError::Io { file: folder.display().to_string(), error };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        let start = self.indexes.len();
        for entry in entries {
            let path = entry.map_err(io)?.path();
            let name = path.file_name().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                continue;
            }
            let extension = path.extension();
            if extension.is_some_and(|extension| extension == "idx") {
                self.indexes.push(path);
            } else if extension.is_some_and(|extension| extension == "bitmap") {
                let stamp = stamp_at(&path)?;
                self.bitmaps.extend(stamp.map(|stamp| (path, stamp)));
            } else if name == "multi-pack-index"
                && let Some(stamp) = stamp_at(&path)?
            {
                self.midxs.push((path, stamp));
            }
        }
        self.indexes[start..].sort_unstable();
        self.bitmaps.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(())
    }
}

fn stamps(folders: &[PathBuf]) -> Result<Vec<FolderStamps>, SourceError> {
    folders
        .iter()
        .map(|folder| {
            Ok(FolderStamps {
                packs: stamp_at(&folder.join("pack"))?,
                alternates: stamp_at(&folder.join("info/alternates"))?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_within_one_tick_are_seen() {
        let root = tempfile::tempdir().unwrap();
        let packs = root.path().join("pack");
        fs::create_dir(&packs).unwrap();
        for nth in 0..200 {
            let mut listing = Listing::read(root.path(), &[]).unwrap();
            assert!(listing.is_current().unwrap());
            fs::write(packs.join(format!("pack-{nth}.idx")), "x").unwrap();
            assert!(!listing.is_current().unwrap(), "{nth}");
        }
    }

    #[test]
    fn files_that_are_no_packs_change_nothing() {
        let root = tempfile::tempdir().unwrap();
        let packs = root.path().join("pack");
        let mut listing = Listing::read(root.path(), &[]).unwrap();
        fs::create_dir(&packs).unwrap();
        fs::write(packs.join("tmp_pack_x"), "x").unwrap();
        fs::write(packs.join("tmp_gone_pack-1.idx"), "x").unwrap();
        assert!(listing.is_current().unwrap());
        fs::create_dir(root.path().join("info")).unwrap();
        fs::create_dir(root.path().join("other")).unwrap();
        fs::write(root.path().join("info/alternates"), "other\n").unwrap();
        assert!(!listing.is_current().unwrap());
        fs::remove_dir_all(root.path()).unwrap();
        assert!(matches!(Listing::read(root.path(), &[]), Err(SourceError::Io { .. })));
    }

    #[test]
    fn old_folders_are_not_read_again() {
        let stamp = Stamp::new(1, 1, 0, 1_000_000_000_000, 1_000_000_000_000);
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(is_young(stamp, at(1001)) && is_young(stamp, at(999)));
        assert!(!is_young(stamp, at(1003)));
    }
}
