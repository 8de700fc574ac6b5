//! One run, from the survey to the removal of what was replaced.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::bitmaps::{Known, Target};
use super::indexing::Indexing;
use super::pack::Packer;
use super::partition::{Going, Ours, Partition, Question};
use super::survey::{LooseFile, PackFile, Survey};
use super::{MaintainError, Options, Place, Report};
use super::{bitmaps, choose, commitgraph, cruft, order, pending, retire, sound, sweep};
use crate::hash::{HashKind, ObjectId};
use crate::ingest::{self, Quarantine, STALE_QUARANTINE};
use crate::pack::Pack;
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::store::{Snapshot, Store};
use crate::watch::{Phase, Watch};

/// See the module.
pub(super) fn run(
    place: &Place,
    options: &Options,
    watch: &Watch,
) -> Result<Report, MaintainError> {
    // what killed processes left; what cannot be swept must not stop the rest
    let _ = ingest::sweep_stale(&place.objects_dir, STALE_QUARANTINE);
    for name in ["pack/multi-pack-index", "info/commit-graph"] {
        pending::sweep(&place.objects_dir.join(name));
    }
    sweep::sweep(&place.objects_dir.join("pack"), place.hash, options.sync.any_object());
    let survey = Survey::of(&place.objects_dir, place.hash)?;
    let mut report = Report { before: survey.census(), ..Report::default() };
    let store = Store::open(&place.objects_dir, place.hash, &[])?;
    let source = store.snapshot()?;
    let run = Run { place, options, watch, source: &source, survey: &survey, keeps_all: false };
    run.objects(&mut report)?;
    run.refs(&mut report)?;
    run.graph(&mut report)?;
    report.warnings.extend(source.take_warnings());
    report.after = Survey::of(&place.objects_dir, place.hash)?.census();
    Ok(report)
}

struct Run<'a> {
    place: &'a Place,
    options: &'a Options,
    watch: &'a Watch,
    source: &'a Arc<Snapshot>,
    survey: &'a Survey,
    /// Nothing is taken for unreachable.
    keeps_all: bool,
}

/// What is to be written anew.
struct Chosen<'a> {
    packs: Vec<(&'a PackFile, Arc<Pack>)>,
    /// Sound, and in no pack that stays.
    loose: Vec<(&'a LooseFile, ObjectNumber)>,
    /// In a pack that stays, and read there.
    stored: Vec<&'a LooseFile>,
}

impl Chosen<'_> {
    fn going(&self) -> Going<'_> {
        let packs = self.packs.iter().map(|(file, pack)| (*file, &**pack)).collect();
        Going { packs, loose: &self.loose }
    }
}

