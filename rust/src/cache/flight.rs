//! Making a pack for all who ask for it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::entry::{BLOCK, CHECKSUM, HEADER_LEN, Header, Made, State};
use super::seen::Standing;
use super::{Key, PackCache};

/// The task of making a pack, and its file. Dropped unfinished, it has failed: whoever reads the
/// file learns of it.
#[derive(Debug)]
pub struct Flight {
    cache: Arc<PackCache>,
    header: Header,
    /// Locked for as long as it is open.
    file: File,
    path: PathBuf,
    length: u64,
    block: crc32fast::Hasher,
    table: Vec<u8>,
    is_over: bool,
}

impl Flight {
    pub(super) fn new(cache: Arc<PackCache>, key: Key, file: File, path: PathBuf) -> Self {
        Self {
            cache,
            header: Header::growing(key, 0),
            file,
            path,
            length: 0,
            block: crc32fast::Hasher::new(),
            table: Vec::new(),
            is_over: false,
        }
    }

    /// Was this asked for before, or meanwhile?
    pub fn is_wanted(&self) -> bool {
        matches!(self.cache.seen.standing(&self.header.key), Ok(Standing::Often))
    }

    /// Makes sure that a pack of so many bytes can be written; false when it cannot.
    pub fn reserve(&mut self, bytes: u64) -> bool {
        let table = bytes.div_ceil(BLOCK as u64).saturating_mul(CHECKSUM as u64);
        let bytes = bytes.saturating_add(table).saturating_add(HEADER_LEN);
        if !self.cache.make_room(bytes).unwrap_or(false) || !allocate(&self.file, bytes) {
            return false;
        }
        self.header.reserved = bytes;
        self.file.write_all_at(&self.header.encode(), 0).is_ok()
    }

    /// Appends to the pack.
    pub fn write(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, HEADER_LEN + self.length)?;
        while !bytes.is_empty() {
            let room = BLOCK - (self.length % BLOCK as u64) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.update(now);
            self.length += now.len() as u64;
            bytes = later;
            if now.len() == room {
                self.end_block();
            }
        }
        Ok(())
    }

    fn end_block(&mut self) {
        let sum = std::mem::take(&mut self.block).finalize();
        self.table.extend_from_slice(&sum.to_le_bytes());
    }

    /// All has been written; `trailer_len`: bytes of the hash at the pack's end. From now on it is
    /// kept, if anybody else wanted it.
    pub fn finish(mut self, made: Made, trailer_len: usize) -> std::io::Result<()> {
        if !self.length.is_multiple_of(BLOCK as u64) {
            self.end_block();
        }
        let at = HEADER_LEN + self.length;
        let header = &mut self.header;
        self.file.read_exact_at(&mut header.trailer[..trailer_len], at - trailer_len as u64)?;
        header.trailer_len = trailer_len as u8;
        header.length = self.length;
        header.made = made;
        header.table = crc32fast::hash(&self.table);
        header.state = State::Complete;
        // readers look at the file's size, then at the header: in this order they never take
        // checksums for pack
        self.file.write_all_at(&header.encode(), 0)?;
        self.is_over = true;
        let kept = self.is_wanted() && self.keep(at).is_ok();
        if !kept {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    fn keep(&self, at: u64) -> std::io::Result<()> {
        self.file.write_all_at(&self.table, at)?;
        self.file.set_len(at + self.table.len() as u64)?; // gives back what was reserved
        std::fs::rename(&self.path, self.cache.path(&self.header.key, "pack"))
    }

    /// The pack is not for a file. `for_good`: nor will it be the next time.
    pub fn decline(mut self, for_good: bool) {
        if for_good {
            let _ = self.cache.seen.decline(&self.header.key);
        }
        self.end(State::Declined);
    }

    /// Leaves everything as it is, as a process does that is killed.
    #[cfg(test)]
    pub(crate) fn abandon(mut self) {
        self.is_over = true;
    }

    fn end(&mut self, state: State) {
        self.is_over = true;
        self.header.state = state;
        // who cannot read it finds the lock gone
        let _ = self.file.write_all_at(&self.header.encode(), 0);
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(State::Failed);
        }
    }
}

/// Takes the space now, so that a full disk is known of before the first byte; the file's size
/// stays.
#[cfg(target_os = "linux")]
fn allocate(file: &File, bytes: u64) -> bool {
    use std::os::fd::AsRawFd;
    let Ok(bytes) = libc::off_t::try_from(bytes) else { return false };
    // SAFETY: numbers only, and a descriptor that is open.
    let done = unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, bytes) };
    // file systems that cannot do this are not full for it
    done == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ENOSPC)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_file: &File, _bytes: u64) -> bool {
    true
}
