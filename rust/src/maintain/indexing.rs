//! One bitmap for what is packed: of the only pack, or of a multi-pack-index over several.
//!
//! In: the packs that stay, before those that they replace are removed. Out: a multi-pack-index of
//! them with a bitmap, or the bitmap of the only one; no multi-pack-index names a pack that is about
//! to go. Earlier bitmaps are taken over. Behind pushes this is done only where a bitmap would be
//! lost, or lacks much by now: the files are of all objects.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bitmaps::{self, Known, Target};
use super::midx::{Covered, Midx};
use super::survey::{PackFile, Survey};
use super::{MaintainError, Options, Place, partition, retire};
use crate::bitmap::Reachability;
use crate::durable;
use crate::graph::{self, WalkRequest};
use crate::ingest::NewFile;
use crate::pack::Pack;
use crate::source::{ObjectSource, SourceError};
use crate::store::Snapshot;
use crate::temporary;
use crate::watch::Watch;

/// Behind pushes the files are written again when one in so many objects is not in them.
const PART_NEW: u64 = 32;
/// Small packs that together have less than one in so many are left out then: they are rolled up
/// soon, and an index that names them goes with them. Less than what is new by [`PART_NEW`].
const PART_LEFT_OUT: u64 = 64;

/// See the module.
pub(super) struct Indexing<'a> {
    pub(super) place: &'a Place,
    pub(super) options: &'a Options,
    pub(super) watch: &'a Watch,
    /// From before the run.
    pub(super) source: &'a Arc<Snapshot>,
    pub(super) survey: &'a Survey,
}

