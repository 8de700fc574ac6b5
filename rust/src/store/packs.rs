//! Opening the packs of a listing, each once in the process.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::bitmaps::Candidate;
use super::scan::Content;
use super::segments::Segments;
use crate::hash::{HashKind, ObjectId};
use crate::pack::{FileIdentity, MultiPackIndex, Pack, PackIndex, is_gone};
use crate::source::SourceError;
use crate::stamps::Stamp;

/// What may have passed is tried again after so long.
const REST: Duration = Duration::from_secs(2);

/// Open packs by path and identity: forks that borrow from one folder share its mappings and
/// the tables built over them.
type OpenPacks = Mutex<HashMap<(PathBuf, FileIdentity), Weak<Pack>>>;

/// Opens a pack, or finds it open.
pub(super) fn open_pack(index_path: &Path, hash: HashKind) -> Result<Arc<Pack>, SourceError> {
    static OPEN: OnceLock<OpenPacks> = OnceLock::new();
    let io = |error| SourceError::Io { file: index_path.display().to_string(), error };
    let metadata = std::fs::metadata(index_path).map_err(io)?;
    let key = (index_path.to_owned(), FileIdentity::of(&metadata));
    let open = OPEN.get_or_init(OpenPacks::default);
    // a thread that panicked here leaves a valid map
    let lock = || open.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pack) = lock().get(&key).and_then(Weak::upgrade)
        && pack.hash_kind() == hash
        && !pack.is_faulted()
    {
        return Ok(pack);
    }
    let pack = Arc::new(Pack::open(index_path, hash)?);
    let mut open = lock();
    if open.len() == open.capacity() {
        open.retain(|_, pack| pack.strong_count() > 0);
    }
    open.insert(key, Arc::downgrade(&pack));
    Ok(pack)
}

/// A pack that cannot be used.
#[derive(Debug)]
pub(super) struct BrokenPack {
    index: Option<PackIndex>,
    file: String,
    what: String,
    /// Until when not to try again. Its files may be sound: descriptors, memory or a disk failed us.
    rests_until: Option<Instant>,
    seen: [(PathBuf, Option<Stamp>); 2],
}

impl BrokenPack {
    fn new(index_path: &Path, hash: HashKind, error: SourceError) -> Self {
        let rests_until = may_pass(&error).then(|| Instant::now() + REST);
        let (file, what) = match error {
            SourceError::Corrupt { file, what } => (file, what),
            SourceError::Io { file, error } => (file, error.to_string()),
            other => (index_path.display().to_string(), other.to_string()),
        };
        let files = [index_path.to_owned(), index_path.with_extension("pack")];
        let seen = files.map(|path| {
            let stamp = Stamp::at(&path).ok().flatten();
            (path, stamp)
        });
        Self { index: PackIndex::open(index_path, hash).ok(), file, what, rests_until, seen }
    }

    /// Are its files still those that could not be used? Somebody may have mended them, which the
    /// folder does not show.
    pub(super) fn is_still(&self) -> bool {
        self.is_still_at(Instant::now())
    }

    fn is_still_at(&self, now: Instant) -> bool {
        self.rests_until.is_none_or(|until| now < until)
            && self.seen.iter().all(|(path, seen)| Stamp::at(path).ok().flatten() == *seen)
    }

    /// The error to give for an object that only this pack should have had.
    pub(super) fn error_for(&self, id: &ObjectId) -> Option<SourceError> {
        self.index.as_ref()?.position(id)?;
        Some(SourceError::Corrupt { file: self.file.clone(), what: self.what.clone() })
    }

    pub(super) fn warning(&self) -> String {
        format!("{}: {}; pack ignored", self.file, self.what)
    }
}

fn may_pass(error: &SourceError) -> bool {
    let SourceError::Io { error, .. } = error else { return false };
    ![ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&error.kind())
}

/// The opened packs of a listing.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) packs: Vec<Arc<Pack>>,
    pub(super) indexes: Vec<PathBuf>,
    pub(super) segments: Segments,
    pub(super) bitmap: Option<Arc<Candidate>>,
    pub(super) broken: Vec<BrokenPack>,
    pub(super) warnings: Vec<String>,
    /// Indexes of those of the broken of which a file is gone: the folder may have to be listed again.
    pub(super) gone: Vec<PathBuf>,
}

