//! A scan of a pack finds what a walk along history finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::bitmapped::{run, set};
use super::enumerate::{PARALLEL, SCAN, request};
use super::repo::{Dice, TestRepo, hex, random_history};
use crate::graph::enumerate::{Limits, enumerate_within};
use crate::graph::learn::make_asked;
use crate::graph::scan::Scan;
use crate::graph::{CommitTable, Enumeration, WalkRequest, name_hash};
use crate::hash::{HashKind, ObjectId};
use crate::ingest::tests::Craft;
use crate::object::{ObjectKind, object_id};
use crate::pack::entry::EntryKind;
use crate::source::ObjectSource;
use crate::store::{Snapshot, Store};
use crate::turns::{Supply, Turns};
use crate::watch::Watch;

const COMMITS: usize = 150;

fn snapshot_of(repo: &TestRepo) -> Arc<Snapshot> {
    let store = Store::open(&repo.path().join("objects"), repo.kind(), &[]).unwrap();
    store.snapshot().unwrap()
}

/// Did a scan find these? Then trees and blobs of the pack come as they lie in it.
fn is_scanned(snapshot: &Snapshot, found: &Enumeration) -> bool {
    let largest = (0..).map_while(|n| snapshot.pack(n)).max_by_key(|pack| pack.object_count());
    let largest = largest.unwrap().path();
    let is_tree_or_blob = |kind| matches!(kind, ObjectKind::Tree | ObjectKind::Blob);
    let offsets = found.objects.iter().filter(|found| is_tree_or_blob(found.kind));
    let offsets = offsets.filter_map(|found| snapshot.packed_at(found.number));
    offsets
        .filter(|at| snapshot.pack(at.pack).unwrap().path() == largest)
        .map(|at| at.offset)
        .is_sorted()
}

/// The same objects with one thread and with several, and with room for a few lists only.
fn check(repo: &TestRepo, wants: &[ObjectId]) {
    let snapshot = snapshot_of(repo);
    let wanted = repo.rev_list(&[], &hex(wants));
    let walked = run(&snapshot, &request(wants, &[]), PARALLEL);
    assert!(set(&snapshot, &walked) == wanted);
    assert!(!is_scanned(&snapshot, &walked));
    for (threads, scan_entries) in [(1, 24), (3, 24), (2, 1), (2, 0)] {
        let asked = WalkRequest { threads, ..request(wants, &[]) };
        let found = run(&snapshot, &asked, Limits { scan_entries, ..SCAN });
        assert!(is_scanned(&snapshot, &found), "{threads} {scan_entries}");
        assert!(set(&snapshot, &found) == wanted, "{threads} {scan_entries}");
        let commits = |found: &Enumeration| {
            let is_commit = |kind| matches!(kind, ObjectKind::Commit | ObjectKind::Tag);
            found.objects.iter().copied().take_while(|f| is_commit(f.kind)).collect::<Vec<_>>()
        };
        assert_eq!(commits(&found), commits(&walked));
    }
}

fn repack(repo: &TestRepo, more: &[&str]) {
    let plain = ["-c", "repack.writeBitmaps=false", "repack", "-adfq"];
    repo.git(&[&plain[..], more].concat());
}

/// How many commits these reach.
fn commits_of(repo: &TestRepo, wants: &[ObjectId]) -> usize {
    let listed = repo.feed(&["rev-list", "--count", "--stdin"], hex(wants).as_bytes());
    String::from_utf8(listed).unwrap().trim().parse().unwrap()
}

#[test]
fn all_of_a_pack_is_found() {
    for (kind, seed) in [(HashKind::Sha1, 5), (HashKind::Sha256, 6)] {
        let repo = random_history(kind, seed, COMMITS);
        for depth in ["0", "3", "50"] {
            repack(&repo, &["--window=20", &format!("--depth={depth}")]);
            check(&repo, &repo.commits());
        }
    }
}

#[test]
fn parts_of_a_pack_are_found() {
    let repo = random_history(HashKind::Sha1, 17, COMMITS);
    repack(&repo, &["--window=30"]);
    let all = repo.commits();
    let mut dice = Dice(23);
    let mut checked = 0;
    while checked < 6 {
        let wants: Vec<_> = (0..1 + dice.roll(3)).map(|_| all[dice.roll(COMMITS)]).collect();
        // of less it is not worth a scan
        if commits_of(&repo, &wants) * 2 < COMMITS {
            continue;
        }
        check(&repo, &wants);
        checked += 1;
    }
    // trees and blobs that nobody reaches any more stay in the pack, and behind
    for n in COMMITS - 40..COMMITS {
        repo.git(&["tag", "-d", &format!("c{n}")]);
    }
    repack(&repo, &["--keep-unreachable"]);
    let tip = repo.commits()[COMMITS - 41];
    assert!(commits_of(&repo, &[tip]) * 2 >= COMMITS);
    check(&repo, &[tip]);
    check(&repo, &repo.commits());
}

