//! Remembered packs: what one request made, the next one reads, in any process.
//!
//! In: the key of a request ([`Key`], a hash of all that its pack follows from), whose wants have
//! been allowed already. Out: a pack that is kept ([`Reader`]), one that somebody is making and
//! that can be read while it grows (a [`Reader`] too), or the task of making it ([`Flight`]).
//! Nothing here knows how a pack is made, nor how it travels: files hold bare pack bytes.
//!
//! The folder holds, for a key, `<key>.tmp` while the pack is made and `<key>.pack` afterwards.
//! Whoever makes it holds a lock on the file; the kernel takes it away when the process dies. Each
//! reader holds another, so that making goes on for as long as anybody reads. The file `seen`
//! remembers which keys were asked for: a pack is kept when it is asked for twice.
//!
//! A file is never believed: a header and a checksum for each block are compared before a byte
//! leaves. What is wrong is removed, and made again.

mod entry;
mod flight;
mod key;
mod lock;
mod reader;
mod room;
mod seen;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use entry::Made;
pub use flight::Flight;
pub use key::{Identity, Key};
pub use reader::{Gone, Next, Reader};

use seen::{Seen, Standing};

/// Others may come and go between two looks at the folder; whoever is unlucky so often does
/// without it.
const ATTEMPTS: usize = 8;

/// A folder of packs, shared by all who open it.
#[derive(Debug)]
pub struct PackCache {
    dir: PathBuf,
    limit: u64,
    seen: Seen,
}

/// What has been done with a folder, by all processes, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests answered from a pack that was there.
    pub hits: u64,
    /// Requests that set out to make one.
    pub misses: u64,
    /// Requests that read one while it was made for another.
    pub followers: u64,
    /// Bytes of packs read.
    pub bytes: u64,
}

impl Counts {
    const HIT: Self = Self { hits: 1, misses: 0, followers: 0, bytes: 0 };
    const MISS: Self = Self { hits: 0, misses: 1, followers: 0, bytes: 0 };
    const FOLLOWER: Self = Self { hits: 0, misses: 0, followers: 1, bytes: 0 };

    fn all(self) -> [u64; 4] {
        [self.hits, self.misses, self.followers, self.bytes]
    }

    fn plus(self, more: Self) -> Self {
        Self {
            hits: self.hits.wrapping_add(more.hits),
            misses: self.misses.wrapping_add(more.misses),
            followers: self.followers.wrapping_add(more.followers),
            bytes: self.bytes.wrapping_add(more.bytes),
        }
    }
}

/// What a request finds.
#[derive(Debug)]
pub enum Begun {
    /// The pack is there.
    Kept(Reader),
    /// Somebody is making it.
    Growing(Reader),
    /// Nobody is: to be made by this request, which may read it as well.
    Lead(Flight, Reader),
    /// Not to be had here; to be made as if there were no cache.
    No,
}

impl PackCache {
    /// Opens the folder, which is made if need be. It must be ours alone: packs of private
    /// repositories lie in it.
    pub fn open(dir: &Path, limit: u64) -> std::io::Result<Arc<Self>> {
        if !lock::AVAILABLE {
            return Err(Error::new(ErrorKind::Unsupported, "no locks of open files here"));
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let found = std::fs::symlink_metadata(dir)?;
        if !found.is_dir() {
            return Err(Error::other("is not a folder"));
        }
        // SAFETY: it has no arguments and cannot fail.
        let us = unsafe { libc::geteuid() };
        if found.uid() != us || found.permissions().mode() & 0o077 != 0 {
            let what = "must belong to this user and be closed to others (mode 0700)";
            return Err(Error::new(ErrorKind::PermissionDenied, what));
        }
        let dir = std::fs::canonicalize(dir)?;
        let seen = Seen::open(&dir)?;
        let cache = Self { dir, limit, seen };
        cache.make_room(0)?; // the limit may have been lowered
        Ok(Arc::new(cache))
    }

    /// What there is for this key. Waits for nobody.
    pub fn begin(self: &Arc<Self>, key: &Key) -> Begun {
        // a cache that cannot be read or written is none
        let begun = self.look(key).unwrap_or(Begun::No);
        match begun {
            Begun::Kept(_) => self.count(Counts::HIT),
            Begun::Growing(_) => self.count(Counts::FOLLOWER),
            Begun::Lead(..) => self.count(Counts::MISS),
            Begun::No => {}
        }
        begun
    }

    fn look(self: &Arc<Self>, key: &Key) -> std::io::Result<Begun> {
        let earlier = self.seen.note(key)?;
        if earlier == Standing::Declined {
            return Ok(Begun::No);
        }
        let (kept, growing) = (self.path(key, "pack"), self.path(key, "tmp"));
        for _ in 0..ATTEMPTS {
            if let Some(reader) = Reader::kept(self, key, &kept)? {
                return Ok(Begun::Kept(reader));
            }
            match opened(&growing, OpenOptions::new().read(true).write(true).create_new(true)) {
                Ok(file) => {
                    // somebody else may take an unlocked file for a dead one, or may just have
                    // finished
                    if !lock::try_exclusive(&file, lock::MAKER)? || !is_at(&file, &growing) {
                        continue;
                    }
                    if kept.exists() {
                        std::fs::remove_file(&growing)?;
                        continue;
                    }
                    let reader = Reader::growing(self, key, &growing)?;
                    let flight = Flight::new(Arc::clone(self), *key, file, growing);
                    return Ok(Begun::Lead(flight, reader));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let reader = match Reader::growing(self, key, &growing) {
                Ok(reader) => reader,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if !reader.is_being_made()? {
                drop(reader);
                self.bury(&growing)?;
                continue;
            }
            return Ok(Begun::Growing(reader));
        }
        Ok(Begun::No)
    }

    /// What has been done with it.
    pub fn counts(&self) -> Counts {
        self.seen.counts().unwrap_or_default()
    }

    /// Bytes that it may hold.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    fn path(&self, key: &Key, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", key.hex()))
    }

    fn count(&self, more: Counts) {
        // a folder that cannot be written is of no use for packs either, which others tell
        let _ = self.seen.count(more);
    }
}

/// Never through a symbolic link, and for nobody else.
fn opened(path: &Path, options: &mut OpenOptions) -> std::io::Result<File> {
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Is this open file the one at this path?
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}
