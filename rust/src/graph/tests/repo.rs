//! Repositories made by real git, and what it says of them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::memory::MemorySource;
use crate::hash::{HashKind, ObjectId};
use crate::pack::PackIndex;

/// A bare repository in a temporary folder.
pub(crate) struct TestRepo {
    dir: tempfile::TempDir,
    kind: HashKind,
}

impl TestRepo {
    pub(crate) fn new(kind: HashKind) -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap(), kind };
        let format = format!("--object-format={}", kind.name());
        repo.git(&["init", "-q", "--bare", "-b", "main", &format, "."]);
        repo
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(args)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "A")
            .env("GIT_AUTHOR_EMAIL", "a@example.org")
            .env("GIT_COMMITTER_NAME", "C")
            .env("GIT_COMMITTER_EMAIL", "c@example.org")
            .env("GIT_AUTHOR_DATE", "1700000000 +0000")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .env_remove("GIT_DIR");
        command
    }

    /// Output of a git command that has to succeed.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        String::from_utf8(self.feed(args, b"")).unwrap()
    }

    /// The same with something on standard input, and bytes for an answer.
    pub(crate) fn feed(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let (ok, out, err) = self.talk(args, &[], input);
        assert!(ok, "git {args:?}: {}", String::from_utf8_lossy(&err));
        out
    }

    /// A git command that may fail.
    pub(crate) fn talk(
        &self,
        args: &[&str],
        env: &[(&str, &str)],
        input: &[u8],
    ) -> (bool, Vec<u8>, Vec<u8>) {
        let mut child = self
            .command(args)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        (output.status.success(), output.stdout, output.stderr)
    }

    pub(crate) fn id(&self, name: &str) -> ObjectId {
        ObjectId::from_hex(self.git(&["rev-parse", name]).trim().as_bytes()).unwrap()
    }

    /// The commits of a random history, in the order they were made.
    pub(crate) fn commits(&self) -> Vec<ObjectId> {
        let format = "--format=%(refname:lstrip=2) %(objectname)";
        let listing = self.git(&["for-each-ref", format, "refs/tags/c*"]);
        let mut commits: Vec<(usize, ObjectId)> = listing
            .lines()
            .map(|line| {
                let (name, id) = line.split_once(' ').unwrap();
                (name[1..].parse().unwrap(), ObjectId::from_hex(id.as_bytes()).unwrap())
            })
            .collect();
        commits.sort_unstable();
        commits.into_iter().map(|(_, id)| id).collect()
    }

    /// All objects, in memory.
    pub(crate) fn source(&self) -> MemorySource {
        let all = self.feed(&["cat-file", "--batch-all-objects", "--batch"], b"");
        MemorySource::parse(self.kind, &all)
    }

    /// `git rev-list --objects` with these lines.
    pub(crate) fn rev_list(&self, args: &[&str], lines: &str) -> BTreeSet<ObjectId> {
        let mut all = vec!["rev-list", "--no-object-names", "--objects", "--stdin"];
        all.extend(args);
        ids(&self.feed(&all, lines.as_bytes()))
    }

    /// What `git pack-objects` would send.
    pub(crate) fn packed(&self, args: &[&str], lines: &str) -> BTreeSet<ObjectId> {
        let mut all = vec!["pack-objects", "--revs", "--stdout", "-q"];
        all.extend(args);
        let pack = self.feed(&all, lines.as_bytes());
        self.listing(&pack)
    }

    /// What a pack holds, by the index that git makes of it.
    pub(crate) fn listing(&self, pack: &[u8]) -> BTreeSet<ObjectId> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.pack");
        std::fs::write(&file, pack).unwrap();
        let index = file.with_extension("idx");
        let (file, made) = (file.to_str().unwrap(), index.to_str().unwrap());
        self.git(&["index-pack", "-o", made, file]);
        let index = PackIndex::open(&index, self.kind).unwrap();
        (0..index.count()).map(|position| index.id_at(position)).collect()
    }

    pub(crate) fn kind(&self) -> HashKind {
        self.kind
    }
}

