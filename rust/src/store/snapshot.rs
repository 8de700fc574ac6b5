//! The objects of one moment.
//!
//! A snapshot maps the packs that are there when it is made and never lets go of them, so that
//! a repack or gc beside it takes nothing away. What it misses it looks for once more on disk:
//! loose objects are looked up as they are asked for, packs that appeared are added at the end.

mod front;
mod without;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::bitmaps::{self, Candidate};
use super::growth::{Grown, Growth};
use super::loose_names::LooseNames;
use super::packs::{BrokenPack, Opened, open_all, open_pack};
use super::reader::Reader;
use super::scan::Listing;
use super::segments::Segments;
use super::{Shared, loose, spare};
use crate::bitmap::{ReachMemory, Reachability};
use crate::commitgraph::CommitGraphs;
use crate::delta::DeltaMemory;
use crate::graph::CommitTable;
use crate::hash::{HashKind, ObjectId};
use crate::pack::{Pack, any_faulted, is_gone};
use crate::source::{BulkLookup, ObjectNumber, ObjectReader, ObjectSource, PackedAt, SourceError};

/// How often folders are listed again because a listed file was gone when it was to be opened.
const MAX_TRIES: u32 = 10;
/// Fewer do when it is the same files each time.
const TRIES_IF_LOST: u32 = 3;

/// The objects of one moment, as one value.
pub struct Snapshot {
    shared: Arc<Shared>,
    folders: Vec<PathBuf>,
    packs: Vec<Arc<Pack>>,
    segments: Segments,
    broken: Vec<BrokenPack>,
    bitmap: Option<Arc<Candidate>>,
    reachability: OnceLock<Option<Arc<Reachability>>>,
    learnt: ReachMemory,
    commit_graphs: OnceLock<CommitGraphs>,
    warnings: Mutex<Vec<String>>,
    /// The listing it was made from, for [`Snapshot::is_current`].
    made_from: Mutex<Listing>,
    /// The latest listing, against which a miss is held.
    latest: Mutex<Latest>,
    growth: RwLock<Growth>,
    added: OnceLock<Box<Added>>,
    request: AtomicU64,
    serial: u64,
}

struct Latest {
    listing: Listing,
    known: HashSet<PathBuf>,
}

/// Packs that appeared later: a list that only grows, so that references into it last.
struct Added {
    packs: Vec<Arc<Pack>>,
    next: OnceLock<Box<Added>>,
}

impl Snapshot {
    pub(super) fn take(shared: Arc<Shared>) -> Result<Self, SourceError> {
        let (mut tries, mut gone) = (0, Vec::new());
        loop {
            tries += 1;
            let listing = Listing::read(&shared.objects_dir, &shared.extra)?;
            let opened = open_all(&listing.content, shared.hash)?;
            let is_lost = tries >= TRIES_IF_LOST && opened.gone == gone;
            if opened.gone.is_empty() || is_lost || tries >= MAX_TRIES {
                return Ok(Self::new(shared, listing, opened));
            }
            gone = opened.gone;
        }
    }

