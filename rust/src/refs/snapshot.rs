//! All refs of one moment: loose over packed, symbolic ones resolved.
//!
//! Nothing is merged into a third table. Rows of both tables are walked side by side, and where
//! both have a name, the loose one counts. So one changed loose ref makes a new snapshot without
//! touching what is packed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::head::Head;
use super::hide::HidePatterns;
use super::memo::Memo;
use super::overlay::{LooseValue, Overlay};
use super::packed::{PackedRefs, Peeled};
use super::peel::{PeelCache, Peeler};
use super::{RefError, read::RawRef};
use crate::hash::{HashKind, IdSet, ObjectId};
use crate::source::ObjectSource;

/// How many refs are read before one is reached that is no symbolic ref, as in git.
pub(super) const MAX_SYMBOLIC_DEPTH: usize = 5;

/// So many different sets of hidden refs are remembered: upload, receive and some to spare.
const MAX_VIEWS: usize = 8;

/// All refs of one moment, or those that are not hidden. A clone shares everything.
#[derive(Debug, Clone)]
pub struct RefSnapshot {
    pub(super) core: Arc<Core>,
    pub(super) view: Arc<View>,
}

/// What every view of one moment shares.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) kind: HashKind,
    pub(super) head: Head,
    pub(super) packed: Arc<PackedRefs>,
    loose: Arc<Overlay>,
    /// Symbolic refs among the loose ones, by row; those that lead nowhere are not here.
    symbolic: BTreeMap<usize, (Box<[u8]>, ObjectId)>,
    warnings: Vec<String>,
    pub(super) peels: Arc<PeelCache>,
    views: Mutex<Vec<Arc<View>>>,
}

/// What belongs to one set of hidden refs.
#[derive(Debug, Default)]
pub(super) struct View {
    hides: Vec<HidePatterns>,
    pub(super) memo: Memo,
    tips: OnceLock<IdSet>,
    len: OnceLock<usize>,
}

impl View {
    pub(super) fn shows(&self, name: &[u8]) -> bool {
        !self.hides.iter().any(|patterns| patterns.hide(name, name))
    }
}

/// One ref of a walk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) name: &'a [u8],
    pub(super) id: RowId<'a>,
    pub(super) peeled: Peeled<'a>,
    pub(super) symbolic: Option<&'a [u8]>,
}

/// An id in the form in which its table has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowId<'a> {
    Hex(&'a [u8]),
    Id(&'a ObjectId),
}

impl RowId<'_> {
    pub(super) fn write_hex(&self, out: &mut Vec<u8>) {
        match self {
            RowId::Hex(hex) => out.extend_from_slice(hex),
            RowId::Id(id) => id.write_hex(out),
        }
    }

    pub(super) fn id(&self) -> ObjectId {
        match self {
            RowId::Hex(hex) => {
                ObjectId::from_hex(hex).expect("digits because only checked lines are in the table")
            }
            RowId::Id(id) => **id,
        }
    }
}

impl RefSnapshot {
    /// Of what was read: HEAD, the loose and the packed refs, and what was passed over.
    pub(super) fn new(
        kind: HashKind,
        head: Option<RawRef>,
        packed: Arc<PackedRefs>,
        loose: Arc<Overlay>,
        peels: Arc<PeelCache>,
        warnings: Vec<String>,
    ) -> Self {
        let mut core = Core {
            kind,
            head: Head::Missing,
            warnings,
            packed,
            loose,
            symbolic: BTreeMap::new(),
            peels,
            views: Mutex::default(),
        };
        core.resolve_symbolic();
        core.resolve_head(head);
        Self { core: Arc::new(core), view: Arc::default() }
    }

    /// The object format.
    pub fn hash_kind(&self) -> HashKind {
        self.core.kind
    }

    /// How many refs there are, HEAD not counted.
    pub fn len(&self) -> usize {
        *self.view.len.get_or_init(|| self.rows(b"").count())
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.rows(b"").next().is_none()
    }

    /// What HEAD is, hidden or not.
    pub fn head(&self) -> &Head {
        &self.core.head
    }

    /// What could not be read as a ref, for the log. Names files.
    pub fn warnings(&self) -> &[String] {
        &self.core.warnings
    }

