//! All trees of a pack at once: what a clone of everything would walk tree by tree.
//!
//! Most trees are stored as deltas of trees that differ in an entry or two. A walk along history
//! reads each of them whole and finds hundreds of entries that it has met before. Here the trees
//! are made along their deltas, each from the one it is a delta of, and only entries that the delta
//! brings are looked at ([`grow`]): one in thirty. What they name is kept as lists of numbers
//! ([`listing`]). This needs no history, so the other processors do it while the commits are
//! walked; then the lists tell what is reachable from the commits' trees ([`reach`]).
//!
//! It is worth its while when most of a pack is asked for. Whatever does not fit (a tree that is
//! damaged, a base given by name, an object elsewhere) is left out here, and read the ordinary way
//! if it turns out to be reachable; so are trees for which there is no room.

mod families;
mod grow;
mod listing;
mod reach;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::families::Families;
use self::grow::Tree;
use self::listing::{Lister, Listing, NONE};
use self::reach::Reach;
use super::GraphError;
use super::enumerate::Limits;
use super::request::Found;
use super::table::{CommitNumber, CommitReader, CommitTable};
use super::walk::Walked;
use crate::hash::HashKind;
use crate::object::{ObjectKind, TreeEntry};
use crate::pack::{PackOrder, delta};
use crate::source::{ObjectNumber, ObjectSource, PackedAt, SourceError};
use crate::store::Pack;
use crate::watch::Watch;
use crate::zlib::Inflater;

/// Trees and deltas above this are read the ordinary way.
const MAX_TREE: u64 = 8 << 20;
/// Deflate makes at most 1,032 bytes of one: a header that promises more is a lie.
const MAX_INFLATE_RATIO: u64 = 1032;
/// Bytes of trees that wait for their deltas, each thread; longer chains of larger trees are read
/// the ordinary way.
const MAX_WAITING: usize = 32 << 20;
/// Trees whose memory is used again, and how large they may be.
const SPARE: usize = 64;
const MAX_SPARE: usize = 1 << 20;
/// So many headers of a pack are read in the time in which one commit is walked.
const OBJECTS_A_COMMIT: usize = 64;
/// Of each object, at most: the lists, what reaches along them, and who is a delta of whom.
pub(super) const fn bytes_an_object(entries: usize) -> usize {
    entries * listing::BYTES_AN_ENTRY + listing::BYTES_A_TREE + reach::BYTES_AN_OBJECT + 8
}
/// Of each thread: trees that wait, and what it has met lately.
const BYTES_A_THREAD: usize = MAX_WAITING + listing::BYTES_A_LISTER;
/// Between two looks at how far the walk is.
const PAUSE: Duration = Duration::from_millis(1);
/// How often a thread looks whether it should stop.
const CHECK_EVERY: usize = 64;

/// Where reaching begins.
pub(super) struct Roots<'r> {
    /// Loaded commits, the newest first.
    pub(super) commits: &'r [CommitNumber],
    pub(super) trees: &'r [ObjectNumber],
    pub(super) blobs: &'r [ObjectNumber],
}

/// The pack whose trees are listed.
pub(super) struct Scan<'a> {
    source: &'a dyn ObjectSource,
    number: u32,
    pack: &'a Arc<Pack>,
    families: OnceLock<Result<Families, String>>,
    next: AtomicUsize,
    stopped: AtomicBool,
    threads: usize,
    /// Entries for which there is room, on all threads.
    room: usize,
    watch: &'a Watch,
}

impl<'a> Scan<'a> {
    /// Of the pack that has most of the objects, if one has and these are enough.
    pub(super) fn of(
        source: &'a dyn ObjectSource,
        threads: usize,
        limits: Limits,
        watch: &'a Watch,
    ) -> Option<Self> {
        let packs = (0..).map_while(|number| Some((number, source.pack(number)?)));
        let (number, pack) = packs.max_by_key(|(_, pack)| pack.object_count())?;
        let count = pack.object_count();
        if count < limits.scan_min.max(1) || count < source.number_bound() / 2 {
            return None;
        }
        let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (threads, families) = (threads.max(1), OnceLock::new());
        let room = count as usize * limits.scan_entries;
        Some(Self { source, number, pack, families, next, stopped, threads, room, watch })
    }