impl Run<'_> {
    /// Goes around packs that turn out to be damaged. Then, and where something cannot be read that
    /// names objects, everything is kept: what a damaged object leads to is not known either.
    fn objects(&self, report: &mut Report) -> Result<(), MaintainError> {
        let mut told = report.clone();
        let error = match self.try_objects(&mut told) {
            Ok(()) => {
                *report = told;
                return Ok(());
            }
            Err(error) => error,
        };
        let damaged = match &error {
            MaintainError::Unsure(_) => Vec::new(),
            MaintainError::Source(SourceError::Corrupt { .. }) => self.damaged(report)?,
            _ => return Err(error),
        };
        if damaged.is_empty() && self.keeps_all {
            return Err(error);
        }
        let source = match damaged.is_empty() {
            true => {
                report.warnings.push(error.kept());
                Arc::clone(self.source)
            }
            false => self.source.without(&damaged)?,
        };
        Run { source: &source, keeps_all: true, ..*self }.objects(report)
    }

    /// The packs that hold something else than they should. Each is told of.
    fn damaged(&self, report: &mut Report) -> Result<Vec<&Path>, MaintainError> {
        let mut damaged = Vec::new();
        // checksums tell nearly always, and soon
        let checks = [sound::check_sums, sound::check_names];
        for check in checks {
            for pack in self.source.packs() {
                match check(self.source, pack, self.watch) {
                    Ok(()) => {}
                    Err(error @ SourceError::Corrupt { .. }) => {
                        damaged.push((pack.path(), error));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if !damaged.is_empty() {
                break;
            }
        }
        report.damaged += damaged.len();
        let kept = if self.options.full { ", and nothing is pruned" } else { "" };
        Ok(damaged
            .into_iter()
            .map(|(path, error)| {
                report.warnings.push(format!("{error}; pack left where it is{kept}"));
                path
            })
            .collect())
    }

    fn try_objects(&self, report: &mut Report) -> Result<(), MaintainError> {
        let chosen = self.choose(report)?;
        if chosen.packs.is_empty() && chosen.loose.is_empty() {
            self.sync_stored(&chosen)?;
            chosen.stored.iter().for_each(|loose| {
                retire::remove_loose(loose);
            });
            if self.is_asked_for(report) {
                report.bitmaps = self.indexing().run(&[], &[], &mut report.warnings)?;
            }
            return Ok(());
        }
        let mut ours = Ours::new();
        for (_, pack) in &chosen.packs {
            ours.add_pack(self.source, pack, self.watch)?;
        }
        chosen.loose.iter().for_each(|&(_, number)| ours.add(number));
        let parts = self.partition(&ours, &chosen)?;
        let mut quarantine = self.write(&parts, report)?;
        report.packed = parts.reachable.len();
        report.set_apart = parts.waiting.len();
        let expired: HashSet<ObjectId> =
            parts.expired.iter().map(|&number| self.source.id(number)).collect();
        let names = published(quarantine.path())?;
        quarantine.publish()?;
        if let Some(told) = self.is_needed_now(&parts, &chosen)? {
            report.warnings.push(told);
            return Ok(());
        }
        let fsync = self.options.sync.any_object();
        retire::remove_graphs(&self.place.objects_dir, expired.iter(), self.place.hash, fsync)?;
        self.sync_stored(&chosen)?;
        let left = self.remove(&chosen, &names, &expired, report)?;
        report.pruned = expired.len() - left.len();
        quarantine.release();
        Ok(())
    }

    /// Why nothing may be removed after all.
    fn is_needed_now(
        &self,
        parts: &Partition,
        chosen: &Chosen<'_>,
    ) -> Result<Option<String>, MaintainError> {
        if parts.expired.is_empty() {
            return Ok(None);
        }
        match self.question().is_needed_now(&parts.expired, &chosen.going()) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(
                "objects were named while they were to be pruned; nothing was removed".to_owned(),
            )),
            Err(
                error @ (MaintainError::Unsure(_)
                | MaintainError::Source(SourceError::Corrupt { .. })),
            ) => Ok(Some(error.kept())),
            Err(error) => Err(error),
        }
    }

    /// The packs that hold what loose objects hold as well are on the disk when these go.
    fn sync_stored(&self, chosen: &Chosen<'_>) -> Result<(), MaintainError> {
        let mut packs = Vec::new();
        for loose in chosen.stored.iter().filter(|_| self.options.sync.any_object()) {
            let at =
                self.source.lookup(&loose.id)?.and_then(|number| self.source.packed_at(number));
            packs.extend(at.and_then(|at| self.source.pack(at.pack)).map(|pack| pack.path()));
        }
        packs.sort_unstable();
        packs.dedup();
        retire::sync_packs(&packs)
    }

    /// Below the least nothing is done at all.
    fn is_asked_for(&self, report: &Report) -> bool {
        report.packed > 0 || self.options.is_thorough()
    }

    fn refs(&self, report: &mut Report) -> Result<(), MaintainError> {
        let is_due = || self.options.is_thorough() || self.place.refs.is_pack_due().unwrap_or(true);
        if self.options.pack_refs && self.is_asked_for(report) && is_due() {
            let fsync = self.options.sync.reference;
            self.place.refs.share(self.place.sharing);
            match self.place.refs.pack(&**self.source, fsync) {
                Ok(packed) => report.refs = packed,
                Err(error) => report.warnings.push(format!("refs not packed: {error}")),
            }
        }
        Ok(())
    }

    /// Readers do without one: what fails here is told.
    fn graph(&self, report: &mut Report) -> Result<(), MaintainError> {
        let Some(graph) = self.options.graph.filter(|_| self.is_asked_for(report)) else {
            return Ok(());
        };
        match commitgraph::write(self.place, self.options, graph, self.source, self.watch) {
            Ok(commits) => report.graphed = commits,
            Err(MaintainError::Source(error @ (SourceError::Cancelled | SourceError::Busy))) => {
                return Err(error.into());
            }
            Err(error) => report.warnings.push(format!("no commit-graph written: {error}")),
        }
        Ok(())
    }

    fn question(&self) -> Question<'_> {
        let before = |grace: Duration| SystemTime::now().checked_sub(grace).map(cruft::seconds);
        Question {
            place: self.place,
            source: self.source,
            threads: self.options.threads,
            watch: self.watch,
            expires_before: self.options.grace.and_then(before),
        }
    }

    /// All packs that may be touched, or those that are small beside the others.
    fn choose<'s>(&'s self, report: &mut Report) -> Result<Chosen<'s>, MaintainError> {
        let mut packs = Vec::new();
        for file in &self.survey.packs {
            let left_alone =
                file.is_kept || file.is_promised || (file.is_cruft && !self.options.full);
            let open = self.source.packs().iter().find(|pack| pack.path() == file.path);
            if let Some(pack) = open.filter(|_| !left_alone) {
                packs.push((file, Arc::clone(pack)));
            }
        }
        packs.sort_by_key(|(file, pack)| (pack.object_count(), file.path.clone()));
        let goes = if self.options.full {
            packs.len()
        } else {
            let counts: Vec<u64> =
                packs.iter().map(|(_, pack)| u64::from(pack.object_count())).collect();
            choose::roll_up(&counts, self.survey.loose.len() as u64, self.options.factor)
        };
        let least = self.options.least;
        let is_due = goes >= least.packs || self.survey.loose.len() >= least.loose;
        packs.truncate(if is_due || self.options.full { goes } else { 0 });
        self.leave_damaged(&mut packs, report)?;
        let mut chosen = Chosen { packs, loose: Vec::new(), stored: Vec::new() };
        if is_due || self.options.full {
            self.choose_loose(&mut chosen, report)?;
        }
        if chosen.packs.len() == 1 && chosen.loose.is_empty() && !self.options.full {
            chosen.packs.clear();
        }
        Ok(chosen)
    }

    /// Packs whose index has no checksums are read before they are written anew, which others are
    /// then. One that is damaged stays as it is, for somebody to mend.
    fn leave_damaged(
        &self,
        packs: &mut Vec<(&PackFile, Arc<Pack>)>,
        report: &mut Report,
    ) -> Result<(), MaintainError> {
        let mut sound = Vec::with_capacity(packs.len());
        for (file, pack) in packs.drain(..) {
            match sound::check_pack(self.source, &pack, self.watch) {
                Ok(()) => sound.push((file, pack)),
                Err(error @ SourceError::Corrupt { .. }) => {
                    report.warnings.push(format!("{error}; pack left where it is"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        *packs = sound;
        Ok(())
    }

    fn choose_loose<'s>(
        &'s self,
        chosen: &mut Chosen<'s>,
        report: &mut Report,
    ) -> Result<(), MaintainError> {
        let going: HashSet<&Path> = chosen.packs.iter().map(|(_, pack)| pack.path()).collect();
        for loose in &self.survey.loose {
            self.watch.check()?;
            let Some(number) = self.source.lookup(&loose.id)? else { continue };
            match self.source.packed_at(number).and_then(|at| self.source.pack(at.pack)) {
                Some(pack) if going.contains(pack.path()) || cruft::is_cruft(pack.path()) => {
                    chosen.loose.push((loose, number));
                }
                Some(pack) if pack.path().starts_with(&self.place.objects_dir) => {
                    match self.is_readable(number)? {
                        true => chosen.stored.push(loose),
                        false => report.warnings.push(only_copy(loose, pack)),
                    }
                }
                // borrowed from another repository, which may not always have it
                Some(_) => {}
                None if self.is_readable(number)? => chosen.loose.push((loose, number)),
                // gone meanwhile: somebody packed or pruned it
                None if !loose.path.exists() => {}
                None => report.warnings.push(damaged(loose)),
            }
        }
        Ok(())
    }

    /// Is the copy that the source reads what its name says? Another may be about to go.
    fn is_readable(&self, number: ObjectNumber) -> Result<bool, SourceError> {
        match sound::is_sound(self.source, number, self.watch) {
            Err(error @ (SourceError::Cancelled | SourceError::Busy | SourceError::Io { .. })) => {
                Err(error)
            }
            outcome => Ok(outcome.unwrap_or(false)),
        }
    }

    fn partition(&self, ours: &Ours, chosen: &Chosen<'_>) -> Result<Partition, MaintainError> {
        // where objects may be missing, all stay
        let keeps_all = self.keeps_all
            || !self.options.full
            || self.survey.packs.iter().any(|pack| pack.is_promised);
        if keeps_all {
            self.watch.begin(Phase::Enumerating, Some(ours.numbers.len() as u64));
            let reachable = order::as_found(&**self.source, &ours.numbers, self.watch)?;
            return Ok(Partition { reachable, ..Partition::default() });
        }
        self.question().partition(ours, &chosen.going())
    }

    /// Writes the new packs, not to be seen by anybody yet.
    fn write(&self, parts: &Partition, report: &mut Report) -> Result<Quarantine, MaintainError> {
        let mut quarantine = Quarantine::create(&self.place.objects_dir, self.place.hash)?;
        quarantine.set_sync_rules(self.options.sync);
        quarantine.set_packs_first();
        quarantine.set_sharing(self.place.sharing);
        let packer = Packer {
            source: self.source,
            quarantine: &quarantine,
            options: self.options,
            watch: self.watch,
        };
        if !parts.reachable.is_empty() {
            let name = packer.write(parts.reachable.clone(), self.options.full, None)?;
            if self.options.write_bitmap && parts.is_closed {
                let index = quarantine.path().join(format!("pack/pack-{name}.idx"));
                match self.write_bitmaps(&index, parts) {
                    // the pack itself is as good as before
                    Err(error @ MaintainError::Contradicted) => {
                        report.warnings.push(format!("no bitmaps written: {error}"));
                    }
                    made => report.bitmaps = made?,
                }
            }
        }
        if !parts.waiting.is_empty() {
            packer.write(parts.waiting.clone(), false, Some(&parts.times))?;
        }
        Ok(quarantine)
    }

    /// The bitmaps of a pack that has all that refs reach.
    fn write_bitmaps(&self, index: &Path, parts: &Partition) -> Result<usize, MaintainError> {
        let pack = Pack::open(index, self.place.hash)?;
        let Some(target) = Target::of_pack(&pack, self.source)? else { return Ok(0) };
        let known = Known::Found(&parts.reachable);
        let tips = super::partition::tips(&*self.place.refs.snapshot()?);
        let path = index.with_extension("bitmap");
        let written =
            bitmaps::write(path.clone(), &target, self.source, &known, &tips, self.watch)?;
        let Some((file, count)) = written else { return Ok(0) };
        if self.options.sync.pack_metadata {
            file.handle().sync_all().map_err(MaintainError::io(&path))?;
        }
        Ok(count)
    }

    fn indexing(&self) -> Indexing<'_> {
        let Run { place, options, watch, source, survey, .. } = *self;
        Indexing { place, options, watch, source, survey }
    }

    /// Removes what was replaced and what has expired; the expired objects that are in use again.
    fn remove(
        &self,
        chosen: &Chosen<'_>,
        names: &[String],
        expired: &HashSet<ObjectId>,
        report: &mut Report,
    ) -> Result<HashSet<ObjectId>, MaintainError> {
        let given_up = |id: &ObjectId| expired.contains(id);
        let folder = self.place.objects_dir.join("pack");
        let new = open_packs(&folder, names, self.place.hash)?;
        let (mut going, mut left) = (Vec::new(), HashSet::new());
        for (file, pack) in &chosen.packs {
            let stem = file.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            // written anew as it was
            if stem.is_some_and(|stem| names.contains(&stem)) {
                continue;
            }
            retire::check_replaced(pack, &new, given_up)?;
            let mut gone = (0..pack.object_count()).map(|at| pack.id_at(at)).filter(given_up);
            let first = gone.next();
            if first.is_some() && retire::is_in_use(&file.path, file.modified) {
                left.extend(first.into_iter().chain(gone));
                report.warnings.push(in_use(&file.path));
                continue;
            }
            going.push(*file);
        }
        for &(loose, _) in &chosen.loose {
            if !new.iter().any(|pack| pack.position(&loose.id).is_some()) && !given_up(&loose.id) {
                return Err(MaintainError::Lost(loose.id));
            }
        }
        let made = self.indexing().run(&going, names, &mut report.warnings)?;
        report.bitmaps = report.bitmaps.max(made);
        retire::remove_packs(&going, self.options.sync.any_object())?;
        let loose = chosen.loose.iter().map(|(loose, _)| *loose);
        for loose in loose.chain(chosen.stored.iter().copied()) {
            if given_up(&loose.id) && retire::is_in_use(&loose.path, loose.modified) {
                left.insert(loose.id);
                report.warnings.push(in_use(&loose.path));
            } else {
                retire::remove_loose(loose);
            }
        }
        Ok(left)
    }
}

/// `pack-…` of each pack in a quarantine.
fn published(quarantine: &Path) -> Result<Vec<String>, MaintainError> {
    let folder = quarantine.join("pack");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(MaintainError::io(&folder))? {
        let name = entry.map_err(MaintainError::io(&folder))?.file_name();
        names.extend(name.to_string_lossy().strip_suffix(".pack").map(str::to_owned));
    }
    Ok(names)
}

fn open_packs(folder: &Path, names: &[String], hash: HashKind) -> Result<Vec<Pack>, MaintainError> {
    let open = |name: &String| Pack::open(&folder.join(format!("{name}.idx")), hash);
    Ok(names.iter().map(open).collect::<Result<_, _>>()?)
}

fn only_copy(loose: &LooseFile, pack: &Pack) -> String {
    let (file, pack) = (loose.path.display(), pack.name());
    format!("{file}: left where it is, the copy in {pack} is damaged")
}

fn in_use(path: &Path) -> String {
    format!("{}: in use again, left where it is", path.display())
}

fn damaged(loose: &LooseFile) -> String {
    format!("{}: damaged, left where it is", loose.path.display())
}
