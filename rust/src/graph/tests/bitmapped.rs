//! Enumerations from bitmaps, against `git rev-list --objects` and against the long way.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::enumerate::{SMALL, WHOLE, request};
use super::repo::{Dice, TestRepo, hex, random_history};
use crate::graph::enumerate::{Limits, enumerate_within};
use crate::graph::{CommitTable, Enumeration, Filter, WalkRequest};
use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;
use crate::source::ObjectSource;
use crate::store::{Snapshot, Store};
use crate::watch::Watch;

/// Bitmaps whenever there are some.
pub(super) const BITMAPS: Limits = Limits { bitmap_min: 0, ..WHOLE };

/// How the objects of a history are stored.
pub(super) struct Layout {
    pub(super) kind: HashKind,
    pub(super) seed: u64,
    pub(super) config: &'static [&'static str],
    /// Commits that were there when the bitmap was made.
    pub(super) covered: usize,
    /// A multi-pack-index over several packs.
    pub(super) midx: bool,
    /// The bitmapped pack belongs to another repository.
    pub(super) borrowed: bool,
}

pub(super) const COMMITS: usize = 250;

pub(super) const PLAIN: Layout = Layout {
    kind: HashKind::Sha1,
    seed: 31,
    config: &[],
    covered: COMMITS,
    midx: false,
    borrowed: false,
};

const LOOKUP: &[&str] = &["-c", "pack.writeBitmapLookupTable=true"];
const NO_HASHES: &[&str] = &["-c", "pack.writeBitmapHashCache=false"];
pub(super) const MERGES: &[&str] = &[
    "-c",
    "bitmapPseudoMerge.all.pattern=refs/",
    "-c",
    "bitmapPseudoMerge.all.threshold=now",
    "-c",
    "bitmapPseudoMerge.all.stableThreshold=never",
    "-c",
    "bitmapPseudoMerge.all.maxMerges=3",
    "-c",
    "pack.writeBitmapLookupTable=true",
];

/// The repository, and what else has to live as long.
pub(super) struct Prepared {
    pub(super) repo: TestRepo,
    pub(super) _lender: Option<TestRepo>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) commits: Vec<ObjectId>,
}

