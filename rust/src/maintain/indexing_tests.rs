//! Bitmaps over several packs, with git as the judge.

use std::fs;

use super::tests::{Repo, full};
use super::*;
use crate::source::ObjectSource as _;

fn midx(repo: &Repo) -> std::path::PathBuf {
    repo.path().join("objects/pack/multi-pack-index")
}

/// What bitmaps say is what a walk finds.
fn check_bitmaps(repo: &Repo, tips: &[&str]) {
    for tip in tips {
        repo.git(&["rev-list", "--test-bitmap", tip]);
    }
    let count = |extra: &[&str]| {
        repo.git(&[&["rev-list", "--objects", "--count", "--all"], extra].concat())
    };
    assert_eq!(count(&["--use-bitmap-index"]), count(&[]));
    if midx(repo).exists() {
        repo.git(&["multi-pack-index", "verify"]);
    }
    repo.check();
    let place = repo.place();
    let store = crate::store::Store::open(&place.objects_dir, place.hash, &[]).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(!snapshot.reachability().unwrap().commits().is_empty());
    assert_eq!(snapshot.take_warnings(), [""; 0]);
}

/// A large pack and two small ones.
fn three_packs() -> Repo {
    let repo = Repo::new();
    repo.commits("main", 1, 150);
    repo.commits("main", 151, 30);
    repo.commits("side", 1000, 5);
    repo
}

#[test]
fn several_packs_share_a_bitmap() {
    let repo = three_packs();
    let report = repo.maintain(&Options::default());
    assert_eq!(report.after.packs, 3);
    assert!(report.bitmaps > 100, "{report:?}");
    check_bitmaps(&repo, &["main", "side", "main~50"]);
    assert_eq!(repo.maintain(&Options::default()).bitmaps, 0, "they are there");
    // what comes later is added
    repo.commits("side", 1005, 1);
    repo.commits("side", 1006, 1);
    repo.git(&["branch", "new", "main~10"]);
    let report = repo.maintain(&Options::default());
    assert_eq!(report.after.packs, 4);
    assert!(report.bitmaps > 100, "{report:?}");
    check_bitmaps(&repo, &["main", "side", "main~50"]);
}

#[test]
fn it_is_the_file_that_git_writes() {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let repo = Repo::of(hash);
        repo.commits("main", 1, 20);
        repo.commits("main", 21, 4);
        repo.commits("side", 1000, 2);
        // one object is in two packs, the second of which is younger
        let twice = repo.git(&["rev-parse", "side:src/changes"]);
        repo.git_with(
            &["pack-objects", "-q", "objects/pack/pack"],
            format!("{twice} x\n").as_bytes(),
        );
        for (nth, pack) in repo.files(".pack").iter().enumerate() {
            repo.age(pack, 10 - nth as u64);
        }
        let by_size = |path: &std::path::PathBuf| fs::metadata(path).unwrap().len();
        let largest = repo.files(".idx").into_iter().max_by_key(by_size).unwrap();
        let options = Options { least: Least { packs: 9, loose: 9 }, ..Options::default() };
        let place = repo.place();
        let store = crate::store::Store::open(&place.objects_dir, place.hash, &[]).unwrap();
        let indexing = indexing::Indexing {
            place: &place,
            options: &Options { least: Options::default().least, ..options },
            watch: &Watch::new(),
            source: &store.snapshot().unwrap(),
            survey: &survey::Survey::of(&place.objects_dir, place.hash).unwrap(),
        };
        assert!(indexing.run(&[], &[], &mut Vec::new()).unwrap() > 20);
        check_bitmaps(&repo, &["main", "side"]);
        let ours = fs::read(midx(&repo)).unwrap();
        retire::remove_midx_files(midx(&repo).parent().unwrap(), None);
        fs::remove_file(midx(&repo)).unwrap();
        let preferred = format!("--preferred-pack={}", largest.file_name().unwrap().display());
        repo.git(&["multi-pack-index", "write", "--bitmap", &preferred]);
        assert!(ours == fs::read(midx(&repo)).unwrap());
    }
}

#[test]
fn a_roll_up_that_swallows_the_pack_with_the_bitmap_takes_it_over() {
    let repo = Repo::new();
    repo.commits("main", 1, 120);
    repo.maintain(&full());
    assert_eq!(repo.files(".bitmap").len(), 1);
    for push in 0..100 {
        repo.commits("main", 121 + push, 1);
    }
    let behind_pushes = Options { least: Least { packs: 2, loose: 10 }, ..Options::default() };
    let report = repo.maintain(&behind_pushes);
    assert_eq!(report.after.packs, 1);
    assert!(report.bitmaps > 100);
    assert!(!midx(&repo).exists());
    check_bitmaps(&repo, &["main", "main~130"]);
}

