//! Loose objects: one deflated file each (`gitrepository-layout`, `objects/[0-9a-f][0-9a-f]`).
//!
//! One object is there without a file: the empty tree, which git knows by heart, and which commits
//! name that nobody ever stored it for.
//!
//! In flow folders and a name, out flows content, in pieces of bounded size: a loose blob may be
//! larger than memory.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use super::alternates::loose_path;
use super::{MAX_OBJECT_IN_MEMORY, fits_memory};
use crate::hash::{HashKind, ObjectId};
use crate::object::{ObjectKind, object_id};
use crate::pack::entry::{EntryHeader, EntryKind};
use crate::source::SourceError;
use crate::zlib::{Inflater, ZlibError};

/// What is read from the file at once.
const INPUT_LEN: usize = 64 * 1024;
/// `"commit 18446744073709551615\0"` is the longest header there can be.
const MAX_HEADER_LEN: usize = 32;

/// The deflated file that the empty tree would be: one stored block.
const EMPTY_TREE: &[u8] = b"\x78\x01\x01\x07\x00\xf8\xfftree 0\0\x0a\x2c\x02\x01";

pub(super) fn is_empty_tree(id: &ObjectId) -> bool {
    // 4b825dc642cb... and 6ef19b41225c...: told by two bytes nearly always
    matches!(id.as_bytes()[..2], [0x4b, 0x82] | [0x6e, 0xf1])
        && *id == object_id(id.kind(), ObjectKind::Tree, b"")
}

/// Is there a file of this object? True for the empty tree.
pub(super) fn is_there(folders: &[PathBuf], id: &ObjectId) -> Result<bool, SourceError> {
    for folder in folders {
        let path = loose_path(folder, id);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => return Ok(true),
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(SourceError::Io { file: path.display().to_string(), error }),
        }
    }
    Ok(is_empty_tree(id))
}

/// Opens the file of an object in the first folder that has one.
pub(super) fn open<'a>(
    folders: &[PathBuf],
    id: &ObjectId,
    scratch: &'a mut Scratch,
) -> Result<Option<LooseReader<'a>>, SourceError> {
    for folder in folders {
        let path = loose_path(folder, id);
        match File::open(&path) {
            Ok(file) => {
                return LooseReader::begin(path, Input::File(file), *id, scratch).map(Some);
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(SourceError::Io { file: path.display().to_string(), error }),
        }
    }
    if is_empty_tree(id) {
        let path = PathBuf::from("the empty tree");
        return LooseReader::begin(path, Input::Known(EMPTY_TREE), *id, scratch).map(Some);
    }
    Ok(None)
}

/// Where the bytes come from.
enum Input {
    File(File),
    Known(&'static [u8]),
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.read(out),
            Self::Known(bytes) => bytes.read(out),
        }
    }
}

/// Buffers that are kept from object to object.
#[derive(Default)]
pub(super) struct Scratch {
    inflater: Inflater,
    input: Vec<u8>,
    /// How much of `input` was read.
    filled: usize,
}

impl Scratch {
    fn input(&self) -> &[u8] {
        &self.input[..self.filled]
    }
}

/// A loose object whose header has been read.
pub(super) struct LooseReader<'a> {
    path: PathBuf,
    file: Input,
    id: ObjectId,
    scratch: &'a mut Scratch,
    /// What of the input has been used.
    taken: usize,
    /// The first bytes of content, which came out with the header.
    ahead: [u8; MAX_HEADER_LEN],
    ahead_range: std::ops::Range<usize>,
    done: bool,
    pub(super) kind: ObjectKind,
    pub(super) size: u64,
}

impl<'a> LooseReader<'a> {
    fn begin(
        path: PathBuf,
        file: Input,
        id: ObjectId,
        scratch: &'a mut Scratch,
    ) -> Result<Self, SourceError> {
        scratch.input.resize(INPUT_LEN, 0);
        scratch.filled = 0;
        scratch.inflater.reset();
        let mut reader = Self {
            path,
            file,
            id,
            scratch,
            taken: 0,
            ahead: [0; MAX_HEADER_LEN],
            ahead_range: 0..0,
            done: false,
            kind: ObjectKind::Blob,
            size: 0,
        };
        reader.refill()?;
        let header = match experimental_header(reader.scratch.input(), id.kind()) {
            Some((kind, size, len)) => {
                reader.taken = len;
                (kind, size)
            }
            None => reader.read_header()?,
        };
        (reader.kind, reader.size) = header;
        Ok(reader)
    }

    /// Inflates the start of the stream, which begins with `"<kind> <size>\0"`.
    fn read_header(&mut self) -> Result<(ObjectKind, u64), SourceError> {
        let mut start = [0; MAX_HEADER_LEN];
        let mut filled = 0;
        while filled < start.len() && !self.done {
            let produced = self.step(&mut start[filled..])?;
            if produced == 0 && !self.done {
                break;
            }
            filled += produced;
        }
        let parsed = start[..filled].iter().position(|&b| b == 0).and_then(|end| {
            let (kind, size) = parse_header(&start[..end])?;
            Some((kind, size, end + 1))
        });
        let (kind, size, len) = parsed.ok_or_else(|| self.corrupt("malformed object header"))?;
        self.ahead = start;
        self.ahead_range = len..filled;
        Ok((kind, size))
    }

