//! Single rules of an enumeration, each on a repository made for it.

use std::collections::BTreeSet;

use super::enumerate::{PARALLEL, SMALL, WHOLE, request, run, set};
use super::memory::MemorySource;
use super::repo::{TestRepo, line, random_history};
use crate::graph::enumerate::enumerate_within;
use crate::graph::{CommitTable, GraphError, WalkRequest, enumerate, name_hash};
use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;
use crate::source::{ObjectSource as _, SourceError};
use crate::watch::Watch;

/// Two commits; the second changes one file of one directory.
fn two_commits() -> TestRepo {
    let repo = TestRepo::new(HashKind::Sha1);
    let head = |n: usize| format!("commit refs/heads/main\ncommitter C <c@x> {n} +0000\ndata 0\n");
    let file =
        |path: &str, text: &str| format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len());
    let mut stream = head(1000);
    for dir in 0..20 {
        stream += &file(&format!("dir{dir}/file"), &format!("text {dir}"));
    }
    stream += &file("dir3/sub/other name", "one");
    stream += &head(2000);
    stream += &file("dir3/sub/other name", "two");
    repo.feed(&["fast-import", "--quiet"], stream.as_bytes());
    repo
}

fn asked(source: &MemorySource, request: &WalkRequest) -> Result<usize, GraphError> {
    let table = CommitTable::new(source.hash_kind());
    enumerate(source, &table, request, &Watch::new()).map(|found| found.objects.len())
}

#[test]
fn a_small_change_sends_its_path_and_offers_its_bases() {
    let repo = two_commits();
    let source = repo.source();
    let asked = WalkRequest { thin: true, ..request(&[repo.id("main")], &[repo.id("main~1")]) };
    for (limits, everything) in [(SMALL, false), (WHOLE, true)] {
        let found = run(&source, &asked, limits);
        let names =
            ["main", "main^{tree}", "main:dir3", "main:dir3/sub", "main:dir3/sub/other name"];
        let expected: BTreeSet<_> = names.iter().map(|name| repo.id(name)).collect();
        assert_eq!(set(&source, &found), expected);
        let blob = found.objects.iter().find(|found| found.kind == ObjectKind::Blob).unwrap();
        assert_eq!(blob.name_hash, name_hash(b"dir3/sub/other name"));
        let trees: Vec<_> = found
            .objects
            .iter()
            .filter(|f| f.kind == ObjectKind::Tree)
            .map(|f| f.name_hash)
            .collect();
        assert_eq!(trees, [0, name_hash(b"dir3"), name_hash(b"dir3/sub")]);
        let bases: BTreeSet<_> =
            found.preferred_bases.iter().map(|base| source.id(base.number)).collect();
        for name in
            ["main~1^{tree}", "main~1:dir3", "main~1:dir3/sub", "main~1:dir3/sub/other name"]
        {
            assert!(bases.contains(&repo.id(name)), "{name}");
        }
        // the small way opened no directory that did not change
        let elsewhere = source.number(&repo.id("main:dir7/file"));
        assert_eq!(found.client_has.contains(&source, elsewhere), everything);
        assert!(found.client_has.contains(&source, source.number(&repo.id("main~1"))));
    }
}

#[test]
fn kinds_come_in_order_and_commits_newest_first() {
    let repo = random_history(HashKind::Sha1, 51, 40);
    repo.git(&["tag", "-a", "-m", "x", "annotated", "c30"]);
    let source = repo.source();
    let found = run(&source, &request(&[repo.id("annotated"), repo.id("c39")], &[]), SMALL);
    let kinds: Vec<_> = found.objects.iter().map(|found| found.kind).collect();
    let commits = kinds.iter().take_while(|kind| **kind == ObjectKind::Commit).count();
    assert_eq!(kinds[commits], ObjectKind::Tag);
    let rest = &kinds[commits + 1..];
    assert!(rest.iter().all(|kind| matches!(kind, ObjectKind::Tree | ObjectKind::Blob)));
    let times = repo.git(&["log", "--format=%H", "annotated", "c39"]);
    let ours: Vec<_> = found.objects[..commits].iter().map(|f| source.id(f.number)).collect();
    let git: Vec<_> = times.lines().map(|id| ObjectId::from_hex(id.as_bytes()).unwrap()).collect();
    assert_eq!(ours, git);
}

#[test]
fn tags_go_along_with_what_they_tag() {
    let repo = line(10);
    repo.git(&["tag", "-a", "-m", "x", "new", "main"]);
    repo.git(&["tag", "-a", "-m", "x", "nested", "new"]);
    repo.git(&["tag", "-a", "-m", "x", "old", "main~8"]);
    repo.git(&["tag", "-a", "-m", "x", "of-tree", "main^{tree}"]);
    let source = repo.source();
    let tags = ["new", "nested", "old", "of-tree"]
        .map(|name| (repo.id(name), repo.id(&format!("{name}^{{}}"))));
    let asked =
        WalkRequest { tags: tags.to_vec(), ..request(&[repo.id("main")], &[repo.id("main~5")]) };
    let ours = set(&source, &run(&source, &asked, SMALL));
    let lines = format!("{}\n^{}\n", repo.id("main"), repo.id("main~5"));
    assert_eq!(ours, repo.packed(&["--include-tag"], &lines));
    assert!(ours.contains(&repo.id("nested")) && !ours.contains(&repo.id("old")));
    // and are not sent to a client that has them
    let asked = WalkRequest {
        tags: tags.to_vec(),
        ..request(&[repo.id("nested"), repo.id("main")], &[repo.id("nested")])
    };
    assert!(run(&source, &asked, SMALL).objects.is_empty());
}

