//! A repository of the real git to take packs from, packs made by hand, and a source in memory.

mod closed;
mod hostile;
mod real;
mod thin;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::{IngestError, Quarantine, ReceiveLimits};
use crate::hash::{HashKind, Hasher, IdMap, ObjectId};
use crate::object::{ObjectKind, object_id};
use crate::pack::entry::{EntryHeader, EntryKind};
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, PackedAt, SourceError};
use crate::watch::Watch;
use crate::zlib::Deflater;

/// Objects in memory. `id` need not be the hash of the content: for tests of collisions.
pub(super) struct Memory {
    hash: HashKind,
    objects: Vec<(ObjectId, ObjectKind, Vec<u8>)>,
    numbers: IdMap<ObjectNumber>,
}

impl Memory {
    pub(super) fn new(hash: HashKind) -> Self {
        Self { hash, objects: Vec::new(), numbers: IdMap::default() }
    }

    fn add(&mut self, kind: ObjectKind, content: &[u8]) -> ObjectId {
        let id = object_id(self.hash, kind, content);
        self.add_as(id, kind, content);
        id
    }

    fn add_as(&mut self, id: ObjectId, kind: ObjectKind, content: &[u8]) {
        self.numbers.insert(id, self.objects.len() as u32);
        self.objects.push((id, kind, content.to_vec()));
    }
}

impl ObjectSource for Memory {
    fn hash_kind(&self) -> HashKind {
        self.hash
    }
    fn lookup(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        Ok(self.numbers.get(id).copied())
    }
    fn id(&self, number: ObjectNumber) -> ObjectId {
        self.objects[number as usize].0
    }
    fn number_bound(&self) -> u32 {
        self.objects.len() as u32
    }
    fn packed_at(&self, _: ObjectNumber) -> Option<PackedAt> {
        None
    }
    fn pack(&self, _: u32) -> Option<&Arc<crate::store::Pack>> {
        None
    }
    fn reader(&self) -> Box<dyn ObjectReader + '_> {
        Box::new(MemoryReader(self))
    }
}

struct MemoryReader<'a>(&'a Memory);

impl ObjectReader for MemoryReader<'_> {
    fn header(&mut self, number: ObjectNumber) -> Result<(ObjectKind, u64), SourceError> {
        let (_, kind, content) = &self.0.objects[number as usize];
        Ok((*kind, content.len() as u64))
    }
    fn read(&mut self, number: ObjectNumber) -> Result<(ObjectKind, &[u8]), SourceError> {
        let (_, kind, content) = &self.0.objects[number as usize];
        Ok((*kind, content))
    }
    fn stream(
        &mut self,
        number: ObjectNumber,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), SourceError> {
        let go_on = self.0.objects[number as usize].2.chunks(1000).all(sink);
        if go_on { Ok(()) } else { Err(SourceError::Cancelled) }
    }
}

/// A folder for one test, with an empty object folder in it.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) hash: HashKind,
}

/// What became of a pack: its files, by suffix.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Landed {
    pub(super) count: u32,
    pub(super) pack: Vec<u8>,
    pub(super) idx: Vec<u8>,
    pub(super) rev: Vec<u8>,
    pub(super) path: PathBuf,
}

impl Bench {
    pub(super) fn new(hash: HashKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("objects/pack")).unwrap();
        Self { folder, hash }
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// Takes a pack in, in pieces of a size, and publishes it.
    pub(super) fn take(
        &self,
        pack: &[u8],
        piece: usize,
        base: Memory,
        limits: ReceiveLimits,
    ) -> Result<Landed, IngestError> {
        let mut quarantine = Quarantine::create(&self.objects(), self.hash)?;
        // git has a reverse index of the smallest pack, too
        let mut receiver = quarantine.receive(ReceiveLimits { rev_from: 0, ..limits })?;
        for piece in pack.chunks(piece) {
            if receiver.write(piece)? < piece.len() {
                break;
            }
        }
        let count = receiver.finish(Arc::new(base), 2, &Watch::new())?;
        quarantine.publish()?;
        quarantine.release();
        let packs = self.objects().join("pack");
        let file = |suffix: &str| {
            std::fs::read_dir(&packs)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .find(|path| path.extension().is_some_and(|s| s == suffix))
        };
        let read = |suffix| file(suffix).map_or(Vec::new(), |path| std::fs::read(path).unwrap());
        let path = file("pack").unwrap_or_default();
        Ok(Landed { count, pack: read("pack"), idx: read("idx"), rev: read("rev"), path })
    }

    pub(super) fn take_alone(&self, pack: &[u8]) -> Result<Landed, IngestError> {
        self.take(pack, 1 << 20, Memory::new(self.hash), ReceiveLimits::default())
    }

