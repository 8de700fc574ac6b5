//! Against what git writes of the same history.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::{Least, Options, Place, Report, maintain};
use super::*;
use crate::graph::Shallow;
use crate::hash::{HashKind, ObjectId};
use crate::refs::RefStore;
use crate::sharing::Sharing;
use crate::store::testing::TestRepo;
use proptest::prelude::*;

const KINDS: [HashKind; 2] = [HashKind::Sha1, HashKind::Sha256];

fn place(repo: &TestRepo) -> Place {
    Place {
        common_dir: repo.path().to_owned(),
        objects_dir: repo.objects_dir(),
        hash: repo.hash,
        refs: Arc::new(RefStore::open(repo.path(), None, repo.hash)),
        shallow: Shallow::default(),
        sharing: Sharing::Umask,
    }
}

fn run(repo: &TestRepo, graph: GraphOptions) -> Report {
    let options = Options { graph: Some(graph), pack_refs: false, ..Options::default() };
    let report = maintain(&place(repo), &options, &Watch::new()).unwrap();
    assert_eq!(report.warnings, [""; 0]);
    report
}

fn with_version(version: FilterVersion) -> GraphOptions {
    let filters = FilterOptions { version: Some(version), ..FilterOptions::default() };
    GraphOptions { dates: true, filters: Some(filters) }
}

fn file(repo: &TestRepo) -> PathBuf {
    repo.objects_dir().join("info/commit-graph")
}

/// Ours and git's are the same to the byte.
fn same_as_gits(repo: &TestRepo) {
    let write = ["commit-graph", "write", "--reachable", "--changed-paths"];
    for (graph, git) in [
        (GraphOptions::default(), &write[..]),
        (GraphOptions { filters: None, ..GraphOptions::default() }, &write[..3]),
    ] {
        let _ = fs::remove_file(file(repo));
        let report = run(repo, graph);
        assert!(report.graphed > 0);
        repo.git(&["commit-graph", "verify"]);
        let ours = fs::read(file(repo)).unwrap();
        assert_eq!(run(repo, graph).graphed, 0, "it is there");
        fs::remove_file(file(repo)).unwrap();
        repo.git(git);
        assert!(ours == fs::read(file(repo)).unwrap(), "{graph:?}");
    }
}

/// Lines of development of one, two and more parents, with clocks that lie by hours and decades.
fn history(hash: HashKind) -> TestRepo {
    let repo = TestRepo::new(hash);
    let mut stream = String::new();
    for nth in 0..120u64 {
        let time = match nth % 30 {
            7 => 1_600_000_000 - nth * 1000,
            8 if nth > 90 => 5,
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
        stream += &format!("M 100644 inline d/e{}/f{}\ndata 3\n{nth:03}\n", nth % 3, nth % 7);
    }
    stream += "tag v1\nfrom refs/heads/b3\ntagger T <t@x> 1 +0000\ndata 1\nt\n";
    repo.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    repo
}

#[test]
fn generations_and_parents_are_gits() {
    KINDS.into_iter().for_each(|hash| same_as_gits(&history(hash)));
}

/// A commit after the other, of what `fast-import` calls changes.
fn changes(hash: HashKind, commits: &[String]) -> TestRepo {
    let repo = TestRepo::new(hash);
    let mut stream = String::new();
    for (nth, changes) in commits.iter().enumerate() {
        let time = 1_600_000_000 + nth;
        stream += &format!("commit refs/heads/main\ncommitter C <c@x> {time} +0000\ndata 1\nx\n");
        stream += changes;
        stream += "\n";
    }
    repo.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    repo
}

fn set(path: &str, content: usize) -> String {
    let content = content.to_string();
    format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len())
}

