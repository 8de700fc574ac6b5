//! All objects of received packs, one after the other.

use std::path::Path;

use super::message::{Fault, Message, Rules, Severity};
use super::special::{GITATTRIBUTES_MAX, GITMODULES_MAX, check_gitattributes, check_gitmodules};
use super::{commit, tag, tree};
use crate::hash::{IdSet, ObjectId};
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

/// Checks every object of the packs below `folder`, which are among those of `source`; what they
/// lead to may be elsewhere in it.
pub fn check_packs(
    source: &Snapshot,
    folder: &Path,
    rules: &Rules,
    watch: &Watch,
) -> Result<Report, SourceError> {
    let mut report = Report::default();
    let mut found = tree::Found::default();
    let mut faults = Vec::new();
    let mut reader = source.reader();
    let hash = source.hash_kind();
    for pack in source.packs().iter().filter(|pack| pack.path().starts_with(folder)) {
        for (at, &position) in pack.positions_by_offset()?.iter().enumerate() {
            if at % GROUP == 0 {
                watch.check()?;
            }
            let id = pack.id_at(position);
            if rules.skip.contains(&id) {
                continue;
            }
            let Some(number) = source.lookup(&id)? else { continue };
            let (kind, _) = reader.header(number)?;
            if kind == ObjectKind::Blob {
                continue;
            }
            let (kind, data) = reader.read(number)?;
            match kind {
                ObjectKind::Commit => commit::check(data, hash.hex_len(), &mut faults),
                ObjectKind::Tag => tag::check(data, hash.hex_len(), &mut faults),
                ObjectKind::Tree => tree::check(data, hash.len(), &mut faults, &mut found),
                ObjectKind::Blob => {}
            }
            for fault in faults.drain(..) {
                report.add(rules, &id, &fault);
            }
        }
    }
    let special =
        [(found.gitmodules, Kind::Gitmodules), (found.gitattributes, Kind::Gitattributes)];
    for (ids, kind) in special {
        let mut seen = IdSet::default();
        for id in ids {
            if seen.insert(id) && !rules.skip.contains(&id) {
                watch.check()?;
                for fault in kind.check(source, &id)? {
                    report.add(rules, &id, &fault);
                }
            }
        }
    }
    Ok(report)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gitmodules,
    Gitattributes,
}

impl Kind {
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
