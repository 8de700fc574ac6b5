//! What is sent at once: bytes, and between them ranges of files that the kernel sends itself.
//!
//! In flow bytes made here, and ranges of stored packs or of remembered ones, which are checked by
//! then. Out they flow to a socket ([`super::send`]), which costs neither a copy nor memory; or, for
//! whoever must have bytes, into memory.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::source::SourceError;

/// An open file that parts of are sent.
#[derive(Debug)]
pub struct LentFile {
    pub(super) file: Arc<File>,
    /// For errors.
    name: String,
}

impl LentFile {
    /// `name`: for errors, as the log shows it.
    pub fn new(file: Arc<File>, name: String) -> Self {
        Self { file, name }
    }

    pub(super) fn failed(&self, error: Error) -> SourceError {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.shrank(),
            _ => SourceError::Io { file: self.name.clone(), error },
        }
    }

    pub(super) fn shrank(&self) -> SourceError {
        let what = "the file shrank while it was sent".to_owned();
        SourceError::Corrupt { file: self.name.clone(), what }
    }
}

/// A part of a file.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) file: Arc<LentFile>,
    pub(super) start: u64,
    pub(super) len: usize,
    /// The chunk's own bytes that are in front of it.
    pub(super) behind: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Chunk {
    own: Vec<u8>,
    lent: Vec<Lent>,
    lent_len: usize,
}

/// What a chunk is made of, one after the other.
pub(super) enum Piece<'a> {
    Own(&'a [u8]),
    Lent(&'a Lent),
}

impl From<Vec<u8>> for Chunk {
    fn from(own: Vec<u8>) -> Self {
        Self { own, lent: Vec::new(), lent_len: 0 }
    }
}

impl Chunk {
    /// All of it, in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.own.len() + self.lent_len
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that are in memory.
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// Bytes that are not.
    #[cfg(test)]
    pub(super) fn lent_len(&self) -> usize {
        self.lent_len
    }

    /// Goes on with a part of a file.
    pub(super) fn lend(&mut self, file: &Arc<LentFile>, start: u64, len: usize) {
        self.lent_len += len;
        let behind = self.own.len();
        if let Some(last) = self.lent.last_mut()
            && last.behind == behind
            && last.start + last.len as u64 == start
            && Arc::ptr_eq(&last.file, file)
        {
            last.len += len;
            return;
        }
        self.lent.push(Lent { file: Arc::clone(file), start, len, behind });
    }

    /// All of it in memory, if it is there.
    pub fn in_memory(&self) -> Option<&[u8]> {
        self.lent.is_empty().then_some(&self.own[..])
    }

    /// All of it, read where it is lent.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::with_capacity(self.len());
        for piece in self.pieces() {
            match piece {
                Piece::Own(own) => bytes.extend_from_slice(own),
                Piece::Lent(Lent { file, start, len, .. }) => {
                    let from = bytes.len();
                    bytes.resize(from + len, 0);
                    let read = file.file.read_exact_at(&mut bytes[from..], *start);
                    read.map_err(|error| file.failed(error))?;
                }
            }
        }
        Ok(bytes)
    }

    /// As [`Chunk::to_bytes`], without a copy where nothing is lent.
    pub fn into_bytes(self) -> Result<Vec<u8>, SourceError> {
        if self.lent.is_empty() { Ok(self.own) } else { self.to_bytes() }
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let before = self.lent.iter().scan(0, |from, lent| {
            let own = &self.own[*from..lent.behind];
            *from = lent.behind;
            Some([Piece::Own(own), Piece::Lent(lent)])
        });
        let last = self.lent.last().map_or(0, |lent| lent.behind);
        let pieces = before.flatten().chain([Piece::Own(&self.own[last..])]);
        pieces.filter(|piece| !matches!(piece, Piece::Own([])))
    }
}
