//! What refs reach, what may still be needed, and what nobody needs any more.
//!
//! In: the objects that are to be written anew. Out: three lists of them. Reachable is what refs
//! and reflogs reach. Of the rest, what was written within the grace time is kept, and all that it
//! reaches: a push may be about to name it. So is what others reach that are not to be written
//! anew. What is left has expired.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::survey::{LooseFile, PackFile, Survey};
use super::walk::Walker;
use super::{MaintainError, Place, cruft, order, roots};
use crate::graph::{self, Found, SeenSet, WalkRequest};
use crate::hash::{IdSet, ObjectId};
use crate::pack::Pack;
use crate::refs::RefSnapshot;
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::store::Snapshot;
use crate::watch::Watch;

/// See the module.
#[derive(Default)]
pub(super) struct Partition {
    /// In the order of a pack that is to stay.
    pub(super) reachable: Vec<Found>,
    /// All that refs reach is in it, and little else: bitmaps can be made of it.
    pub(super) is_closed: bool,
    /// Kept, and since when each is there.
    pub(super) waiting: Vec<Found>,
    pub(super) times: HashMap<ObjectId, u32>,
    /// Removed for good.
    pub(super) expired: Vec<ObjectNumber>,
}

/// The objects that are to be written anew.
pub(super) struct Ours {
    /// Each once.
    pub(super) numbers: Vec<ObjectNumber>,
    pub(super) set: SeenSet,
}

impl Ours {
    pub(super) fn new() -> Self {
        Self { numbers: Vec::new(), set: SeenSet::new() }
    }

    pub(super) fn add(&mut self, number: ObjectNumber) {
        if self.set.insert(number) {
            self.numbers.push(number);
        }
    }

    /// All objects of a pack.
    pub(super) fn add_pack(
        &mut self,
        source: &Snapshot,
        pack: &Pack,
        watch: &Watch,
    ) -> Result<(), MaintainError> {
        for position in 0..pack.object_count() {
            if position % 1024 == 0 {
                watch.check()?;
            }
            let id = pack.id_at(position);
            self.add(source.lookup(&id)?.ok_or(SourceError::Missing(id))?);
        }
        Ok(())
    }
}

/// The files that the objects are in, and that are to be removed.
pub(super) struct Going<'a> {
    pub(super) packs: Vec<(&'a PackFile, &'a Pack)>,
    pub(super) loose: &'a [(&'a LooseFile, ObjectNumber)],
}

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) place: &'a Place,
    pub(super) source: &'a Snapshot,
    pub(super) threads: usize,
    pub(super) watch: &'a Watch,
    /// Objects that were written before this have expired; `None`: none has.
    pub(super) expires_before: Option<u32>,
}