    /// The id that a full name leads to, through symbolic refs; `None` when it leads nowhere.
    pub fn get(&self, name: &[u8]) -> Option<ObjectId> {
        if !self.view.shows(name) {
            return None;
        }
        if name == b"HEAD" {
            self.core.head.id()
        } else {
            self.core.row(name).map(|row| row.id.id())
        }
    }

    /// The last name that a symbolic ref leads to, else `None`. An unborn HEAD has one.
    pub fn symbolic(&self, name: &[u8]) -> Option<&[u8]> {
        if !self.view.shows(name) {
            return None;
        }
        if name == b"HEAD" { self.core.head.target() } else { self.core.row(name)?.symbolic }
    }

    /// Names and ids in order of names, of those that begin with `prefix`; HEAD is not among them.
    pub fn items(&self, prefix: &[u8]) -> impl Iterator<Item = (&[u8], ObjectId)> {
        self.rows(prefix).map(|row| (row.name, row.id.id()))
    }

    /// The id behind the tag that a ref names; `None` when it names no tag.
    pub fn peeled(
        &self,
        name: &[u8],
        objects: &dyn ObjectSource,
    ) -> Result<Option<ObjectId>, RefError> {
        let mut peeler = Peeler::new(&self.core.peels, objects);
        if !self.view.shows(name) {
            return Ok(None);
        }
        if name == b"HEAD" {
            let head = self.core.head.id();
            return Ok(head.map(|id| peeler.peel(&id)).transpose()?.flatten());
        }
        match self.core.row(name) {
            None => Ok(None),
            Some(row) => Ok(match row.peeled {
                Peeled::To(hex) => ObjectId::from_hex(hex),
                Peeled::NoTag => None,
                Peeled::Unknown => peeler.peel(&row.id.id())?,
            }),
        }
    }

    /// Tags and what is behind them, in order of names: what `include-tag` needs.
    pub fn peeled_tags(
        &self,
        objects: &dyn ObjectSource,
    ) -> Result<Vec<(ObjectId, ObjectId)>, RefError> {
        let mut peeler = Peeler::new(&self.core.peels, objects);
        let mut tags = Vec::new();
        for row in self.rows(b"refs/tags/") {
            let peeled = match row.peeled {
                Peeled::To(hex) => ObjectId::from_hex(hex),
                Peeled::NoTag => None,
                Peeled::Unknown => peeler.peel(&row.id.id())?,
            };
            tags.extend(peeled.map(|peeled| (row.id.id(), peeled)));
        }
        Ok(tags)
    }

    /// A view without the refs that `transfer.hideRefs` values match, in the order of the
    /// configuration. What this view hides stays hidden.
    pub fn hidden(&self, patterns: &[&[u8]]) -> Self {
        let core = Arc::clone(&self.core);
        if patterns.is_empty() {
            return Self { core, view: Arc::clone(&self.view) };
        }
        let mut hides = self.view.hides.clone();
        hides.push(HidePatterns::new(patterns));
        let mut views = core.views.lock().unwrap_or_else(PoisonError::into_inner);
        let known = views.iter().position(|view| view.hides == hides);
        let view = match known {
            Some(at) => views.remove(at),
            None => Arc::new(View { hides, ..View::default() }),
        };
        if views.len() >= MAX_VIEWS {
            views.remove(0);
        }
        views.push(Arc::clone(&view));
        drop(views);
        Self { core, view }
    }

    /// Is this the value of a ref that is not hidden, or of HEAD?
    ///
    /// As git's advertisement, it does not ask whether the object exists.
    pub fn has_tip(&self, id: &ObjectId) -> bool {
        self.has_tip_of_ref(id) || self.get(b"HEAD") == Some(*id)
    }

    /// Is this the value of a ref below `refs/` that is not hidden?
    pub(super) fn has_tip_of_ref(&self, id: &ObjectId) -> bool {
        let tips = self.view.tips.get_or_init(|| {
            let mut tips = IdSet::with_capacity_and_hasher(self.len(), Default::default());
            tips.extend(self.rows(b"").map(|row| row.id.id()));
            tips
        });
        tips.contains(id)
    }

    /// The refs whose names begin with `prefix`, in order of names, without hidden ones.
    pub(super) fn rows<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let hides = !self.view.hides.is_empty();
        self.core.rows(prefix).filter(move |row| !hides || self.view.shows(row.name))
    }
}

