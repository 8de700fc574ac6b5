//! Repositories made by real git, for the tests of every module.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::{Snapshot, Store};
use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;

/// A repository in a folder that goes when it does.
pub(crate) struct TestRepo {
    root: tempfile::TempDir,
    pub(crate) hash: HashKind,
}

impl TestRepo {
    /// An empty bare repository.
    pub(crate) fn new(hash: HashKind) -> Self {
        let root = tempfile::tempdir().unwrap();
        let repo = Self { root, hash };
        let format = format!("--object-format={}", hash.name());
        repo.git(&["init", "-q", "--bare", "--initial-branch=main", &format, "."]);
        repo
    }

    /// With a history of this many commits on `main`: changing files in folders, an annotated
    /// tag every tenth, all loose.
    pub(crate) fn with_history(hash: HashKind, commits: u32) -> Self {
        let repo = Self::new(hash);
        repo.add_history(0, commits);
        repo
    }

    /// Adds commits to `main`.
    pub(crate) fn add_history(&self, from: u32, commits: u32) {
        let mut stream = String::new();
        for nth in from..from + commits {
            let text: String = (0..40 + nth % 7)
                .map(|line| format!("line {line} of {}\n", if line == nth % 40 { nth } else { 0 }))
                .collect();
            stream += "commit refs/heads/main\n";
            stream += &format!("committer C <c@example.com> {} +0000\n", 1_700_000_000 + nth * 60);
            stream += &format!(
                "data 7\ncommit\n{}",
                if nth == from && from > 0 { "from refs/heads/main^0\n" } else { "" }
            );
            for path in [format!("dir{}/file{}", nth % 3, nth % 11), "top".to_owned()] {
                let content = format!("{path}\n{text}");
                stream += &format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len());
            }
            if nth % 10 == 9 {
                stream += &format!(
                    "tag v{nth}\nfrom refs/heads/main\ntagger T <t@example.com> 1700000000 +0000\n\
                     data 4\ntag\n"
                );
            }
        }
        let unpack = ["-c", "fastimport.unpackLimit=1000000", "fast-import", "--quiet"];
        self.git_with(&unpack, stream.as_bytes());
    }

    /// The repository's folder, which is bare.
    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn objects_dir(&self) -> PathBuf {
        self.path().join("objects")
    }

    /// Runs git here; its output without the last line end.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let out = self.git_with(arguments, b"");
        String::from_utf8(out).unwrap().trim_end().to_owned()
    }

    /// Runs git with this input; its output as it is.
    pub(crate) fn git_with(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let out = std::thread::scope(|scope| {
            scope.spawn(move || std::io::Write::write_all(&mut stdin, input));
            child.wait_with_output().unwrap()
        });
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "git {arguments:?}: {error}");
        out.stdout
    }

    /// A git command here, free of the user's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(self.path())
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // these repositories need not outlive a power failure
            .env("GIT_CONFIG_COUNT", "2")
            .env("GIT_CONFIG_KEY_0", "core.fsync")
            .env("GIT_CONFIG_VALUE_0", "none")
            // which deltas git finds is to depend on no scheduler, nor on how many processors
            .env("GIT_CONFIG_KEY_1", "pack.threads")
            .env("GIT_CONFIG_VALUE_1", "1")
            .env("GIT_AUTHOR_NAME", "A")
            .env("GIT_AUTHOR_EMAIL", "a@example.com")
            .env("GIT_COMMITTER_NAME", "C")
            .env("GIT_COMMITTER_EMAIL", "c@example.com");
        command
    }

    pub(crate) fn store(&self) -> Arc<Store> {
        Store::open(&self.objects_dir(), self.hash, &[]).unwrap()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.store().snapshot().unwrap()
    }

    /// Resolves a revision with git.
    pub(crate) fn id(&self, revision: &str) -> ObjectId {
        let arguments = ["rev-parse", "--verify", "--end-of-options", revision];
        ObjectId::from_hex(self.git(&arguments).as_bytes()).unwrap()
    }

    /// Every object, as git tells: name, kind, content.
    pub(crate) fn all_objects(&self) -> Vec<(ObjectId, ObjectKind, Vec<u8>)> {
        let out = self.git_with(&["cat-file", "--batch", "--batch-all-objects"], b"");
        let mut rest = &out[..];
        let mut objects = Vec::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|&b| b == b'\n').unwrap();
            let words: Vec<&[u8]> = rest[..end].split(|&b| b == b' ').collect();
            let size: usize = std::str::from_utf8(words[2]).unwrap().parse().unwrap();
            let content = rest[end + 1..end + 1 + size].to_vec();
            let id = ObjectId::from_hex(words[0]).unwrap();
            objects.push((id, ObjectKind::from_name(words[1]).unwrap(), content));
            rest = &rest[end + 1 + size + 1..];
        }
        objects
    }
}