    fn new(shared: Arc<Shared>, listing: Listing, opened: Opened) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut warnings = listing.content.warnings.clone();
        warnings.extend(opened.warnings);
        let known = listing.content.indexes.iter().cloned().collect();
        Self {
            shared,
            folders: listing.content.folders.clone(),
            packs: opened.packs,
            growth: RwLock::new(Growth::starting_at(opened.segments.bound())),
            segments: opened.segments,
            broken: opened.broken,
            bitmap: opened.bitmap,
            reachability: OnceLock::new(),
            learnt: ReachMemory::default(),
            commit_graphs: OnceLock::new(),
            warnings: Mutex::new(warnings),
            made_from: Mutex::new(listing.clone()),
            latest: Mutex::new(Latest { listing, known }),
            added: OnceLock::new(),
            request: AtomicU64::new(0),
            serial: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Takes over what was learnt on an earlier one.
    pub(super) fn inherit(&mut self, earlier: &Arc<Snapshot>) {
        let source: Arc<dyn ObjectSource> = Arc::clone(earlier) as _;
        let learnt = earlier.learnt.handed_on(&source);
        // with bitmaps of its own it need not hold on to the earlier one; and what was read from a
        // file that changed under us is not to be believed
        if self.bitmap.is_none() && earlier.is_sound() {
            self.learnt = learnt;
        }
    }

    /// No other snapshot of this process has this number.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// Do the folders still hold the packs this was made from?
    pub(super) fn is_current(&self) -> Result<bool, SourceError> {
        Ok(self.is_sound()
            && self.broken.iter().all(BrokenPack::is_still)
            && lock(&self.made_from).is_current()?)
    }

    /// Did no file of it change under us?
    fn is_sound(&self) -> bool {
        !any_faulted()
            || !(self.segments.is_faulted() || self.packs.iter().any(|pack| pack.is_faulted()))
    }

    /// Another request begins: loose objects seen by earlier ones may be gone.
    pub(super) fn begin_request(&self) {
        self.shared.deltas.begin_request();
        self.request.fetch_add(1, Ordering::Relaxed);
    }

    /// The folder of the store.
    pub fn objects_dir(&self) -> &Path {
        &self.shared.objects_dir
    }

    /// What is known of the store's commits, shared with all its snapshots.
    pub fn commits(&self) -> &Arc<CommitTable> {
        &self.shared.commits
    }

    /// All object folders, the store's own first.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The packs it was made with, in the order of [`ObjectSource::pack`].
    pub fn packs(&self) -> &[Arc<Pack>] {
        &self.packs
    }

    /// What is wrong in the folders and was left out; for the log. Given once.
    pub fn take_warnings(&self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut *lock(&self.warnings));
        let problems = self.packs.iter().filter_map(|pack| pack.take_rev_problem());
        warnings.extend(problems.map(|problem| format!("{problem}; reverse index ignored")));
        let problem = self.reachability.get().and_then(|bitmap| bitmap.as_ref()?.take_problem());
        warnings.extend(problem.map(|problem| format!("{problem}; ignored there")));
        if any_faulted() {
            let faulted = self.packs.iter().filter(|pack| pack.is_faulted());
            let told = |pack: &Arc<Pack>| format!("{}: it or its index shrank", pack.name());
            warnings.extend(faulted.map(told));
        }
        warnings
    }