    /// There is nothing in the object folder but its empty pack folder.
    pub(super) fn assert_untouched(&self) {
        let names: Vec<_> = std::fs::read_dir(self.objects())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["pack"]);
        assert_eq!(std::fs::read_dir(self.objects().join("pack")).unwrap().count(), 0);
    }
}

/// Runs git away from anybody's configuration; its output, `None` when it fails.
pub(super) fn try_git(folder: &Path, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut git = Command::new("git");
    git.current_dir(folder).args(args);
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "A").env(format!("GIT_{role}_EMAIL"), "a@example.org");
        git.env(format!("GIT_{role}_DATE"), "1700000000 +0000");
    }
    git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = git.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        // git may have seen enough before the end
        let _ = std::io::Write::write_all(&mut stdin, &input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output.status.success().then_some(output.stdout)
}

pub(super) fn git(folder: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    try_git(folder, args, input).unwrap_or_else(|| panic!("git {args:?} failed"))
}

/// A repository of some commits with a growing file, a tag, and files of various sizes.
pub(super) fn make_history(folder: &Path, hash: HashKind, commits: usize) -> PathBuf {
    let repo = folder.join("repo");
    let format = format!("--object-format={}", hash.name());
    git(folder, &["init", "-q", &format, "repo"], b"");
    let mut text = String::new();
    for n in 0..commits {
        for line in 0..40 {
            text.push_str(&format!("commit {n}, line {line}: {}\n", n * 31 + line * line));
        }
        std::fs::write(repo.join("growing"), &text).unwrap();
        std::fs::write(repo.join(format!("file{n}")), vec![n as u8; n * 10]).unwrap();
        git(&repo, &["add", "-A"], b"");
        git(&repo, &["commit", "-q", "-m", &format!("commit {n}")], b"");
    }
    git(&repo, &["tag", "-a", "-m", "a tag", "v1"], b"");
    repo
}

/// The whole history as one pack.
pub(super) fn whole_pack(repo: &Path, options: &[&str]) -> Vec<u8> {
    let mut args = vec!["pack-objects", "--revs", "--all", "--stdout", "-q"];
    args.extend(options);
    git(repo, &args, b"")
}

/// A pack made by hand, that need not be right.
pub(crate) struct Craft {
    hash: HashKind,
    bytes: Vec<u8>,
    count: u32,
}

impl Craft {
    pub(crate) fn new(hash: HashKind) -> Self {
        Self { hash, bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(), count: 0 }
    }

    /// Adds an entry; returns its offset.
    pub(crate) fn entry(&mut self, kind: EntryKind, content: &[u8]) -> u64 {
        self.entry_claiming(kind, content.len() as u64, content)
    }

    pub(super) fn entry_claiming(&mut self, kind: EntryKind, size: u64, content: &[u8]) -> u64 {
        let offset = self.bytes.len() as u64;
        EntryHeader::write(&kind, size, &mut self.bytes);
        Deflater::new(6).deflate_all(content, &mut self.bytes);
        self.count += 1;
        offset
    }

    pub(crate) fn blob(&mut self, content: &[u8]) -> u64 {
        self.entry(EntryKind::Whole(ObjectKind::Blob), content)
    }

    /// A delta against the entry at `base`.
    pub(crate) fn delta(&mut self, base: u64, delta: &[u8]) -> u64 {
        let distance = self.bytes.len() as u64 - base;
        self.entry(EntryKind::OfsDelta(distance), delta)
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.count += 1;
    }

    pub(crate) fn done(mut self) -> Vec<u8> {
        self.bytes[8..12].copy_from_slice(&self.count.to_be_bytes());
        seal(&mut self.bytes, self.hash);
        self.bytes
    }
}

/// Appends the right trailer.
pub(super) fn seal(bytes: &mut Vec<u8>, hash: HashKind) {
    let mut hasher = Hasher::new(hash);
    hasher.update(bytes);
    bytes.extend_from_slice(hasher.finish().as_bytes());
}

/// A delta that copies all of a base of `size` bytes and appends `tail`. Sizes below 64 KiB.
pub(super) fn appending(size: usize, tail: &[u8]) -> Vec<u8> {
    let mut delta = Vec::new();
    for mut value in [size, size + tail.len()] {
        while value >= 0x80 {
            delta.push(value as u8 | 0x80);
            value >>= 7;
        }
        delta.push(value as u8);
    }
    if size > 0 {
        delta.extend([0xb0, size as u8, (size >> 8) as u8]);
    }
    for piece in tail.chunks(127) {
        delta.push(piece.len() as u8);
        delta.extend_from_slice(piece);
    }
    delta
}
