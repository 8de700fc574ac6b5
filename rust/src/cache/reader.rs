//! Reading a pack that is kept, or one that grows.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::entry::{BLOCK, CHECKSUM, HEADER_LEN, Header, Made, State};
use super::{Begun, Counts, Key, PackCache, is_at, lock, opened};

/// Why there is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It is not worth a file; nothing was read.
    Declined,
    /// Whoever made it could not go on, or died.
    Maker,
    /// The file holds something else than was written.
    Broken,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The pack is over.
    End(Made),
    /// So is the reading.
    Gone(Gone),
}

/// Reads one pack from its first byte to its last.
#[derive(Debug)]
pub struct Reader {
    cache: Arc<PackCache>,
    key: Key,
    file: Arc<File>,
    path: PathBuf,
    at: u64,
    /// Of a pack that was complete when it was opened, with the checksums of its blocks.
    kept: Option<(Header, Vec<u8>)>,
}

impl Reader {
    /// A pack that is kept, unless its file is wrong; then it is removed.
    pub(super) fn kept(
        cache: &Arc<PackCache>,
        key: &Key,
        path: &Path,
    ) -> std::io::Result<Option<Self>> {
        let file = match opened(path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some((header, table)) = checked(&file, key) else {
            remove(&file, path);
            return Ok(None);
        };
        // for the order in which packs go
        file.set_modified(SystemTime::now())?;
        let kept = Some((header, table));
        let (cache, file, path) = (Arc::clone(cache), Arc::new(file), path.to_owned());
        Ok(Some(Self { cache, key: *key, file, path, at: 0, kept }))
    }

    /// A pack that somebody makes, or made and died.
    pub(super) fn growing(cache: &Arc<PackCache>, key: &Key, path: &Path) -> std::io::Result<Self> {
        let file = opened(path, OpenOptions::new().read(true))?;
        lock::shared(&file, lock::READERS)?;
        let (cache, file, path) = (Arc::clone(cache), Arc::new(file), path.to_owned());
        Ok(Self { cache, key: *key, file, path, at: 0, kept: None })
    }

    /// Bytes of the pack that were given out.
    pub fn given(&self) -> u64 {
        self.at
    }

    /// Some of those.
    pub fn read_again(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.file.read_exact_at(buffer, HEADER_LEN + at)
    }

    /// What there is now for the same key, when there will be no more of this.
    pub fn ask_again(&self) -> Begun {
        self.cache.begin(&self.key)
    }

    /// Does whoever makes it live?
    pub(super) fn is_being_made(&self) -> std::io::Result<bool> {
        lock::is_held(&self.file, lock::MAKER)
    }

    /// Does anybody else read the same growing file?
    pub fn is_shared(&self) -> bool {
        lock::is_held(&self.file, lock::READERS).unwrap_or(false)
    }

    /// The file, for whoever sends from it.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Its name, for errors.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Where the next byte is in the file.
    pub fn place(&self) -> u64 {
        HEADER_LEN + self.at
    }

    /// What comes next, into the buffer; waits for nothing. `is_read`: otherwise the buffer is nothing
    /// to go by, and what needs no check is not read.
    pub fn next(&mut self, buffer: &mut Vec<u8>, is_read: bool) -> Next {
        let next = match self.kept.take() {
            Some(kept) => {
                let next = self.next_kept(&kept, buffer);
                self.kept = Some(kept);
                next
            }
            None => self.next_grown(buffer, is_read),
        };
        if let Next::Bytes(count) = next {
            self.at += count as u64;
        }
        next
    }

    fn next_kept(&self, (header, table): &(Header, Vec<u8>), buffer: &mut Vec<u8>) -> Next {
        let left = header.length - self.at;
        if left == 0 {
            return Next::End(header.made);
        }
        buffer.resize(left.min(BLOCK as u64) as usize, 0);
        let block = (self.at / BLOCK as u64) as usize * CHECKSUM;
        let read = self.file.read_exact_at(buffer, HEADER_LEN + self.at);
        let wanted = table.get(block..block + CHECKSUM);
        if read.is_ok() && wanted == Some(&crc32fast::hash(buffer).to_le_bytes()[..]) {
            return Next::Bytes(buffer.len());
        }
        remove(&self.file, &self.path);
        Next::Gone(Gone::Broken)
    }

    fn next_grown(&self, buffer: &mut Vec<u8>, is_read: bool) -> Next {
        // in this order: checksums are written behind the pack once the header is complete
        let Ok(there) = self.file.metadata() else { return Next::Gone(Gone::Broken) };
        let mut header = self.header();
        let mut end = there.len().saturating_sub(HEADER_LEN);
        if let Some(header) = header.filter(|header| header.state == State::Complete) {
            end = header.length;
        }
        if self.at < end {
            let count = (end - self.at).min(BLOCK as u64) as usize;
            if !is_read {
                return Next::Bytes(count);
            }
            buffer.resize(count, 0);
            return match self.file.read_exact_at(buffer, HEADER_LEN + self.at) {
                Ok(()) => Next::Bytes(count),
                Err(_) => Next::Gone(Gone::Broken),
            };
        }
        if header.is_none_or(|header| header.state == State::Growing) {
            match self.is_being_made() {
                Ok(true) => return Next::Nothing,
                // it may have ended well between the two looks
                Ok(false) => header = self.header(),
                Err(_) => return Next::Gone(Gone::Broken),
            }
        }
        match header {
            Some(header) if header.state == State::Complete => match self.at == header.length {
                true => Next::End(header.made),
                false => Next::Nothing,
            },
            Some(header) if header.state == State::Declined => Next::Gone(Gone::Declined),
            _ => Next::Gone(Gone::Maker),
        }
    }

    fn header(&self) -> Option<Header> {
        Header::read(&self.file).filter(|header| header.key == self.key)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.at > 0 {
            self.cache.count(Counts { bytes: self.at, ..Counts::default() });
        }
    }
}

/// Header and checksums of a complete pack, if the file holds one.
fn checked(file: &File, key: &Key) -> Option<(Header, Vec<u8>)> {
    let found = file.metadata().ok()?;
    let header = Header::read(file)?;
    let is_whole = found.is_file()
        && header.key == *key
        && header.state == State::Complete
        && header.file_len() == Some(found.len());
    let trailer_len = usize::from(header.trailer_len);
    if !is_whole || trailer_len > 32 || header.length < trailer_len as u64 + 12 {
        return None;
    }
    let mut trailer = [0; 32];
    let at = HEADER_LEN + header.length - trailer_len as u64;
    file.read_exact_at(&mut trailer[..trailer_len], at).ok()?;
    let mut table = vec![0; (found.len() - HEADER_LEN - header.length) as usize];
    file.read_exact_at(&mut table, HEADER_LEN + header.length).ok()?;
    let is_right = trailer == header.trailer && crc32fast::hash(&table) == header.table;
    is_right.then_some((header, table))
}

/// So that nobody opens it again; another that has taken its place stays.
fn remove(file: &File, path: &Path) {
    if is_at(file, path) {
        let _ = std::fs::remove_file(path);
    }
}
