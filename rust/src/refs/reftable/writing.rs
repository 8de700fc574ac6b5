//! One transaction's way through the stacks: that of the repository, and a linked worktree's own.

use std::sync::{MutexGuard, PoisonError};

use super::backend::{TableRefs, View};
use super::leftovers;
use super::locked::{Change, LockedStack, merge_tables};
use super::logs;
use super::record::{LogEntry, log_key};
use super::table::Table;
use crate::hash::ObjectId;
use crate::refs::name;
use crate::refs::reflog::{creates, one_line};
use crate::refs::{UpdateError, UpdateOptions};

/// Longest message of a log entry, so that it fits into a block of git's.
const MAX_MESSAGE: usize = 2048;

/// Stacks that are locked, and what they say.
pub(super) struct Writing<'a> {
    refs: &'a TableRefs,
    fsync: bool,
    common: LockedStack<'a>,
    own: Option<LockedStack<'a>>,
    pub(super) view: View,
    /// Our own threads wait here, in line, and not for the lock file, in turns.
    gate: MutexGuard<'a, ()>,
}

/// What changes in each of them.
pub(super) struct Changes {
    common: (u64, Change),
    own: Option<(u64, Change)>,
}

impl Changes {
    /// Of the stack that this ref is in.
    pub(super) fn of(&mut self, name: &[u8]) -> &mut Change {
        &mut self.numbered(name).1
    }

    fn numbered(&mut self, name: &[u8]) -> &mut (u64, Change) {
        match &mut self.own {
            Some(own) if name::is_per_worktree(name) => own,
            _ => &mut self.common,
        }
    }
}

impl<'a> Writing<'a> {
    /// Locks the stacks and reads them again.
    pub(super) fn begin(refs: &'a TableRefs, fsync: bool) -> Result<Self, UpdateError> {
        let is_first = refs.staging.sweep_once();
        let gate = refs.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let lock =
            |folder| LockedStack::lock(folder, refs.kind, refs.settings, &refs.staging, fsync);
        let mut common = lock(&refs.common)?;
        let mut own = refs.own.as_deref().map(lock).transpose()?;
        let view = refs.view_now()?;
        common.set_tables(&view.common);
        if let (Some(own), Some(tables)) = (&mut own, &view.own) {
            own.set_tables(tables);
        }
        if is_first {
            leftovers::remove(&refs.common, common.tables(), refs.kind);
        }
        Ok(Self { refs, fsync, common, own, view, gate })
    }

    /// Nothing, numbered as the next transaction.
    pub(super) fn changes(&self) -> Result<Changes, UpdateError> {
        let numbered = |stack: &LockedStack<'_>| Ok((stack.next_index()?, Change::default()));
        let own = self.own.as_ref().map(numbered).transpose()?;
        numbered(&self.common).map(|common| Changes { common, own })
    }

    /// The tables that this ref is in.
    pub(super) fn tables(&self, name: &[u8]) -> &[std::sync::Arc<Table>] {
        match &self.own {
            Some(own) if name::is_per_worktree(name) => own.tables(),
            _ => self.common.tables(),
        }
    }

    /// Writes what changes, lets the locks go, and merges tables where there are too many.
    pub(super) fn commit(self, changes: Changes) -> Result<(), UpdateError> {
        let Self { refs, fsync, common, own, gate, .. } = self;
        let write = |stack: LockedStack<'_>, (index, change): (u64, Change)| {
            if change.is_empty() { Ok(false) } else { stack.commit(change, index) }
        };
        let mut long = Vec::new();
        if write(common, changes.common)? {
            long.push(&refs.common);
        }
        if let (Some(stack), Some(change), Some(folder)) = (own, changes.own, &refs.own)
            && write(stack, change)?
        {
            long.push(folder);
        }
        drop(gate);
        for folder in long {
            // another time, if not now: what was asked for is done
            let _ = merge_tables(folder, refs.kind, refs.settings, &refs.staging, fsync);
        }
        Ok(())
    }
}

/// Adds entries to the logs of one transaction's refs.
pub(super) struct Logger<'a> {
    options: &'a UpdateOptions<'a>,
    who: Option<Who<'a>>,
    message: Vec<u8>,
}

/// `Name <address> seconds zone`, taken apart.
struct Who<'a> {
    name: &'a [u8],
    email: &'a [u8],
    time: u64,
    zone: i16,
}

impl<'a> Logger<'a> {
    pub(super) fn new(options: &'a UpdateOptions<'a>) -> Self {
        let mut message = one_line(options.message);
        message.truncate(MAX_MESSAGE);
        message.push(b'\n');
        Self { options, who: Who::parse(options.committer), message }
    }

    /// The ref goes from one id to another; zeros stand for none.
    pub(super) fn append(
        &self,
        name: &[u8],
        old: &ObjectId,
        new: &ObjectId,
        writing: &Writing<'_>,
        changes: &mut Changes,
    ) -> Result<(), UpdateError> {
        let Some(who) = &self.who else { return Ok(()) };
        if !creates(self.options.reflog, name) && !logs::exists(writing.tables(name), name)? {
            return Ok(());
        }
        let &Who { name: who, email, time, zone } = who;
        let (old, new) = (*old, *new);
        let entry = LogEntry { old, new, name: who, email, time, zone, message: &self.message };
        let mut bytes = Vec::new();
        entry.write(&mut bytes);
        let (index, change) = changes.numbered(name);
        change.logs.insert(log_key(name, *index), Some(bytes));
        Ok(())
    }
}

impl<'a> Who<'a> {
    /// `None` for what is nobody: no log is kept then.
    fn parse(committer: &'a [u8]) -> Option<Self> {
        let open = committer.iter().position(|&byte| byte == b'<')?;
        let close = open + committer[open..].iter().position(|&byte| byte == b'>')?;
        let mut rest = committer[close + 1..].split(u8::is_ascii_whitespace);
        let mut word = || std::str::from_utf8(rest.find(|word| !word.is_empty())?).ok();
        let time = word().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        let zone = word().and_then(|zone| zone.parse().ok()).unwrap_or(0);
        let (name, email) = (committer[..open].trim_ascii(), &committer[open + 1..close]);
        let is_text = [name, email].iter().all(|text| text.len() < super::record::MAX_TEXT);
        is_text.then_some(Self { name, email, time, zone })
    }
}