#[test]
fn what_lies_elsewhere_is_read() {
    let full = random_history(HashKind::Sha1, 29, COMMITS);
    let repo = TestRepo::new(HashKind::Sha1);
    let from = full.path().to_str().unwrap();
    let fetch = |range: std::ops::Range<usize>, unpack: &str| {
        let mut args = ["-c", unpack, "fetch", "-q", "--no-tags", from].map(str::to_owned).to_vec();
        args.extend(range.map(|n| format!("refs/tags/c{n}:refs/tags/c{n}")));
        repo.git(&args.iter().map(String::as_str).collect::<Vec<_>>());
    };
    fetch(0..110, "fetch.unpackLimit=1");
    // with bases by name, as thin packs leave them
    repack(&repo, &["--window=20"]);
    fetch(110..130, "fetch.unpackLimit=1");
    fetch(130..COMMITS, "fetch.unpackLimit=100000");
    check(&repo, &full.commits());
    repo.git(&["config", "repack.useDeltaBaseOffset", "false"]);
    repack(&repo, &["--window=20"]);
    check(&repo, &full.commits());
}

#[test]
fn hashes_are_those_of_paths() {
    let repo = random_history(HashKind::Sha1, 31, 60);
    repack(&repo, &["--window=20"]);
    let mut paths: BTreeMap<ObjectId, BTreeSet<u32>> = BTreeMap::new();
    for commit in repo.commits() {
        let format = "--format=%(objectname) %(path)";
        for line in repo.git(&["ls-tree", "-r", "-t", format, &commit.to_string()]).lines() {
            let (id, path) = line.split_once(' ').unwrap();
            let id = ObjectId::from_hex(id.as_bytes()).unwrap();
            paths.entry(id).or_default().insert(name_hash(path.as_bytes()));
        }
    }
    let snapshot = snapshot_of(&repo);
    let found = run(&snapshot, &request(&repo.commits(), &[]), SCAN);
    let mut known = 0;
    for found in &found.objects {
        let hashes = paths.get(&snapshot.id(found.number));
        assert!(found.name_hash == 0 || hashes.is_some_and(|all| all.contains(&found.name_hash)));
        known += usize::from(found.name_hash != 0);
    }
    assert!(known > 60);
}

/// The error of a clone, which is the same whichever way it goes.
fn error(repo: &TestRepo, tip: ObjectId) -> String {
    let snapshot = snapshot_of(repo);
    let ask = |limits| {
        let table = CommitTable::new(repo.kind());
        let asked = request(&[tip], &[]);
        enumerate_within(&*snapshot, &table, &asked, &Watch::new(), limits).unwrap_err().to_string()
    };
    let told = ask(SCAN);
    assert_eq!(told, ask(PARALLEL));
    told
}

/// A repository of one pack: a commit of the tree that `make` makes, and a blob.
fn one_commit(make: impl Fn(&TestRepo, &str) -> String) -> (TestRepo, ObjectId) {
    let repo = TestRepo::new(HashKind::Sha1);
    let blob = String::from_utf8(repo.feed(&["hash-object", "-w", "--stdin"], b"blob")).unwrap();
    let tree = make(&repo, blob.trim()).trim().to_owned();
    let tip = repo.git(&["commit-tree", "-m", "x", &tree]);
    let list = format!("{tip}{tree}\n{blob}");
    repo.feed(&["pack-objects", "-q", "objects/pack/pack"], list.as_bytes());
    repo.git(&["prune-packed", "-q"]);
    (repo, ObjectId::from_hex(tip.trim().as_bytes()).unwrap())
}

const LITERALLY: [&str; 6] = ["hash-object", "-t", "tree", "-w", "--literally", "--stdin"];

#[test]
fn what_is_wrong_is_told_as_on_a_walk() {
    let missing = "1".repeat(40);
    let (repo, tip) = one_commit(|repo, blob| {
        let lines = format!("100644 blob {missing}\tgone\n100644 blob {blob}\there\n");
        String::from_utf8(repo.feed(&["mktree", "--missing"], lines.as_bytes())).unwrap()
    });
    assert!(error(&repo, tip).contains(&missing));
    // a blob in the place of a tree
    let (repo, tip) = one_commit(|repo, blob| {
        let mut content = b"40000 dir\0".to_vec();
        content.extend_from_slice(ObjectId::from_hex(blob.as_bytes()).unwrap().as_bytes());
        String::from_utf8(repo.feed(&LITERALLY, &content)).unwrap()
    });
    assert!(error(&repo, tip).contains("not a tree"));
    // no tree at all
    let (repo, tip) = one_commit(|repo, _| {
        String::from_utf8(repo.feed(&LITERALLY, b"100644 cut off\x00abc")).unwrap()
    });
    assert!(error(&repo, tip).contains("malformed"));
}

