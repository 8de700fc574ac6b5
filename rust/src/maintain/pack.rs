//! Writes one pack with its indexes into a quarantine folder, ready to be published.

use std::collections::HashMap;
use std::path::PathBuf;

use super::MaintainError;
use super::{cruft, sound};
use crate::durable;
use crate::emit::{self, WrittenEntry};
use crate::graph::{Enumeration, Found};
use crate::hash::{HashKind, ObjectId};
use crate::ingest::{IndexRows, IngestError, NewFile, Quarantine, write_idx, write_rev};
use crate::plan::{PackPlan, PlanOptions};
use crate::source::{ObjectSource, SourceError};
use crate::store::Snapshot;
use crate::temporary;
use crate::watch::{Phase, Watch};

use super::Options;

/// Writes packs of one run.
pub(super) struct Packer<'a> {
    pub(super) source: &'a Snapshot,
    pub(super) quarantine: &'a Quarantine,
    pub(super) options: &'a Options,
    pub(super) watch: &'a Watch,
}

impl Packer<'_> {
    /// Writes a pack of these; its checksum, by which it is called. `times`: for a cruft pack, when
    /// each was last written.
    pub(super) fn write(
        &self,
        objects: Vec<Found>,
        fresh_deltas: bool,
        times: Option<&HashMap<ObjectId, u32>>,
    ) -> Result<ObjectId, MaintainError> {
        let numbers = objects.iter().map(|found| found.number);
        sound::check_unindexed(self.source, numbers, self.watch)?;
        let options = PlanOptions {
            ofs_delta: true,
            threads: self.options.threads,
            window: self.options.window,
            depth: self.options.depth,
            big_file_threshold: self.options.big_file_threshold,
            search_memory: self.options.memory,
            keep_memory: self.options.memory,
            reuse_deltas: !fresh_deltas,
            reused_depth: self.options.depth,
            as_found: true,
            level: self.options.level,
            // these deltas are stored from now on; whoever serves needs the room for others
            remember: false,
            search_time: std::time::Duration::MAX,
            ..PlanOptions::default()
        };
        let enumeration = Enumeration { objects, ..Enumeration::default() };
        let plan = PackPlan::new(self.source, enumeration, &options, self.watch)?;
        self.watch.begin(Phase::Writing, Some(u64::from(plan.counts.objects)));
        let folder = self.quarantine.path().join("pack");
        let mut file = NewFile::create(self.temporary(&folder))?;
        let path = file.path().to_owned();
        let (entries, trailer) =
            emit::write_pack(self.source, plan, self.options.level, self.watch, |chunk| {
                file.write(&chunk).map_err(|error| not_written(&path, error))
            })?;
        file.flush()?;
        let rows = Rows { hash: self.source.hash_kind(), entries };
        let order = rows.sorted();
        let name = |suffix: &str| folder.join(format!("pack-{trailer}.{suffix}"));
        let mut files = vec![
            write_rev(name("rev"), &rows, &order, &trailer)?,
            write_idx(name("idx"), &rows, &order, &trailer)?,
        ];
        if let Some(times) = times {
            let of = |&entry: &u32| {
                times.get(&rows.entries[entry as usize].id).copied().unwrap_or(u32::MAX)
            };
            let listed = order.iter().map(of);
            files.push(cruft::write(name("mtimes"), rows.hash, listed, &trailer)?);
        }
        let sync = self.options.sync;
        let mut waited_for = Vec::new();
        if sync.pack_metadata {
            waited_for.extend(files.iter().map(NewFile::handle));
        }
        if sync.pack {
            waited_for.push(file.handle());
        }
        durable::sync_files(&waited_for).map_err(MaintainError::io(&path))?;
        file.rename(&format!("pack-{trailer}.pack"))?;
        self.watch.end();
        Ok(trailer)
    }

    fn temporary(&self, folder: &std::path::Path) -> PathBuf {
        // the folder is ours alone
        folder.join(format!("tmp_pack_{}", temporary::random_name(0)))
    }
}

fn not_written(path: &std::path::Path, error: IngestError) -> SourceError {
    match error {
        IngestError::Io { error, .. } => {
            SourceError::Io { file: path.display().to_string(), error }
        }
        other => SourceError::Corrupt { file: path.display().to_string(), what: other.to_string() },
    }
}

/// What was written, for the indexes.
struct Rows {
    hash: HashKind,
    entries: Vec<WrittenEntry>,
}

impl Rows {
    fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
        order.sort_unstable_by_key(|&entry| self.entries[entry as usize].id);
        order
    }
}

impl IndexRows for Rows {
    fn hash_kind(&self) -> HashKind {
        self.hash
    }

    fn id_bytes(&self, entry: u32) -> &[u8] {
        self.entries[entry as usize].id.as_bytes()
    }

    fn offset(&self, entry: u32) -> u64 {
        self.entries[entry as usize].offset
    }

    fn crc(&self, entry: u32) -> u32 {
        self.entries[entry as usize].crc
    }
}