    /// A reader with more to offer than [`ObjectSource::reader`].
    pub fn disk_reader(&self) -> Reader<'_> {
        Reader::new(self)
    }

    /// Stores an object as a loose file, durably; nothing is written when it is there.
    pub fn write_loose(
        &self,
        kind: crate::object::ObjectKind,
        content: &[u8],
        sharing: crate::sharing::Sharing,
    ) -> Result<ObjectId, SourceError> {
        super::write::write_loose(self, kind, content, sharing)
    }

    pub(super) fn growth_find(&self, id: &ObjectId) -> Option<Grown> {
        let request = self.request.load(Ordering::Relaxed);
        self.growth().find(id, request)
    }

    fn growth(&self) -> std::sync::RwLockReadGuard<'_, Growth> {
        self.growth.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number from the growth table, if it holds: a loose object's file may have been pruned
    /// since another request saw it.
    fn grown(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        match self.growth_find(id) {
            Some(Grown::Packed { number, .. } | Grown::Loose { number, fresh: true }) => {
                Ok(Some(number))
            }
            Some(Grown::Loose { number, fresh: false }) => {
                if loose::is_there(&self.folders, id)? {
                    self.growth().mark_seen(id, self.request.load(Ordering::Relaxed));
                    return Ok(Some(number));
                }
                Ok(self.find_packed_late(id)?.map(|_| number))
            }
            None => Ok(None),
        }
    }

    /// Where a loose object went when its file is gone: into a pack that appeared.
    pub(super) fn find_packed_late(
        &self,
        id: &ObjectId,
    ) -> Result<Option<(u32, u64)>, SourceError> {
        let find = || match self.growth().find_packed(id) {
            Some(Grown::Packed { place, offset, .. }) => Some((place, offset)),
            _ => None,
        };
        if let Some(found) = find() {
            return Ok(Some(found));
        }
        self.rescan()?;
        Ok(find())
    }

    /// Gives a number to a loose object whose file was just seen.
    fn number_loose(&self, id: &ObjectId) -> Result<ObjectNumber, SourceError> {
        let request = self.request.load(Ordering::Relaxed);
        let mut growth = self.growth.write().unwrap_or_else(PoisonError::into_inner);
        match growth.find(id, request) {
            Some(Grown::Loose { number, .. } | Grown::Packed { number, .. }) => {
                growth.mark_seen(id, request);
                Ok(number)
            }
            None => growth.add_loose(id, request).ok_or_else(|| self.out_of_numbers()),
        }
    }

    fn out_of_numbers(&self) -> SourceError {
        SourceError::Corrupt {
            file: self.objects_dir().display().to_string(),
            what: "more objects than 32 bits can number".to_owned(),
        }
    }

    /// Adds the packs that appeared since the last look, if the folders changed at all.
    fn rescan(&self) -> Result<(), SourceError> {
        let mut latest = lock(&self.latest);
        let mut tries = 0;
        while !latest.listing.is_current()? {
            tries += 1;
            let listing = Listing::read(&self.shared.objects_dir, &self.shared.extra)?;
            let mut packs = Vec::new();
            let mut gone = false;
            for path in &listing.content.indexes {
                if latest.known.contains(path) {
                    continue;
                }
                match open_pack(path, self.shared.hash) {
                    Ok(pack) => packs.push((path.clone(), Some(pack))),
                    Err(error) if is_gone(&error) && tries < MAX_TRIES => gone = true,
                    Err(error) => {
                        lock(&self.warnings).push(format!("{error}; pack ignored"));
                        packs.push((path.clone(), None));
                    }
                }
            }
            // what could be opened is kept, whether or not its folder is listed once more
            for (path, pack) in packs {
                latest.known.insert(path);
                if let Some(pack) = pack {
                    self.add_pack(pack)?;
                }
            }
            if !gone {
                latest.listing = listing;
            }
        }
        Ok(())
    }

    fn add_pack(&self, pack: Arc<Pack>) -> Result<(), SourceError> {
        let mut place = self.packs.len();
        let mut end = &self.added;
        while let Some(added) = end.get() {
            place += added.packs.len();
            end = &added.next;
        }
        // only ever called with `latest` locked, hence nobody else sets the end
        let _ = end.set(Box::new(Added { packs: vec![Arc::clone(&pack)], next: OnceLock::new() }));
        let mut growth = self.growth.write().unwrap_or_else(PoisonError::into_inner);
        if growth.add_pack(place as u32, pack) { Ok(()) } else { Err(self.out_of_numbers()) }
    }

    /// The name of a number, and where it is packed.
    pub(super) fn place(&self, number: ObjectNumber) -> Option<Place> {
        if number < self.segments.bound() {
            return match self.segments.packed_at(number) {
                Some((pack, offset)) => Some(Place::Packed(PackedAt { pack, offset })),
                None => Some(Place::Loose(self.segments.id(number)?)),
            };
        }
        Some(match self.growth().id(number)? {
            (_, Some((pack, offset))) => Place::Packed(PackedAt { pack, offset }),
            (id, None) => Place::Loose(id),
        })
    }

    /// Where an object is packed, or that it is loose; for the bases of deltas.
    pub(super) fn find_place(&self, id: &ObjectId) -> Result<Option<Place>, SourceError> {
        Ok(self.lookup(id)?.and_then(|number| self.place(number)))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        spare::forget(self.serial);
    }
}

/// Where an object's bytes are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Packed(PackedAt),
    Loose(ObjectId),
}

impl ObjectSource for Snapshot {
    fn hash_kind(&self) -> HashKind {
        self.shared.hash
    }

