//! When the objects of a cruft pack were last written (`gitformat-pack`, "pack-*.mtimes files").

use std::path::{Path, PathBuf};

use super::MaintainError;
use crate::hash::{HashKind, ObjectId};
use crate::ingest::{HashedFile, NewFile};
use crate::pack::Pack;
use crate::source::SourceError;

const HEADER_LEN: usize = 12;

/// Seconds since 1970 for each index position.
pub(super) fn read(pack: &Pack) -> Result<Vec<u32>, MaintainError> {
    let path = pack.path().with_extension("mtimes");
    let data = std::fs::read(&path).map_err(MaintainError::io(&path))?;
    let hash = pack.hash_kind();
    let end = HEADER_LEN + pack.object_count() as usize * 4;
    let fits = data.len() == end + 2 * hash.len()
        && data.starts_with(b"MTME\0\0\0\x01")
        && data[end..].starts_with(pack.trailer());
    if !fits {
        let what = "no list of times for its pack".to_owned();
        return Err(SourceError::Corrupt { file: path.display().to_string(), what }.into());
    }
    let word = |four: &[u8]| u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
    Ok(data[HEADER_LEN..end].chunks_exact(4).map(word).collect())
}

/// Writes them, in the order of the index.
pub(super) fn write(
    path: PathBuf,
    hash: HashKind,
    times: impl Iterator<Item = u32>,
    pack: &ObjectId,
) -> Result<NewFile, MaintainError> {
    let mut file = HashedFile::create(path, hash)?;
    file.write(b"MTME\0\0\0\x01")?;
    file.write(&u32::from(hash.file_version()).to_be_bytes())?;
    for time in times {
        file.write(&time.to_be_bytes())?;
    }
    file.write(pack.as_bytes())?;
    Ok(file.finish()?)
}

/// Of a file, in the 32 bits that there are.
pub(super) fn seconds(at: std::time::SystemTime) -> u32 {
    let since = at.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    u32::try_from(since).unwrap_or(u32::MAX)
}

/// Is there such a list beside this pack?
pub(super) fn is_cruft(pack: &Path) -> bool {
    pack.with_extension("mtimes").exists()
}
