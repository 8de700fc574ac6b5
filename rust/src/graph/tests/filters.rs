//! Filters against `git rev-list --filter`.

use super::enumerate::{PARALLEL, SMALL, WHOLE, request, run, set};
use super::repo::{Dice, TestRepo, hex, random_history};
use crate::graph::enumerate::enumerate_within;
use crate::graph::{CommitTable, Filter};
use crate::hash::{HashKind, ObjectId};
use crate::source::ObjectSource as _;
use crate::watch::Watch;

const SPECS: [&str; 13] = [
    "blob:none",
    "blob:limit=0",
    "blob:limit=11",
    "tree:0",
    "tree:1",
    "tree:2",
    "tree:3",
    "object:type=commit",
    "object:type=tree",
    "object:type=blob",
    "object:type=tag",
    "combine:tree:3+blob:limit=11",
    "combine:tree:2+object:type=blob",
];

fn check(repo: &TestRepo, wants: &[ObjectId]) {
    let source = repo.source();
    for spec in SPECS {
        // of a combination git forgets trees that come again nearer to the root: as documented,
        // it lets through what each of its parts lets through
        let parts = spec.trim_start_matches("combine:").split('+');
        let git = parts
            .map(|part| repo.rev_list(&[&format!("--filter={part}")], &hex(wants)))
            .reduce(|all, part| &all & &part)
            .unwrap();
        let filter = Filter::parse(spec.as_bytes()).unwrap();
        let asked = crate::graph::WalkRequest { filter, ..request(wants, &[]) };
        for limits in [SMALL, WHOLE, PARALLEL] {
            let ours = set(&source, &run(&source, &asked, limits));
            let more: Vec<_> = ours.difference(&git).collect();
            let less: Vec<_> = git.difference(&ours).collect();
            assert!(more.is_empty() && less.is_empty(), "{spec} {wants:?}: +{more:?} -{less:?}");
        }
    }
}

#[test]
fn filters_leave_out_what_git_leaves_out() {
    let repo = random_history(HashKind::Sha1, 5, 60);
    let mut dice = Dice(9);
    for _ in 0..3 {
        let wants: Vec<_> = (0..2).map(|_| repo.id(&format!("c{}", dice.roll(60)))).collect();
        check(&repo, &wants);
    }
}

#[test]
fn wanted_objects_are_sent_whatever_the_filter_says() {
    let repo = random_history(HashKind::Sha1, 6, 30);
    repo.git(&["tag", "-a", "-m", "x", "of-commit", "c20"]);
    repo.git(&["tag", "-a", "-m", "x", "of-tag", "of-commit"]);
    repo.git(&["tag", "-a", "-m", "x", "of-tree", "c20^{tree}"]);
    let listing = repo.git(&["ls-tree", "-r", "c20"]);
    let blob = listing.lines().find(|line| line.contains("blob")).unwrap();
    let blob = blob.split([' ', '\t']).nth(2).unwrap().to_owned();
    repo.git(&["tag", "-a", "-m", "x", "of-blob", &blob]);
    for name in ["of-commit", "of-tag", "of-tree", "of-blob", "c20^{tree}", &blob] {
        check(&repo, &[repo.id(name)]);
        check(&repo, &[repo.id(name), repo.id("c25")]);
    }
}

#[test]
fn what_is_missing_can_be_left_out() {
    let repo = random_history(HashKind::Sha1, 7, 30);
    let wants = [repo.id("c29")];
    let listing = repo.git(&["ls-tree", "-r", "-t", "c29"]);
    let lost: Vec<String> = ["blob", "tree"]
        .iter()
        .filter_map(|kind| listing.lines().find(|line| line.contains(kind)))
        .filter_map(|line| line.split([' ', '\t']).nth(2).map(str::to_owned))
        .collect();
    let whole = set(&repo.source(), &run(&repo.source(), &request(&wants, &[]), SMALL));
    let mut source = repo.source();
    let lost: Vec<_> = lost.iter().map(|hex| ObjectId::from_hex(hex.as_bytes()).unwrap()).collect();
    for id in &lost {
        source.forget(id);
    }
    let table = CommitTable::new(source.hash_kind());
    let strict = request(&wants, &[]);
    assert!(enumerate_within(&source, &table, &strict, &Watch::new(), SMALL).is_err());
    let asked = crate::graph::WalkRequest { leave_missing: true, ..strict };
    for limits in [SMALL, WHOLE, PARALLEL] {
        let left = set(&source, &run(&source, &asked, limits));
        assert!(left.len() < whole.len() && left.is_subset(&whole));
        assert!(lost.iter().all(|id| !left.contains(id)));
    }
}
