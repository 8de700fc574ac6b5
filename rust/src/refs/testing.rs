//! What the tests of this module share: repositories made by real git.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{RefStore, RefUpdate, UpdateOptions};
use crate::hash::{HashKind, IdMap, ObjectId};
use crate::object::ObjectKind;
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, PackedAt, SourceError};

/// `git` in `dir`, free of the machine's configuration.
pub(super) fn git(dir: &Path) -> Command {
    git_at(Path::new("git"), dir)
}

/// A certain git in `dir`.
pub(super) fn git_at(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "A U Thor")
        .env("GIT_AUTHOR_EMAIL", "author@example.com")
        .env("GIT_COMMITTER_NAME", "C O Mitter")
        .env("GIT_COMMITTER_EMAIL", "committer@example.com")
        .env("GIT_AUTHOR_DATE", "1700000000 +0000")
        .env("GIT_COMMITTER_DATE", "1700000000 +0000")
        .env_remove("GIT_DIR")
        .stdin(Stdio::null());
    command
}

/// Every different git on PATH: what one says and another does not is no rule.
pub(super) fn all_gits() -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join("git"))
        .filter(|git| git.is_file())
        .filter(|git| {
            let version = Command::new(git).arg("--version").output().map(|out| out.stdout);
            version.is_ok_and(|version| seen.insert(version))
        })
        .collect()
}

/// Runs `git <words>` in `dir`; its output, which has to be a success.
pub(super) fn run(dir: &Path, words: &str) -> String {
    run_args(dir, &words.split(' ').collect::<Vec<_>>())
}

/// Like [`run`], for arguments with spaces.
pub(super) fn run_args(dir: &Path, args: &[&str]) -> String {
    let out = git(dir).args(args).output().unwrap();
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
}

/// A repository with one commit on `main`; its git directory is `.git`.
pub(super) struct Repo {
    pub(super) dir: tempfile::TempDir,
    pub(super) kind: HashKind,
}

impl Repo {
    pub(super) fn new(kind: HashKind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &format!("init -q -b main --object-format={}", kind.name()));
        let repo = Self { dir, kind };
        repo.git("commit -q --allow-empty -m one");
        repo
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn git_dir(&self) -> PathBuf {
        self.dir.path().join(".git")
    }

    pub(super) fn git(&self, words: &str) -> String {
        run(self.path(), words)
    }

    pub(super) fn id(&self, revision: &str) -> ObjectId {
        ObjectId::from_hex(self.git(&format!("rev-parse {revision}")).as_bytes()).unwrap()
    }

    /// Another commit that no ref points at.
    pub(super) fn commit(&self, message: &str) -> ObjectId {
        let tree = self.git("write-tree");
        let hex = run_args(self.path(), &["commit-tree", &tree, "-m", message]);
        ObjectId::from_hex(hex.as_bytes()).unwrap()
    }

    pub(super) fn write(&self, file: &str, content: &str) {
        let path = self.git_dir().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(super) fn objects(&self) -> GitObjects {
        GitObjects::new(&self.git_dir(), self.kind)
    }
}

/// Who moves refs in tests.
pub(super) const COMMITTER: &[u8] = b"C O Mitter <committer@example.com> 1700000000 +0000";

/// A repository with three commits and their ids.
pub(super) struct Fixture {
    pub(super) repo: Repo,
    pub(super) store: RefStore,
    pub(super) one: ObjectId,
    pub(super) two: ObjectId,
    pub(super) three: ObjectId,
}

impl Fixture {
    pub(super) fn new(kind: HashKind) -> Self {
        let repo = Repo::new(kind);
        let one = repo.id("HEAD");
        let (two, three) = (repo.commit("two"), repo.commit("three"));
        let store = RefStore::open(&repo.git_dir(), None, kind);
        Self { repo, store, one, two, three }
    }

