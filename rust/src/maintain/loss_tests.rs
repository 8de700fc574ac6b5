//! Disks that lie and pushes that come in between: nothing is lost.

use std::fs;
use std::path::PathBuf;

use super::tests::{Repo, full};
use super::*;
use crate::refs::{RefBackend, RefError, RefSnapshot, RefUpdate, UpdateError, UpdateOptions};

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
    let damaged = repo.files(".pack").into_iter().find(|pack| {
        let index = fs::read(pack.with_extension("idx")).unwrap();
        !index.starts_with(b"\xfftOc")
    });
    let damaged = damaged.unwrap();
    for options in [Options::default(), full()] {
        repo.commits("main", 100 + repo.objects().len() as u32, 2);
        let report = repo.maintain(&options);
        let told = |warning: &String| warning.contains(&*damaged.to_string_lossy());
        assert!(report.warnings.iter().any(told), "{:?}", report.warnings);
        // it stays, with the sound copy of what it holds, and the others do not wait for it
        assert!(damaged.exists() && file(&repo, &lost).exists());
        assert_eq!(report.after.packs, 2);
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

/// The refs of a repository where something happens whenever they are looked at.
struct Watched<F> {
    refs: RefStore,
    happens: F,
}

impl<F: Fn() + Send + Sync> RefBackend for Watched<F> {
    fn snapshot(&self) -> Result<Arc<RefSnapshot>, RefError> {
        (self.happens)();
        self.refs.snapshot()
    }

    fn update(
        &self,
        updates: &[RefUpdate<'_>],
        options: &UpdateOptions<'_>,
    ) -> Vec<Result<(), UpdateError>> {
        self.refs.update(updates, options)
    }

    fn set_symbolic(
        &self,
        name: &[u8],
        target: &[u8],
        options: &UpdateOptions<'_>,
    ) -> Result<(), UpdateError> {
        self.refs.set_symbolic(name, target, options)
    }
}

/// A full run; `happens` does, again and again, between the survey and the removal.
fn maintain_while(repo: &Repo, happens: impl Fn() + Send + Sync + 'static) -> Report {
    let mut place = repo.place();
    let refs = RefStore::clone(&place.refs);
    place.refs = Arc::new(RefStore::new(Arc::new(Watched { refs, happens })));
    maintain(&place, &full(), &Watch::new()).unwrap()
}

fn touch(path: &std::path::Path) {
    let file = fs::File::open(path).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
}

#[test]
fn what_is_in_use_again_since_the_survey_stays() {
    let repo = Repo::new();
    repo.commits("main", 1, 2);
    let [loose, packed, other] = [7, 11, 13].map(|seed| repo.loose(&text(seed)));
    let names = format!("{packed} a\n");
    repo.git_with(&["pack-objects", "-q", "objects/pack/old"], names.as_bytes());
    fs::remove_file(file(&repo, &packed)).unwrap();
    let pack = repo.files(".pack").into_iter().find(|path| path.to_string_lossy().contains("old-"));
    let pack = pack.unwrap();
    repo.age_loose(&loose, 30);
    repo.age_loose(&other, 30);
    repo.age(&pack, 30);
    let files = [file(&repo, &loose), pack];
    let report = maintain_while(&repo, move || files.iter().for_each(|file| touch(file)));
    assert_eq!((report.set_apart, report.pruned), (0, 1), "{report:?}");
    let left = repo.objects();
    assert!(left.contains(&loose) && left.contains(&packed) && !left.contains(&other));
    assert_eq!(report.warnings.len(), 2, "{report:?}");
    repo.check();
}

fn tree_of(blob: &str) -> Vec<u8> {
    format!("100644 blob {blob}\tname\n").into_bytes()
}

#[test]
fn what_a_pack_that_stays_reaches_stays_too() {
    let repo = Repo::new();
    repo.commits("main", 1, 2);
    let (blob, stale) = (repo.loose(&text(7)), repo.loose(&text(11)));
    let tree = repo.git_with(&["mktree"], &tree_of(&blob));
    repo.git_with(&["pack-objects", "-q", "objects/pack/kept"], format!("{tree} \n").as_bytes());
    fs::remove_file(file(&repo, &tree)).unwrap();
    let mut packs = repo.files(".pack").into_iter();
    let pack = packs.find(|path| path.to_string_lossy().contains("kept-")).unwrap();
    fs::write(pack.with_extension("keep"), "").unwrap();
    repo.age(&pack, 30);
    repo.age_loose(&blob, 30);
    repo.age_loose(&stale, 30);
    let report = repo.maintain(&full());
    assert_eq!((report.set_apart, report.pruned), (1, 1), "{report:?}");
    assert!(repo.objects().contains(&blob) && !repo.objects().contains(&stale));
    repo.git(&["fsck", "--full", "--strict"]);
}

#[test]
fn what_was_brought_meanwhile_counts_with_all_that_it_reaches() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    // before refs are walked for the first time, and after it
    for looks in [0, 1] {
        let repo = Repo::new();
        repo.commits("main", 1, 2);
        let blob = repo.loose(&text(7));
        let tree = repo.git_with(&["mktree"], &tree_of(&blob));
        let (at, content) = (file(&repo, &tree), fs::read(file(&repo, &tree)).unwrap());
        fs::remove_file(&at).unwrap();
        repo.age_loose(&blob, 30);
        let looked = AtomicUsize::new(0);
        let report = maintain_while(&repo, move || {
            if looked.fetch_add(1, Ordering::Relaxed) >= looks {
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                fs::write(&at, &content).unwrap();
            }
        });
        assert_eq!(report.pruned, 0, "{report:?}");
        assert_eq!(report.warnings.len(), looks, "{report:?}");
        assert!(repo.objects().contains(&blob) && repo.objects().contains(&tree));
        repo.check();
    }
}

#[test]
fn what_fails_in_the_background_is_told_once_and_not_tried_again_at_once() {
    let _alone = super::background::ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let repo = Repo::new();
    repo.commits("main", 1, 2);
    let lost = repo.loose(&text(7));
    let words = ["pack-objects", "-q", "objects/pack/pack"];
    repo.git_with(&words, format!("{lost} a\n").as_bytes());
    damage(&repo, &lost);
    let before = repo.files(".pack");
    let place = Arc::new(repo.place());
    let asked = Options::default();
    let began = std::time::Instant::now();
    maintain_soon(&place, asked.clone());
    let told = loop {
        if let Some(told) = untold_failure(&place) {
            break told;
        }
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    };
    let damaged = before.iter().find(|pack| told.contains(&*pack.to_string_lossy()));
    assert!(damaged.is_some_and(|damaged| damaged.exists()), "{told}");
    assert!(file(&repo, &lost).exists() || repo.git(&["cat-file", "-t", &lost]) == "blob");
    repo.commits("main", 3, 1);
    let after = repo.files(".pack");
    maintain_soon(&place, asked);
    assert_eq!(untold_failure(&place), None);
    assert!(end_background(Duration::from_secs(60)));
    assert_eq!(repo.files(".pack"), after);
}
