//! Reachability learnt from requests, against `git rev-list --objects` and the long way.

use std::sync::Arc;

use super::bitmapped::{BITMAPS, COMMITS, Prepared, check, run, set};
use super::enumerate::{WHOLE, request};
use super::repo::{Dice, TestRepo, random_history};
use crate::graph::enumerate::Limits;
use crate::graph::learn::make_asked;
use crate::graph::{CommitTable, Filter, WalkRequest};
use crate::hash::{HashKind, ObjectId};
use crate::source::ObjectSource;
use crate::store::{Snapshot, Store};

/// Every walk is long enough to learn from.
const LEARN: Limits = Limits { learn_min: 0, ..BITMAPS };

fn fetch(into: &TestRepo, from: &TestRepo, range: std::ops::Range<usize>, loose: bool) {
    let limit = if loose { "fetch.unpackLimit=1000000" } else { "fetch.unpackLimit=1" };
    let mut args = ["-c", limit, "fetch", "-q", "--no-tags"].map(str::to_owned).to_vec();
    args.push(from.path().to_str().unwrap().to_owned());
    args.extend(range.map(|n| format!("refs/tags/c{n}:refs/tags/c{n}")));
    into.git(&args.iter().map(String::as_str).collect::<Vec<_>>());
}

fn snapshot_of(repo: &TestRepo) -> Arc<Snapshot> {
    let store = Store::open(&repo.path().join("objects"), repo.kind(), &[]).unwrap();
    store.snapshot().unwrap()
}

fn make(snapshot: &Arc<Snapshot>) {
    let source: Arc<dyn ObjectSource> = Arc::clone(snapshot) as _;
    make_asked(&source, &CommitTable::new(snapshot.hash_kind())).unwrap();
}

/// What bitmaps give, in the order of packs and what `git rev-list` gives.
fn check_some(prepared: &Prepared, seed: u64, among: usize) {
    let all = &prepared.commits[..among];
    check(prepared, all, &[]);
    check(prepared, &all[among - 1..], &[]);
    check(prepared, all, &all[among - 30..among - 20]);
    let mut dice = Dice(seed);
    for nth in 0..6 {
        let mut pick = |n: usize| (0..n).map(|_| all[dice.roll(among)]).collect::<Vec<_>>();
        let (wants, haves) = (pick(1 + nth % 5), pick(nth % 4));
        check(prepared, &wants, &haves);
    }
}

fn first_clone(prepared: &Prepared, among: usize) {
    let Prepared { snapshot, commits, repo, .. } = prepared;
    let asked = request(&commits[..among], &[]);
    let first = run(snapshot, &asked, LEARN);
    assert!(first.stored.is_none(), "{:?}", repo.path());
    let again = run(snapshot, &asked, LEARN);
    assert!(again.objects.is_empty() && again.stored.is_some());
    assert_eq!(set(snapshot, &first), set(snapshot, &again));
}

#[test]
fn one_pack_is_recognised_as_such() {
    let repo = random_history(HashKind::Sha1, 61, COMMITS);
    repo.git(&["-c", "repack.writeBitmaps=false", "repack", "-adq"]);
    let (snapshot, commits) = (snapshot_of(&repo), repo.commits());
    let prepared = Prepared { repo, _lender: None, snapshot, commits };
    first_clone(&prepared, COMMITS);
    let reach = prepared.snapshot.reachability().unwrap();
    assert_eq!(reach.leading_pack(), reach.count());
    assert!(!reach.has_commits());
    check_some(&prepared, 7, COMMITS);
    make(&prepared.snapshot);
    let reach = prepared.snapshot.reachability().unwrap();
    assert!(reach.has_commits());
    check_some(&prepared, 9, COMMITS);
}

#[test]
fn packs_and_loose_objects_that_come_and_are_repacked() {
    for (kind, seed) in [(HashKind::Sha1, 62), (HashKind::Sha256, 63)] {
        let full = random_history(kind, seed, COMMITS);
        let commits = full.commits();
        let repo = TestRepo::new(kind);
        for at in [0, 50, 90] {
            fetch(&repo, &full, at..at + 40, false);
        }
        fetch(&repo, &full, 130..150, true);
        let snapshot = snapshot_of(&repo);
        let mut prepared = Prepared { repo, _lender: None, snapshot, commits };
        let present: Vec<ObjectId> = (0..40).chain(50..150).map(|n| prepared.commits[n]).collect();
        let all = std::mem::replace(&mut prepared.commits, present);
        let count = prepared.commits.len();
        first_clone(&prepared, count);
        make(&prepared.snapshot);
        check_some(&prepared, seed, count);
        // more arrives: loose objects in the same snapshot, then a pack
        fetch(&prepared.repo, &full, 150..170, true);
        prepared.commits.extend_from_slice(&all[150..170]);
        check_some(&prepared, seed + 1, count + 20);
        fetch(&prepared.repo, &full, 170..COMMITS, false);
        prepared.commits.extend_from_slice(&all[170..]);
        prepared.snapshot = snapshot_of(&prepared.repo);
        assert!(prepared.snapshot.may_have_reachability());
        let count = prepared.commits.len();
        check_some(&prepared, seed + 2, count);
        prepared.snapshot.reach_memory().unwrap().ask(&prepared.commits);
        make(&prepared.snapshot);
        let known = prepared.snapshot.reachability().unwrap().count();
        assert_eq!(
            known as usize,
            run(&prepared.snapshot, &request(&prepared.commits, &[]), WHOLE).len()
        );
        check_some(&prepared, seed + 3, count);
        // all packs are replaced by one
        prepared.repo.git(&["-c", "repack.writeBitmaps=false", "repack", "-adq"]);
        prepared.repo.git(&["prune", "--expire=now"]);
        prepared.snapshot = snapshot_of(&prepared.repo);
        assert!(!prepared.snapshot.reach_memory().unwrap().is_idle());
        let reach = prepared.snapshot.reachability().unwrap();
        assert!(reach.has_commits() && reach.leading_pack() < reach.count());
        check_some(&prepared, seed + 4, count);
        make(&prepared.snapshot);
        assert!(prepared.snapshot.reach_memory().unwrap().is_idle());
        let reach = prepared.snapshot.reachability().unwrap();
        assert!(reach.has_commits() && reach.leading_pack() == reach.count());
        check_some(&prepared, seed + 5, count);
    }
}

