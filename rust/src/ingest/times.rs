//! The times of a cruft pack that is published once more (`gitformat-pack`, "pack-*.mtimes files").

use std::fs;
use std::path::Path;

use super::error::IngestError;
use super::pack_file::HashedFile;
use crate::hash::HashKind;

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
    let sum_at = end + hash.len();
    let is_of_one_pack = older.len() == merged.len()
        && older.starts_with(&merged[..HEADER_LEN])
        && older[end..sum_at] == merged[end..sum_at];
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
    // made anew: nobody may write to the one that is there, who made it neither
    fs::remove_file(new).map_err(IngestError::io(new))?;
    let mut file = HashedFile::create(new.to_owned(), hash)?;
    file.write(&merged[..sum_at])?;
    let file = file.finish()?;
    if fsync {
        file.handle().sync_all().map_err(IngestError::io(new))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hasher;
    use std::os::unix::fs::PermissionsExt as _;

    fn list(times: &[u32], pack: u8) -> Vec<u8> {
        let mut bytes = b"MTME\0\0\0\x01\0\0\0\x01".to_vec();
        times.iter().for_each(|time| bytes.extend(time.to_be_bytes()));
        bytes.extend([pack; 20]);
        let mut hasher = Hasher::new(HashKind::Sha1);
        hasher.update(&bytes);
        bytes.extend_from_slice(hasher.finish().as_bytes());
        bytes
    }

    #[test]
    fn each_object_has_the_later_time_in_a_file_that_nobody_writes_to() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (dir.path().join("new"), dir.path().join("old"));
        let put = |path: &Path, bytes: Vec<u8>| {
            let _ = fs::remove_file(path);
            fs::write(path, bytes).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
        };
        let ours = [1, 300, 5];
        for (theirs, wanted) in [
            (list(&[2, 7, 1 << 24], 9), list(&[2, 300, 1 << 24], 9)),
            (list(&[2, 7, 8], 8), list(&ours, 9)),
            (list(&[2, 7], 9), list(&ours, 9)),
            (b"no list".to_vec(), list(&ours, 9)),
        ] {
            put(&new, list(&ours, 9));
            put(&old, theirs);
            keep_latest(&new, &old, true).unwrap();
            assert_eq!(fs::read(&new).unwrap(), wanted);
            assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o222, 0);
        }
    }
}
