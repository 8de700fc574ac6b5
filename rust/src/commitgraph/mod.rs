//! Commit-graph files: parents, tree and times of commits without inflating one.
//!
//! In: the `info` folders of a repository and its alternates. Out: [`GraphCommit`]s by name. What
//! a file says of a commit is what the commit itself says; a file knows not all commits, and
//! knows some that are gone. Whether an object is there is for the caller to find out, and so
//! are replaced and shallow commits: files are written of what commits say.
//!
//! A file is believed when it is as it was written: its checksum, the bounds of its chunks, its
//! fan-out, and that it stands on the files below it. What fails is not used, and says why.
//!
//! Git's document: `gitformat-commit-graph`.

mod layer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::hash::{HashKind, ObjectId};
use crate::pack::{FileIdentity, is_gone};
use crate::source::SourceError;
use layer::{Layer, Parent, Record};

/// In changed-path filters, how often a path is hashed, and bits for each path: what all gits write,
/// and must find again.
pub(crate) const HASHES: u32 = 7;
pub(crate) const BITS_PER_PATH: u32 = 10;

/// Files in a chain, at most: git keeps it logarithmic, and merges long ones.
const MAX_LAYERS: usize = 256;
/// The list of a chain is not longer than that.
const MAX_LIST: u64 = 64 * 1024;

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphCommit {
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, in order.
    pub parents: Vec<ObjectId>,
    /// Committer time.
    pub time: u64,
    /// Corrected commit date (generation number version 2), where the file has it.
    pub corrected: Option<u64>,
}

/// The commit-graphs of some object folders.
#[derive(Debug, Default)]
pub struct CommitGraphs {
    graphs: Vec<Chain>,
}

/// The files of one folder's commit-graph, the lowest first.
#[derive(Debug)]
struct Chain {
    layers: Vec<Arc<Layer>>,
    /// Each corrected date is later than those of the parents. git writes others where clocks
    /// are off by more than 32 bits.
    dates_hold: bool,
}

impl CommitGraphs {
    /// Those that are there now; what is wrong with others goes to `warnings`.
    pub fn open(folders: &[PathBuf], hash: HashKind, warnings: &mut Vec<String>) -> Self {
        let mut graphs = Vec::new();
        for folder in folders {
            match open_folder(folder, folders, hash) {
                Ok(layers) if layers.is_empty() => {}
                Ok(layers) => graphs.push(Chain::of(layers)),
                // replaced under us by a later one, or removed: commits can be read
                Err(error) if is_gone(&error) => {}
                Err(error) => warnings.push(format!("{error}; commit-graph ignored")),
            }
        }
        Self { graphs }
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.graphs.is_empty()
    }

    /// How many commits the files of the first folder have.
    pub fn len(&self) -> usize {
        let end = self.graphs.first().and_then(|chain| chain.layers.last()?.end());
        end.unwrap_or(0) as usize
    }

    /// What a commit says; `None` when no file knows it, or one says nonsense of it.
    pub fn find(&self, id: &ObjectId) -> Option<GraphCommit> {
        self.graphs.iter().find_map(|chain| chain.find(id))
    }

    /// The version of the changed-path filters of the first folder, where all its files have them.
    pub fn filter_version(&self) -> Option<u32> {
        let layers = &self.graphs.first()?.layers;
        let version = layers.first()?.filter_version()?;
        layers.iter().all(|layer| layer.filter_version() == Some(version)).then_some(version)
    }

    /// The changed-path filter of a commit in the first folder; `None` where none was made.
    pub fn filter(&self, id: &ObjectId) -> Option<Vec<u8>> {
        let layers = &self.graphs.first()?.layers;
        let find = |layer: &Arc<Layer>| Some(layer.filter(layer.position(id)?)?.to_vec());
        let filter = layers.iter().rev().find_map(find).filter(|filter| !filter.is_empty());
        filter.filter(|_| !layers.iter().any(|layer| layer.is_faulted()))
    }
}

impl Chain {
    fn of(layers: Vec<Arc<Layer>>) -> Self {
        let chain = Self { layers, dates_hold: true };
        let dates_hold = chain.layers.iter().all(|layer| layer.has_dates())
            && chain
                .layers
                .iter()
                .all(|layer| layer.records().all(|record| chain.is_later(&record)));
        Self { dates_hold, ..chain }
    }

    /// The file that has this position of the chain, and where.
    fn place(&self, position: u32) -> Option<(&Layer, u32)> {
        let at = self.layers.partition_point(|layer| layer.first <= position).checked_sub(1)?;
        let layer = &self.layers[at];
        Some((layer, position - layer.first))
    }