#[test]
fn what_reaches_an_object_that_is_gone_is_forgotten() {
    let repo = random_history(HashKind::Sha1, 64, COMMITS);
    repo.git(&["-c", "repack.writeBitmaps=false", "repack", "-adq"]);
    let (snapshot, commits) = (snapshot_of(&repo), repo.commits());
    let mut prepared = Prepared { repo, _lender: None, snapshot, commits };
    first_clone(&prepared, COMMITS);
    make(&prepared.snapshot);
    let before = prepared.snapshot.reachability().unwrap();
    for n in 100..COMMITS {
        prepared.repo.git(&["update-ref", "-d", &format!("refs/tags/c{n}")]);
    }
    prepared.repo.git(&["-c", "repack.writeBitmaps=false", "repack", "-adq"]);
    prepared.repo.git(&["prune", "--expire=now"]);
    prepared.snapshot = snapshot_of(&prepared.repo);
    prepared.commits.truncate(100);
    let after = prepared.snapshot.reachability().unwrap();
    assert_eq!(after.count(), before.count());
    check_some(&prepared, 3, 100);
}

#[test]
fn borrowed_objects_and_filters() {
    let lender = random_history(HashKind::Sha1, 65, COMMITS);
    let commits = lender.commits();
    lender.git(&["-c", "repack.writeBitmaps=false", "repack", "-adq"]);
    let repo = TestRepo::new(HashKind::Sha1);
    let line = format!("{}\n", lender.path().join("objects").display());
    std::fs::write(repo.path().join("objects/info/alternates"), line).unwrap();
    let snapshot = snapshot_of(&repo);
    let prepared = Prepared { repo, _lender: Some(lender), snapshot, commits };
    // the first request is filtered: its wants are noted, and walked in the background
    let Prepared { snapshot, commits, .. } = &prepared;
    let filter = Filter::parse(b"blob:none").unwrap();
    let asked = WalkRequest { filter, ..request(commits, &[]) };
    assert!(run(snapshot, &asked, LEARN).stored.is_none());
    assert!(snapshot.reachability().is_none());
    make(snapshot);
    for spec in ["blob:none", "blob:limit=11", "tree:0", "object:type=tree"] {
        for wants in [&commits[..], &commits[200..203], &commits[20..21]] {
            let filter = Filter::parse(spec.as_bytes()).unwrap();
            let asked = WalkRequest { filter, ..request(wants, &[]) };
            let with = run(snapshot, &asked, LEARN);
            assert!(with.stored.is_some());
            let without = run(snapshot, &WalkRequest { no_bitmaps: true, ..asked }, WHOLE);
            assert_eq!(set(snapshot, &with), set(snapshot, &without), "{spec}");
        }
    }
    check_some(&prepared, 11, COMMITS);
}

#[test]
fn a_wanted_blob_is_part_of_what_is_learnt() {
    let repo = random_history(HashKind::Sha1, 67, 60);
    let input: &[u8] = b"belongs to no commit";
    let blob = repo.feed(&["hash-object", "-w", "--stdin"], input);
    let mut wants = repo.commits();
    wants.push(ObjectId::from_hex(blob.trim_ascii()).unwrap());
    let snapshot = snapshot_of(&repo);
    let first = run(&snapshot, &request(&wants, &[]), LEARN);
    let again = run(&snapshot, &request(&wants, &[]), LEARN);
    assert!(again.stored.is_some() && again.objects.is_empty());
    assert_eq!(set(&snapshot, &first), set(&snapshot, &again));
    let fewer = run(&snapshot, &request(&wants[..60], &[]), LEARN);
    assert_eq!(fewer.len() + 1, first.len());
}

#[test]
fn a_want_of_a_tree_is_not_mistaken_for_what_commits_reach() {
    let repo = random_history(HashKind::Sha1, 66, 60);
    let (snapshot, commits) = (snapshot_of(&repo), repo.commits());
    let wants = [commits[10], repo.id("c59^{tree}")];
    run(&snapshot, &request(&wants, &[]), LEARN);
    assert!(snapshot.reachability().is_none());
    make(&snapshot);
    let ours = set(&snapshot, &run(&snapshot, &request(&commits[10..11], &[]), LEARN));
    assert_eq!(ours, repo.rev_list(&[], &format!("{}\n", commits[10])));
}
