//! The checksum at the end of a pack, and how packs that are made at the same time share its cost.
//!
//! In flow the pack's bytes, in order, out flows their checksum. More than half of what a clone costs
//! that cannot repeat a stored pack is its SHA-1, and one SHA-1 alone leaves the processor idle half of
//! the time ([`update_abreast`]). So what is copied from stored packs waits, up to a bound, while
//! other packs are being made; who has no more room for it hashes some of it, and abreast of it what
//! others have waiting. Nobody waits for another's client, nor, unless memory is short, for its disk.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::hash::{ABREAST, BlockSha1, HashKind, Hasher, ObjectId, gains_abreast, update_abreast};
use crate::store::Pack;

/// Bytes that wait together, and make a change of threads worth its cost.
pub(super) const STRETCH: usize = if cfg!(test) { 1 << 10 } else { 256 << 10 };

/// Stretches of one pack that wait. They are hashed while the processor's caches hold them.
pub(super) const WAITING: usize = 4;

/// Of memory; where pages are larger, some are looked at more than once.
const SMALLEST_PAGE: usize = 4096;

/// The checksum of one pack.
pub(super) enum Trailer {
    /// In company.
    Sha1(Box<Member>),
    /// By itself.
    Alone(Hasher),
}

impl Trailer {
    pub(super) fn new(kind: HashKind) -> Self {
        static PROCESS: Company = Company::new();
        match kind {
            HashKind::Sha1 if gains_abreast() => Self::Sha1(Box::new(Member::new(&PROCESS))),
            // repositories with SHA-256 are few
            _ => Self::alone(kind),
        }
    }

    /// For who has time: nobody is to wait for a thread of low priority.
    pub(super) fn alone(kind: HashKind) -> Self {
        Self::Alone(Hasher::new(kind))
    }

    /// The pack goes on with these bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(member) => member.update(bytes),
            Self::Alone(hasher) => hasher.update(bytes),
        }
    }

    /// How much of a stored pack is to be given before it is copied.
    pub(super) fn ahead(&self) -> usize {
        match self {
            Self::Sha1(member) if !member.is_alone() => WAITING * STRETCH,
            _ => 0,
        }
    }

    /// The pack goes on with these bytes of a stored one.
    pub(super) fn copied(&mut self, pack: &Arc<Pack>, start: usize, end: usize) {
        match self {
            Self::Sha1(member) => member.copied(pack, start, end),
            Self::Alone(hasher) => hasher.update(bytes_of(pack, start, end)),
        }
    }

    pub(super) fn finish(self) -> Option<ObjectId> {
        match self {
            Self::Sha1(member) => ObjectId::from_bytes(&member.finish()),
            Self::Alone(hasher) => Some(hasher.finish()),
        }
    }
}

/// Nothing where there are none, which nobody asks for.
fn bytes_of(pack: &Pack, start: usize, end: usize) -> &[u8] {
    pack.data().get(start..end).unwrap_or_default()
}

/// The packs that are being made and have something waiting.
pub(super) struct Company {
    rows: Mutex<Rows>,
    /// Packs that are being made.
    members: AtomicUsize,
}

struct Rows {
    next: u64,
    rows: Vec<Row>,
}

/// One of the packs.
struct Row {
    number: u64,
    /// Behind all that was hashed.
    hash: BlockSha1,
    waiting: VecDeque<Stretch>,
    /// What is before those that wait is being hashed.
    is_taken: bool,
    /// That it was.
    done: Arc<Condvar>,
}

/// [`STRETCH`] bytes of a stored pack.
struct Stretch {
    pack: Arc<Pack>,
    start: usize,
}

impl Stretch {
    fn bytes(&self) -> &[u8] {
        bytes_of(&self.pack, self.start, self.start + STRETCH)
    }

    /// Has the disk read what is not in memory: who hashes it may be another.
    fn load(&self) {
        let pages = self.bytes().iter().step_by(SMALLEST_PAGE);
        std::hint::black_box(pages.fold(0, |all, byte| all ^ byte));
    }
}

impl Company {
    pub(super) const fn new() -> Self {
        let rows = Mutex::new(Rows { next: 0, rows: Vec::new() });
        Self { rows, members: AtomicUsize::new(0) }
    }

    /// How much waits of each pack.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> Vec<usize> {
        self.locked().rows.iter().map(|row| row.waiting.len()).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Rows> {
        // whoever panicked with the lock held left valid rows
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, hash: BlockSha1) -> u64 {
        let mut rows = self.locked();
        let number = rows.next;
        rows.next += 1;
        let (waiting, done) = (VecDeque::with_capacity(WAITING + 1), Arc::default());
        rows.rows.push(Row { number, hash, waiting, is_taken: false, done });
        number
    }

    fn leave(&self, number: u64) -> Option<BlockSha1> {
        let mut rows = self.locked();
        let at = rows.rows.iter().position(|row| row.number == number)?;
        Some(rows.rows.remove(at).hash)
    }

    fn wait(&self, number: u64, stretch: Stretch) {
        let mut rows = self.locked();
        if let Some(row) = rows.of(number) {
            row.waiting.push_back(stretch);
        }
        self.shorten(rows, number, WAITING);
    }