#[test]
fn filters_are_gits() {
    let many = |count: usize| (0..count).map(|nth| set(&format!("many/{nth}"), nth)).collect();
    for hash in KINDS {
        let module = "1".repeat(hash.hex_len());
        let repo = changes(
            hash,
            &[
                set("a", 1) + &set("dir/sub/file", 1),
                String::new(),
                "D a\n".to_owned() + &set("a/now/a/folder", 2),
                "D a\n".to_owned() + &set("a", 3) + &set("a-b", 3) + &set("a.b", 3),
                set("caf\u{e9}/\u{fc}ber", 1),
                "M 100755 inline dir/sub/file\ndata 1\n1\n".to_owned(),
                format!("M 160000 {module} module\n"),
                many(511),
                many(513) + "D dir\n" + &set("much", 1),
                "D many\n".to_owned(),
                set("deep/".repeat(60).as_str().trim_end_matches('/'), 1),
            ],
        );
        same_as_gits(&repo);
        // and they are of use
        run(&repo, GraphOptions::default());
        for path in ["a", "a/now", "dir/sub/file", "caf\u{e9}", "many/7", "deep/deep", "none"] {
            let log = ["log", "--format=%H", "main", "--", path];
            let found = repo.git(&log);
            let without = [&["-c", "core.commitGraph=false"], &log[..]].concat();
            assert_eq!(found, repo.git(&without), "{path}");
        }
    }
}

#[test]
fn the_other_version_tells_nothing_wrong() {
    let repo = changes(HashKind::Sha1, &[set("caf\u{e9}", 1), set("b", 1), set("caf\u{e9}", 2)]);
    run(&repo, with_version(FilterVersion::Two));
    let first = fs::read(file(&repo)).unwrap();
    let found = || repo.git(&["rev-list", "--count", "main", "--", "caf\u{e9}"]);
    assert_eq!(found(), "2");
    repo.git(&["commit-graph", "verify"]);
    // the version that is there stays, until another is asked for
    run(&repo, GraphOptions::default());
    assert!(fs::read(file(&repo)).unwrap() == first);
    run(&repo, with_version(FilterVersion::One));
    assert!(fs::read(file(&repo)).unwrap() != first);
    assert_eq!(found(), "2");
}

#[test]
fn few_filters_at_a_time_and_all_in_the_end() {
    let repo = history(HashKind::Sha1);
    let filters = FilterOptions { most_new: Some(50), ..FilterOptions::default() };
    let graph = GraphOptions { dates: true, filters: Some(filters) };
    assert!((0..3).all(|_| run(&repo, graph).graphed == 120));
    assert_eq!(run(&repo, graph).graphed, 0);
    let ours = fs::read(file(&repo)).unwrap();
    fs::remove_file(file(&repo)).unwrap();
    repo.git(&["commit-graph", "write", "--reachable", "--changed-paths"]);
    assert!(ours == fs::read(file(&repo)).unwrap());
}

#[test]
fn a_chain_gives_way_and_its_filters_stay() {
    let repo = history(HashKind::Sha1);
    for tip in ["b0~9", "b1~4", "b0", "b4"] {
        let write =
            ["commit-graph", "write", "--stdin-commits", "--split=no-merge", "--changed-paths"];
        repo.git_with(&write, format!("{}\n", repo.id(tip)).as_bytes());
    }
    let filters = FilterOptions { most_new: Some(0), ..FilterOptions::default() };
    let graph = GraphOptions { dates: true, filters: Some(filters) };
    let chain = repo.objects_dir().join("info/commit-graphs");
    let files = || fs::read_dir(&chain).unwrap().count();
    // git is about to replace it
    let (lock, before) = (chain.join("commit-graph-chain.lock"), files());
    fs::write(&lock, "").unwrap();
    run(&repo, graph);
    assert_eq!(files(), before + 1);
    fs::remove_file(&lock).unwrap();
    run(&repo, graph);
    assert_eq!(files(), 0);
    repo.git(&["commit-graph", "verify"]);
    let mut warnings = Vec::new();
    let graphs = CommitGraphs::open(&[repo.objects_dir()], repo.hash, &mut warnings);
    assert!(graphs.filter(&repo.id("b4")).is_some(), "{warnings:?}");
}