#[test]
fn what_is_missing_is_named_unless_the_client_has_it() {
    let repo = line(30);
    let (want, have) = (repo.id("main"), repo.id("main~10"));
    for lost in ["main~3", "main~3^{tree}", "main", "main~12", "main~10^{tree}"] {
        let mut source = repo.source();
        let id = repo.id(lost);
        source.remove(&id);
        let with = asked(&source, &request(&[want], &[have]));
        let without = asked(&source, &request(&[want], &[]));
        let names_it = |result: &Result<usize, GraphError>| matches!(result, Err(GraphError::Source(SourceError::Missing(named))) if *named == id);
        assert!(names_it(&without), "{lost}: {without:?}");
        match lost {
            "main~12" | "main~10^{tree}" => assert!(with.is_ok(), "{lost}: {with:?}"),
            _ => assert!(names_it(&with), "{lost}: {with:?}"),
        }
    }
    let source = repo.source();
    let null = ObjectId::null(HashKind::Sha1);
    assert!(asked(&source, &request(&[want], &[null])).is_ok());
    assert!(asked(&source, &request(&[null], &[])).is_err());
}

#[test]
fn a_commit_that_was_lost_is_not_taken_from_the_table() {
    let repo = line(30);
    let mut source = repo.source();
    let table = CommitTable::new(HashKind::Sha1);
    let asked = request(&[repo.id("main")], &[]);
    enumerate(&source, &table, &asked, &Watch::new()).unwrap();
    source.remove(&repo.id("main~3"));
    let again = enumerate(&source, &table, &asked, &Watch::new());
    assert!(matches!(again, Err(GraphError::Source(SourceError::Missing(_)))));
    let known = crate::graph::check_connected(
        &source,
        &table,
        &[repo.id("main")],
        &[repo.id("main~9")],
        &crate::hash::IdSet::default(),
        &Watch::new(),
    );
    assert_eq!(known.unwrap(), Some(repo.id("main~3")));
}

#[test]
fn a_second_request_is_exact_where_clocks_lie() {
    // the first walk learns all corrected dates
    let repo = random_history(HashKind::Sha1, 52, 200);
    let source = repo.source();
    let table = CommitTable::new(HashKind::Sha1);
    let all = repo.commits();
    enumerate(&source, &table, &request(&all, &[]), &Watch::new()).unwrap();
    for (want, have) in [(150, 199), (199, 150), (120, 121), (60, 180), (199, 10)] {
        let asked = request(&[all[want]], &[all[have]]);
        let found = enumerate_within(&source, &table, &asked, &Watch::new(), PARALLEL).unwrap();
        let ours = found.objects.iter().filter(|f| f.kind == ObjectKind::Commit).count();
        // git's own A..B is inexact where clocks lie: two whole histories are not
        let [wanted, had] = [want, have].map(|n| repo.rev_list(&[], &all[n].to_hex()));
        let is =
            |id: &&ObjectId| source.objects[source.number(id) as usize].1 == ObjectKind::Commit;
        assert_eq!(ours, wanted.difference(&had).filter(is).count(), "c{have}..c{want}");
    }
}

#[test]
fn work_stops_when_it_is_cancelled() {
    let repo = line(1000);
    let source = repo.source();
    let watch = Watch::new();
    watch.cancel();
    let table = CommitTable::new(HashKind::Sha1);
    let result = enumerate(&source, &table, &request(&[repo.id("main")], &[]), &watch);
    assert!(matches!(result, Err(GraphError::Source(SourceError::Cancelled))));
}

#[test]
fn trees_as_deep_as_anybody_likes_are_walked() {
    let repo = TestRepo::new(HashKind::Sha1);
    let path = "d/".repeat(1500);
    let stream = format!(
        "commit refs/heads/main\ncommitter C <c@x> 1 +0000\ndata 0\n\
         M 100644 inline {path}f\ndata 1\nx\n"
    );
    repo.feed(&["fast-import", "--quiet"], stream.as_bytes());
    let source = repo.source();
    for limits in [SMALL, PARALLEL] {
        let found = run(&source, &request(&[repo.id("main")], &[]), limits);
        assert_eq!(found.objects.len(), 1 + 1501 + 1);
        let blob = found.objects.last().unwrap();
        assert_eq!(blob.name_hash, name_hash(format!("{path}f").as_bytes()));
    }
}

#[test]
fn what_requests_remember_of_trees_changes_no_answer() {
    let repo = random_history(HashKind::Sha1, 53, 120);
    let source = repo.source();
    let ids: Vec<_> = (0..120).map(|nth| repo.id(&format!("c{nth}"))).collect();
    let (remembering, forgetful) =
        (CommitTable::new(HashKind::Sha1), CommitTable::new(HashKind::Sha1));
    let told = |found: &crate::graph::Enumeration| {
        let list = |all: &[crate::graph::Found]| -> Vec<_> {
            all.iter().map(|found| (found.number, found.name_hash, found.kind)).collect()
        };
        (list(&found.objects), list(&found.preferred_bases))
    };
    // forth and back, so that trees follow each other in other orders than before
    for nth in (20..120).chain((20..120).rev()) {
        let haves = [ids[nth - 7], ids[nth - 20], ids[(nth * 31) % 20]];
        let asked = WalkRequest { thin: true, ..request(&[ids[nth], ids[nth / 2]], &haves) };
        forgetful.differences().clear();
        let [found, anew] = [&remembering, &forgetful]
            .map(|table| enumerate_within(&source, table, &asked, &Watch::new(), SMALL).unwrap());
        assert_eq!(told(&found), told(&anew), "c{nth}");
    }
}
