//! The logs of one table, and of a stack of them.
//!
//! Log blocks are deflated one by one and lie close to each other; an index leads to the block that
//! a ref's records begin in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Flaw;
use super::block::{BLOCK_HEADER, Records};
use super::record::{LogRecord, log_key};
use super::table::{Table, block_len};
use crate::refs::RefError;
use crate::zlib::Inflater;

/// More levels of an index than any table needs: each has twice as many entries as the one above.
const MAX_LEVELS: usize = 32;

/// Log records in order of their keys, block by block.
pub(super) struct LogCursor<'a> {
    table: &'a Table,
    inflater: Inflater,
    /// Where the next block begins.
    at: u64,
    end: u64,
    last: Vec<u8>,
    records: VecDeque<LogRecord>,
}

impl<'a> LogCursor<'a> {
    /// At the first record of the table.
    pub(super) fn new(table: &'a Table) -> Self {
        let footer = &table.footer;
        let end = if footer.log_index > 0 { footer.log_index } else { table.end };
        let at = if footer.log > 0 { footer.log } else { end };
        let (last, records) = (Vec::new(), VecDeque::new());
        Self { table, inflater: Inflater::new(), at, end, last, records }
    }

    /// At the first record whose key is not below this one.
    pub(super) fn seek(table: &'a Table, key: &[u8]) -> Result<Self, RefError> {
        let mut cursor = Self::new(table);
        if table.footer.log_index > 0 && table.footer.log > 0 {
            cursor.at = find_block(table, key)?.unwrap_or(cursor.end);
        }
        while let Some(record) = cursor.peek()? {
            if *record.key >= *key {
                break;
            }
            cursor.records.pop_front();
        }
        Ok(cursor)
    }

    /// The record that comes next.
    pub(super) fn peek(&mut self) -> Result<Option<&LogRecord>, RefError> {
        while self.records.is_empty() && self.at < self.end {
            self.read_block()?;
        }
        Ok(self.records.front())
    }

    /// Takes the record that comes next.
    pub(super) fn next(&mut self) -> Result<Option<LogRecord>, RefError> {
        self.peek()?;
        Ok(self.records.pop_front())
    }

    fn read_block(&mut self) -> Result<(), RefError> {
        let table = self.table;
        let base = self.at;
        let corrupt = |flaw: Flaw| table.corrupt(flaw);
        let flaw = |what| table.corrupt(Flaw { offset: base, what });
        let head = table.read(base..(base + BLOCK_HEADER as u64).min(self.end))?;
        match head.first() {
            Some(b'g') => {}
            Some(b'i') if table.footer.log_index > 0 => {
                self.at = self.end; // lower levels of an index whose root is at its end
                return Ok(());
            }
            _ => return Err(flaw("block of logs expected")),
        }
        let len = block_len(&head).ok_or_else(|| flaw("ends too early"))?;
        let is_first = table.begins_with_logs && base == table.header.len as u64;
        let before = if is_first { table.header.len } else { 0 } + BLOCK_HEADER;
        let size = len.checked_sub(before).ok_or_else(|| flaw("block is too short"))?;
        // what cannot be deflated takes a few bytes more in each 16 KB
        let most = (len + len / 1024 + 1024) as u64;
        let deflated = base + BLOCK_HEADER as u64;
        let data = table.read(deflated..deflated.saturating_add(most).min(self.end))?;
        let mut block = head;
        let taken = self.inflater.inflate_exact(&data, size, &mut block);
        let taken = taken.map_err(|_| flaw("block of logs cannot be inflated"))?;
        self.at = deflated + taken as u64;
        let mut records = Records::new(&block, BLOCK_HEADER, base).map_err(corrupt)?;
        while let Some(extra) = records.next_key().map_err(corrupt)? {
            let record =
                LogRecord::read(&mut records, extra, table.header.kind).map_err(corrupt)?;
            if record.key <= self.last {
                return Err(flaw("logs are out of order"));
            }
            self.last.clone_from(&record.key);
            self.records.push_back(record);
        }
        Ok(())
    }
}

