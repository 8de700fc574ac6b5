//! Which bitmap a snapshot uses, and opening it when it is first asked for.
//!
//! A snapshot uses one at most, as git does: that of a multi-pack-index, or else that of the
//! pack with the most objects. Whatever it belongs to is numbered first, so that the numbers of
//! its objects are their index positions.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::bitmap::{Reachability, check_head};
use crate::pack::{FileIdentity, MultiPackIndex, Pack, is_gone};
use crate::source::SourceError;

/// A bitmap file that was there when the folders were listed.
#[derive(Debug)]
pub(super) struct Candidate {
    path: PathBuf,
    of: Indexed,
}

/// What it says something about.
#[derive(Debug)]
enum Indexed {
    Pack(Arc<Pack>),
    Midx(Arc<MultiPackIndex>, PathBuf),
}

impl Candidate {
    /// The bitmap of a pack, if there is one and it is this pack's.
    pub(super) fn of_pack(
        pack: &Arc<Pack>,
        listed: &[PathBuf],
        warnings: &mut Vec<String>,
    ) -> Option<Self> {
        let path = pack.path().with_extension("bitmap");
        let fits = listed.contains(&path) && fits(&path, pack.trailer(), warnings);
        fits.then(|| Self { path, of: Indexed::Pack(Arc::clone(pack)) })
    }

    /// The same of a multi-pack-index.
    pub(super) fn of_midx(
        midx: &Arc<MultiPackIndex>,
        midx_path: &Path,
        listed: &[PathBuf],
        warnings: &mut Vec<String>,
    ) -> Option<Self> {
        let hex: String = midx.checksum().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = midx_path.with_file_name(format!("multi-pack-index-{hex}.bitmap"));
        let fits = listed.contains(&path) && fits(&path, midx.checksum(), warnings);
        let of = Indexed::Midx(Arc::clone(midx), midx_path.to_owned());
        fits.then_some(Self { path, of })
    }

    /// Opens it, or finds it open: it is the same for all snapshots that have its pack.
    pub(super) fn open(&self) -> Result<Arc<Reachability>, SourceError> {
        type Open = Mutex<HashMap<(PathBuf, FileIdentity), Weak<Reachability>>>;
        static OPEN: OnceLock<Open> = OnceLock::new();
        let io = |error| SourceError::Io { file: self.path.display().to_string(), error };
        let metadata = std::fs::metadata(&self.path).map_err(io)?;
        let key = (self.path.clone(), FileIdentity::of(&metadata));
        // locked while it is read, so that requests that arrive together read it once; whoever
        // panicked left a whole value
        let mut open =
            OPEN.get_or_init(Open::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let opened = Arc::new(match &self.of {
            Indexed::Pack(pack) => Reachability::of_pack(&self.path, pack),
            Indexed::Midx(midx, midx_path) => Reachability::of_midx(&self.path, midx, midx_path),
        }?);
        open.retain(|_, known| known.strong_count() > 0);
        open.insert(key, Arc::downgrade(&opened));
        Ok(opened)
    }
}

/// Does the file begin like a bitmap of whatever has this checksum?
fn fits(path: &Path, checksum: &[u8], warnings: &mut Vec<String>) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut head));
    let outcome = match read {
        Ok(_) => check_head(&head, checksum).map_err(|what| SourceError::Corrupt {
            file: path.display().to_string(),
            what: what.into(),
        }),
        Err(error) => Err(SourceError::Io { file: path.display().to_string(), error }),
    };
    match outcome {
        Ok(()) => true,
        Err(error) => {
            warnings.extend(warning(&error));
            false
        }
    }
}

/// What to log of a bitmap that cannot be used; nothing when it was replaced under us.
pub(super) fn warning(error: &SourceError) -> Option<String> {
    (!is_gone(error)).then(|| format!("{error}; bitmap ignored"))
}