    /// Hashes until this row has at most so many stretches waiting; for none, until all is hashed.
    fn shorten<'a>(&'a self, mut rows: MutexGuard<'a, Rows>, number: u64, most: usize) {
        while let Some(row) = rows.of(number) {
            let waiting = row.waiting.len();
            if waiting <= most && (most > 0 || !row.is_taken) {
                return;
            }
            if row.is_taken {
                let done = Arc::clone(&row.done);
                rows = done.wait(rows).unwrap_or_else(PoisonError::into_inner);
            } else {
                let taken = rows.take(number);
                drop(rows);
                let hashed = hash(taken);
                rows = self.locked();
                rows.put_back(&hashed);
            }
        }
    }
}

/// The hash of a row, and what it is to take.
type Taken = (u64, BlockSha1, Stretch);

impl Rows {
    fn of(&mut self, number: u64) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.number == number)
    }

    /// The next stretch of this row, and of those that will soonest have no more room.
    fn take(&mut self, number: u64) -> Vec<Taken> {
        let mut ready: Vec<&mut Row> =
            self.rows.iter_mut().filter(|row| !row.is_taken && !row.waiting.is_empty()).collect();
        ready.sort_by_key(|row| (row.number != number, usize::MAX - row.waiting.len()));
        ready.truncate(ABREAST);
        let take = |row: &mut Row| {
            let stretch = row.waiting.pop_front()?;
            row.is_taken = true;
            Some((row.number, row.hash, stretch))
        };
        ready.into_iter().filter_map(take).collect()
    }

    fn put_back(&mut self, hashed: &[(u64, BlockSha1)]) {
        for &(number, hash) in hashed {
            // who gave up has left
            if let Some(row) = self.of(number) {
                row.hash = hash;
                row.is_taken = false;
                row.done.notify_one();
            }
        }
    }
}

fn hash(taken: Vec<Taken>) -> Vec<(u64, BlockSha1)> {
    let messages: Vec<&[u8]> = taken.iter().map(|(_, _, stretch)| stretch.bytes()).collect();
    let mut hashes: Vec<_> = taken.iter().map(|&(_, hash, _)| hash).collect();
    update_abreast(&mut hashes, &messages);
    taken.iter().map(|&(number, ..)| number).zip(hashes).collect()
}

/// The checksum of one pack, among others.
pub(super) struct Member {
    company: &'static Company,
    /// Its row, while it is in the company; what was hashed is there then.
    number: Option<u64>,
    hash: BlockSha1,
    len: u64,
    /// What does not fill a block.
    rest: [u8; BlockSha1::BLOCK_LEN],
    filled: usize,
    /// What was copied last and does not fill a stretch.
    copied: Option<(Arc<Pack>, usize, usize)>,
}

impl Member {
    pub(super) fn new(company: &'static Company) -> Self {
        company.members.fetch_add(1, Ordering::Relaxed);
        let (hash, rest) = (BlockSha1::default(), [0; BlockSha1::BLOCK_LEN]);
        Self { company, number: None, hash, len: 0, rest, filled: 0, copied: None }
    }

    /// Nobody comes to hash with it.
    fn is_alone(&self) -> bool {
        self.company.members.load(Ordering::Relaxed) <= 1
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.catch_up();
        self.take(bytes);
    }

    pub(super) fn copied(&mut self, pack: &Arc<Pack>, start: usize, end: usize) {
        if self.is_alone() {
            return self.update(bytes_of(pack, start, end));
        }
        let last = self.copied.take();
        let mut begin = match last {
            Some((last, begin, at))
                if self.filled == 0 && at == start && Arc::ptr_eq(&last, pack) =>
            {
                begin
            }
            last => {
                self.copied = last;
                self.catch_up();
                // to where a block begins
                let lead = (BlockSha1::BLOCK_LEN - self.filled) % BlockSha1::BLOCK_LEN;
                let begin = start.saturating_add(lead).min(end);
                self.take(bytes_of(pack, start, begin));
                begin
            }
        };
        while end - begin >= STRETCH {
            let number = *self.number.get_or_insert_with(|| self.company.join(self.hash));
            let stretch = Stretch { pack: Arc::clone(pack), start: begin };
            stretch.load();
            self.company.wait(number, stretch);
            self.len += STRETCH as u64;
            begin += STRETCH;
        }
        self.copied = Some((Arc::clone(pack), begin, end));
    }

    pub(super) fn finish(mut self) -> [u8; 20] {
        self.catch_up();
        self.hash.finish(&self.rest[..self.filled], self.len)
    }

    /// Hashes all that was given.
    fn catch_up(&mut self) {
        if let Some(number) = self.number.take() {
            self.company.shorten(self.company.locked(), number, 0);
            self.hash = self.company.leave(number).unwrap_or_default();
        }
        if let Some((pack, start, end)) = self.copied.take() {
            self.take(bytes_of(&pack, start, end));
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.filled > 0 {
            let taken = bytes.len().min(self.rest.len() - self.filled);
            self.rest[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < self.rest.len() {
                return;
            }
            self.hash.update(&self.rest);
        }
        self.hash.update(bytes);
        let rest = &bytes[bytes.len() / self.rest.len() * self.rest.len()..];
        self.rest[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.company.members.fetch_sub(1, Ordering::Relaxed);
        if let Some(number) = self.number.take() {
            self.company.leave(number);
        }
    }
}
