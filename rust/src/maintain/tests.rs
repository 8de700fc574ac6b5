//! With git as the judge of what is left.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::*;

/// A bare repository.
pub(super) struct Repo {
    dir: tempfile::TempDir,
    hash: HashKind,
}

impl Repo {
    pub(super) fn new() -> Self {
        Self::of(HashKind::Sha1)
    }

    pub(super) fn of(hash: HashKind) -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap(), hash };
        let format = format!("--object-format={}", hash.name());
        repo.git(&["init", "-q", "--bare", "-b", "main", &format, "."]);
        repo
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    pub(super) fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        use std::io::Write as _;
        let mut git = Command::new("git");
        git.current_dir(self.path()).args(arguments);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "A").env(format!("GIT_{who}_EMAIL"), "a@b.example");
        }
        git.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut git = git.stderr(std::process::Stdio::piped()).spawn().unwrap();
        git.stdin.take().unwrap().write_all(input).unwrap();
        let told = git.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success(), "git {arguments:?}: {error}");
        String::from_utf8(told.stdout).unwrap().trim_end().to_owned()
    }

    /// Commits on a branch, each with a file that changes a little and one that is new.
    pub(super) fn commits(&self, branch: &str, first: u32, count: u32) {
        let mut stream = String::new();
        for nth in first..first + count {
            let text: String =
                (0..200).map(|line| format!("{line} {}\n", line * nth / 7)).collect();
            let from = if nth == first { self.from(branch) } else { String::new() };
            stream += &format!(
                "commit refs/heads/{branch}\ncommitter A <a@b.example> {} +0000\n\
                 data 2\nm\n{from}M 644 inline src/changes\ndata {}\n{text}\
                 M 644 inline src/{branch}-{nth}\ndata {}\n{nth}\n",
                1_700_000_000 + u64::from(nth) * 60,
                text.len(),
                nth.to_string().len(),
            );
        }
        self.git_with(
            &["-c", "fastimport.unpackLimit=1", "fast-import", "--quiet"],
            stream.as_bytes(),
        );
    }

    fn from(&self, branch: &str) -> String {
        let there = self.git(&["for-each-ref", &format!("refs/heads/{branch}")]);
        if !there.is_empty() { format!("from refs/heads/{branch}^0\n") } else { String::new() }
    }

    pub(super) fn loose(&self, content: &[u8]) -> String {
        self.git_with(&["hash-object", "-w", "--stdin"], content)
    }

    pub(super) fn objects(&self) -> BTreeSet<String> {
        let all = self.git(&["cat-file", "--batch-check=%(objectname)", "--batch-all-objects"]);
        all.lines().map(str::to_owned).collect()
    }

    pub(super) fn files(&self, suffix: &str) -> Vec<PathBuf> {
        let found = fs::read_dir(self.path().join("objects/pack")).unwrap();
        let mut found: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.to_string_lossy().ends_with(suffix));
        found.sort();
        found
    }

    pub(super) fn age(&self, path: &Path, days: u64) {
        let long_ago = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
        File::open(path).unwrap().set_modified(long_ago).unwrap();
    }

    pub(super) fn age_loose(&self, id: &str, days: u64) {
        self.age(&self.path().join("objects").join(&id[..2]).join(&id[2..]), days);
    }

    pub(super) fn place(&self) -> Place {
        Place {
            common_dir: self.path().to_owned(),
            objects_dir: self.path().join("objects"),
            hash: self.hash,
            refs: Arc::new(match self.path().join("reftable").exists() {
                true => RefStore::open_tables(self.path(), None, self.hash),
                false => RefStore::open(self.path(), None, self.hash),
            }),
            shallow: Shallow::default(),
            sharing: Sharing::Umask,
        }
    }

    pub(super) fn maintain(&self, options: &Options) -> Report {
        maintain(&self.place(), options, &Watch::new()).unwrap()
    }

    /// Everything is sound, and nothing is lying about.
    pub(super) fn check(&self) {
        self.git(&["fsck", "--full", "--strict"]);
        for idx in self.files(".idx") {
            self.git(&["verify-pack", idx.to_str().unwrap()]);
        }
        let left: Vec<_> = fs::read_dir(self.path().join("objects"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("incoming") || name.starts_with("tmp"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(self.files(".keep").is_empty());
        assert!(!self.path().join("gc.pid").exists());
    }
}

pub(super) fn full() -> Options {
    Options { full: true, ..Options::default() }
}

#[test]
fn small_packs_and_loose_objects_become_one_and_the_large_one_stays() {
    let repo = Repo::new();
    repo.commits("main", 1, 100);
    let large = repo.files(".pack");
    for push in 0..12 {
        repo.commits("main", 101 + push, 1);
    }
    repo.git(&["tag", "-a", "-m", "t", "v1", "main"]);
    let loose = repo.loose(b"nobody needs it");
    let before = repo.objects();
    let report = repo.maintain(&Options::default());
    assert_eq!(report.before.packs, 13);
    assert_eq!((report.after.packs, report.after.loose), (2, 0));
    assert_eq!(report.packed, 12 * 5 + 2, "{report:?}");
    assert!(repo.files(".pack").contains(&large[0]));
    assert_eq!(repo.objects(), before);
    assert!(before.contains(&loose));
    repo.check();
    let again = repo.maintain(&Options::default());
    assert_eq!((again.packed, again.after), (0, report.after));
}

#[test]
fn nothing_is_done_below_the_least() {
    let repo = Repo::new();
    for push in 1..4 {
        repo.commits("main", push, 1);
    }
    let least = Least { packs: 4, loose: 10 };
    let options = Options { least, ..Options::default() };
    assert_eq!(repo.maintain(&options).packed, 0);
    repo.commits("main", 4, 1);
    assert_eq!(repo.maintain(&options).after.packs, 1);
    repo.check();
}

#[test]
fn marked_packs_stay() {
    let repo = Repo::new();
    for push in 1..6 {
        repo.commits("main", push, 1);
    }
    let packs = repo.files(".pack");
    let keep = packs[0].with_extension("keep");
    let promisor = packs[1].with_extension("promisor");
    fs::write(&keep, "mine").unwrap();
    fs::write(&promisor, "").unwrap();
    for options in [Options::default(), full()] {
        let before = repo.objects();
        repo.maintain(&options);
        assert_eq!(repo.objects(), before);
        assert!(packs[0].exists() && packs[1].exists());
        assert_eq!(repo.files(".pack").len(), 3);
    }
    fs::remove_file(keep).unwrap();
    fs::remove_file(promisor).unwrap();
    assert_eq!(repo.maintain(&full()).after.packs, 1);
    repo.check();
}

#[test]
fn chains_from_many_packs_stay_short() {
    let repo = Repo::new();
    let mut text: Vec<u8> =
        (0..400).flat_map(|n| format!("line {n} {}\n", n * n).into_bytes()).collect();
    repo.commits("main", 1, 1);
    for nth in 0..30u8 {
        text[usize::from(nth) * 7] = b'#';
        let id = repo.loose(&text);
        // each pack has this text, and the one before as its base or its delta
        text[usize::from(nth) * 7 + 3] = b'!';
        let next = repo.loose(&text);
        repo.git_with(
            &["pack-objects", "-q", "objects/pack/pack"],
            format!("{id} x\n{next} x\n").as_bytes(),
        );
        repo.git(&["prune-packed"]);
    }
    let options = Options { depth: 4, ..Options::default() };
    repo.maintain(&options);
    let idx = repo.files(".idx");
    assert_eq!(idx.len(), 1);
    let shown = repo.git(&["verify-pack", "-v", idx[0].to_str().unwrap()]);
    let depth = |line: &str| line.split_ascii_whitespace().nth(5).and_then(|n| n.parse().ok());
    let depths: Vec<u32> =
        shown.lines().filter(|line| !line.starts_with("chain")).filter_map(depth).collect();
    assert!(!depths.is_empty() && depths.iter().all(|&depth| depth <= 4), "{depths:?}");
    repo.check();
}

#[test]
fn a_full_run_leaves_one_pack_as_small_as_gits() {
    let repo = Repo::new();
    repo.commits("main", 1, 300);
    for push in 0..5 {
        repo.commits("side", 1000 + push, 1);
    }
    let before = repo.objects();
    let report = repo.maintain(&full());
    assert_eq!((report.after.packs, report.after.loose), (1, 0));
    assert_eq!(repo.objects(), before);
    repo.check();
    let ours = fs::metadata(&repo.files(".pack")[0]).unwrap().len();
    repo.git(&["repack", "-adfq", "--window=10", "--depth=50"]);
    let gits = fs::metadata(&repo.files(".pack")[0]).unwrap().len();
    assert!(ours <= gits + gits / 50, "{ours} {gits}");
}

#[test]
fn what_nobody_needs_waits_for_its_time() {
    let repo = Repo::new();
    repo.commits("main", 1, 5);
    repo.commits("gone", 100, 3);
    let old = repo.git(&["rev-parse", "gone"]);
    repo.git(&["branch", "-D", "gone"]);
    let (young, stale) = (repo.loose(b"young"), repo.loose(b"stale"));
    repo.age_loose(&stale, 20);
    let before = repo.objects();
    let report = repo.maintain(&full());
    assert_eq!((report.set_apart, report.pruned), (16, 1));
    assert_eq!(repo.files(".mtimes").len(), 1);
    let mut wanted = before.clone();
    wanted.remove(&stale);
    assert_eq!(repo.objects(), wanted);
    repo.check();
    repo.git(&["cat-file", "commit", &old]);
    // each object has a time of its own
    let again = repo.maintain(&full());
    assert_eq!((again.set_apart, again.pruned), (16, 0));
    assert_eq!(repo.objects(), wanted);
    let grace = Some(Duration::ZERO);
    std::thread::sleep(Duration::from_millis(1100));
    let last = repo.maintain(&Options { grace, ..full() });
    assert_eq!((last.set_apart, last.pruned), (0, 16), "{last:?}");
    assert!(!repo.objects().contains(&young) && !repo.objects().contains(&old));
    assert!(repo.files(".mtimes").is_empty());
    repo.check();
}

#[test]
fn what_the_young_reach_stays_with_them() {
    let repo = Repo::new();
    repo.commits("main", 1, 2);
    let blob = repo.loose(b"content");
    repo.age_loose(&blob, 30);
    let tree = repo.git_with(&["mktree"], format!("100644 blob {blob}\tname\n").as_bytes());
    let before = repo.objects();
    let report = repo.maintain(&full());
    assert_eq!((report.set_apart, report.pruned), (2, 0));
    assert_eq!(repo.objects(), before);
    assert!(before.contains(&tree));
}

#[test]
fn reflogs_and_heads_count() {
    let repo = Repo::new();
    repo.git(&["config", "core.logAllRefUpdates", "always"]);
    repo.commits("main", 1, 3);
    let (head, log, tree) =
        (repo.git(&["rev-parse", "main"]), repo.git(&["rev-parse", "main~1"]), repo.loose(b"x"));
    repo.git(&["update-ref", "refs/heads/other", &log]);
    repo.git(&["update-ref", "refs/heads/other", &repo.git(&["rev-parse", "main~2"])]);
    fs::write(repo.path().join("FETCH_HEAD"), format!("{tree}\t\tbranch\n")).unwrap();
    repo.git(&["update-ref", "--no-deref", "HEAD", &head]);
    repo.git(&["update-ref", "-d", "refs/heads/main"]);
    let before = repo.objects();
    std::thread::sleep(Duration::from_millis(1100));
    let report = repo.maintain(&Options { grace: Some(Duration::ZERO), ..full() });
    assert_eq!((report.pruned, report.set_apart), (0, 0));
    assert_eq!(repo.objects(), before);
}

#[test]
fn a_damaged_loose_object_is_told_of_and_left() {
    let repo = Repo::new();
    repo.commits("main", 1, 2);
    repo.commits("main", 3, 1);
    let (bad, other) = (repo.loose(b"sound once"), repo.loose(b"another"));
    let file = |id: &str| repo.path().join("objects").join(&id[..2]).join(&id[2..]);
    fs::remove_file(file(&bad)).unwrap();
    fs::copy(file(&other), file(&bad)).unwrap();
    let report = repo.maintain(&Options::default());
    assert_eq!((report.after.loose, report.after.packs), (1, 3));
    assert!(report.warnings[0].contains(&bad[2..]), "{:?}", report.warnings);
    assert!(file(&bad).exists() && !file(&other).exists());
}

#[test]
fn stopping_leaves_nothing_behind() {
    let repo = Repo::new();
    for push in 1..6 {
        repo.commits("main", push, 1);
    }
    let before = repo.files("");
    let watch = Watch::new();
    watch.cancel();
    assert!(maintain(&repo.place(), &full(), &watch).is_err());
    assert_eq!(repo.files(""), before);
    repo.git(&["fsck"]);
}

#[test]
fn a_reader_from_before_finds_everything_afterwards() {
    use crate::source::ObjectSource as _;
    let repo = Repo::new();
    for push in 1..8 {
        repo.commits("main", push, 1);
    }
    repo.loose(b"loose");
    let place = repo.place();
    let store = crate::store::Store::open(&place.objects_dir, place.hash, &[]).unwrap();
    let snapshot = store.snapshot().unwrap();
    let all = repo.objects();
    repo.maintain(&Options::default());
    let mut reader = snapshot.reader();
    for id in &all {
        let id = crate::hash::ObjectId::from_hex(id.as_bytes()).unwrap();
        let number = snapshot.lookup(&id).unwrap().unwrap();
        reader.read(number).unwrap();
    }
}

#[test]
fn a_multi_pack_index_of_packs_that_go_goes_too() {
    let repo = Repo::new();
    for push in 1..8 {
        repo.commits("main", push, 1);
    }
    repo.git(&["multi-pack-index", "write"]);
    repo.maintain(&Options::default());
    assert!(repo.files("multi-pack-index").is_empty());
    repo.check();
}

#[test]
fn a_roll_up_becomes_due_and_is_done_in_the_background() {
    let _alone = super::background::ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let repo = Repo::new();
    repo.commits("main", 1, 30);
    let least = Least { packs: 5, loose: 100 };
    let due = || is_due(&repo.path().join("objects"), 2, least);
    for push in 0..4 {
        repo.commits("main", 31 + push, 1);
        assert!(!due());
    }
    repo.commits("main", 40, 1);
    assert!(due());
    let before = repo.objects();
    let place = Arc::new(repo.place());
    for _ in 0..3 {
        maintain_soon(&place, Options { least, ..Options::default() });
    }
    let began = std::time::Instant::now();
    while repo.files(".pack").len() > 2 {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", repo.files(".pack"));
        std::thread::sleep(Duration::from_millis(10));
    }
    while repo.path().join("gc.pid").exists() || !repo.files(".keep").is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!due());
    assert_eq!(repo.objects(), before);
    repo.check();
    // packs that are being removed
    let index = repo.files(".idx").remove(0);
    for nth in 0..9 {
        fs::copy(&index, index.with_file_name(format!("tmp_gone_pack-{nth}.idx"))).unwrap();
    }
    assert!(!due());
    for nth in 0..200 {
        repo.loose(format!("{nth}").as_bytes());
    }
    let few = Least { packs: 5, loose: 20 };
    assert!(is_due(&repo.path().join("objects"), 2, few));
}

#[test]
fn bitmaps_say_what_git_finds_by_walking() {
    let repo = Repo::new();
    repo.commits("main", 1, 450);
    repo.commits("side", 2000, 30);
    repo.git(&["tag", "-a", "-m", "t", "v1", "main~200"]);
    let words = ["commit-tree", "-p", "main", "-p", "side", "-m", "m", "main^{tree}"];
    let merge = repo.git(&words);
    repo.git(&["update-ref", "refs/heads/merged", &merge]);
    let report = repo.maintain(&full());
    assert!(report.bitmaps > 100 && report.bitmaps < 250, "{report:?}");
    assert_eq!(repo.files(".bitmap").len(), 1);
    for tip in ["merged", "side", "main", "main~50"] {
        repo.git(&["rev-list", "--test-bitmap", tip]);
    }
    let counts = |extra: &[&str]| {
        let words = [&["rev-list", "--objects", "--count", "--all"], extra].concat();
        repo.git(&words)
    };
    assert_eq!(counts(&["--use-bitmap-index"]), counts(&[]));
    repo.check();
    // ours reads it too
    let place = repo.place();
    let store = crate::store::Store::open(&place.objects_dir, place.hash, &[]).unwrap();
    let snapshot = store.snapshot().unwrap();
    let reach = crate::source::ObjectSource::reachability(&*snapshot).unwrap();
    assert_eq!(reach.count() as usize, repo.objects().len());
    let tip = crate::hash::ObjectId::from_hex(merge.as_bytes()).unwrap();
    let tip = crate::source::ObjectSource::lookup(&*snapshot, &tip).unwrap().unwrap();
    assert_eq!(reach.commit(tip).unwrap().count() as usize, repo.objects().len() - 1);
    assert!(snapshot.take_warnings().is_empty());
}

#[test]
fn a_commit_graph_of_what_goes_goes_too() {
    for words in [&["commit-graph", "write"][..], &["commit-graph", "write", "--split"]] {
        let repo = Repo::new();
        repo.commits("main", 1, 3);
        repo.commits("gone", 100, 3);
        repo.git(&[words, &["--reachable"]].concat());
        repo.git(&["branch", "-D", "gone"]);
        let full = || Options { graph: None, ..full() };
        repo.maintain(&full());
        let info = repo.path().join("objects/info");
        let has_graph = || {
            info.join("commit-graph").exists()
                || info.join("commit-graphs/commit-graph-chain").exists()
        };
        assert!(has_graph(), "nothing is gone yet");
        std::thread::sleep(Duration::from_millis(1100));
        let report = repo.maintain(&Options { grace: Some(Duration::ZERO), ..full() });
        assert_eq!(report.pruned, 15);
        assert!(!has_graph());
        repo.check();
    }
}