    pub(super) fn null(&self) -> ObjectId {
        ObjectId::null(self.repo.kind)
    }

    pub(super) fn update(
        &self,
        updates: &[RefUpdate<'_>],
        options: &UpdateOptions<'_>,
    ) -> Vec<String> {
        let results = self.store.update(updates, options);
        let shown = results.into_iter().map(|result| match result {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.detail(),
        });
        let shown = shown.collect();
        self.check();
        shown
    }

    /// What git and we see is the same, and nothing is left over.
    pub(super) fn check(&self) {
        let theirs =
            run_args(self.repo.path(), &["for-each-ref", "--format=%(objectname) %(refname)"]);
        let snapshot = self.store.snapshot().unwrap();
        let ours: Vec<String> = snapshot
            .items(b"")
            .map(|(name, id)| format!("{id} {}", String::from_utf8_lossy(name)))
            .collect();
        assert_eq!(ours.join("\n"), theirs);
        let fsck = git(self.repo.path()).args(["fsck", "--no-dangling"]).output().unwrap();
        let said = String::from_utf8_lossy(&fsck.stderr).into_owned();
        assert!(fsck.status.success() && !said.contains("error"), "{said}");
    }

    pub(super) fn locks(&self) -> Vec<String> {
        let out = std::process::Command::new("find")
            .arg(self.repo.git_dir())
            .args(["-name", "*.lock", "-o", "-name", "packed-refs.new"])
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

pub(super) fn set(name: &str, new: ObjectId) -> RefUpdate<'_> {
    RefUpdate { name: name.as_bytes(), old: None, new: Some(new) }
}

pub(super) fn swap(name: &str, old: ObjectId, new: ObjectId) -> RefUpdate<'_> {
    RefUpdate { name: name.as_bytes(), old: Some(old), new: Some(new) }
}

pub(super) fn delete(name: &str) -> RefUpdate<'_> {
    RefUpdate { name: name.as_bytes(), old: None, new: None }
}

pub(super) fn plain() -> UpdateOptions<'static> {
    UpdateOptions::default()
}

pub(super) fn atomic() -> UpdateOptions<'static> {
    UpdateOptions { atomic: true, ..UpdateOptions::default() }
}

/// The objects of a repository as `git cat-file` tells them: a judge, not a store.
pub(super) struct GitObjects {
    kind: HashKind,
    objects: Vec<(ObjectId, ObjectKind, Vec<u8>)>,
    numbers: IdMap<ObjectNumber>,
}

impl GitObjects {
    pub(super) fn new(git_dir: &Path, kind: HashKind) -> Self {
        let format = "--batch-check=%(objectname) %(objecttype)";
        let list = run_args(git_dir, &["cat-file", "--batch-all-objects", format]);
        let mut found = Self { kind, objects: Vec::new(), numbers: IdMap::default() };
        for line in list.lines() {
            let (hex, name) = line.split_once(' ').unwrap();
            let object_kind = ObjectKind::from_name(name.as_bytes()).unwrap();
            let id = ObjectId::from_hex(hex.as_bytes()).unwrap();
            let content = if object_kind == ObjectKind::Tag {
                git(git_dir).args(["cat-file", "tag", hex]).output().unwrap().stdout
            } else {
                Vec::new()
            };
            found.numbers.insert(id, found.objects.len() as u32);
            found.objects.push((id, object_kind, content));
        }
        found
    }
}

impl ObjectSource for GitObjects {
    fn hash_kind(&self) -> HashKind {
        self.kind
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
    fn pack(&self, _: u32) -> Option<&std::sync::Arc<crate::store::Pack>> {
        None
    }
    fn reader(&self) -> Box<dyn ObjectReader + '_> {
        Box::new(Reader(self))
    }
}

struct Reader<'a>(&'a GitObjects);

impl ObjectReader for Reader<'_> {
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
        sink(&self.0.objects[number as usize].2);
        Ok(())
    }
}
