//! What the tests of this backend share: repositories in which git keeps refs in tables.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::hash::{HashKind, ObjectId};
use crate::refs::RefStore;
use crate::refs::testing::{git_at, run_args};

/// The first git that can keep refs in tables; older ones cannot judge.
pub(in crate::refs) fn judge() -> PathBuf {
    crate::refs::testing::all_gits()
        .into_iter()
        .find(|git| {
            let help = std::process::Command::new(git).args(["init", "-h"]).output();
            help.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("--ref-format"))
        })
        .expect("a git of 2.45 or newer is on PATH")
}

/// A bare repository with three commits and an annotated tag that no ref points at.
pub(in crate::refs) struct Tables {
    pub(in crate::refs) dir: tempfile::TempDir,
    pub(in crate::refs) git: PathBuf,
    pub(in crate::refs) kind: HashKind,
    pub(in crate::refs) store: RefStore,
    pub(in crate::refs) commits: Vec<ObjectId>,
    pub(in crate::refs) tag: ObjectId,
}

impl Tables {
    pub(in crate::refs) fn new(kind: HashKind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let git = judge();
        let format = format!("--object-format={}", kind.name());
        let init = ["init", "-q", "--bare", "-b", "main", "--ref-format=reftable", &format];
        let made = git_at(&git, dir.path()).args(init).status().unwrap();
        assert!(made.success());
        let store = RefStore::open_tables(dir.path(), None, kind);
        let (commits, tag) = (Vec::new(), ObjectId::null(kind));
        let mut tables = Self { dir, git, kind, store, commits, tag };
        let tree = tables.git_in(&["mktree"], "");
        for message in ["one", "two", "three"] {
            let hex = tables.git(&["commit-tree", &tree, "-m", message]);
            tables.commits.push(ObjectId::from_hex(hex.as_bytes()).unwrap());
        }
        let tag = format!(
            "object {}\ntype commit\ntag v1\ntagger A <a@b> 1700000000 +0000\n\nv1\n",
            tables.commits[0]
        );
        let hex = tables.git_in(&["mktag"], &tag);
        tables.tag = ObjectId::from_hex(hex.as_bytes()).unwrap();
        tables
    }

    pub(in crate::refs) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs git, which has to succeed.
    pub(in crate::refs) fn git(&self, args: &[&str]) -> String {
        self.git_in(args, "")
    }

    pub(in crate::refs) fn git_in(&self, args: &[&str], input: &str) -> String {
        let mut command = git_at(&self.git, self.path());
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    }

    /// Lines of `git update-ref --stdin`.
    pub(in crate::refs) fn update(&self, lines: &str) {
        self.git_in(&["update-ref", "--stdin"], lines);
    }

    /// Refs `refs/<folder>/<n>` of these numbers, at the first commit.
    pub(in crate::refs) fn many(&self, folder: &str, numbers: std::ops::Range<usize>) {
        let mut lines = String::new();
        for n in numbers {
            writeln!(lines, "create refs/{folder}/{n:05} {}", self.commits[0]).unwrap();
        }
        self.update(&lines);
    }

    /// What git and we see is the same.
    pub(in crate::refs) fn check(&self) {
        let format = "--format=%(objectname) %(refname) %(symref) %(*objectname)";
        let theirs =
            git_at(&self.git, self.path()).args(["for-each-ref", format]).output().unwrap();
        assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
        assert_eq!(self.listed(), String::from_utf8(theirs.stdout).unwrap());
    }

    fn listed(&self) -> String {
        let snapshot = self.store.snapshot().unwrap();
        let objects = crate::refs::testing::GitObjects::new(self.path(), self.kind);
        let mut out = String::new();
        for (name, id) in snapshot.items(b"") {
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
            };
            let peeled = snapshot.peeled(name, &objects).unwrap();
            let peeled = peeled.map_or(String::new(), |id| id.to_hex());
            let symref = text(snapshot.symbolic(name));
            writeln!(out, "{id} {} {symref} {peeled}", text(Some(name))).unwrap();
        }
        out
    }

    /// The tables there are now.
    pub(in crate::refs) fn list(&self) -> Vec<String> {
        let list = std::fs::read_to_string(self.path().join("reftable/tables.list")).unwrap();
        list.lines().map(str::to_owned).collect()
    }

    /// A linked worktree of a repository that is not bare, at `path`.
    pub(in crate::refs) fn worktree(&self, path: &Path) {
        let path = path.to_str().unwrap();
        run_args(
            self.path(),
            &["worktree", "add", "-q", "-f", "--detach", path, &self.commits[1].to_hex()],
        );
    }
}