impl Indexing<'_> {
    /// For the packs of the survey without those that are `going`, and with those of these `new`
    /// names; of how many commits there are bitmaps then, if any were written.
    pub(super) fn run(
        &self,
        going: &[&PackFile],
        new: &[String],
        warnings: &mut Vec<String>,
    ) -> Result<usize, MaintainError> {
        let folder = self.place.objects_dir.join("pack");
        retire::remove_stale_midx(&folder, self.place.hash);
        let outcome = self.write(&folder, going, new);
        // whatever happened, none is left that names what goes
        let fsync = self.options.sync.any_object();
        retire::remove_midx(&folder, going, self.place.hash, fsync)?;
        match outcome {
            Err(MaintainError::Source(error @ (SourceError::Cancelled | SourceError::Busy))) => {
                Err(error.into())
            }
            Err(error) => {
                warnings.push(format!("no bitmaps written: {error}"));
                Ok(0)
            }
            Ok(bitmaps) => Ok(bitmaps),
        }
    }

    fn write(
        &self,
        folder: &Path,
        going: &[&PackFile],
        new: &[String],
    ) -> Result<usize, MaintainError> {
        if !self.options.write_bitmap || self.survey.packs.iter().any(|pack| pack.is_promised) {
            return Ok(0);
        }
        let source: &dyn ObjectSource = &**self.source;
        let earlier = source.reachability().filter(|earlier| !earlier.commits().is_empty());
        let is_thorough = self.options.is_thorough();
        if earlier.is_none() && !is_thorough {
            return Ok(0);
        }
        let mut packs = self.covered(folder, going, new)?;
        let total: u64 = packs.iter().map(|packed| u64::from(packed.pack.object_count())).sum();
        let is_lost = self.is_lost(folder, earlier.as_deref(), going);
        if !is_lost {
            let known = earlier.as_ref().map_or(0, |earlier| u64::from(earlier.count()));
            let missing = total.saturating_sub(known);
            let is_enough = match is_thorough {
                true => missing == 0 && earlier.is_some(),
                false => missing < known / PART_NEW,
            };
            if is_enough {
                return Ok(0);
            }
        }
        if !is_thorough {
            leave_out_small(&mut packs, total);
        }
        match packs.len() {
            0 => Ok(0),
            1 => self.write_pack_bitmap(&packs[0].pack, earlier),
            _ => self.write_midx(folder, packs, earlier),
        }
    }

    /// Do bitmaps belong to a pack that goes, or to a multi-pack-index that names one?
    fn is_lost(&self, folder: &Path, earlier: Option<&Reachability>, going: &[&PackFile]) -> bool {
        let Some(path) = earlier.map(|earlier| Path::new(earlier.name())) else { return false };
        let name = path.file_name().map(|name| name.to_string_lossy());
        match name.is_some_and(|name| name.starts_with("multi-pack-index-")) {
            true => retire::midx_names(folder, going, self.place.hash),
            false => going.iter().any(|pack| pack.path.with_extension("bitmap") == path),
        }
    }

    /// All that bitmaps are to know. Cruft is not wanted by anybody.
    fn covered(
        &self,
        folder: &Path,
        going: &[&PackFile],
        new: &[String],
    ) -> Result<Vec<Covered>, MaintainError> {
        let going: HashSet<&Path> = going.iter().map(|file| &*file.path).collect();
        let stay = self.survey.packs.iter().filter(|file| !going.contains(&*file.path));
        let stay = stay.map(|file| file.path.clone());
        let all: HashSet<PathBuf> =
            stay.chain(new.iter().map(|name| folder.join(format!("{name}.pack")))).collect();
        let mut covered = Vec::new();
        for path in all {
            if super::cruft::is_cruft(&path) {
                continue;
            }
            let modified = fs::metadata(&path).and_then(|meta| meta.modified());
            let modified = modified.map_err(MaintainError::io(&path))?;
            let pack = Pack::open(&path.with_extension("idx"), self.place.hash)?;
            covered.push(Covered { pack, modified });
        }
        Ok(covered)
    }

    fn write_pack_bitmap(
        &self,
        pack: &Pack,
        earlier: Option<Arc<Reachability>>,
    ) -> Result<usize, MaintainError> {
        let path = pack.path().with_extension("bitmap");
        if path.exists() {
            return Ok(0);
        }
        let Some(target) = Target::of_pack(pack, self.source)? else { return Ok(0) };
        let Some((file, count)) = self.bitmaps(&path, &target, earlier)? else { return Ok(0) };
        self.put(file, &path)?;
        Ok(count)
    }

    fn write_midx(
        &self,
        folder: &Path,
        packs: Vec<Covered>,
        earlier: Option<Arc<Reachability>>,
    ) -> Result<usize, MaintainError> {
        // whose objects bitmaps have first, and whole
        let sizes = packs.iter().map(|packed| packed.pack.object_count()).enumerate();
        let largest = sizes.max_by_key(|&(_, count)| count).map_or(0, |(at, _)| at);
        let midx = Midx::of(packs, largest);
        let pending = midx.write(folder, self.place.hash, true)?;
        let checksum = pending.checksum()?;
        let path = folder.join(format!("multi-pack-index-{checksum}.bitmap"));
        let has_bitmap = earlier.as_ref().is_some_and(|earlier| Path::new(earlier.name()) == path);
        if has_bitmap && pending.is_there() {
            return Ok(0);
        }
        let id_at = |position| midx.id_at(position);
        let target = Target::of(checksum, midx.order.clone(), id_at, self.source)?;
        let Some(target) = target else { return Ok(0) };
        let Some((file, count)) = self.bitmaps(&path, &target, earlier)? else { return Ok(0) };
        // it says nothing to anybody before its index is there
        self.put(file, &path)?;
        midx.check_packs(folder)?;
        pending.place(self.place.sharing, self.options.sync.pack_metadata)?;
        // a repack beside us looks whether there is one before it removes packs
        retire::remove_stale_midx(folder, self.place.hash);
        retire::remove_midx_chain(folder, self.options.sync.any_object())?;
        retire::remove_midx_files(folder, Some(&checksum));
        Ok(count)
    }

    /// Writes bitmaps into a temporary file beside `path`.
    fn bitmaps(
        &self,
        path: &Path,
        target: &Target,
        earlier: Option<Arc<Reachability>>,
    ) -> Result<Option<(NewFile, usize)>, MaintainError> {
        let refs = self.place.refs.snapshot()?;
        let tips = partition::tips(&refs);
        let name = format!("tmp_bitmap_{}", temporary::random_name(0));
        let temporary = path.with_file_name(name);
        if let Some(earlier) = earlier {
            let known = Known::Earlier(&earlier);
            let written =
                bitmaps::write(temporary.clone(), target, self.source, &known, &tips, self.watch);
            return or_none_left(written, &temporary);
        }
        let request = WalkRequest {
            wants: tips.clone(),
            shallow: self.place.shallow.clone(),
            threads: self.options.threads,
            no_bitmaps: true,
            ..WalkRequest::default()
        };
        let source: &dyn ObjectSource = &**self.source;
        let found = graph::enumerate(source, self.source.commits(), &request, self.watch)?;
        let known = Known::Found(&found.objects);
        let written =
            bitmaps::write(temporary.clone(), target, self.source, &known, &tips, self.watch);
        or_none_left(written, &temporary)
    }

    fn put(&self, file: NewFile, path: &Path) -> Result<(), MaintainError> {
        let mut file = Unplaced(Some(file));
        let Some(written) = &mut file.0 else { return Ok(()) };
        self.place.sharing.share(written.path()).map_err(MaintainError::io(path))?;
        let sync = self.options.sync.pack_metadata;
        if sync {
            written.handle().sync_all().map_err(MaintainError::io(path))?;
        }
        written.rename(
            &path.file_name().map_or_else(OsString::new, OsString::from).to_string_lossy(),
        )?;
        file.0 = None;
        match path.parent() {
            Some(folder) if sync => durable::sync_folder(folder).map_err(MaintainError::io(folder)),
            _ => Ok(()),
        }
    }
}

/// Takes out the smallest packs, whose objects are few beside the `total`.
fn leave_out_small(packs: &mut Vec<Covered>, total: u64) {
    packs.sort_by_key(|packed| std::cmp::Reverse(packed.pack.object_count()));
    let mut rest = total;
    packs.retain(|packed| {
        let stays = rest >= total.div_ceil(PART_LEFT_OUT);
        rest -= u64::from(packed.pack.object_count());
        stays
    });
}

/// Goes unless it is put in its place.
struct Unplaced(Option<NewFile>);

impl Drop for Unplaced {
    fn drop(&mut self) {
        if let Some(file) = &mut self.0 {
            let _ = file.remove();
        }
    }
}

/// A file that could not be written to its end goes.
fn or_none_left<T>(written: Result<T, MaintainError>, path: &Path) -> Result<T, MaintainError> {
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}