#[test]
fn behind_pushes_only_when_much_is_new() {
    let repo = history(HashKind::Sha1);
    let few =
        Options { least: Least { packs: 1, loose: 1 }, pack_refs: false, ..Options::default() };
    let commit = |tip: &str| {
        let id = repo.git(&["commit-tree", "-p", tip, "-m", tip, "b0^{tree}"]);
        repo.git(&["update-ref", "refs/heads/b0", &id]);
    };
    let roll_up = || {
        let report = maintain(&place(&repo), &few, &Watch::new()).unwrap();
        (report.packed > 0, report.graphed)
    };
    commit("b0");
    assert_eq!(roll_up(), (true, 0), "the first is for those who ask");
    assert!(!file(&repo).exists());
    run(&repo, GraphOptions::default());
    commit("b0");
    assert_eq!(roll_up(), (true, 0));
    (0..5).for_each(|_| commit("b0"));
    assert_eq!(roll_up(), (true, 127));
    repo.git(&["commit-graph", "verify"]);
    repo.git_with(&["hash-object", "-w", "--stdin"], b"no commit");
    assert_eq!(roll_up(), (true, 0));
}

#[test]
fn behind_pushes_filters_are_made_where_there_are_some() {
    let asked = FilterOptions { is_asked_for: true, ..FilterOptions::default() };
    let plain = FilterOptions::default();
    for (there, wanted, made) in [(None, plain, 0), (None, asked, 20), (Some(plain), plain, 140)] {
        let repo = history(HashKind::Sha1);
        run(&repo, GraphOptions { dates: true, filters: there });
        for nth in 0..20 {
            let id = repo.git(&["commit-tree", "-p", "b0", "-m", &nth.to_string(), "b0^{tree}"]);
            repo.git(&["update-ref", "refs/heads/b0", &id]);
        }
        let graph = Some(GraphOptions { dates: true, filters: Some(wanted) });
        let least = Least { packs: 1, loose: 1 };
        let options = Options { least, graph, pack_refs: false, ..Options::default() };
        assert_eq!(maintain(&place(&repo), &options, &Watch::new()).unwrap().graphed, 140);
        let graphs = CommitGraphs::open(&[repo.objects_dir()], repo.hash, &mut Vec::new());
        let listed = repo.git(&["rev-list", "--all"]);
        let ids = listed.lines().map(|line| ObjectId::from_hex(line.as_bytes()).unwrap());
        let count = ids.filter(|id| graphs.filter(id).is_some_and(|it| !it.is_empty())).count();
        assert_eq!(count, made, "{there:?} {wanted:?}");
        repo.git(&["commit-graph", "verify"]);
    }
}

#[test]
fn each_part_of_the_work_is_told_once() {
    let repo = history(HashKind::Sha1);
    let told = |watch: &Watch| {
        let parts = watch.take().into_iter();
        let mine = parts.filter(|part| matches!(part.phase, Phase::Graphing | Phase::Filtering));
        mine.map(|part| (part.phase, part.done, part.finished)).collect::<Vec<_>>()
    };
    let watch = Watch::new();
    let all = maintain(&place(&repo), &Options::default(), &watch).unwrap().graphed as u64;
    assert_eq!(told(&watch), [(Phase::Graphing, all, true), (Phase::Filtering, all, true)]);
    maintain(&place(&repo), &Options::default(), &watch).unwrap();
    assert_eq!(told(&watch), [(Phase::Graphing, all, true)]);
}

#[test]
fn without_corrected_dates() {
    let repo = history(HashKind::Sha1);
    run(&repo, GraphOptions { dates: false, filters: None });
    let ours = fs::read(file(&repo)).unwrap();
    fs::remove_file(file(&repo)).unwrap();
    repo.git(&["-c", "commitGraph.generationVersion=1", "commit-graph", "write", "--reachable"]);
    assert!(ours == fs::read(file(&repo)).unwrap());
}