/// Opens everything.
pub(super) fn open_all(content: &Content, hash: HashKind) -> Result<Opened, SourceError> {
    let mut opened = Opened::default();
    for index_path in &content.indexes {
        match open_pack(index_path, hash) {
            Ok(pack) => {
                opened.packs.push(pack);
                opened.indexes.push(index_path.clone());
            }
            Err(error @ (SourceError::Corrupt { .. } | SourceError::Io { .. })) => {
                opened.gone.extend(is_gone(&error).then(|| index_path.clone()));
                let broken = BrokenPack::new(index_path, hash, error);
                opened.warnings.push(broken.warning());
                opened.broken.push(broken);
            }
            Err(error) => return Err(error),
        }
    }
    opened.number(content, hash)?;
    Ok(opened)
}

impl Opened {
    /// Multi-pack-indexes first, then the packs they leave, the largest first: most look-ups
    /// end in it, and its copies of objects are the ones that can be sent in long runs. But
    /// whatever has the bitmap that is used goes before them all.
    fn number(&mut self, content: &Content, hash: HashKind) -> Result<(), SourceError> {
        let bitmaps: Vec<PathBuf> = content.bitmaps.iter().map(|(path, _)| path.clone()).collect();
        let mut covered = vec![false; self.packs.len()];
        let mut midxs = Vec::new();
        for (path, _) in &content.midxs {
            match self.open_midx(path, hash) {
                Ok((midx, places)) => {
                    let midx = Arc::new(midx);
                    let bitmap = match self.bitmap {
                        Some(_) => None,
                        None => Candidate::of_midx(&midx, path, &bitmaps, &mut self.warnings),
                    };
                    let at = if bitmap.is_some() { 0 } else { midxs.len() };
                    self.bitmap = self.bitmap.take().or(bitmap.map(Arc::new));
                    places.iter().for_each(|&place| covered[place as usize] = true);
                    midxs.insert(at, (midx, places));
                }
                Err(error) => self.warnings.push(format!("{error}; multi-pack-index ignored")),
            }
        }
        let mut largest_first: Vec<usize> = (0..self.packs.len()).collect();
        largest_first.sort_by_key(|&nth| std::cmp::Reverse(self.packs[nth].object_count()));
        let mut fits = true;
        if self.bitmap.is_none() && !bitmaps.is_empty() {
            for &nth in &largest_first {
                let pack = &self.packs[nth];
                self.bitmap = Candidate::of_pack(pack, &bitmaps, &mut self.warnings).map(Arc::new);
                if self.bitmap.is_some() {
                    fits &= self.segments.add_pack(nth as u32, Arc::clone(pack));
                    covered[nth] = true;
                    break;
                }
            }
        }
        for (midx, places) in midxs {
            fits &= self.segments.add_midx(midx, places);
        }
        for nth in largest_first.into_iter().filter(|&nth| !covered[nth]) {
            fits &= self.segments.add_pack(nth as u32, Arc::clone(&self.packs[nth]));
        }
        let folder = || content.folders[0].display().to_string();
        fits.then_some(()).ok_or_else(|| SourceError::Corrupt {
            file: folder(),
            what: "more packed objects than 32 bits can number".to_owned(),
        })
    }

    /// A multi-pack-index is of use only when all its packs are.
    fn open_midx(
        &self,
        path: &Path,
        hash: HashKind,
    ) -> Result<(MultiPackIndex, Vec<u32>), SourceError> {
        let midx = MultiPackIndex::open(path, hash)?;
        let known: HashMap<&Path, u32> =
            self.indexes.iter().map(PathBuf::as_path).zip(0..).collect();
        let mut places = Vec::with_capacity(midx.packs().len());
        for name in midx.packs() {
            let place = known.get(path.with_file_name(name).as_path());
            places.push(*place.ok_or_else(|| SourceError::Corrupt {
                file: path.display().to_string(),
                what: format!("names {name}, which is not there"),
            })?);
        }
        Ok((midx, places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("pack-1.idx");
        std::fs::write(&index, "").unwrap();
        let io = |code| SourceError::Io {
            file: String::new(),
            error: std::io::Error::from_raw_os_error(code),
        };
        for (code, stays) in [
            (libc::ENOENT, true),
            (libc::EACCES, true),
            (libc::EMFILE, false),
            (libc::ENOMEM, false),
            (libc::EIO, false),
        ] {
            let broken = BrokenPack::new(&index, HashKind::Sha1, io(code));
            assert!(broken.is_still());
            assert_eq!(broken.is_still_at(Instant::now() + REST), stays, "{code}");
        }
    }
}
