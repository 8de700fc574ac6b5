//! Walks over commits that were read from commit-graph files, against `git rev-list`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bitmapped::set;
use super::enumerate::{SMALL, WHOLE, request};
use super::repo::{Dice, TestRepo, hex, random_history};
use crate::graph::enumerate::enumerate_within;
use crate::graph::{CommitTable, Filter, GraphError, WalkRequest, all_reachable};
use crate::hash::{HashKind, IdSet};
use crate::source::SourceError;
use crate::store::{Snapshot, Store};
use crate::watch::Watch;

const COMMITS: usize = 250;

/// How the files are written.
enum Files {
    One,
    /// Up to this commit; and what comes later is not known.
    Part(usize),
    Chain,
    FirstGenerations,
}

fn write(repo: &TestRepo, files: &Files) {
    let tips = |range: std::ops::Range<usize>| hex(&repo.commits()[range]);
    let split = ["commit-graph", "write", "--stdin-commits", "--split=no-merge"];
    match *files {
        Files::One => drop(repo.git(&["commit-graph", "write", "--reachable"])),
        Files::Part(end) => {
            let args = ["commit-graph", "write", "--stdin-commits"];
            repo.feed(&args, tips(0..end).as_bytes());
        }
        Files::Chain => {
            for end in [80, 160, 240] {
                repo.feed(&split, tips(0..end).as_bytes());
            }
        }
        Files::FirstGenerations => {
            let old = "commitGraph.generationVersion=1";
            repo.git(&["-c", old, "commit-graph", "write", "--reachable"]);
        }
    }
}

fn snapshot_of(repo: &TestRepo) -> Arc<Snapshot> {
    let store = Store::open(&repo.path().join("objects"), repo.kind(), &[]).unwrap();
    store.snapshot().unwrap()
}

fn check(kind: HashKind, seed: u64, files: &Files) {
    let repo = random_history(kind, seed, COMMITS);
    write(&repo, files);
    let (snapshot, commits) = (snapshot_of(&repo), repo.commits());
    // the table goes from request to request, as in a store
    let table = CommitTable::new(kind);
    let mut dice = Dice(seed);
    for nth in 0..25 {
        let mut pick = |n: usize| (0..n).map(|_| commits[dice.roll(COMMITS)]).collect::<Vec<_>>();
        let (wants, haves) = (pick(1 + nth % 3), pick(nth % 4));
        let wanted = repo.rev_list(&[], &hex(&wants));
        let had = if haves.is_empty() { BTreeSet::new() } else { repo.rev_list(&[], &hex(&haves)) };
        let exact: BTreeSet<_> = wanted.difference(&had).copied().collect();
        let asked = request(&wants, &haves);
        let limits = if nth % 2 == 0 { SMALL } else { WHOLE };
        let run = |asked: &WalkRequest| {
            let found = enumerate_within(&*snapshot, &table, asked, &Watch::new(), limits).unwrap();
            set(&snapshot, &found)
        };
        let ours = run(&asked);
        assert!(ours.is_superset(&exact) && ours.is_subset(&wanted));
        let filter = Filter::parse(b"object:type=commit").unwrap();
        let ours = run(&WalkRequest { filter, ..asked });
        if matches!(files, Files::One) && nth > 0 {
            // all dates are known: commits are exact, whatever clocks say
            let commits: BTreeSet<_> = commits.iter().copied().collect();
            let wanted_by_id: BTreeSet<_> = wants.iter().copied().collect();
            let expected: BTreeSet<_> = exact.intersection(&commits).copied().collect();
            assert!(ours.difference(&expected).all(|id| wanted_by_id.contains(id)));
            assert!(ours.is_superset(&expected));
        }
        let (from, to) = (pick(1)[0], pick(1)[0]);
        let reached = repo.rev_list(&[], &hex(&[to])).contains(&from);
        let none = IdSet::default();
        let watch = Watch::new();
        let outcome = all_reachable(&*snapshot, &table, &[from], &[to], &none, &watch).unwrap();
        assert_eq!(outcome.is_none(), reached);
    }
    assert!(snapshot.take_warnings().is_empty());
}

#[test]
fn one_file() {
    check(HashKind::Sha1, 71, &Files::One);
    check(HashKind::Sha256, 72, &Files::One);
}

#[test]
fn a_file_that_lacks_new_commits() {
    check(HashKind::Sha1, 73, &Files::Part(130));
    check(HashKind::Sha1, 74, &Files::Part(220));
}

#[test]
fn a_chain_of_files() {
    check(HashKind::Sha1, 75, &Files::Chain);
}

#[test]
fn a_file_of_an_old_git() {
    check(HashKind::Sha1, 76, &Files::FirstGenerations);
}

#[test]
fn commits_that_are_gone_are_missing_whatever_the_file_says() {
    let repo = random_history(HashKind::Sha1, 77, 120);
    let pack = repo.git(&["rev-parse", "--git-path", "objects/pack"]);
    write(&repo, &Files::One);
    let commits = repo.commits();
    // all objects loose, but for one commit
    let packs: Vec<_> = std::fs::read_dir(repo.path().join(pack.trim())).unwrap().collect();
    for entry in packs {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "pack") {
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(path.with_extension("idx")).unwrap();
            std::fs::remove_file(&path).unwrap();
            repo.feed(&["unpack-objects", "-q"], &bytes);
        }
    }
    let name = commits[3].to_string();
    let (folder, file) = name.split_at(2);
    std::fs::remove_file(repo.path().join("objects").join(folder).join(file)).unwrap();
    let snapshot = snapshot_of(&repo);
    let table = CommitTable::new(HashKind::Sha1);
    let asked = request(&commits, &[]);
    let outcome = enumerate_within(&*snapshot, &table, &asked, &Watch::new(), WHOLE);
    assert!(
        matches!(outcome, Err(GraphError::Source(SourceError::Missing(id))) if id == commits[3])
    );
}