impl Question<'_> {
    /// Sorts all of `ours`, which `going` holds.
    pub(super) fn partition(
        &self,
        ours: &Ours,
        going: &Going<'_>,
    ) -> Result<Partition, MaintainError> {
        let seen = SeenSet::new();
        let mut parts = Partition { reachable: self.reach(&seen)?, ..Partition::default() };
        let reached = parts.reachable.len();
        parts.reachable.retain(|found| ours.set.contains(found.number));
        parts.is_closed = parts.reachable.len() == reached;
        let mut extra = Vec::new();
        self.walk_extra(&seen, &mut |found| extra.push(found))?;
        extra.retain(|found| ours.set.contains(found.number));
        parts.reachable.extend(extra);
        if ours.numbers.iter().all(|&number| seen.contains(number)) {
            return Ok(parts);
        }
        let times = self.times(&seen, going)?;
        let is_young = |time: u32| self.expires_before.is_none_or(|before| time >= before);
        let mut waiting = Vec::new();
        for &number in ours.numbers.iter().filter(|&&number| !seen.contains(number)) {
            if times.get(&number).is_none_or(|&time| is_young(time)) {
                waiting.push(number);
            }
        }
        let mut kept = Vec::new();
        let mut walker = Walker::new(self.source, &seen, None, self.watch).strictly();
        self.walk_left_alone(going, &mut walker, &mut |found| kept.push(found.number))?;
        for &number in &waiting {
            let walked = walker.walk(&self.source.id(number), &mut |found| kept.push(found.number));
            walked.map_err(MaintainError::unsure)?;
        }
        kept.retain(|&number| ours.set.contains(number));
        parts.waiting = order::as_found(self.source, &kept, self.watch)?;
        for &number in &kept {
            let time = times.get(&number).copied().unwrap_or(u32::MAX);
            parts.times.insert(self.source.id(number), time);
        }
        let expired = ours.numbers.iter().filter(|&&number| !seen.contains(number));
        parts.expired = expired.copied().collect();
        Ok(parts)
    }

    /// Does anything that is named, or stays, by now reach one of these?
    pub(super) fn is_needed_now(
        &self,
        expired: &[ObjectNumber],
        going: &Going<'_>,
    ) -> Result<bool, MaintainError> {
        // by the same walk as before: what is reachable now, from all that names something
        let seen = SeenSet::new();
        self.reach(&seen)?;
        self.walk_extra(&seen, &mut |_| {})?;
        let mut walker = Walker::new(self.source, &seen, None, self.watch).strictly();
        self.walk_left_alone(going, &mut walker, &mut |_| {})?;
        Ok(expired.iter().any(|&number| seen.contains(number)))
    }

    /// Walks from all that is named beside refs.
    fn walk_extra(
        &self,
        seen: &SeenSet,
        visit: &mut impl FnMut(Found),
    ) -> Result<(), MaintainError> {
        let mut walker = Walker::new(self.source, seen, None, self.watch).strictly();
        let roots = roots::extra_roots(&self.place.common_dir, self.place.hash);
        for id in roots.map_err(MaintainError::unsure)? {
            walker.walk(&id, visit).map_err(MaintainError::unsure)?;
        }
        Ok(())
    }

    /// Walks from all that is in other files: packs that somebody keeps, and what pushes have
    /// brought meanwhile. It stays, hence what it reaches is to stay too.
    fn walk_left_alone(
        &self,
        going: &Going<'_>,
        walker: &mut Walker<'_>,
        visit: &mut impl FnMut(Found),
    ) -> Result<(), MaintainError> {
        let now = Survey::of(&self.place.objects_dir, self.place.hash)?;
        let packs: HashSet<&Path> = going.packs.iter().map(|(file, _)| &*file.path).collect();
        for file in now.packs.iter().filter(|file| !packs.contains(&*file.path)) {
            let index = file.path.with_extension("idx");
            let pack = match Pack::open(&index, self.place.hash) {
                Ok(pack) => pack,
                // its removal has begun
                Err(_) if !index.exists() => continue,
                Err(error) => return Err(MaintainError::unsure(error)),
            };
            for position in 0..pack.object_count() {
                let walked = walker.walk(&pack.id_at(position), visit);
                walked.map_err(MaintainError::unsure)?;
            }
        }
        let loose: HashSet<ObjectId> = going.loose.iter().map(|(file, _)| file.id).collect();
        for file in now.loose.iter().filter(|file| !loose.contains(&file.id)) {
            walker.walk(&file.id, visit).map_err(MaintainError::unsure)?;
        }
        Ok(())
    }

    /// What refs reach.
    fn reach(&self, seen: &SeenSet) -> Result<Vec<Found>, MaintainError> {
        let refs = self.place.refs.snapshot()?;
        if let Some(warning) = refs.warnings().first() {
            return Err(MaintainError::Unsure(warning.clone()));
        }
        let request = WalkRequest {
            wants: tips(&refs),
            shallow: self.place.shallow.clone(),
            threads: self.threads,
            no_bitmaps: true,
            ..WalkRequest::default()
        };
        let commits = self.source.commits();
        let found = graph::enumerate(self.source, commits, &request, self.watch)
            .map_err(|error| MaintainError::unsure(MaintainError::from(error)))?;
        for object in &found.objects {
            seen.insert(object.number);
        }
        Ok(found.objects)
    }

    /// When each object of ours was last written, of those that are not `seen`.
    fn times(
        &self,
        seen: &SeenSet,
        going: &Going<'_>,
    ) -> Result<HashMap<ObjectNumber, u32>, MaintainError> {
        let mut times: HashMap<ObjectNumber, u32> = HashMap::new();
        let mut note = |number: ObjectNumber, time: u32| {
            let latest = times.entry(number).or_default();
            *latest = time.max(*latest);
        };
        for (file, number) in going.loose {
            if !seen.contains(*number) {
                note(*number, cruft::seconds(file.modified));
            }
        }
        for (file, pack) in &going.packs {
            let listed = if file.is_cruft { Some(cruft::read(pack)?) } else { None };
            let modified = cruft::seconds(file.modified);
            for position in 0..pack.object_count() {
                let id = pack.id_at(position);
                let Some(number) = self.source.lookup(&id)? else { continue };
                if !seen.contains(number) {
                    let time = match &listed {
                        Some(listed) => listed.get(position as usize).copied(),
                        None => Some(modified),
                    };
                    note(number, time.unwrap_or(modified));
                }
            }
        }
        Ok(times)
    }
}

/// What the refs and HEAD name.
pub(super) fn tips(refs: &RefSnapshot) -> Vec<ObjectId> {
    let mut tips: IdSet = refs.items(b"").map(|(_, id)| id).collect();
    tips.extend(refs.head().id());
    let mut tips: Vec<ObjectId> = tips.into_iter().collect();
    tips.sort_unstable();
    tips
}
