//! What a stack of tables says, as the two tables that a snapshot is made of.
//!
//! The older and larger part of the stack becomes a packed table once, and stays one as long as
//! that part of the stack does; the few refs of newer tables are laid over it. So a push costs what
//! it changed. Symbolic refs are always in the upper table: the packed one has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::RefValue;
use super::table::{RefRecords, Table};
use crate::hash::{HashKind, ObjectId};
use crate::refs::RefError;
use crate::refs::name;
use crate::refs::overlay::{LooseValue, Overlay};
use crate::refs::packed::{PackedBuilder, PackedRefs};
use crate::refs::read::RawRef;

/// Newer tables are laid over the packed table up to this share of its bytes, and up to
/// [`SMALL`] whatever it has.
const SHARE: u64 = 8;
const SMALL: u64 = 16 << 10;

/// So many warnings tell a person what is wrong; more would only fill the log.
const MAX_WARNINGS: usize = 100;

/// What the tables say.
#[derive(Debug, Clone, Default)]
pub(super) struct Merged {
    pub(super) head: Option<RawRef>,
    pub(super) packed: Arc<PackedRefs>,
    pub(super) overlay: Arc<Overlay>,
    pub(super) warnings: Vec<String>,
}

impl Merged {
    /// What a ref, or HEAD, holds.
    pub(super) fn find(&self, name: &[u8]) -> Option<RawRef> {
        if name == b"HEAD" {
            return self.head.clone();
        }
        match self.overlay.find(name).map(|row| self.overlay.value(row)) {
            Some(LooseValue::Id(id)) => Some(RawRef::Id(*id)),
            Some(LooseValue::Symbolic(target)) => Some(RawRef::Symbolic(target.to_vec())),
            Some(LooseValue::Broken) => Some(RawRef::Broken),
            Some(LooseValue::Deleted) => None,
            None => self.packed.find(name).map(|row| RawRef::Id(self.packed.id(row))),
        }
    }

    /// The names of all refs that begin with `prefix`, whatever they hold; in no order.
    pub(super) fn names<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let overlay = &self.overlay;
        let is_there = |&row: &usize| *overlay.value(row) != LooseValue::Deleted;
        let upper = overlay.range(prefix).filter(is_there).map(|row| overlay.name(row));
        let packed = self.packed.range(prefix).map(|row| self.packed.name(row));
        upper.chain(packed.filter(|name| overlay.find(name).is_none()))
    }
}

/// The packed part of a stack, and what of it cannot be packed.
#[derive(Debug, Default)]
struct Base {
    tables: Vec<Arc<Table>>,
    bytes: u64,
    head: Option<RawRef>,
    packed: Arc<PackedRefs>,
    others: Vec<(Vec<u8>, LooseValue)>,
    warnings: Vec<String>,
}

/// Merges tables, remembering what need not be done again.
#[derive(Debug, Default)]
pub(super) struct Merger {
    base: Base,
    /// The tables over the base, with their refs.
    uppers: Vec<(Arc<Table>, Arc<RefRecords>)>,
}

/// The tables of one worktree: those of the repository, and those of the worktree's own where it
/// is a linked one.
pub(super) struct Tables<'a> {
    pub(super) common: &'a [Arc<Table>],
    pub(super) own: Option<&'a [Arc<Table>]>,
}

impl Merger {
    pub(super) fn merge(
        &mut self,
        tables: &Tables<'_>,
        kind: HashKind,
    ) -> Result<Merged, RefError> {
        let is_linked = tables.own.is_some();
        let base_len = self.base.tables.len();
        let is_base = base_len > 0
            && tables.common.len() >= base_len
            && tables.common.iter().zip(&self.base.tables).all(|(a, b)| Arc::ptr_eq(a, b));
        let newer = if is_base { &tables.common[base_len..] } else { tables.common };
        let bytes: u64 = newer.iter().map(|table| table.size).sum();
        let newer = if bytes > SMALL.max(self.base.bytes / SHARE) || !is_base {
            let (older, newer) = tables.common.split_at(base_len_of(tables.common));
            self.base = Base::new(older, kind, is_linked)?;
            newer
        } else {
            newer
        };
        let uppers = newer.iter().chain(tables.own.unwrap_or_default());
        let mut known = std::mem::take(&mut self.uppers);
        for table in uppers {
            let at = known.iter().position(|(known, _)| Arc::ptr_eq(known, table));
            let refs = match at {
                Some(at) => known.swap_remove(at).1,
                None => Arc::new(table.refs()?),
            };
            self.uppers.push((Arc::clone(table), refs));
        }
        self.lay_over(newer.len(), is_linked)
    }