    /// Appends the whole content to `out`.
    pub(super) fn read_all(mut self, out: &mut Vec<u8>) -> Result<(), SourceError> {
        let size = fits_memory(&self.id, self.size, MAX_OBJECT_IN_MEMORY)?;
        let start = out.len();
        // a header can claim anything: grow with what is really there
        while !self.done || !self.ahead_range.is_empty() {
            let filled = out.len();
            let room = (size - (filled - start)).min(INPUT_LEN.max(filled));
            out.resize(filled + room, 0);
            let produced = self.next_piece(&mut out[filled..])?;
            out.truncate(filled + produced);
            if room == 0 {
                break;
            }
        }
        self.finish((out.len() - start) as u64)
    }

    /// Gives the content to `sink` in pieces.
    pub(super) fn stream(
        mut self,
        piece: &mut [u8],
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), SourceError> {
        let mut given = 0u64;
        while given < self.size {
            let room = usize::try_from(self.size - given).unwrap_or(usize::MAX).min(piece.len());
            let produced = self.next_piece(&mut piece[..room])?;
            if produced == 0 {
                return Err(self.corrupt(ZlibError::WrongSize));
            }
            given += produced as u64;
            if !sink(&piece[..produced]) {
                return Err(SourceError::Cancelled);
            }
        }
        self.finish(given)
    }

    /// Content into a buffer that may be empty; 0 at the end, or when there is no room.
    fn next_piece(&mut self, out: &mut [u8]) -> Result<usize, SourceError> {
        if !self.ahead_range.is_empty() {
            let len = self.ahead_range.len().min(out.len());
            let from = self.ahead_range.start;
            out[..len].copy_from_slice(&self.ahead[from..from + len]);
            self.ahead_range.start += len;
            return Ok(len);
        }
        let mut produced = 0;
        while produced == 0 && !self.done && !out.is_empty() {
            produced = self.step(out)?;
        }
        Ok(produced)
    }

    /// The stream has to end exactly here, and the file with it.
    fn finish(&mut self, given: u64) -> Result<(), SourceError> {
        if given != self.size || !self.ahead_range.is_empty() {
            return Err(self.corrupt(ZlibError::WrongSize));
        }
        while !self.done {
            if self.step(&mut [0])? > 0 {
                return Err(self.corrupt(ZlibError::WrongSize));
            }
        }
        if self.taken == self.scratch.filled {
            self.refill()?;
        }
        if self.taken < self.scratch.filled {
            return Err(self.corrupt("garbage after the object"));
        }
        Ok(())
    }

    /// One step of inflation, with more of the file where it is needed.
    fn step(&mut self, out: &mut [u8]) -> Result<usize, SourceError> {
        if self.taken == self.scratch.filled {
            self.refill()?;
        }
        let input = &self.scratch.input[self.taken..self.scratch.filled];
        let exhausted = input.is_empty();
        let step = self.scratch.inflater.step(input, out).map_err(|error| self.corrupt(error))?;
        self.taken += step.consumed;
        self.done = step.done;
        if !step.done && step.produced == 0 && exhausted {
            return Err(self.corrupt(ZlibError::Truncated));
        }
        Ok(step.produced)
    }

    fn refill(&mut self) -> Result<(), SourceError> {
        (self.taken, self.scratch.filled) = (0, 0);
        loop {
            match self.file.read(&mut self.scratch.input) {
                Ok(len) => {
                    self.scratch.filled = len;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(SourceError::Io { file: self.path.display().to_string(), error });
                }
            }
        }
    }

    fn corrupt(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::Corrupt { file: self.path.display().to_string(), what: what.to_string() }
    }
}

fn parse_header(header: &[u8]) -> Option<(ObjectKind, u64)> {
    let space = header.iter().position(|&b| b == b' ')?;
    let kind = ObjectKind::from_name(&header[..space])?;
    let digits = &header[space + 1..];
    let plain = digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || digits.first() != Some(&b'0'));
    let size = std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
    Some((kind, size))
}

/// The short-lived format of Git 1.4 and 1.5: a pack entry's header, then a stream of content
/// alone. Told apart by the checksum in the first two bytes of a zlib stream.
fn experimental_header(data: &[u8], hash: HashKind) -> Option<(ObjectKind, u64, usize)> {
    let (&first, &second) = (data.first()?, data.get(1)?);
    let is_zlib = first & 0x8f == 0x08 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0;
    if is_zlib {
        return None;
    }
    let header = EntryHeader::parse(data, hash).ok()?;
    match header.kind {
        EntryKind::Whole(kind) => Some((kind, header.size, header.len)),
        _ => None,
    }
}