#[test]
fn behind_pushes_only_when_much_is_new() {
    let repo = Repo::new();
    repo.commits("main", 1, 300);
    repo.maintain(&full());
    let behind_pushes = Options { least: Least { packs: 2, loose: 10 }, ..Options::default() };
    for push in 0..4 {
        repo.commits("main", 301 + push, 1);
    }
    let report = repo.maintain(&behind_pushes);
    assert_eq!((report.after.packs, report.bitmaps), (2, 0));
    check_bitmaps(&repo, &["main~4"]);
    for push in 0..8 {
        repo.commits("main", 311 + push, 1);
    }
    let report = repo.maintain(&behind_pushes);
    assert!(report.after.packs == 2 && report.bitmaps > 100, "{report:?}");
    assert!(midx(&repo).exists());
    check_bitmaps(&repo, &["main"]);
    // the pack that it names is rolled up
    for push in 0..8 {
        repo.commits("main", 331 + push, 1);
    }
    let report = repo.maintain(&behind_pushes);
    assert!(report.after.packs == 2 && report.bitmaps > 100, "{report:?}");
    check_bitmaps(&repo, &["main"]);
    let beside = repo.files(".bitmap").len() + repo.files(".rev").len();
    assert_eq!(beside, 2 + 2, "of the large pack and of the index; a reverse index for each pack");
}

#[test]
fn behind_pushes_it_outlives_the_packs_that_are_rolled_up_next() {
    let repo = Repo::new();
    repo.commits("main", 1, 300);
    repo.maintain(&full());
    let behind_pushes = Options { least: Least { packs: 2, loose: 10 }, ..Options::default() };
    repo.commits("main", 301, 60);
    let mut next = 400;
    let mut push_twice = || {
        for _ in 0..2 {
            repo.commits("main", next, 1);
            next += 1;
        }
        repo.maintain(&behind_pushes)
    };
    let report = push_twice();
    assert!(report.after.packs == 3 && report.bitmaps > 100, "{report:?}");
    check_bitmaps(&repo, &["main~2", "main~50"]);
    let before = fs::read(midx(&repo)).unwrap();
    let report = push_twice();
    assert_eq!((report.after.packs, report.bitmaps), (3, 0), "{report:?}");
    assert!(fs::read(midx(&repo)).unwrap() == before);
    check_bitmaps(&repo, &["main~4"]);
    // who asks for it gets all
    let report = repo.maintain(&Options::default());
    assert!(report.bitmaps > 100, "{report:?}");
    check_bitmaps(&repo, &["main"]);
}

#[test]
fn a_chain_of_indexes_goes_before_its_packs() {
    let repo = Repo::new();
    repo.commits("main", 1, 2);
    repo.commits("main", 3, 2);
    repo.git(&["multi-pack-index", "write", "--incremental"]);
    repo.commits("main", 5, 2);
    repo.git(&["multi-pack-index", "write", "--incremental"]);
    let chain = repo.path().join("objects/pack/multi-pack-index.d");
    repo.maintain(&full());
    assert_eq!(fs::read_dir(chain).map_or(0, Iterator::count), 0);
    repo.check();
    assert_eq!(repo.objects().len(), 6 * 5);
}

#[test]
fn none_names_a_pack_that_is_gone_whatever_fails() {
    let repo = three_packs();
    repo.maintain(&Options::default());
    for push in 0..10 {
        repo.commits("main", 200 + push, 1);
    }
    // somebody else writes it at this time
    fs::write(midx(&repo).with_extension("lock"), "").unwrap();
    let report = repo.maintain(&Options::default());
    assert!(
        report.warnings.iter().any(|told| told.contains("multi-pack-index.lock")),
        "{report:?}"
    );
    assert!(!midx(&repo).exists());
    fs::remove_file(midx(&repo).with_extension("lock")).unwrap();
    repo.check();
    // one that cannot be read
    repo.maintain(&Options::default());
    for push in 0..9 {
        repo.commits("main", 300 + push, 1);
    }
    let _ = fs::remove_file(midx(&repo));
    fs::write(midx(&repo), "what is this").unwrap();
    repo.maintain(&Options::default());
    assert!(fs::read(midx(&repo)).map_or(true, |data| data.starts_with(b"MIDX")));
    repo.check();
}

