//! All objects of received packs, while they are made or afterwards.
//!
//! In: commits, trees and tags, from whoever has their contents ([`Examiner`]), or whole packs
//! ([`check_packs`]). Out: what is said about them ([`Report`]), in the order in which the objects lie.

use std::path::Path;
use std::sync::Arc;

use super::message::{Fault, Message, Rules, Severity};
use super::special::{GITATTRIBUTES_MAX, GITMODULES_MAX, check_gitattributes, check_gitmodules};
use super::{commit, tag, tree};
use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;
use crate::source::{ObjectSource, SourceError};
use crate::store::Snapshot;
use crate::watch::Watch;

/// What is said is bounded: a hostile pack can be wrong a million times.
const MAX_LINES: usize = 1000;

/// After so many objects it is asked whether anybody still waits.
const GROUP: usize = 1024;

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Lines for whoever pushed: `error: object <id>: <message>: <text>`.
    pub lines: Vec<String>,
    /// An object is not to be stored.
    pub refused: bool,
}

impl Report {
    fn add(&mut self, rules: &Rules, id: &ObjectId, fault: &Fault) {
        let word = match rules.severity(fault.message) {
            Severity::Ignore => return,
            Severity::Info | Severity::Warn => "warning",
            Severity::Error | Severity::Fatal => {
                self.refused = true;
                "error"
            }
        };
        if self.lines.len() < MAX_LINES {
            let (name, text) = (fault.message.name(), fault.text);
            self.lines.push(format!("{word}: object {id}: {name}: {text}"));
        }
    }
}

/// Checks objects one by one; each thread has its own.
pub struct Examiner {
    rules: Arc<Rules>,
    hash: HashKind,
    faults: Vec<Fault>,
    /// Where the objects lie, and what is wrong with them.
    told: Vec<(u64, ObjectId, Fault)>,
    refused: bool,
    pub(super) found: tree::Found,
}

impl Examiner {
    /// By these rules.
    pub fn new(rules: Arc<Rules>, hash: HashKind) -> Self {
        let (faults, told, found) = (Vec::new(), Vec::new(), tree::Found::default());
        Self { rules, hash, faults, told, refused: false, found }
    }

    /// Looks at an object; `place` orders what is said.
    pub fn look(&mut self, place: u64, id: &ObjectId, kind: ObjectKind, data: &[u8]) {
        if kind == ObjectKind::Blob || self.rules.skip.contains(id) {
            return;
        }
        let hash = self.hash;
        match kind {
            ObjectKind::Commit => commit::check(data, hash.hex_len(), &mut self.faults),
            ObjectKind::Tag => tag::check(data, hash.hex_len(), &mut self.faults),
            ObjectKind::Tree => tree::check(data, hash.len(), &mut self.faults, &mut self.found),
            ObjectKind::Blob => {}
        }
        for fault in self.faults.drain(..) {
            let severity = self.rules.severity(fault.message);
            self.refused |= severity >= Severity::Error;
            if severity > Severity::Ignore && self.told.len() < MAX_LINES {
                self.told.push((place, *id, fault));
            }
        }
    }
}

/// What all of them found, and what is wrong with the files that git obeys; whatever `source` has
/// under their names counts. All have the same rules.
pub fn report(
    examiners: Vec<Examiner>,
    source: &Snapshot,
    watch: &Watch,
) -> Result<Report, SourceError> {
    let mut report = Report::default();
    let Some(rules) = examiners.first().map(|first| Arc::clone(&first.rules)) else {
        return Ok(report);
    };
    let (mut told, mut found) = (Vec::new(), tree::Found::default());
    for examiner in examiners {
        report.refused |= examiner.refused;
        told.extend(examiner.told);
        found.gitmodules.extend(examiner.found.gitmodules);
        found.gitattributes.extend(examiner.found.gitattributes);
    }
    // stable: what is wrong with one object stays in its order
    told.sort_by_key(|(place, ..)| *place);
    for (_, id, fault) in &told {
        report.add(&rules, id, fault);
    }
    let special =
        [(found.gitmodules, Kind::Gitmodules), (found.gitattributes, Kind::Gitattributes)];
    for (ids, kind) in special {
        if ids.len() > tree::MOST_FOUND {
            let (most, name) = (tree::MOST_FOUND, kind.name());
            report.refused = true;
            report.lines.push(format!("error: more than {most} different {name} files"));
            continue;
        }
        let mut ids: Vec<ObjectId> = ids.into_iter().collect();
        ids.sort_unstable();
        for id in ids.iter().filter(|id| !rules.skip.contains(*id)) {
            watch.check()?;
            for fault in kind.check(source, id)? {
                report.add(&rules, id, &fault);
            }
        }
    }
    Ok(report)
}

/// Checks every object of the packs below `folder`, which are among those of `source`; what they
/// lead to may be elsewhere in it.
pub fn check_packs(
    source: &Snapshot,
    folder: &Path,
    rules: Rules,
    watch: &Watch,
) -> Result<Report, SourceError> {
    let mut examiner = Examiner::new(Arc::new(rules), source.hash_kind());
    let mut reader = source.reader();
    let mut place = 0;
    for pack in source.packs().iter().filter(|pack| pack.path().starts_with(folder)) {
        for (at, &position) in pack.positions_by_offset()?.iter().enumerate() {
            if at % GROUP == 0 {
                watch.check()?;
            }
            place += 1;
            let id = pack.id_at(position);
            let Some(number) = source.lookup(&id)? else { continue };
            let (kind, _) = reader.header(number)?;
            if kind == ObjectKind::Blob {
                continue;
            }
            let (kind, data) = reader.read(number)?;
            examiner.look(place, &id, kind, data);
        }
    }
    drop(reader);
    report(vec![examiner], source, watch)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gitmodules,
    Gitattributes,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Gitmodules => ".gitmodules",
            Kind::Gitattributes => ".gitattributes",
        }
    }

    fn check(self, source: &Snapshot, id: &ObjectId) -> Result<Vec<Fault>, SourceError> {
        use Message::{
            GitattributesBlob, GitattributesLarge, GitattributesMissing, GitmodulesBlob,
            GitmodulesLarge, GitmodulesMissing,
        };
        let is_modules = self == Kind::Gitmodules;
        let one = |modules, attributes, text| {
            Ok(vec![Fault::new(if is_modules { modules } else { attributes }, text)])
        };
        let Some(number) = source.lookup(id)? else {
            return one(GitmodulesMissing, GitattributesMissing, "unable to read the blob");
        };
        let mut reader = source.reader();
        let (kind, size) = reader.header(number)?;
        if kind != ObjectKind::Blob {
            return one(GitmodulesBlob, GitattributesBlob, "a non-blob found");
        }
        if size > if is_modules { GITMODULES_MAX } else { GITATTRIBUTES_MAX } {
            return one(GitmodulesLarge, GitattributesLarge, "too large to parse");
        }
        let (_, data) = reader.read(number)?;
        Ok(match self {
            Kind::Gitmodules => check_gitmodules(data),
            Kind::Gitattributes => check_gitattributes(data).into_iter().collect(),
        })
    }
}
