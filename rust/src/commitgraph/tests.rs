//! Commit-graph files written by real git, against the commits themselves.

use std::path::PathBuf;

use super::CommitGraphs;
use crate::hash::{HashKind, ObjectId};
use crate::object::Commit;
use crate::store::testing::TestRepo;

const KINDS: [HashKind; 2] = [HashKind::Sha1, HashKind::Sha256];

fn open(repo: &TestRepo) -> (CommitGraphs, Vec<String>) {
    let mut warnings = Vec::new();
    let graphs = CommitGraphs::open(&[repo.objects_dir()], repo.hash, &mut warnings);
    (graphs, warnings)
}

/// Lines of development of one, two and four parents, with clocks that lie by hours and decades.
fn history(hash: HashKind) -> TestRepo {
    let repo = TestRepo::new(hash);
    let mut stream = String::new();
    for nth in 0..120u64 {
        let time = match nth % 30 {
            7 => 1_600_000_000 - nth * 1000,
            // its children are later by more than 31 bits
            11 => 4_200_000_000,
            _ => 1_600_000_000 + nth * 60,
        };
        stream += &format!("commit refs/heads/b{}\nmark :{}\n", nth % 5, nth + 1);
        stream += &format!("committer C <c@example.com> {time} +0000\ndata 1\nx");
        if nth >= 5 {
            stream += &format!("from :{}\n", nth - 4);
        }
        if nth >= 20 && nth % 3 == 0 {
            stream += &format!("merge :{}\n", nth - 1);
        }
        if nth >= 20 && nth % 9 == 0 {
            stream += &format!("merge :{}\nmerge :{}\n", nth - 7, nth - 8);
        }
        stream += &format!("M 100644 inline f{}\ndata 3\n{nth:03}\n", nth % 7);
    }
    repo.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    repo
}

fn commits(repo: &TestRepo) -> Vec<(ObjectId, Commit)> {
    let all = repo.all_objects().into_iter();
    all.filter_map(|(id, kind, content)| match kind {
        crate::object::ObjectKind::Commit => Some((id, Commit::parse(&content).unwrap())),
        _ => None,
    })
    .collect()
}

fn check(repo: &TestRepo, at_least: usize, corrected: bool) {
    let (graphs, warnings) = open(repo);
    assert!(warnings.is_empty(), "{warnings:?}");
    let commits = commits(repo);
    let mut found = 0;
    for (id, commit) in &commits {
        let Some(known) = graphs.find(id) else { continue };
        found += 1;
        assert_eq!(known.tree, commit.tree);
        assert_eq!(known.parents, commit.parents);
        assert_eq!(known.time, commit.time);
        assert_eq!(known.corrected.is_some(), corrected);
        let Some(date) = known.corrected else { continue };
        let above = commit.parents.iter().map(|p| graphs.find(p).unwrap().corrected.unwrap() + 1);
        assert_eq!(date, above.chain([commit.time]).max().unwrap());
    }
    assert!(found >= at_least, "{found} of {}", commits.len());
    assert_eq!(graphs.find(&repo.id("b0^{tree}")), None);
}

#[test]
fn single_files_say_what_commits_say() {
    for hash in KINDS {
        let repo = history(hash);
        repo.git(&["commit-graph", "write", "--reachable"]);
        check(&repo, 120, true);
        repo.git(&[
            "-c",
            "commitGraph.generationVersion=1",
            "commit-graph",
            "write",
            "--reachable",
        ]);
        check(&repo, 120, false);
    }
}

/// With clocks that are off by more than 32 bits git writes dates that are no later than the
/// parents'.
#[test]
fn dates_that_do_not_hold_are_left_out() {
    let repo = TestRepo::new(HashKind::Sha1);
    let mut stream = String::new();
    for time in [9_000_000_000u64, 1_600_000_000, 1_600_000_001] {
        stream += &format!("commit refs/heads/b0\ncommitter C <c@x> {time} +0000\ndata 1\nx\n");
    }
    repo.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    repo.git(&["commit-graph", "write", "--reachable"]);
    let known = open(&repo).0.find(&repo.id("b0")).unwrap();
    assert!(known.corrected.is_none_or(|date| date > 9_000_000_000));
    assert_eq!(known.parents, [repo.id("b0^")]);
}