    /// Walks the commits on this thread and lists the trees on the others, then on all; no lists
    /// if the commits turn out to be few of those in the pack. `walk` tells how many it has met.
    pub(super) fn beside(
        &self,
        walk: impl FnOnce(&AtomicUsize) -> Result<Walked, GraphError>,
    ) -> Result<(Walked, Option<Vec<Listing>>), GraphError> {
        let met = AtomicUsize::new(0);
        if let Some(turn) = self.watch.turn() {
            turn.needs_more((self.threads * BYTES_A_THREAD) as u64);
        }
        std::thread::scope(|scope| {
            // whatever becomes of this thread, the others are not to wait for it
            let _ends = Ends(&self.stopped);
            let work = || {
                self.wait(&met);
                let listing = self.work();
                if listing.is_err() {
                    self.stopped.store(true, Ordering::Relaxed);
                }
                listing
            };
            // with fewer threads than asked for it takes longer, and that is all
            let workers: Vec<_> = (1..self.threads)
                .map_while(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            let walked = walk(&met);
            let is_worth = walked.as_ref().is_ok_and(|walked| self.is_worth(walked));
            let mut listings = Vec::new();
            if !is_worth {
                self.stopped.store(true, Ordering::Relaxed);
            }
            met.store(usize::MAX, Ordering::Relaxed);
            if is_worth {
                listings.push(work());
            }
            listings.extend(workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| Err(GraphError::Worker("panicked".into())))
            }));
            let walked = walked?;
            if !is_worth {
                return Ok((walked, None));
            }
            let listings = listings.into_iter().collect::<Result<_, _>>()?;
            // what was read from a file that shrank meanwhile is not to be believed
            Ok((walked, (!self.pack.is_faulted()).then_some(listings)))
        })
    }

    /// Waits until the walk over commits has shown that it is no short one: reading the headers of
    /// the pack should take no longer than what it has done.
    fn wait(&self, met: &AtomicUsize) {
        while met.load(Ordering::Relaxed) < self.enough() && !self.stopped.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE);
        }
    }

    fn enough(&self) -> usize {
        self.pack.object_count() as usize / OBJECTS_A_COMMIT
    }

    /// Are these most of the commits?
    fn is_worth(&self, walked: &Walked) -> bool {
        let count = walked.commits.len();
        count >= self.enough()
            && self.families().is_ok_and(|families| count * 2 >= families.commits)
    }

    fn families(&self) -> Result<&Families, GraphError> {
        let made = self
            .families
            .get_or_init(|| Families::of(self.pack).map_err(|error| error.to_string()));
        made.as_ref().map_err(|what| {
            let file = self.pack.name().to_owned();
            SourceError::Corrupt { file, what: what.clone() }.into()
        })
    }

    fn work(&self) -> Result<Listing, GraphError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Ok(Listing::default());
        }
        let (families, order) = (self.families()?, self.pack.order()?);
        let lister = Lister::new(self.source, self.room / self.threads);
        let mut grower = Grower {
            scan: self,
            families,
            order,
            hash: lister.hash(),
            lister,
            inflater: Inflater::new(),
            delta: Vec::new(),
            stack: Vec::new(),
            waiting: 0,
            spare: Vec::new(),
            steps: 0,
        };
        while !grower.is_to_stop()?
            && let Some(&root) = families.roots.get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            grower.family(root)?;
        }
        Ok(grower.lister.finish())
    }

    /// The number of the object whose entry has this rank.
    fn number_at(&self, order: &PackOrder, rank: u32) -> Option<ObjectNumber> {
        let (pack, offset) = (self.number, order.offset(rank as usize));
        let position = *order.positions().get(rank as usize)?;
        // in the pack that is numbered first, positions are numbers
        if self.source.packed_at(position) == Some(PackedAt { pack, offset }) {
            return Some(position);
        }
        self.source.number_at_offset(pack, offset)
    }

    /// Adds the trees and blobs that `from` reach: those of the pack as they lie in it, then others.
    pub(super) fn reach(
        &self,
        reader: CommitReader<'a>,
        table: &CommitTable,
        listings: &[Listing],
        from: &Roots<'_>,
        out: &mut Vec<Found>,
    ) -> Result<(), GraphError> {
        let mut reach = Reach::new(reader, listings, self.watch);
        // what is met last is entered first, and newest commits know the best paths
        for &commit in from.commits.iter().rev() {
            let Some(fields) = table.loaded(commit) else { continue };
            let id = fields.tree();
            let tree = self.source.lookup(&id)?.ok_or(SourceError::Missing(id))?;
            reach.meet(tree, ObjectKind::Tree);
        }
        from.trees.iter().for_each(|&tree| reach.meet(tree, ObjectKind::Tree));
        from.blobs.iter().for_each(|&blob| reach.meet(blob, ObjectKind::Blob));
        reach.run()?;
        let order = self.pack.order()?;
        let ranks = 0..self.pack.object_count();
        reach.found(ranks.filter_map(|rank| self.number_at(order, rank)), out);
        Ok(())
    }
}