#[test]
fn not_where_they_are_not_wanted_and_not_of_shallow_histories() {
    let repo = three_packs();
    let options = Options { write_bitmap: false, ..Options::default() };
    assert_eq!(repo.maintain(&options).bitmaps, 0);
    let shallow = Repo::new();
    shallow.git(&[
        "fetch",
        "-q",
        "--depth=9",
        &format!("file://{}", repo.path().display()),
        "main:a",
    ]);
    shallow.git(&[
        "fetch",
        "-q",
        "--depth=3",
        &format!("file://{}", repo.path().display()),
        "side:b",
    ]);
    let mut place = shallow.place();
    let text = fs::read_to_string(shallow.path().join("shallow")).unwrap();
    place
        .shallow
        .server
        .extend(text.lines().filter_map(|line| crate::hash::ObjectId::from_hex(line.as_bytes())));
    for options in [Options::default(), full()] {
        let report = maintain(&place, &options, &Watch::new()).unwrap();
        assert_eq!((report.bitmaps, report.graphed), (0, 0), "{report:?}");
        assert_eq!(report.warnings, [""; 0]);
    }
    shallow.check();
}

#[test]
fn there_are_no_bitmaps_of_half_a_pack() {
    let repo = Repo::new();
    repo.commits("main", 1, 10);
    fs::write(repo.files(".pack")[0].with_extension("keep"), "").unwrap();
    repo.commits("main", 11, 10);
    assert_eq!(repo.maintain(&full()).bitmaps, 20);
    // they are of both packs
    let bitmaps = repo.files(".bitmap");
    assert!(bitmaps.len() == 1 && bitmaps[0].to_string_lossy().contains("multi-pack-index-"));
    repo.git(&["rev-list", "--test-bitmap", "main"]);
    repo.git(&["fsck"]);
}

#[test]
fn a_bitmap_that_was_lost_is_made_again() {
    let repo = three_packs();
    assert!(repo.maintain(&Options::default()).bitmaps > 100);
    let bitmap = repo.files(".bitmap").pop().unwrap();
    let before = fs::read(&bitmap).unwrap();
    fs::remove_file(&bitmap).unwrap();
    assert!(repo.maintain(&Options::default()).bitmaps > 100);
    assert!(fs::read(&bitmap).unwrap().starts_with(&before[..12]));
    check_bitmaps(&repo, &["main", "side"]);
    // or is no more what it was
    fs::remove_file(&bitmap).unwrap();
    fs::write(&bitmap, &before[..before.len() / 2]).unwrap();
    assert!(repo.maintain(&Options::default()).bitmaps > 100);
    check_bitmaps(&repo, &["main", "side"]);
}

#[test]
fn one_that_names_packs_that_somebody_removed_goes() {
    let repo = three_packs();
    repo.maintain(&Options::default());
    let before = fs::read(midx(&repo)).unwrap();
    repo.git(&["repack", "-adq"]);
    // as by a writer who was not quick enough
    fs::write(midx(&repo), before).unwrap();
    let report = repo.maintain(&Options::default());
    assert_eq!(report.after.packs, 1);
    assert!(!midx(&repo).exists());
    check_bitmaps(&repo, &["main", "side"]);
}

#[test]
fn a_repack_beside_it_leaves_none_that_names_what_is_gone() {
    let repo = three_packs();
    let place = repo.place();
    let packs = repo.files(".idx").into_iter().map(|index| midx::Covered {
        pack: crate::pack::Pack::open(&index, place.hash).unwrap(),
        modified: std::time::SystemTime::UNIX_EPOCH,
    });
    let made = midx::Midx::of(packs.collect(), 0);
    let folder = repo.path().join("objects/pack");
    made.check_packs(&folder).unwrap();
    repo.git(&["repack", "-adq"]);
    assert!(made.check_packs(&folder).is_err());
}

#[test]
fn of_what_trees_contradict_none_is_written() {
    for options in [Options::default(), full()] {
        let repo = Repo::new();
        repo.commits("main", 1, 3);
        let blob = repo.git_with(&["hash-object", "-w", "--stdin"], b"content");
        let folder = repo.git_with(&["mktree"], format!("100644 blob {blob}\tname\n").as_bytes());
        let right = repo.git_with(&["mktree"], format!("040000 tree {folder}\tit\n").as_bytes());
        let id = crate::hash::ObjectId::from_hex(folder.as_bytes()).unwrap();
        let wrong = [b"100644 it\0", id.as_bytes()].concat();
        let raw = ["hash-object", "-w", "-t", "tree", "--literally", "--stdin"];
        let wrong = repo.git_with(&raw, &wrong);
        for (branch, tree) in [("right", &right), ("wrong", &wrong)] {
            let commit = repo.git(&["commit-tree", "-m", branch, tree]);
            repo.git(&["update-ref", &format!("refs/heads/{branch}"), &commit]);
        }
        repo.maintain(&options);
        let place = repo.place();
        let store = crate::store::Store::open(&place.objects_dir, place.hash, &[]).unwrap();
        let snapshot = store.snapshot().unwrap();
        let _ = snapshot.reachability();
        assert_eq!(snapshot.take_warnings(), [""; 0]);
    }
}