impl Core {
    fn rows(&self, prefix: &[u8]) -> Rows<'_> {
        Rows { core: self, packed: self.packed.range(prefix), loose: self.loose.range(prefix) }
    }

    fn row(&self, name: &[u8]) -> Option<Row<'_>> {
        match self.loose.find(name) {
            Some(row) => self.loose_row(row),
            None => self.packed.find(name).map(|row| self.packed_row(row)),
        }
    }

    fn packed_row(&self, row: usize) -> Row<'_> {
        Row {
            name: self.packed.name(row),
            id: RowId::Hex(self.packed.hex(row)),
            peeled: self.packed.peeled(row),
            symbolic: None,
        }
    }

    /// `None` for a broken ref and for one that leads nowhere.
    fn loose_row(&self, row: usize) -> Option<Row<'_>> {
        let name = self.loose.name(row);
        let (id, symbolic) = match self.loose.value(row) {
            LooseValue::Id(id) => (id, None),
            LooseValue::Symbolic(_) => {
                let (target, id) = self.symbolic.get(&row)?;
                (id, Some(&target[..]))
            }
            LooseValue::Broken | LooseValue::Deleted => return None,
        };
        Some(Row { name, id: RowId::Id(id), peeled: Peeled::Unknown, symbolic })
    }

    fn resolve_symbolic(&mut self) {
        for row in 0..self.loose.len() {
            match self.loose.value(row) {
                LooseValue::Id(_) | LooseValue::Deleted => {}
                LooseValue::Broken => self.warn_of(self.loose.name(row).to_vec()),
                LooseValue::Symbolic(target) => {
                    if let Some((target, Some(id))) = self.resolve(target, 1) {
                        self.symbolic.insert(row, (target.into(), id));
                    }
                }
            }
        }
    }

    fn resolve_head(&mut self, head: Option<RawRef>) {
        self.head = match head {
            None => Head::Missing,
            Some(RawRef::Id(id)) => Head::Detached(id),
            Some(RawRef::Symbolic(target)) => match self.resolve(&target, 1) {
                Some((target, id)) => Head::Symbolic { target: target.to_vec(), id },
                None => Head::Missing,
            },
            Some(RawRef::Broken) => {
                self.warn_of(b"HEAD".to_vec());
                Head::Missing
            }
        };
    }

    /// The last name that `name` leads to and what it holds; `None` when the chain is too long
    /// or ends in something broken. `depth` refs have been read to get here.
    fn resolve<'a>(
        &'a self,
        name: &'a [u8],
        mut depth: usize,
    ) -> Option<(&'a [u8], Option<ObjectId>)> {
        let mut name = name;
        while depth < MAX_SYMBOLIC_DEPTH {
            depth += 1;
            match self.loose.find(name).map(|row| self.loose.value(row)) {
                Some(LooseValue::Id(id)) => return Some((name, Some(*id))),
                Some(LooseValue::Symbolic(target)) => name = target,
                Some(LooseValue::Broken) => return None,
                Some(LooseValue::Deleted) => return Some((name, None)),
                None => {
                    let id = self.packed.find(name).map(|row| self.packed.id(row));
                    return Some((name, id));
                }
            }
        }
        None
    }

    fn warn_of(&mut self, name: Vec<u8>) {
        self.warnings.push(format!("ignoring broken ref {}", name.escape_ascii()));
    }
}

/// Walks both tables side by side.
struct Rows<'a> {
    core: &'a Core,
    packed: Range<usize>,
    loose: Range<usize>,
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let core = self.core;
        loop {
            if self.loose.is_empty() {
                return self.packed.next().map(|row| core.packed_row(row));
            }
            let loose_name = core.loose.name(self.loose.start);
            if !self.packed.is_empty() {
                let packed_row = self.packed.start;
                match core.packed.name(packed_row).cmp(loose_name) {
                    std::cmp::Ordering::Less => {
                        self.packed.start += 1;
                        return Some(core.packed_row(packed_row));
                    }
                    std::cmp::Ordering::Equal => self.packed.start += 1,
                    std::cmp::Ordering::Greater => {}
                }
            }
            let row = core.loose_row(self.loose.start);
            self.loose.start += 1;
            if row.is_some() {
                return row;
            }
        }
    }
}