#[test]
fn not_where_commits_are_not_what_they_say() {
    let replaced = history(HashKind::Sha1);
    replaced.git(&["replace", "b0", "b1"]);
    let grafted = history(HashKind::Sha1);
    fs::write(grafted.path().join("info/grafts"), format!("{}\n", grafted.id("b0"))).unwrap();
    let late = TestRepo::new(HashKind::Sha1);
    let stream = "commit refs/heads/b0\ncommitter C <c@x> 90000000000 +0000\ndata 1\nx\n";
    late.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    for repo in [&replaced, &grafted, &TestRepo::new(HashKind::Sha1)] {
        assert_eq!(run(repo, GraphOptions::default()).graphed, 0);
        assert!(!file(repo).exists());
    }
    let report = maintain(&place(&late), &Options::default(), &Watch::new()).unwrap();
    let told = format!("no commit-graph written: commit {} is dated after", late.id("b0"));
    assert!(report.warnings[0].starts_with(&told), "{:?}", report.warnings);
    assert!(!file(&late).exists());
    let shallow = history(HashKind::Sha1);
    let mut place = place(&shallow);
    let tip: ObjectId = shallow.id("b0");
    place.shallow.server.insert(tip);
    assert_eq!(maintain(&place, &Options::default(), &Watch::new()).unwrap().graphed, 0);
}

#[test]
fn who_writes_it_already_is_let_be() {
    let repo = history(HashKind::Sha1);
    let lock = repo.objects_dir().join("info/commit-graph.lock");
    fs::write(&lock, "").unwrap();
    let report = maintain(&place(&repo), &Options::default(), &Watch::new()).unwrap();
    assert!(report.warnings[0].contains("commit-graph.lock"), "{:?}", report.warnings);
    assert!(!file(&repo).exists() && lock.exists());
    // git may be at it for long, and holds nothing
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(600);
    fs::File::open(&lock).unwrap().set_modified(long_ago).unwrap();
    maintain(&place(&repo), &Options::default(), &Watch::new()).unwrap();
    assert!(!file(&repo).exists() && lock.exists());
    fs::remove_file(&lock).unwrap();
    assert_eq!(run(&repo, GraphOptions::default()).graphed, 120);
    assert!(!lock.exists());
}

#[test]
fn a_folder_put_into_itself_many_times_over_is_not_walked() {
    let repo = TestRepo::new(HashKind::Sha1);
    let tree = |entries: String| {
        String::from_utf8(repo.git_with(&["mktree"], entries.as_bytes())).unwrap().trim().to_owned()
    };
    // 10 to the 40 empty folders
    let mut id = tree(String::new());
    for _ in 0..40 {
        id = tree((0..10).map(|nth| format!("040000 tree {id}\t{nth}\n")).collect());
    }
    let commit = repo.git(&["commit-tree", "-m", "x", &id]);
    repo.git(&["update-ref", "refs/heads/main", &commit]);
    assert_eq!(run(&repo, GraphOptions::default()).graphed, 1);
    let graphs = CommitGraphs::open(&[repo.objects_dir()], repo.hash, &mut vec![]);
    assert_eq!(graphs.filter(&repo.id("main")).as_deref(), Some(&[0xff][..]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_written_as_git_writes_it(
        commits in proptest::collection::vec(
            (
                proptest::collection::vec((0usize..4, 0usize..4, any::<bool>()), 0..6),
                proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
                0u64..3_000_000_000,
            ),
            1..25,
        ),
    ) {
        let repo = TestRepo::new(HashKind::Sha1);
        let mut stream = String::new();
        for (nth, (files, parents, time)) in commits.iter().enumerate() {
            stream += &format!("reset refs/heads/b{nth}\ncommit refs/heads/b{nth}\n");
            stream += &format!("mark :{}\ncommitter C <c@x> {time} +0000\ndata 1\nx", nth + 1);
            let mut before: Vec<usize> = parents.iter().map(|at| at.index(nth.max(1))).collect();
            before.sort_unstable();
            before.dedup();
            for (at, parent) in before.iter().filter(|&&parent| parent < nth).enumerate() {
                let word = if at == 0 { "from" } else { "merge" };
                stream += &format!("{word} :{}\n", parent + 1);
            }
            for (one, two, deleted) in files {
                let path = ["x", "x/y", "x.y", "\u{e4}/\u{f6}"][*one].to_owned();
                let path = if *two == 0 { path } else { format!("{path}/{two}") };
                stream += &if *deleted { format!("D {path}\n") } else { set(&path, nth) };
            }
            stream += "\n";
        }
        repo.git_with(&["fast-import", "--quiet"], stream.as_bytes());
        same_as_gits(&repo);
    }
}