/// Follows the index to the block where a record of this key would be; `None` behind the last.
fn find_block(table: &Table, key: &[u8]) -> Result<Option<u64>, RefError> {
    let corrupt = |flaw: Flaw| table.corrupt(flaw);
    let footer = &table.footer;
    let mut at = footer.log_index;
    for _ in 0..MAX_LEVELS {
        let flaw = |what| table.corrupt(Flaw { offset: at, what });
        let head = table.read(at..(at + BLOCK_HEADER as u64).min(table.end))?;
        match head.first() {
            Some(b'g') => return Ok(Some(at)),
            Some(b'i') => {}
            _ => return Err(flaw("block of an index expected")),
        }
        let len = block_len(&head).ok_or_else(|| flaw("ends too early"))? as u64;
        if len > table.end - at {
            return Err(flaw("block is longer than its section"));
        }
        let block = table.read(at..at + len)?;
        let mut records = Records::new(&block, BLOCK_HEADER, at).map_err(corrupt)?;
        let mut found = None;
        while records.next_key().map_err(corrupt)?.is_some() {
            let position = records.value.varint().map_err(corrupt)?;
            if records.key() >= key {
                // the first block counts from where the file begins, as its length does
                let is_first = table.begins_with_logs && position == 0;
                found = Some(if is_first { footer.log } else { position });
                break;
            }
        }
        match found {
            Some(position) if position >= footer.log && position < table.end => at = position,
            Some(_) => return Err(flaw("index leads out of its section")),
            // the topmost level may be of several blocks
            None if at >= footer.log_index && at + len < table.end => at += len,
            None => return Ok(None),
        }
    }
    Err(table.corrupt(Flaw { offset: footer.log_index, what: "index has no end" }))
}

/// Gives `see` the newest record of each key in a stack of tables, in order.
pub(super) fn each_newest<E: From<RefError>>(
    tables: &[Arc<Table>],
    mut see: impl FnMut(LogRecord) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursors: Vec<LogCursor<'_>> =
        tables.iter().rev().map(|table| LogCursor::new(table)).collect();
    loop {
        let mut lowest: Option<Vec<u8>> = None;
        for cursor in &mut cursors {
            if let Some(record) = cursor.peek()?
                && lowest.as_ref().is_none_or(|lowest| record.key < *lowest)
            {
                lowest = Some(record.key.clone());
            }
        }
        let Some(key) = lowest else { return Ok(()) };
        let mut newest = None;
        for cursor in &mut cursors {
            if cursor.peek()?.is_some_and(|record| record.key == key) {
                let record = cursor.next()?;
                newest = newest.or(record);
            }
        }
        if let Some(record) = newest {
            see(record)?;
        }
    }
}

/// The update indexes of a ref's records that are not gone, in a stack of tables.
pub(super) fn live_entries(tables: &[Arc<Table>], name: &[u8]) -> Result<Vec<u64>, RefError> {
    let mut entries: BTreeMap<u64, bool> = BTreeMap::new();
    for table in tables {
        for_each(table, name, |index, is_live| {
            entries.insert(index, is_live);
            true
        })?;
    }
    Ok(entries.into_iter().filter(|&(_, is_live)| is_live).map(|(index, _)| index).collect())
}

/// Has the ref a log? Looks no further than to the first record that tells.
pub(super) fn exists(tables: &[Arc<Table>], name: &[u8]) -> Result<bool, RefError> {
    let mut gone = std::collections::HashSet::new();
    let mut found = false;
    for table in tables.iter().rev() {
        for_each(table, name, |index, is_live| {
            if !is_live {
                gone.insert(index);
            } else if !gone.contains(&index) {
                found = true;
            }
            !found
        })?;
        if found {
            break;
        }
    }
    Ok(found)
}

/// Tells of each record of a ref in one table whether it is an entry, until `see` says false.
fn for_each(
    table: &Table,
    name: &[u8],
    mut see: impl FnMut(u64, bool) -> bool,
) -> Result<(), RefError> {
    if table.footer.log == 0 {
        return Ok(());
    }
    let mut cursor = LogCursor::seek(table, &log_key(name, u64::MAX))?;
    while let Some(record) = cursor.next()? {
        if !record.is_of(name) {
            break;
        }
        let mut reversed = [0; 8];
        reversed.copy_from_slice(&record.key[name.len() + 1..]);
        if !see(!u64::from_be_bytes(reversed), record.entry.is_some()) {
            break;
        }
    }
    Ok(())
}
