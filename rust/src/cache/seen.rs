//! Which keys were asked for before, by anybody who shares the folder.
//!
//! A table of fixed size in a file, one slot for each key's hash: a later key takes the place of an
//! earlier one. Two who write at once may forget one of the two, so what is read here is advice.
//!
//! Behind the table stands what has been done with the folder since it was made, by all who share it:
//! programs that serve one request have nothing else to tell.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::key::Key;
use super::{Counts, lock, opened};

/// Requests that are remembered: at some hundred a second, the last minutes.
const SLOTS: u64 = 1 << 16;
const SLOT: u64 = 8;

/// Where the counts are, of 8 bytes each, and the lock that is held to change them. Byte 0 is for
/// who makes room.
const COUNTS: u64 = SLOTS * SLOT;
const COUNTING: libc::off_t = 1;

/// The file's name.
pub(super) const NAME: &str = "seen";

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Never,
    Once,
    Often,
    /// Its pack is not worth a file.
    Declined,
}

#[derive(Debug)]
pub(super) struct Seen {
    file: File,
    path: PathBuf,
}

impl Seen {
    pub(super) fn open(dir: &Path) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let path = dir.join(NAME);
        Ok(Self { file: opened(&path, &mut options)?, path })
    }

    /// Notes that the key was asked for; what was known of it before.
    pub(super) fn note(&self, key: &Key) -> std::io::Result<Standing> {
        let earlier = self.standing(key)?;
        match earlier {
            Standing::Never => self.write(key, Standing::Once)?,
            Standing::Once => self.write(key, Standing::Often)?,
            Standing::Often | Standing::Declined => {}
        }
        Ok(earlier)
    }

    pub(super) fn decline(&self, key: &Key) -> std::io::Result<()> {
        self.write(key, Standing::Declined)
    }

    pub(super) fn standing(&self, key: &Key) -> std::io::Result<Standing> {
        let (slot, print) = place(key);
        let mut bytes = [0; SLOT as usize];
        self.filled(&mut bytes, slot)?;
        let found = u64::from_le_bytes(bytes);
        if found & !3 != print {
            return Ok(Standing::Never);
        }
        Ok(match found & 3 {
            0 => Standing::Never,
            1 => Standing::Once,
            2 => Standing::Often,
            _ => Standing::Declined,
        })
    }

    /// Adds to what has been done.
    pub(super) fn count(&self, more: Counts) -> std::io::Result<()> {
        // a lock belongs to an opening, and ours may be that of forked processes, too
        let turn = opened(&self.path, OpenOptions::new().read(true).write(true))?;
        lock::exclusive(&turn, COUNTING)?;
        let mut bytes = [0; 32];
        for (at, count) in self.counts()?.plus(more).all().into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&count.to_le_bytes());
        }
        self.file.write_all_at(&bytes, COUNTS)
    }

    /// What has been done.
    pub(super) fn counts(&self) -> std::io::Result<Counts> {
        let mut bytes = [0; 32];
        if self.filled(&mut bytes, COUNTS)? < bytes.len() {
            return Ok(Counts::default());
        }
        let count = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at * 8..at * 8 + 8]);
            u64::from_le_bytes(word)
        };
        Ok(Counts { hits: count(0), misses: count(1), followers: count(2), bytes: count(3) })
    }

    fn filled(&self, bytes: &mut [u8], at: u64) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], at + filled as u64)? {
                0 => break, // the file has not grown so far
                count => filled += count,
            }
        }
        Ok(filled)
    }

    fn write(&self, key: &Key, standing: Standing) -> std::io::Result<()> {
        let (slot, print) = place(key);
        self.file.write_all_at(&(print | standing as u64).to_le_bytes(), slot)
    }
}

/// Where the key's slot is, and what marks it as the key's.
fn place(key: &Key) -> (u64, u64) {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&key.as_bytes()[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    (word(0) % SLOTS * SLOT, word(8) & !3)
}
