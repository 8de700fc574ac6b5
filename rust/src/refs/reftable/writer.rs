//! Writing a table, from its first byte to its last.
//!
//! In: refs in order of names, then logs in order of keys. Out: a file as git writes it, without the
//! optional map from objects to refs. Refs' blocks are aligned to the block size, logs' are not.

use std::io::{self, Write};

use super::block::BLOCK_HEADER;
use super::bytes::{put_u24, put_varint};
use super::header::{Footer, Header};
use super::record::{LogRecord, RefValue};
use super::settings::TableSettings;
use crate::zlib::{DEFAULT_LEVEL, Deflater};

/// From so many blocks on there is an index, as the document advises.
const INDEX_FROM: usize = 4;

const MAX_BLOCK: usize = TableSettings::MAX_BLOCK;

/// What a record takes in a block beside its key and value: two varints, an offset in the table of
/// restarts; and what a block takes: both headers and the count of restarts.
const OVERHEAD: usize = 2 * 10 + 3 + BLOCK_HEADER + super::header::MAX_HEADER + 2;

/// The block size for a table whose largest ref record has so many bytes of key and value.
pub(super) fn block_size_for(largest: usize, settings: &TableSettings) -> usize {
    match largest + OVERHEAD {
        needed if needed <= settings.block_size => settings.block_size,
        needed => needed.next_power_of_two().min(MAX_BLOCK),
    }
}

/// Writes one table.
pub(super) struct TableWriter<W> {
    out: W,
    header: Header,
    footer: Footer,
    /// How much has been written.
    at: u64,
    /// Zeros to write before another aligned block.
    padding: usize,
    block: Block,
    restart_interval: usize,
    section: Section,
    /// Of each block of the section: its last key and where it begins.
    index: Vec<(Vec<u8>, u64)>,
    deflater: Option<Deflater>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Refs,
    Logs,
}

impl<W: Write> TableWriter<W> {
    pub(super) fn new(out: W, header: Header, settings: &TableSettings) -> Self {
        let restart_interval = settings.restart_interval;
        let mut start = Vec::new();
        header.write(&mut start);
        let block = Block::new(b'r', start, header.block_size, restart_interval);
        Self {
            out,
            header,
            footer: Footer::default(),
            at: 0,
            padding: 0,
            block,
            restart_interval,
            section: Section::Refs,
            index: Vec::new(),
            deflater: None,
        }
    }

    /// Adds a ref: one that comes after all before, of a table whose block size it fits into.
    pub(super) fn add_ref(
        &mut self,
        name: &[u8],
        update_index: u64,
        value: &RefValue,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        let delta = update_index.checked_sub(self.header.min_update_index);
        let delta = delta.ok_or_else(|| unwritable("a ref is older than its table"))?;
        value.write(delta, &mut bytes);
        if !self.block.add(name, value.extra(), &bytes) {
            self.end_block()?;
            self.block = self.new_block(b'r', self.header.block_size);
            if !self.block.add(name, value.extra(), &bytes) {
                return Err(unwritable("a ref does not fit into a block"));
            }
        }
        Ok(())
    }

    /// Adds a record of a log: one that comes after all before, and after all refs.
    pub(super) fn add_log(&mut self, record: &LogRecord) -> io::Result<()> {
        if self.section == Section::Refs {
            self.end_refs()?;
            self.section = Section::Logs;
            self.footer.log = self.at;
            self.block = self.log_block();
        }
        let extra = u8::from(record.entry.is_some());
        let value = record.entry.as_deref().unwrap_or_default();
        if !self.block.add(&record.key, extra, value) {
            self.end_block()?;
            self.block = self.log_block();
            // a block of logs may be as long as its record takes
            let needed = record.key.len() + value.len() + OVERHEAD;
            self.block.limit = self.block.limit.max(needed).min(MAX_BLOCK);
            if !self.block.add(&record.key, extra, value) {
                return Err(unwritable("a log entry does not fit into a block"));
            }
        }
        Ok(())
    }

    fn log_block(&self) -> Block {
        self.new_block(b'g', (2 * self.header.block_size).min(MAX_BLOCK))
    }

    fn new_block(&self, kind: u8, limit: usize) -> Block {
        Block::new(kind, Vec::new(), limit, self.restart_interval)
    }

    /// Writes what is left, and the footer.
    pub(super) fn finish(mut self) -> io::Result<W> {
        match self.section {
            Section::Refs => self.end_refs()?,
            Section::Logs => {
                self.end_block()?;
                if self.index.len() > 1 {
                    self.footer.log_index = self.write_index(false)?;
                }
            }
        }
        let mut last = Vec::new();
        self.footer.write(&self.header, &mut last);
        self.out.write_all(&last)?;
        Ok(self.out)
    }