    fn lookup(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        if let Some(number) = self.segments.find(id) {
            return Ok(Some(number));
        }
        if id.kind() != self.shared.hash {
            return Ok(None);
        }
        if let Some(number) = self.grown(id)? {
            return Ok(Some(number));
        }
        if loose::is_there(&self.folders, id)? {
            return self.number_loose(id).map(Some);
        }
        self.rescan()?;
        if let Some(number) = self.grown(id)? {
            return Ok(Some(number));
        }
        match self.broken.iter().find_map(|broken| broken.error_for(id)) {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    fn bulk_lookup(&self) -> Option<Box<dyn BulkLookup + '_>> {
        let loose = LooseNames::new(&self.folders, self.shared.hash);
        Some(Box::new(Bulk { snapshot: self, loose }))
    }

    fn id(&self, number: ObjectNumber) -> ObjectId {
        let id = match self.segments.id(number) {
            Some(id) => Some(id),
            None => self.growth().id(number).map(|(id, _)| id),
        };
        id.expect("numbers come from this snapshot because the trait asks for it")
    }

    fn number_bound(&self) -> u32 {
        self.growth().next()
    }

    fn packed_at(&self, number: ObjectNumber) -> Option<PackedAt> {
        match self.place(number)? {
            Place::Packed(at) => Some(at),
            Place::Loose(_) => None,
        }
    }

    fn number_at_offset(&self, pack: u32, offset: u64) -> Option<ObjectNumber> {
        let file = self.pack(pack)?;
        let position = file.position_at_offset(offset)?;
        self.segments
            .number_in_first(pack, position)
            .or_else(|| self.lookup(&file.id_at(position)).ok().flatten())
    }

    fn pack(&self, pack: u32) -> Option<&Arc<Pack>> {
        let place = pack as usize;
        if let Some(pack) = self.packs.get(place) {
            return Some(pack);
        }
        let mut place = place - self.packs.len();
        let mut at = &self.added;
        while let Some(added) = at.get() {
            if let Some(pack) = added.packs.get(place) {
                return Some(pack);
            }
            place -= added.packs.len();
            at = &added.next;
        }
        None
    }

    fn reachability(&self) -> Option<Arc<Reachability>> {
        let open = || match self.bitmap.as_ref()?.open() {
            Ok(opened) => Some(opened),
            Err(error) => {
                lock(&self.warnings).extend(bitmaps::warning(&error));
                None
            }
        };
        if let Some(stored) = self.reachability.get_or_init(open) {
            return Some(Arc::clone(stored));
        }
        // what cannot be read now will be told by whoever walks to it
        self.learnt.get(self).unwrap_or_default()
    }

    fn may_have_reachability(&self) -> bool {
        let stored = match self.reachability.get() {
            Some(opened) => opened.is_some(),
            None => self.bitmap.is_some(),
        };
        stored || !self.learnt.is_empty()
    }

    fn reach_memory(&self) -> Option<&ReachMemory> {
        let stored = self.bitmap.is_some() && !matches!(self.reachability.get(), Some(None));
        (!stored).then_some(&self.learnt)
    }

    fn commit_graphs(&self) -> Option<&CommitGraphs> {
        let open = || {
            let mut warnings = Vec::new();
            let graphs = CommitGraphs::open(&self.folders, self.shared.hash, &mut warnings);
            lock(&self.warnings).extend(warnings);
            graphs
        };
        Some(self.commit_graphs.get_or_init(open)).filter(|graphs| !graphs.is_empty())
    }

    fn delta_memory(&self) -> Option<&Arc<DeltaMemory>> {
        Some(&self.shared.deltas)
    }

    fn reader(&self) -> Box<dyn ObjectReader + '_> {
        Box::new(self.disk_reader())
    }

    fn brief_reader(&self, bytes: usize) -> Box<dyn ObjectReader + '_> {
        Box::new(Reader::keeping(self, bytes))
    }

    fn abbreviation(&self, id: &ObjectId) -> Result<(usize, u64), SourceError> {
        let packed = self.packs.iter().map(|pack| u64::from(pack.object_count())).sum();
        Ok((super::abbreviate::unique_len(self, id)?, packed))
    }

    fn take_warnings(&self) -> Vec<String> {
        Snapshot::take_warnings(self)
    }
}

/// Look-ups that list the folders of loose objects once, and scan for no new packs.
struct Bulk<'a> {
    snapshot: &'a Snapshot,
    loose: LooseNames<'a>,
}

impl BulkLookup for Bulk<'_> {
    fn find(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        if let Some(number) = self.snapshot.segments.find(id) {
            return Ok(Some(number));
        }
        if let Some(number) = self.snapshot.grown(id)? {
            return Ok(Some(number));
        }
        match self.loose.contains(id)? {
            true => self.snapshot.lookup(id),
            false => Ok(None),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // whoever panicked left a whole value: each is replaced, not edited
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