    fn is_later(&self, record: &Record<'_>) -> bool {
        let Some(date) = record.corrected else { return false };
        record.parents().iter().all(|parent| match parent {
            Parent::At(position) => self
                .place(*position)
                .and_then(|(layer, at)| layer.record(at)?.corrected)
                .is_some_and(|below| below < date),
            Parent::Lost => false,
        })
    }

    fn find(&self, id: &ObjectId) -> Option<GraphCommit> {
        let (layer, position) =
            self.layers.iter().rev().find_map(|layer| Some((layer, layer.position(id)?)))?;
        let record = layer.record(position)?;
        let mut parents = Vec::new();
        for parent in record.parents() {
            let Parent::At(position) = parent else { return None };
            let (layer, at) = self.place(position)?;
            parents.push(layer.id(at)?);
        }
        let corrected = record.corrected.filter(|_| self.dates_hold);
        if self.layers.iter().any(|layer| layer.is_faulted()) {
            return None;
        }
        Some(GraphCommit { tree: record.tree, parents, time: record.time, corrected })
    }
}

/// The layers of one folder's commit-graph, the lowest first; none if it has none.
fn open_folder(
    folder: &Path,
    folders: &[PathBuf],
    hash: HashKind,
) -> Result<Vec<Arc<Layer>>, SourceError> {
    let info = folder.join("info");
    match open_layer(&info.join("commit-graph"), hash, 0, &[]) {
        Ok(layer) => return Ok(vec![layer]),
        Err(error) if is_gone(&error) => {}
        Err(error) => return Err(error),
    }
    let path = info.join("commit-graphs/commit-graph-chain");
    let names = match read_list(&path, hash) {
        Ok(names) => names,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut layers: Vec<Arc<Layer>> = Vec::with_capacity(names.len());
    for (nth, name) in names.iter().enumerate() {
        let first = match layers.last() {
            None => 0,
            Some(below) => below.end().ok_or_else(|| corrupt(&path, "too many commits"))?,
        };
        // those that a folder has in common with its alternate are in the alternate
        let file = format!("info/commit-graphs/graph-{name}.graph");
        let mut places = std::iter::once(folder).chain(folders.iter().map(PathBuf::as_path));
        let found = places.find_map(|folder| {
            match open_layer(&folder.join(&file), hash, first, &names[..nth]) {
                Err(error) if is_gone(&error) => None,
                outcome => Some(outcome),
            }
        });
        let missing = || corrupt(&path, "names a file that is not there");
        let layer = found.ok_or_else(missing)??;
        if layer.checksum() != name.as_bytes() {
            return Err(corrupt(&path, "names a file by what is not its checksum"));
        }
        layers.push(layer);
    }
    Ok(layers)
}

fn read_list(path: &Path, hash: HashKind) -> Result<Vec<ObjectId>, SourceError> {
    use std::io::Read as _;
    let io = |error| SourceError::Io { file: path.display().to_string(), error };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(io)?;
    file.take(MAX_LIST).read_to_end(&mut text).map_err(io)?;
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let names: Option<Vec<ObjectId>> =
        lines.map(|line| ObjectId::from_hex(line).filter(|id| id.kind() == hash)).collect();
    names
        .filter(|names| names.len() <= MAX_LAYERS)
        .ok_or_else(|| corrupt(path, "not a list of commit-graph files"))
}

/// Opens and checks a file, or finds it open: reading a checksum takes milliseconds.
fn open_layer(
    path: &Path,
    hash: HashKind,
    first: u32,
    below: &[ObjectId],
) -> Result<Arc<Layer>, SourceError> {
    type Open = Mutex<HashMap<(PathBuf, FileIdentity, u32), Weak<Layer>>>;
    static OPEN: OnceLock<Open> = OnceLock::new();
    let io = |error| SourceError::Io { file: path.display().to_string(), error };
    let metadata = std::fs::metadata(path).map_err(io)?;
    let key = (path.to_owned(), FileIdentity::of(&metadata), first);
    let open = OPEN.get_or_init(Open::default);
    // whoever panicked left a whole value
    let lock = || open.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().get(&key).and_then(Weak::upgrade)
        && known.stands_on(below)
    {
        return Ok(known);
    }
    let layer = Arc::new(Layer::open(path, hash, first, below)?);
    let mut open = lock();
    open.retain(|_, known| known.strong_count() > 0);
    open.insert(key, Arc::downgrade(&layer));
    Ok(layer)
}

fn corrupt(path: &Path, what: &str) -> SourceError {
    SourceError::Corrupt { file: path.display().to_string(), what: what.to_owned() }
}