/// Stops the other threads when it is dropped.
struct Ends<'s>(&'s AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A tree whose deltas are not all made.
struct Waiting {
    rank: u32,
    number: ObjectNumber,
    tree: Tree,
    /// How many of its deltas are.
    made: usize,
}

/// Makes the trees of families on one thread.
struct Grower<'s, 'a> {
    scan: &'s Scan<'a>,
    families: &'s Families,
    order: &'s PackOrder,
    hash: HashKind,
    lister: Lister<'a>,
    inflater: Inflater,
    delta: Vec<u8>,
    stack: Vec<Waiting>,
    /// Bytes in the stack.
    waiting: usize,
    spare: Vec<Tree>,
    steps: usize,
}

impl Grower<'_, '_> {
    /// Lists a tree stored whole, and all that are deltas of it, directly or not.
    fn family(&mut self, root: u32) -> Result<(), GraphError> {
        let mut tree = self.spare.pop().unwrap_or_default();
        match self.inflate(root, None, &mut tree) {
            Some(number) => self.push(root, number, tree),
            None => self.save(tree),
        }
        while let Some(top) = self.stack.last_mut() {
            let children = self.families.children(top.rank);
            let Some(&child) = children.get(top.made) else {
                self.pop();
                continue;
            };
            top.made += 1;
            if self.is_to_stop()? {
                self.stack.clear();
                self.waiting = 0;
                return Ok(());
            }
            let mut tree = self.spare.pop().unwrap_or_default();
            let Some(at) = self.stack.len().checked_sub(1) else { break };
            match self.inflate(child, Some(at), &mut tree) {
                Some(number) => {
                    // the last one takes its parent's place, so that long chains take no room
                    if self.stack[at].made == children.len() {
                        self.pop();
                    }
                    self.push(child, number, tree);
                }
                None => self.save(tree),
            }
        }
        Ok(())
    }

    /// Waits while it is others' turn.
    fn is_to_stop(&mut self) -> Result<bool, GraphError> {
        self.steps += 1;
        if self.steps.is_multiple_of(CHECK_EVERY) {
            self.scan.watch.check()?;
        }
        Ok(self.scan.stopped.load(Ordering::Relaxed))
    }

    /// Keeps its memory for the next one.
    fn save(&mut self, tree: Tree) {
        if self.spare.len() < SPARE && tree.bytes() <= MAX_SPARE {
            self.spare.push(tree);
        }
    }

    fn push(&mut self, rank: u32, number: ObjectNumber, tree: Tree) {
        if self.families.children(rank).is_empty() || self.waiting + tree.bytes() > MAX_WAITING {
            self.save(tree);
            return;
        }
        self.waiting += tree.bytes();
        self.stack.push(Waiting { rank, number, tree, made: 0 });
    }

    fn pop(&mut self) {
        if let Some(done) = self.stack.pop() {
            self.waiting -= done.tree.bytes();
            self.save(done.tree);
        }
    }

    /// Makes and lists the tree of this rank, which is a delta of the one there in the stack or
    /// stored whole. `None`: it has to be read another way.
    fn inflate(&mut self, rank: u32, base: Option<usize>, tree: &mut Tree) -> Option<ObjectNumber> {
        let pack = self.scan.pack;
        let offset = self.order.offset(rank as usize);
        let header = pack.header_at(offset).ok()?;
        let data = pack.entry_data(offset).ok()?.get(header.len..)?;
        if header.size > MAX_TREE || header.size / MAX_INFLATE_RATIO > data.len() as u64 {
            return None;
        }
        let number = self.scan.number_at(self.order, rank)?;
        let Self { lister, inflater, delta, stack, hash, .. } = self;
        let out = if base.is_some() { &mut *delta } else { &mut tree.content };
        out.clear();
        inflater.inflate_exact(data, header.size as usize, out).ok()?;
        let base = base.map(|at| &stack[at]);
        if base.is_some() && delta::sizes(delta).ok()?.result > MAX_TREE {
            return None;
        }
        lister.begin(number, base.map_or(NONE, |base| base.number));
        let mut met = |entry: TreeEntry<'_>| lister.met(entry);
        let outcome = match base {
            None => tree.parse(*hash, &mut met),
            Some(base) => tree.grow(&base.tree, delta, *hash, &mut met),
        };
        if outcome.is_err() {
            lister.give_up();
            return None;
        }
        Some(number)
    }
}
