//! Keeping the folder within its bound, and free of what the dead have left.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::entry::{Header, State};
use super::{PackCache, is_at, lock, opened, seen};

impl PackCache {
    /// Removes packs, those first that were not read for longest, until so many more bytes fit;
    /// false when they cannot. Those that are being made count with what they may become.
    pub(super) fn make_room(&self, bytes: u64) -> std::io::Result<bool> {
        if bytes > self.limit {
            return Ok(false);
        }
        // one at a time; a lock belongs to an opening, so this is one of our own
        let turn = opened(&self.dir.join(seen::NAME), OpenOptions::new().read(true).write(true))?;
        lock::exclusive(&turn, 0)?;
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        let mut taken = bytes;
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            match extension {
                Some("pack") => match std::fs::symlink_metadata(&path) {
                    Ok(found) => {
                        taken = taken.saturating_add(found.len());
                        let used = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                        kept.push((used, found.len(), path));
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                },
                Some("tmp") => taken = taken.saturating_add(self.bury(&path)?),
                _ => {}
            }
        }
        kept.sort_unstable();
        for (_, length, path) in kept {
            if taken <= self.limit {
                break;
            }
            removed(&path)?;
            taken = taken.saturating_sub(length);
        }
        Ok(taken <= self.limit)
    }

    /// Removes the file of a pack whose maker has died; the bytes it may take when it lives.
    pub(super) fn bury(&self, path: &Path) -> std::io::Result<u64> {
        let file = match opened(path, OpenOptions::new().read(true).write(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        if lock::try_exclusive(&file, lock::MAKER)? {
            // with the lock held, nobody else replaces the file at this path
            if is_at(&file, path) {
                removed(path)?;
            }
            return Ok(0);
        }
        Ok(may_take(&file))
    }
}

fn may_take(file: &File) -> u64 {
    let there = file.metadata().map_or(0, |found| found.len());
    match Header::read(file) {
        Some(header) if header.state == State::Growing => there.max(header.reserved),
        _ => there,
    }
}

fn removed(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
