//! The times of a cruft pack that is published once more (`gitformat-pack`, "pack-*.mtimes files").

use std::fs::{self, File};
use std::path::Path;

use super::error::IngestError;
use crate::hash::{HashKind, Hasher};

const HEADER_LEN: usize = 12;

/// Gives each object in `new` the later of its times there and in `old`, as both are of one pack.
pub(super) fn keep_latest(new: &Path, old: &Path, fsync: bool) -> Result<(), IngestError> {
    let mut merged = fs::read(new).map_err(IngestError::io(new))?;
    let older = fs::read(old).map_err(IngestError::io(old))?;
    let hash = match merged.get(..HEADER_LEN) {
        Some([.., 1]) => HashKind::Sha1,
        Some([.., 2]) => HashKind::Sha256,
        _ => return Ok(()),
    };
    let Some(end) = merged.len().checked_sub(2 * hash.len()) else { return Ok(()) };
    let is_of_one_pack = older.len() == merged.len()
        && older.starts_with(&merged[..HEADER_LEN])
        && older[end..end + hash.len()] == merged[end..end + hash.len()];
    if !is_of_one_pack || end < HEADER_LEN {
        // what is there is no such list: it goes
        return Ok(());
    }
    let times = merged[HEADER_LEN..end].chunks_exact_mut(4);
    for (time, other) in times.zip(older[HEADER_LEN..end].chunks_exact(4)) {
        // big-endian numbers are in the order of their bytes
        if *other > *time {
            time.copy_from_slice(other);
        }
    }
    let mut hasher = Hasher::new(hash);
    let sum_at = end + hash.len();
    hasher.update(&merged[..sum_at]);
    merged[sum_at..].copy_from_slice(hasher.finish().as_bytes());
    fs::write(new, merged).map_err(IngestError::io(new))?;
    if fsync {
        File::open(new).and_then(|file| file.sync_all()).map_err(IngestError::io(new))?;
    }
    Ok(())
}
