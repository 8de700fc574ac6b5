//! What is pruned, with git as the judge, and what keeps everything.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::tests::{Repo, full};
use super::*;

/// Everything at once.
fn prune() -> Options {
    Options { grace: Some(Duration::ZERO), ..full() }
}

/// What git finds that nothing names.
fn unneeded(repo: &Repo) -> BTreeSet<String> {
    let told = repo.git(&["fsck", "--unreachable"]);
    told.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// Prunes, and holds against git what is left.
fn prune_as_git(repo: &Repo, wanted: usize) {
    let (before, gone) = (repo.objects(), unneeded(repo));
    assert_eq!(gone.len(), wanted, "{gone:?}");
    std::thread::sleep(Duration::from_millis(1100));
    let report = repo.maintain(&prune());
    assert!(report.warnings.is_empty(), "{report:?}");
    assert_eq!(repo.objects(), &before - &gone);
    assert_eq!(report.pruned, wanted);
    repo.check();
}

#[test]
fn a_broken_ref_keeps_everything() {
    let repo = Repo::new();
    repo.commits("main", 1, 2);
    let lost = repo.loose(b"x");
    repo.age_loose(&lost, 30);
    fs::write(repo.path().join("refs/heads/broken"), "what is this\n").unwrap();
    let report = repo.maintain(&full());
    let told = "ignoring broken ref refs/heads/broken; nothing is pruned as long as that is so";
    assert!(report.warnings.contains(&told.to_owned()), "{report:?}");
    assert!(repo.objects().contains(&lost));
    assert!(!repo.path().join("gc.pid").exists());
}

#[test]
fn an_index_that_cannot_be_read_keeps_everything() {
    let repo = Repo::new();
    repo.commits("main", 1, 3);
    let staged = repo.loose(b"staged");
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{staged},file")]);
    let whole = fs::read(repo.path().join("index")).unwrap();
    let nobodys = repo.loose(b"nobody's");
    repo.age_loose(&nobodys, 30);
    let mut spoilt = whole.clone();
    spoilt[50] ^= 1;
    let cut = &whole[..whole.len() - 30];
    for index in [&spoilt[..], cut, b"DIRC", b""] {
        fs::write(repo.path().join("index"), index).unwrap();
        let report = repo.maintain(&prune());
        assert_eq!((report.pruned, report.set_apart), (0, 0));
        let told = format!("{}/index", repo.path().display());
        assert!(report.warnings[0].starts_with(&told), "{report:?}");
        assert!(repo.objects().contains(&nobodys));
    }
    fs::write(repo.path().join("index"), whole).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    let report = repo.maintain(&prune());
    assert_eq!((report.pruned, report.warnings.len()), (1, 0), "{report:?}");
    assert!(repo.objects().contains(&staged) && !repo.objects().contains(&nobodys));
}

#[test]
fn what_cannot_be_read_may_name_something() {
    let repo = Repo::new();
    repo.commits("main", 1, 3);
    let tree = repo.git(&["rev-parse", "main^{tree}"]);
    // young, damaged, and who knows what it leads to
    let commit = repo.git(&["commit-tree", "-m", "x", &tree]);
    let path = repo.path().join("objects").join(&commit[..2]).join(&commit[2..]);
    let nobodys = repo.loose(b"nobody's");
    repo.age_loose(&nobodys, 30);
    let spoilt = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, &spoilt[..spoilt.len() / 2]).unwrap();
    let report = repo.maintain(&full());
    assert!(report.warnings.iter().any(|told| told.contains(&commit[2..])), "{report:?}");
    let told = report.warnings.iter().any(|told| told.contains("nothing is pruned"));
    assert!(told && repo.objects().contains(&nobodys), "{report:?}");
}

#[test]
fn what_is_staged_counts() {
    for (format, hash) in [("sha1", HashKind::Sha1), ("sha256", HashKind::Sha256)] {
        for version in ["2", "4"] {
            let repo = Repo::of(hash);
            repo.commits("main", 1, 2);
            repo.git(&["config", "index.version", version]);
            let blob = |text: &str| repo.loose(format!("{format} {text}").as_bytes());
            let add = |mode: &str, id: &str, path: &str| {
                repo.git(&["update-index", "--add", "--cacheinfo", &format!("{mode},{id},{path}")]);
            };
            let long = "folder/".repeat(700) + "name";
            add("100644", &blob("staged"), "folder/staged");
            add("100755", &blob("deep"), &long);
            add("160000", &blob("a submodule's commit is not ours"), "module");
            let written = repo.git(&["write-tree"]);
            let _dropped = blob("dropped");
            repo.git(&[
                "update-index",
                "--cacheinfo",
                &format!("100644,{},folder/staged", blob("anew")),
            ]);
            // the blob of the submodule, the former one, what was dropped; the trees that were
            // written are not those of what is staged now
            let trees = repo.git(&["rev-parse", &written, &format!("{written}:folder")]);
            assert_eq!(trees.lines().count(), 2);
            let gone = unneeded(&repo).len();
            assert!(gone >= 4, "{gone}");
            prune_as_git(&repo, gone);
        }
    }
}

#[test]
fn reftables_and_their_logs_count() {
    let repo = Repo::new();
    fs::remove_dir_all(repo.path()).unwrap();
    fs::create_dir(repo.path()).unwrap();
    let words = ["init", "-q", "--bare", "-b", "main", "--ref-format=reftable", "."];
    repo.git(&words);
    repo.git(&["config", "core.logAllRefUpdates", "always"]);
    repo.commits("main", 1, 2);
    repo.commits("side", 10, 2);
    repo.git(&["tag", "-a", "-m", "t", "v1", "side~1"]);
    // only its log knows what it was
    let commit = repo.git(&["commit-tree", "-m", "once", "main^{tree}"]);
    repo.git(&["update-ref", "refs/heads/side", &commit]);
    repo.git(&["update-ref", "refs/heads/side", "main"]);
    repo.loose(b"nobody's");
    prune_as_git(&repo, 1);
    assert!(repo.objects().contains(&commit));
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    let gone = unneeded(&repo);
    assert!(gone.contains(&commit));
    prune_as_git(&repo, gone.len());
    assert!(!repo.objects().contains(&commit));
    // a table that cannot be read
    let nobodys = repo.loose(b"nobody's");
    repo.age_loose(&nobodys, 30);
    let tables = fs::read_dir(repo.path().join("reftable")).unwrap();
    let table = tables.map(|table| table.unwrap().path());
    let table = table.into_iter().find(|table| table.extension().is_some_and(|e| e == "ref"));
    cut(&table.unwrap());
    let error = maintain(&repo.place(), &prune(), &Watch::new()).unwrap_err();
    assert!(error.to_string().contains("reftable/"), "{error}");
    assert!(repo.path().join("objects").join(&nobodys[..2]).join(&nobodys[2..]).exists());
}

fn cut(path: &Path) {
    let whole = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, &whole[..whole.len() / 2]).unwrap();
}
