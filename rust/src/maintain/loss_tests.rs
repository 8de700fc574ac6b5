//! Disks that lie and pushes that come in between: nothing is lost.

use std::fs;
use std::path::PathBuf;

use super::tests::{Repo, full};
use super::*;

fn file(repo: &Repo, id: &str) -> PathBuf {
    repo.path().join("objects").join(&id[..2]).join(&id[2..])
}

/// Changes bytes of an object's entry in the only pack that has it.
fn damage(repo: &Repo, id: &str) {
    for idx in repo.files(".idx") {
        let shown = repo.git_with(&["show-index"], &fs::read(&idx).unwrap());
        let Some(line) = shown.lines().find(|line| line.contains(id)) else { continue };
        let offset: usize = line.split(' ').next().unwrap().parse().unwrap();
        let path = idx.with_extension("pack");
        let mut bytes = fs::read(&path).unwrap();
        bytes[offset + 20] ^= 0x55;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        return;
    }
    panic!("{id} is not packed");
}

/// Lines that have little in common.
fn text(seed: u64) -> Vec<u8> {
    (1..60u64).flat_map(|n| format!("{}\n", n.pow(5) * seed).into_bytes()).collect()
}

#[test]
fn a_loose_copy_stays_when_that_in_a_pack_that_stays_is_damaged() {
    let repo = Repo::new();
    let (lost, fine) = (repo.loose(&text(7)), repo.loose(&text(11)));
    let names = format!("{lost} a\n{fine} b\n");
    repo.git_with(&["pack-objects", "-q", "objects/pack/pack"], names.as_bytes());
    fs::write(repo.files(".pack")[0].with_extension("keep"), "").unwrap();
    damage(&repo, &lost);
    for nothing_else in [true, false] {
        if !nothing_else {
            repo.commits("main", 1, 2);
            repo.loose(b"another");
        }
        let report = repo.maintain(&Options::default());
        assert!(file(&repo, &lost).exists() && !file(&repo, &fine).exists());
        assert!(report.warnings[0].contains(&lost[2..]), "{:?}", report.warnings);
    }
}

#[test]
fn what_no_checksum_vouches_for_is_read_before_it_is_copied() {
    let repo = Repo::new();
    repo.commits("main", 1, 2);
    let lost = repo.loose(&text(7));
    let words = ["pack-objects", "-q", "--index-version=1", "objects/pack/pack"];
    repo.git_with(&words, format!("{lost} a\n").as_bytes());
    damage(&repo, &lost);
    let before = repo.files(".pack");
    for options in [Options::default(), full()] {
        let error = maintain(&repo.place(), &options, &Watch::new()).unwrap_err();
        assert!(before.iter().any(|pack| error.to_string().contains(&*pack.to_string_lossy())));
        assert_eq!(repo.files(".pack"), before);
        assert!(file(&repo, &lost).exists());
    }
}

#[test]
fn a_cruft_pack_that_is_written_once_more_has_the_later_times() {
    let repo = Repo::new();
    repo.commits("main", 1, 2);
    let [old, used] = [text(7), text(11)].map(|text| repo.loose(&text));
    let copy = fs::read(file(&repo, &used)).unwrap();
    repo.age_loose(&old, 10);
    repo.age_loose(&used, 10);
    assert_eq!(repo.maintain(&full()).set_apart, 2);
    let cruft = repo.files(".mtimes");
    // somebody has brought it again
    fs::create_dir_all(file(&repo, &used).parent().unwrap()).unwrap();
    fs::write(file(&repo, &used), copy).unwrap();
    assert_eq!(repo.maintain(&full()).set_apart, 2);
    assert_eq!(repo.files(".mtimes"), cruft);
    assert!(!file(&repo, &used).exists());
    repo.check();
    let days = |days: u64| Some(Duration::from_secs(days * 24 * 60 * 60));
    let report = repo.maintain(&Options { grace: days(5), ..full() });
    assert_eq!((report.set_apart, report.pruned), (1, 1));
    assert!(repo.objects().contains(&used) && !repo.objects().contains(&old));
    repo.check();
}