pub(super) fn prepare(layout: &Layout) -> Prepared {
    let full = random_history(layout.kind, layout.seed, COMMITS);
    let commits = full.commits();
    let first = TestRepo::new(layout.kind);
    let fetch = |into: &TestRepo, from: usize, to: usize| {
        let mut args = vec!["-c".to_owned(), "fetch.unpackLimit=1".to_owned()];
        args.extend(["fetch", "-q", "--no-tags"].map(str::to_owned));
        args.push(full.path().to_str().unwrap().to_owned());
        args.extend((from..to).map(|n| format!("refs/tags/c{n}:refs/tags/c{n}")));
        into.git(&args.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let write = |repo: &TestRepo| {
        let mut args = layout.config.to_vec();
        match layout.midx {
            true => args.extend(["multi-pack-index", "write", "--bitmap", "--no-progress"]),
            false => args.extend(["repack", "-adbq"]),
        }
        repo.git(&args);
    };
    let covered = layout.covered;
    if layout.midx {
        fetch(&first, 0, covered / 2);
        fetch(&first, covered / 2, covered - 20);
        fetch(&first, covered - 20, covered);
        // an object in two packs
        let input = format!("{}\n", commits[0]);
        first.feed(&["pack-objects", "-q", "objects/pack/pack"], input.as_bytes());
    } else {
        fetch(&first, 0, covered);
        first.git(&["tag", "-a", "-m", "x", "of-commit", "c7"]);
        first.git(&["tag", "-a", "-m", "x", "of-tag", "of-commit"]);
    }
    write(&first);
    let (repo, lender) = match layout.borrowed {
        false => (first, None),
        true => {
            let repo = TestRepo::new(layout.kind);
            let line = format!("{}\n", first.path().join("objects").display());
            std::fs::write(repo.path().join("objects/info/alternates"), line).unwrap();
            (repo, Some(first))
        }
    };
    if covered < COMMITS {
        let half = covered + (COMMITS - covered) / 2;
        fetch(&repo, covered, half);
        fetch(&repo, half, COMMITS);
        repo.git(&["tag", "-a", "-m", "x", "new-tag", "c249"]);
    }
    let store = Store::open(&repo.path().join("objects"), layout.kind, &[]).unwrap();
    let snapshot = store.snapshot().unwrap();
    let reach = snapshot.reachability();
    assert!(reach.is_some(), "{:?}", snapshot.take_warnings());
    assert_eq!(reach.unwrap().has_merges(), layout.config == MERGES);
    Prepared { repo, _lender: lender, snapshot, commits }
}

pub(super) fn run(snapshot: &Snapshot, request: &WalkRequest, limits: Limits) -> Enumeration {
    let table = CommitTable::new(snapshot.hash_kind());
    enumerate_within(snapshot, &table, request, &Watch::new(), limits).unwrap()
}

/// The ids, each listed once and of the kind that is claimed.
pub(super) fn set(snapshot: &Snapshot, found: &Enumeration) -> BTreeSet<ObjectId> {
    let mut reader = snapshot.reader();
    let stored = found.stored.iter().flat_map(|stored| stored.found_from(0));
    let all: Vec<_> = found.objects.iter().copied().chain(stored).collect();
    let mut ids = BTreeSet::new();
    for found in &all {
        assert_eq!(reader.header(found.number).unwrap().0, found.kind);
        assert!(ids.insert(snapshot.id(found.number)), "an object is listed twice");
    }
    assert_eq!(found.len(), ids.len());
    assert_eq!(found.is_empty(), ids.is_empty());
    ids
}

pub(super) fn check(prepared: &Prepared, wants: &[ObjectId], haves: &[ObjectId]) {
    let Prepared { repo, snapshot, .. } = prepared;
    let wanted = repo.rev_list(&[], &hex(wants));
    let had = if haves.is_empty() { BTreeSet::new() } else { repo.rev_list(&[], &hex(haves)) };
    let exact: BTreeSet<_> = wanted.difference(&had).copied().collect();
    let asked = WalkRequest { thin: true, ..request(wants, haves) };
    let found = run(snapshot, &asked, BITMAPS);
    assert!(found.stored.is_some(), "bitmaps were not used");
    assert_eq!(set(snapshot, &found), exact);
    let numbers = (0..snapshot.number_bound())
        .filter(|&number| found.client_has.contains(&**snapshot, number));
    let has: BTreeSet<_> = numbers.map(|number| snapshot.id(number)).collect();
    assert_eq!(has, had);
    let off = run(snapshot, &WalkRequest { no_bitmaps: true, ..asked.clone() }, BITMAPS);
    assert!(off.stored.is_none());
    assert!(set(snapshot, &off).is_superset(&exact));
    // a request that a few commits answer is answered by them
    let few = run(snapshot, &asked, Limits { bitmap_min: 1 << 30, ..SMALL });
    assert_eq!(few.stored.is_some(), haves.is_empty());
}

fn check_all(layout: &Layout) {
    let prepared = prepare(layout);
    let all = &prepared.commits;
    check(&prepared, all, &[]);
    check(&prepared, &all[COMMITS - 1..], &[]);
    check(&prepared, all, &all[COMMITS - 30..COMMITS - 20]);
    let mut dice = Dice(layout.seed * 91);
    for nth in 0..8 {
        let mut pick = |n: usize| (0..n).map(|_| all[dice.roll(COMMITS)]).collect::<Vec<_>>();
        let (wants, haves) = (pick(1 + nth % 5), pick(nth % 4));
        check(&prepared, &wants, &haves);
    }
    let warnings = prepared.snapshot.take_warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn one_pack() {
    check_all(&PLAIN);
}

#[test]
fn sha256_and_a_lookup_table() {
    check_all(&Layout { kind: HashKind::Sha256, config: LOOKUP, seed: 32, ..PLAIN });
}

#[test]
fn later_packs_without_name_hashes() {
    check_all(&Layout { covered: 190, config: NO_HASHES, seed: 33, ..PLAIN });
}

#[test]
fn pseudo_merges() {
    check_all(&Layout { covered: 240, config: MERGES, seed: 34, ..PLAIN });
}

#[test]
fn several_packs_under_one_index() {
    check_all(&Layout { midx: true, seed: 35, ..PLAIN });
    check_all(&Layout { midx: true, covered: 210, seed: 36, config: LOOKUP, ..PLAIN });
}

#[test]
fn borrowed_packs() {
    check_all(&Layout { borrowed: true, covered: 200, seed: 37, ..PLAIN });
    check_all(&Layout { borrowed: true, midx: true, covered: 230, seed: 38, ..PLAIN });
}

#[test]
fn filters_leave_out_the_same_as_without_bitmaps() {
    let prepared = prepare(&Layout { covered: 210, seed: 39, ..PLAIN });
    let Prepared { repo, snapshot, commits, .. } = &prepared;
    let mut ids = vec![commits[20], commits[249], commits[230]];
    ids.extend(["c20^{tree}", "c240^{tree}", "of-tag", "new-tag"].map(|name| repo.id(name)));
    let listing = repo.git(&["ls-tree", "-r", "c20"]);
    let blob = listing.lines().find(|line| line.contains("blob")).unwrap();
    ids.push(ObjectId::from_hex(blob.split([' ', '\t']).nth(2).unwrap().as_bytes()).unwrap());
    let specs = [
        "blob:none",
        "blob:limit=0",
        "blob:limit=11",
        "tree:0",
        "tree:1",
        "tree:2",
        "object:type=commit",
        "object:type=tree",
        "object:type=blob",
        "object:type=tag",
        "combine:blob:limit=11+object:type=blob",
    ];
    let mut dice = Dice(5);
    for spec in specs {
        for round in 0..4 {
            let filter = Filter::parse(spec.as_bytes()).unwrap();
            let mut pick =
                |n: usize| -> Vec<_> { (0..n).map(|_| ids[dice.roll(ids.len())]).collect() };
            let wants = if round == 0 { ids.clone() } else { pick(round) };
            let asked = WalkRequest { filter, ..request(&wants, &[]) };
            let with = run(snapshot, &asked, BITMAPS);
            assert_eq!(with.stored.is_some(), !matches!(spec, "tree:1" | "tree:2"), "{spec}");
            let asked = WalkRequest { no_bitmaps: true, ..asked };
            let without = run(snapshot, &asked, WHOLE);
            assert_eq!(set(snapshot, &with), set(snapshot, &without), "{spec} {wants:?}");
        }
    }
}

#[test]
fn tags_go_along_with_what_they_tag() {
    let prepared = prepare(&Layout { covered: 210, seed: 40, ..PLAIN });
    let Prepared { repo, snapshot, commits, .. } = &prepared;
    let tags = ["of-commit", "of-tag", "new-tag"]
        .map(|name| (repo.id(name), repo.id(&format!("{name}^{{}}"))));
    for (wants, haves) in [
        (&commits[249..], &commits[0..0]),
        (&commits[7..8], &commits[0..0]),
        (&commits[240..], &commits[200..202]),
        (&commits[3..4], &commits[0..0]),
    ] {
        let asked = WalkRequest { tags: tags.to_vec(), ..request(wants, haves) };
        let ours = run(snapshot, &asked, BITMAPS);
        let kinds: Vec<_> = ours.objects.iter().map(|found| found.kind).collect();
        let rank = |kind: &ObjectKind| match kind {
            ObjectKind::Commit => 0,
            ObjectKind::Tag => 1,
            _ => 2,
        };
        assert!(kinds.is_sorted_by_key(rank), "{kinds:?}");
        let ours = set(snapshot, &ours);
        for (tag, peeled) in &tags {
            assert_eq!(ours.contains(tag), ours.contains(peeled), "{wants:?}");
        }
    }
}

#[test]
fn shallow_requests_go_the_long_way() {
    let prepared = prepare(&PLAIN);
    let commits = &prepared.commits;
    let mut asked = request(&commits[249..], &[]);
    asked.shallow.new_boundary.insert(commits[240]);
    assert!(run(&prepared.snapshot, &asked, BITMAPS).stored.is_none());
    let mut asked = request(&commits[249..], &commits[100..101]);
    asked.shallow.client.insert(commits[90]);
    assert!(run(&prepared.snapshot, &asked, BITMAPS).stored.is_none());
}

#[test]
fn a_bitmap_that_comes_later_is_seen() {
    let repo = random_history(HashKind::Sha1, 41, 60);
    repo.git(&["-c", "repack.writeBitmaps=false", "repack", "-adq"]);
    let store = Store::open(&repo.path().join("objects"), HashKind::Sha1, &[]).unwrap();
    let before = store.snapshot().unwrap();
    assert!(before.reachability().is_none());
    repo.git(&["repack", "-adbq"]);
    let after = store.snapshot().unwrap();
    assert!(after.reachability().is_some());
    let all = repo.commits();
    let count = run(&after, &request(&all, &[]), BITMAPS).len();
    assert_eq!(count, run(&before, &request(&all, &[]), WHOLE).len());
}