#[test]
fn chains_say_what_commits_say() {
    for hash in KINDS {
        let repo = history(hash);
        let write = ["commit-graph", "write", "--stdin-commits", "--split=no-merge"];
        for (nth, tip) in ["b0~9", "b1~4", "b0", "b4"].into_iter().enumerate() {
            repo.git_with(&write, format!("{}\n", repo.id(tip)).as_bytes());
            check(&repo, 20 + nth, true);
        }
        let chain = repo.objects_dir().join("info/commit-graphs/commit-graph-chain");
        assert!(std::fs::read_to_string(&chain).unwrap().lines().count() >= 3);
        // a file of the chain is gone: none of it is used
        let lowest = std::fs::read_to_string(&chain).unwrap().lines().next().unwrap().to_owned();
        std::fs::remove_file(chain.with_file_name(format!("graph-{lowest}.graph"))).unwrap();
        let (graphs, warnings) = open(&repo);
        assert!(graphs.is_empty());
        assert!(warnings[0].contains("not there; commit-graph ignored"), "{warnings:?}");
    }
}

#[test]
fn a_chain_goes_on_that_of_an_alternate() {
    let lender = history(HashKind::Sha1);
    let write = ["commit-graph", "write", "--reachable", "--split=no-merge"];
    lender.git(&write);
    let repo = TestRepo::new(HashKind::Sha1);
    let line = format!("{}\n", lender.objects_dir().display());
    std::fs::write(repo.objects_dir().join("info/alternates"), line).unwrap();
    repo.git(&["update-ref", "refs/heads/b4", &lender.id("b4").to_string()]);
    let new = repo.git(&["commit-tree", "-p", "b4", "-m", "new", "b4^{tree}"]);
    repo.git(&["update-ref", "refs/heads/new", &new]);
    repo.git(&write);
    let folders: Vec<PathBuf> = vec![repo.objects_dir(), lender.objects_dir()];
    let mut warnings = Vec::new();
    let graphs = CommitGraphs::open(&folders, HashKind::Sha1, &mut warnings);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(graphs.find(&repo.id("new")).unwrap().parents, [lender.id("b4")]);
    assert!(graphs.find(&lender.id("b0")).is_some());
}

#[test]
fn damaged_and_foreign_files_are_left_out() {
    let repo = history(HashKind::Sha1);
    repo.git(&["commit-graph", "write", "--reachable"]);
    let path = repo.objects_dir().join("info/commit-graph");
    let good = std::fs::read(&path).unwrap();
    let replace = |bytes: &[u8]| {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    };
    for at in (0..good.len()).step_by(97).chain([4, 5, 6, 7, good.len() - 1]) {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        replace(&bad);
        let (graphs, warnings) = open(&repo);
        assert!(graphs.is_empty() && warnings.len() == 1, "byte {at}: {warnings:?}");
    }
    for len in [0, 7, 8, 30, good.len() / 2, good.len() - 1] {
        replace(&good[..len]);
        let (graphs, warnings) = open(&repo);
        assert!(graphs.is_empty() && warnings.len() == 1, "{len}: {warnings:?}");
    }
    // whole, and about something else
    let other = history(HashKind::Sha256);
    other.git(&["commit-graph", "write", "--reachable"]);
    replace(&std::fs::read(other.objects_dir().join("info/commit-graph")).unwrap());
    let (graphs, warnings) = open(&repo);
    assert!(graphs.is_empty());
    assert!(warnings[0].contains("another object format"), "{warnings:?}");
}

/// Sound checksums around nonsense: nothing may be read beyond the chunks.
#[test]
fn nonsense_in_the_rows_leads_nowhere() {
    let repo = history(HashKind::Sha1);
    repo.git(&["commit-graph", "write", "--reachable"]);
    let path = repo.objects_dir().join("info/commit-graph");
    let good = std::fs::read(&path).unwrap();
    let ids: Vec<ObjectId> = commits(&repo).into_iter().map(|(id, _)| id).collect();
    let mut dice = 12345u32;
    for _ in 0..400 {
        let mut bad = good.clone();
        for _ in 0..20 {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = dice as usize % (bad.len() - 20);
            bad[at] = (dice >> 9) as u8;
        }
        let end = bad.len() - 20;
        let mut hasher = crate::hash::Hasher::new(HashKind::Sha1);
        hasher.update(&bad[..end]);
        bad[end..].copy_from_slice(hasher.finish().as_bytes());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &bad).unwrap();
        let (graphs, _) = open(&repo);
        for id in &ids {
            drop(graphs.find(id));
        }
    }
}