#[test]
fn a_tree_that_leads_to_itself_by_deltas_is_read() {
    let id = |kind, content: &[u8]| object_id(HashKind::Sha1, kind, content);
    let blob = id(ObjectKind::Blob, b"blob");
    let tree = |name: &[u8]| [b"100644 ", name, b"\0", blob.as_bytes()].concat();
    let trees = [tree(b"x"), tree(b"y")];
    let commits = trees.each_ref().map(|tree| {
        let tree = id(ObjectKind::Tree, tree);
        let who = "A <a@x> 1 +0000";
        format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n").into_bytes()
    });
    let wants = commits.each_ref().map(|commit| id(ObjectKind::Commit, commit));
    // all 29 bytes; the mode, another name, and the rest
    let copy = vec![29, 29, 0x90, 29];
    let rename = |name| vec![29, 29, 0x90, 7, 1, name, 0x91, 8, 21];
    for deltas in [vec![copy], vec![rename(b'y'), rename(b'x')]] {
        let mut craft = Craft::new(HashKind::Sha1);
        let wants = &wants[..deltas.len()];
        for commit in &commits[..deltas.len()] {
            craft.entry(EntryKind::Whole(ObjectKind::Commit), commit);
        }
        let mut base = craft.entry(EntryKind::Whole(ObjectKind::Tree), &trees[0]);
        for delta in &deltas {
            base = craft.delta(base, delta);
        }
        craft.blob(b"blob");
        let repo = TestRepo::new(HashKind::Sha1);
        let path = repo.path().join("objects/pack/pack-1.pack");
        std::fs::write(&path, craft.done()).unwrap();
        repo.git(&["index-pack", path.to_str().unwrap()]);
        for shared_index in [false, true] {
            if shared_index {
                repo.git(&["multi-pack-index", "write"]);
            }
            let snapshot = snapshot_of(&repo);
            let found = run(&snapshot, &request(wants, &[]), SCAN);
            assert!(set(&snapshot, &found) == repo.rev_list(&[], &hex(wants)), "{shared_index}");
        }
    }
}

#[test]
fn what_threads_need_is_in_the_budget() {
    let repo = random_history(HashKind::Sha1, 41, COMMITS);
    repack(&repo, &[]);
    let snapshot = snapshot_of(&repo);
    let mut held = Vec::new();
    for threads in [1, 3] {
        let supply = Supply { small_work: Duration::ZERO, ..Supply::default() };
        let turns = Turns::new(supply);
        let watch = Watch::taking_turns(turns.turn(1000));
        let table = CommitTable::new(repo.kind());
        let asked = WalkRequest { threads, ..request(&repo.commits(), &[]) };
        let found = enumerate_within(&*snapshot, &table, &asked, &watch, SCAN).unwrap();
        assert!(is_scanned(&snapshot, &found));
        held.push(turns.held());
    }
    assert!(held[0] > 1000 && held[1] - 1000 == 3 * (held[0] - 1000), "{held:?}");
}

#[test]
fn a_bad_entry_beside_those_asked_for_harms_nobody() {
    let repo = random_history(HashKind::Sha1, 37, 40);
    let line = format!("100644 blob {}\tx\n", "1".repeat(40));
    repo.feed(&["mktree", "--missing"], line.as_bytes());
    repack(&repo, &["--keep-unreachable"]);
    check(&repo, &repo.commits());
}

#[test]
fn what_was_scanned_is_learnt() {
    let repo = random_history(HashKind::Sha1, 41, COMMITS);
    repack(&repo, &[]);
    let all = repo.commits();
    let snapshot = snapshot_of(&repo);
    let table = CommitTable::new(repo.kind());
    let limits = Limits { learn_min: 0, ..SCAN };
    let ask = |asked: &WalkRequest| {
        let found = enumerate_within(&*snapshot, &table, asked, &Watch::new(), limits).unwrap();
        assert!(found.stored.is_some());
        assert!(set(&snapshot, &found) == repo.rev_list(&[], &hex(&asked.wants)));
    };
    // the first answer is given by what it learnt itself
    ask(&request(&all, &[]));
    let source: Arc<dyn ObjectSource> = Arc::clone(&snapshot) as _;
    make_asked(&source, &table).unwrap();
    for nth in [3, 80, COMMITS - 1] {
        ask(&request(&all[nth..=nth], &[]));
    }
}

#[test]
fn a_scan_stops_when_it_is_cancelled() {
    let repo = random_history(HashKind::Sha1, 43, COMMITS);
    repack(&repo, &[]);
    let (snapshot, table) = (snapshot_of(&repo), CommitTable::new(repo.kind()));
    let watch = Watch::new();
    watch.cancel();
    let asked = request(&repo.commits(), &[]);
    assert!(enumerate_within(&*snapshot, &table, &asked, &watch, SCAN).is_err());
}

#[test]
fn a_scan_ends_with_a_walk_that_panics() {
    let repo = random_history(HashKind::Sha1, 47, COMMITS);
    repack(&repo, &[]);
    let (snapshot, watch) = (snapshot_of(&repo), Watch::new());
    let scan = Scan::of(&*snapshot, 3, SCAN, &watch).unwrap();
    let walk = || drop(scan.beside(|_| panic!("a bug")));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(walk)).is_err());
}