    /// Lays the upper tables over the base; the first `common` of them are of the repository.
    fn lay_over(&self, common: usize, is_linked: bool) -> Result<Merged, RefError> {
        let mut merged = Merged {
            head: self.base.head.clone(),
            packed: Arc::clone(&self.base.packed),
            overlay: Arc::default(),
            warnings: self.base.warnings.clone(),
        };
        let mut rows: BTreeMap<&[u8], LooseValue> = BTreeMap::new();
        rows.extend(self.base.others.iter().map(|(name, value)| (&name[..], value.clone())));
        for (at, (_, refs)) in self.uppers.iter().enumerate() {
            let whose = Whose { is_linked, is_common: at < common };
            for row in 0..refs.len() {
                let name = refs.name(row);
                match whose.place(name, &mut merged.warnings) {
                    Place::Ref => {
                        rows.insert(name, loose(refs.value(row)));
                    }
                    Place::Head => merged.head = raw(refs.value(row)),
                    Place::Nowhere => {}
                }
            }
        }
        let mut overlay = Overlay::default();
        for (name, value) in rows {
            overlay.push(name, value)?;
        }
        merged.overlay = Arc::new(overlay);
        Ok(merged)
    }
}

/// So many of the oldest tables make the packed part: as few as leave little for the upper one,
/// because newer tables are merged more often.
fn base_len_of(tables: &[Arc<Table>]) -> usize {
    let mut below = 0;
    let mut above: u64 = tables.iter().map(|table| table.size).sum();
    for (at, table) in tables.iter().enumerate() {
        below += table.size;
        above -= table.size;
        if above <= SMALL.max(below / SHARE) {
            return at + 1;
        }
    }
    tables.len()
}

impl Base {
    fn new(tables: &[Arc<Table>], kind: HashKind, is_linked: bool) -> Result<Self, RefError> {
        let mut base = Self { tables: tables.to_vec(), ..Self::default() };
        base.bytes = tables.iter().map(|table| table.size).sum();
        let all = tables.iter().map(|table| table.refs()).collect::<Result<Vec<_>, _>>()?;
        let whose = Whose { is_linked, is_common: true };
        let mut builder = PackedBuilder::new(kind);
        for (refs, row) in newest(&all) {
            let (name, value) = (refs.name(row), refs.value(row));
            match whose.place(name, &mut base.warnings) {
                Place::Head => base.head = raw(value),
                Place::Nowhere => {}
                Place::Ref => match value {
                    RefValue::Deleted => {}
                    RefValue::Id(id) if !id.is_null() => builder.push(name, id, None)?,
                    RefValue::Tag(both) if !both.0.is_null() => {
                        builder.push(name, &both.0, Some(&both.1))?;
                    }
                    _ => base.others.push((name.to_vec(), loose(value))),
                },
            }
        }
        base.packed = Arc::new(builder.finish());
        Ok(base)
    }
}

/// The newest row of every name, in order of names.
pub(super) fn newest(all: &[RefRecords]) -> Vec<(&RefRecords, usize)> {
    let mut rows: Vec<(&RefRecords, usize)> = Vec::new();
    // newer tables first: the sort keeps them first among equals
    for refs in all.iter().rev() {
        rows.extend((0..refs.len()).map(|row| (refs, row)));
    }
    if all.len() > 1 {
        rows.sort_by(|a, b| a.0.name(a.1).cmp(b.0.name(b.1)));
        rows.dedup_by(|later, first| later.0.name(later.1) == first.0.name(first.1));
    }
    rows
}

/// Which names of a table count.
#[derive(Clone, Copy)]
struct Whose {
    is_linked: bool,
    is_common: bool,
}

enum Place {
    Head,
    Ref,
    /// A pseudo-ref, another worktree's, or no name that a ref may have.
    Nowhere,
}

impl Whose {
    fn place(self, name: &[u8], warnings: &mut Vec<String>) -> Place {
        // a linked worktree's own refs are in its own tables, all others in the common ones
        if self.is_linked && name::is_per_worktree(name) == self.is_common {
            return Place::Nowhere;
        }
        if name == b"HEAD" {
            return Place::Head;
        }
        if name::is_listed(name) {
            return Place::Ref;
        }
        if name.starts_with(b"refs/") && warnings.len() < MAX_WARNINGS {
            warnings.push(format!("ignoring ref with broken name {}", name.escape_ascii()));
        }
        Place::Nowhere
    }
}

fn loose(value: &RefValue) -> LooseValue {
    raw(value).map_or(LooseValue::Deleted, LooseValue::from)
}

fn raw(value: &RefValue) -> Option<RawRef> {
    let id = |id: &ObjectId| if id.is_null() { RawRef::Broken } else { RawRef::Id(*id) };
    Some(match value {
        RefValue::Deleted => return None,
        RefValue::Id(found) => id(found),
        RefValue::Tag(both) => id(&both.0),
        RefValue::Symbolic(target) if name::is_valid_onelevel(target) => {
            RawRef::Symbolic(target.to_vec())
        }
        RefValue::Symbolic(_) => RawRef::Broken,
    })
}
