//! One table: an immutable file of refs and logs, checked and read section by section.
//!
//! Refs are read whole and once, into memory; the merged view is what is searched. Logs are read
//! only by whoever writes: they may be many times larger, so a ref's are found by their index.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Flaw;
use super::block::{BLOCK_HEADER, Records};
use super::header::{Footer, Header, MAX_HEADER};
use super::record::RefValue;
use crate::hash::HashKind;
use crate::refs::RefError;
use crate::refs::loose::is_gone;
use crate::refs::overlay::keep_name;
use crate::refs::stamp::Stamp;

/// No section is read that is larger: forty million refs.
const MAX_SECTION: u64 = 2 << 30;

/// A table in the stack.
#[derive(Debug)]
pub(super) struct Table {
    /// As the list has it.
    pub(super) name: Vec<u8>,
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) footer: Footer,
    pub(super) size: u64,
    /// Where the footer begins.
    pub(super) end: u64,
    /// The first block is one of logs, and the file's header counts as part of it: so git writes
    /// tables that are of logs alone.
    pub(super) begins_with_logs: bool,
    stamp: Stamp,
}

/// The refs of one table, in order of names.
#[derive(Debug, Default)]
pub(super) struct RefRecords {
    names: Vec<u8>,
    rows: Vec<RefRow>,
}

#[derive(Debug)]
struct RefRow {
    name: Range<u32>,
    update_index: u64,
    value: RefValue,
}

impl RefRecords {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn name(&self, row: usize) -> &[u8] {
        let name = &self.rows[row].name;
        &self.names[name.start as usize..name.end as usize]
    }

    pub(super) fn value(&self, row: usize) -> &RefValue {
        &self.rows[row].value
    }

    pub(super) fn update_index(&self, row: usize) -> u64 {
        self.rows[row].update_index
    }
}

impl Table {
    /// Opens a table; `None` when there is no such file.
    pub(super) fn open(
        folder: &Path,
        name: &[u8],
        kind: HashKind,
    ) -> Result<Option<Self>, RefError> {
        use std::os::unix::ffi::OsStrExt;
        let path = folder.join(std::ffi::OsStr::from_bytes(name));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(RefError::io(&path, error)),
        };
        let meta = file.metadata().map_err(|error| RefError::io(&path, error))?;
        let size = meta.len();
        let corrupt = |flaw: Flaw| flaw.of(&path);
        let short = Flaw { offset: size, what: "ends too early" };
        let mut start = vec![0; MAX_HEADER.min(size as usize)];
        read_at(&file, &path, 0, &mut start)?;
        let header = Header::parse(&start, 0).map_err(corrupt)?;
        if header.kind != kind {
            return Err(corrupt(Flaw { offset: 0, what: "is of another object format" }));
        }
        let end = size.checked_sub(header.footer_len() as u64);
        let end = end.filter(|&end| end >= header.len as u64).ok_or_else(|| corrupt(short))?;
        let mut last = vec![0; header.footer_len()];
        read_at(&file, &path, end, &mut last)?;
        let mut footer = Footer::parse(&last, &header, end).map_err(corrupt)?;
        // a table of logs alone: its first block may be told by its type only
        let mut begins_with_logs = false;
        if footer.log == 0 && end > header.len as u64 {
            let mut kind_of_block = [0];
            read_at(&file, &path, header.len as u64, &mut kind_of_block)?;
            if kind_of_block == *b"g" {
                footer.log = header.len as u64;
                begins_with_logs = true;
            }
        }
        let (name, stamp) = (name.to_vec(), Stamp::of(&meta));
        Ok(Some(Self { name, path, header, footer, size, end, begins_with_logs, stamp }))
    }

    /// Is this the file that was opened, and not another one of its name?
    pub(super) fn is_still_there(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|meta| Stamp::of(&meta) == self.stamp)
    }

    /// Reads a part of the file.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Vec<u8>, RefError> {
        let len = range.end.saturating_sub(range.start);
        if len > MAX_SECTION {
            let file = self.path.display().to_string();
            return Err(RefError::TooLarge { file, size: len, limit: MAX_SECTION });
        }
        let file = File::open(&self.path).map_err(|error| RefError::io(&self.path, error))?;
        let mut data = vec![0; len as usize];
        read_at(&file, &self.path, range.start, &mut data)?;
        Ok(data)
    }

    /// The error for a flaw in this file.
    pub(super) fn corrupt(&self, flaw: Flaw) -> RefError {
        flaw.of(&self.path)
    }

    /// All refs of this table.
    pub(super) fn refs(&self) -> Result<RefRecords, RefError> {
        let sections = [self.footer.ref_index, self.footer.obj >> 5, self.footer.log];
        let end = sections.into_iter().find(|&at| at > 0).unwrap_or(self.end);
        let data = self.read(0..end)?;
        let mut refs = RefRecords::default();
        let mut last: Vec<u8> = Vec::new();
        let mut at = self.header.len;
        while at < data.len() {
            let is_first = at == self.header.len;
            let begin = if is_first { 0 } else { at };
            let flaw = |what| self.corrupt(Flaw { offset: at as u64, what });
            if data[at] == b'i' && self.footer.ref_index > 0 {
                break; // lower levels of an index whose root is at its end
            }
            if data[at] != b'r' {
                return Err(flaw("block of refs expected"));
            }
            let len = block_len(&data[at..]).ok_or_else(|| flaw("ends too early"))?;
            let block = data.get(begin..).and_then(|rest| rest.get(..len));
            let block = block.ok_or_else(|| flaw("block is longer than its section"))?;
            let skip = at - begin + BLOCK_HEADER;
            let records = Records::new(block, skip, begin as u64);
            records
                .map_err(|flaw| self.corrupt(flaw))
                .and_then(|records| self.keep(records, &mut last, &mut refs))?;
            at = behind(&data, begin + len, self.header.block_size);
        }
        Ok(refs)
    }

    fn keep(
        &self,
        mut records: Records<'_>,
        last: &mut Vec<u8>,
        refs: &mut RefRecords,
    ) -> Result<(), RefError> {
        let corrupt = |flaw: Flaw| self.corrupt(flaw);
        while let Some(extra) = records.next_key().map_err(corrupt)? {
            if records.key() <= &last[..] {
                return Err(corrupt(records.value.flaw("refs are out of order")));
            }
            let (delta, value) =
                RefValue::read(&mut records, extra, self.header.kind).map_err(corrupt)?;
            let update_index = self.header.min_update_index.checked_add(delta);
            let update_index = update_index
                .ok_or_else(|| corrupt(records.value.flaw("update index is too large")))?;
            let name = keep_name(&mut refs.names, records.key())?;
            refs.rows.push(RefRow { name, update_index, value });
            last.clear();
            last.extend_from_slice(records.key());
        }
        Ok(())
    }
}

/// The length in a block's header.
pub(super) fn block_len(block: &[u8]) -> Option<usize> {
    let len = block.get(1..BLOCK_HEADER)?;
    Some(usize::from(len[0]) << 16 | usize::from(len[1]) << 8 | usize::from(len[2]))
}

/// Where the next block begins: at `end`, unless padding up to the block size is there.
pub(super) fn behind(data: &[u8], end: usize, block_size: usize) -> usize {
    match data.get(end) {
        Some(0) if block_size > 0 => end.next_multiple_of(block_size),
        _ => end,
    }
}

fn read_at(file: &File, path: &Path, at: u64, into: &mut [u8]) -> Result<(), RefError> {
    file.read_exact_at(into, at).map_err(|error| RefError::io(path, error))
}