/// The ids at the beginnings of lines.
pub(crate) fn ids(text: &[u8]) -> BTreeSet<ObjectId> {
    text.split(|&b| b == b'\n')
        .filter_map(|line| ObjectId::from_hex(line.split(|&b| b == b' ').next()?))
        .collect()
}

pub(crate) fn hex(ids: &[ObjectId]) -> String {
    ids.iter().map(|id| format!("{id}\n")).collect()
}

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

/// A history of `commits` commits with merges, octopuses, new roots, renames of directories,
/// reverts and lying clocks, by `git fast-import`. Commits are tagged `c0`, `c1`, ...
pub(crate) fn random_history(kind: HashKind, seed: u64, commits: usize) -> TestRepo {
    history(kind, seed, commits, true)
}

/// The same with clocks that tell the truth.
pub(crate) fn orderly_history(kind: HashKind, seed: u64, commits: usize) -> TestRepo {
    history(kind, seed, commits, false)
}

fn history(kind: HashKind, seed: u64, commits: usize, skewed: bool) -> TestRepo {
    let repo = TestRepo::new(kind);
    let mut dice = Dice(seed | 1);
    let mut stream = String::new();
    for n in 0..commits {
        let skew = if dice.roll(10) == 0 { dice.roll(200_000) } else { 0 };
        let late = dice.roll(300);
        let time = 1_600_000_000 + n * 100 + if skewed { late } else { skew };
        let time = time - skew;
        stream += &format!("commit refs/tags/c{n}\nmark :{}\n", n + 1);
        stream += &format!("committer C <c@example.org> {time} +0000\ndata 2\nx\n");
        if n > 0 && dice.roll(40) != 0 {
            // mostly near, sometimes far back
            let near = |dice: &mut Dice| {
                let span = if dice.roll(8) == 0 { n } else { n.min(6) };
                n - dice.roll(span)
            };
            let first = near(&mut dice);
            stream += &format!("from :{first}\n");
            let mut parents = vec![first];
            for _ in 0..[0, 0, 0, 1, 1, 2, 3][dice.roll(7)] {
                let other = near(&mut dice);
                if !parents.contains(&other) {
                    stream += &format!("merge :{other}\n");
                    parents.push(other);
                }
            }
            if dice.roll(12) == 0 {
                stream += &format!("R d{} d{}\n", dice.roll(4), dice.roll(6));
            }
        }
        for _ in 0..1 + dice.roll(3) {
            let path = match dice.roll(4) {
                0 => format!("f{}", dice.roll(6)),
                1 => format!("d{}/f{}", dice.roll(4), dice.roll(6)),
                2 => format!("d{}/e{}/f{}", dice.roll(4), dice.roll(3), dice.roll(4)),
                _ => format!("d{}/e/g/h/f{}", dice.roll(2), dice.roll(3)),
            };
            // few contents, so that old ones come back
            let content = format!("content {}", dice.roll(60));
            stream += &format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len());
        }
        if dice.roll(20) == 0 {
            stream += &format!("M 160000 {} sub{}\n", "1".repeat(kind.hex_len()), dice.roll(3));
        }
        stream += "\n";
    }
    // a rename of what is not there is an error: leave those commands out and try again
    let mut lines: Vec<&str> = stream.split('\n').collect();
    loop {
        let text = lines.join("\n");
        let (ok, _, err) = repo.talk(&["fast-import", "--quiet", "--force"], &[], text.as_bytes());
        if ok {
            return repo;
        }
        let err = String::from_utf8_lossy(&err).into_owned();
        assert!(err.contains("Path ") || err.contains("not in branch"), "{err}");
        lines.retain(|line| !line.starts_with("R d"));
    }
}

/// A history without branches.
pub(crate) fn line(length: usize) -> TestRepo {
    let repo = TestRepo::new(HashKind::Sha1);
    let mut stream = String::new();
    for n in 0..length {
        stream += &format!("commit refs/heads/main\ncommitter C <c@x> {} +0000\n", 1000 + n);
        stream += &format!("data 1\nxM 100644 inline f{}\ndata 2\n{:02}\n", n % 7, n % 90);
    }
    repo.feed(&["fast-import", "--quiet"], stream.as_bytes());
    repo
}