    fn end_refs(&mut self) -> io::Result<()> {
        if self.at == 0 && self.block.is_empty() {
            // only logs, or nothing: the header stands alone
            let start = std::mem::take(&mut self.block.bytes);
            return self.write(&start[..self.header.len]);
        }
        self.end_block()?;
        if self.index.len() >= INDEX_FROM {
            self.footer.ref_index = self.write_index(true)?;
        }
        self.index.clear();
        Ok(())
    }

    /// Writes the current block, if anything is in it.
    fn end_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let (key, position) = if block.kind == b'g' {
            let (key, bytes) = block.end();
            let mut deflated = bytes[..BLOCK_HEADER].to_vec();
            let deflater = self.deflater.get_or_insert_with(|| Deflater::new(DEFAULT_LEVEL));
            deflater.deflate_all(&bytes[BLOCK_HEADER..], &mut deflated);
            (key, self.write(&deflated).map(|()| self.at - deflated.len() as u64)?)
        } else {
            let (key, bytes) = block.end();
            (key, self.write_aligned(&bytes)?)
        };
        self.index.push((key, position));
        Ok(())
    }

    /// Writes levels of an index over the section's blocks, until one block tells of all; where
    /// that one is.
    fn write_index(&mut self, aligned: bool) -> io::Result<u64> {
        loop {
            let level = std::mem::take(&mut self.index);
            let mut block = self.new_block(b'i', self.header.block_size);
            for (key, position) in level {
                let mut value = Vec::new();
                put_varint(&mut value, position);
                if !block.add(&key, 0, &value) {
                    let next = self.new_block(b'i', self.header.block_size);
                    let full = std::mem::replace(&mut block, next);
                    self.write_index_block(full, aligned)?;
                    // logs may have longer keys than there is room for
                    block.limit = block.limit.max(key.len() + value.len() + OVERHEAD);
                    if !block.add(&key, 0, &value) {
                        return Err(unwritable("a key does not fit into a block"));
                    }
                }
            }
            self.write_index_block(block, aligned)?;
            if let [(_, position)] = self.index[..] {
                return Ok(position);
            }
        }
    }

    fn write_index_block(&mut self, block: Block, aligned: bool) -> io::Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        let (key, bytes) = block.end();
        let position = if aligned {
            self.write_aligned(&bytes)?
        } else {
            self.write(&bytes).map(|()| self.at - bytes.len() as u64)?
        };
        self.index.push((key, position));
        Ok(())
    }

    /// Where the block begins.
    fn write_aligned(&mut self, block: &[u8]) -> io::Result<u64> {
        let padding = std::mem::take(&mut self.padding);
        self.write(&vec![0; padding])?;
        let position = self.at;
        self.write(block)?;
        self.padding = self.header.block_size.saturating_sub(block.len());
        Ok(position)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn unwritable(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A block that is being filled.
#[derive(Default)]
struct Block {
    kind: u8,
    bytes: Vec<u8>,
    /// Where its header is: behind the file's in the first block.
    begin: usize,
    limit: usize,
    last: Vec<u8>,
    restarts: Vec<usize>,
    restart_interval: usize,
    records: usize,
}

impl Block {
    /// `start`: what stands before the block and counts as part of it.
    fn new(kind: u8, start: Vec<u8>, limit: usize, restart_interval: usize) -> Self {
        let begin = start.len();
        let mut bytes = start;
        bytes.extend_from_slice(&[kind, 0, 0, 0]);
        Self { kind, bytes, begin, limit, restart_interval, ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Adds a record, or says that there is no room for it.
    fn add(&mut self, key: &[u8], extra: u8, value: &[u8]) -> bool {
        let is_restart = self.records.is_multiple_of(self.restart_interval);
        let shared = if is_restart {
            0
        } else {
            key.iter().zip(&self.last).take_while(|(a, b)| a == b).count()
        };
        let suffix = &key[shared..];
        let at = self.bytes.len();
        put_varint(&mut self.bytes, shared as u64);
        put_varint(&mut self.bytes, (suffix.len() as u64) << 3 | u64::from(extra));
        self.bytes.extend_from_slice(suffix);
        self.bytes.extend_from_slice(value);
        let restarts = self.restarts.len() + usize::from(is_restart);
        if self.bytes.len() + 3 * restarts + 2 > self.limit || restarts > usize::from(u16::MAX) {
            self.bytes.truncate(at);
            return false;
        }
        if is_restart {
            self.restarts.push(at);
        }
        self.records += 1;
        self.last.clear();
        self.last.extend_from_slice(key);
        true
    }

    /// The last key, and the bytes with the table of restarts and the length.
    fn end(mut self) -> (Vec<u8>, Vec<u8>) {
        for &restart in &self.restarts {
            put_u24(&mut self.bytes, restart);
        }
        // no more were let in
        self.bytes.extend_from_slice(&(self.restarts.len() as u16).to_be_bytes());
        let mut len = Vec::new();
        put_u24(&mut len, self.bytes.len());
        self.bytes[self.begin + 1..self.begin + BLOCK_HEADER].copy_from_slice(&len);
        (self.last, self.bytes)
    }
}
