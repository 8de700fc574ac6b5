//! Others at work beside us: our own threads, and real git.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::testing::{Repo, git, run_args};
use super::{FileRefs, RefBackend, RefStore, RefUpdate, UpdateOptions};
use crate::hash::{HashKind, ObjectId};

/// Nothing here is about the disk's own promises.
fn quick() -> UpdateOptions<'static> {
    UpdateOptions { fsync: false, ..UpdateOptions::default() }
}

/// A chain of commits, oldest first, made by one process.
fn commits(repo: &Repo, count: usize) -> Vec<ObjectId> {
    let mut stream = String::new();
    for n in 1..=count {
        stream +=
            &format!("commit refs/heads/made\nmark :{n}\ncommitter a <a@x> {n} +0000\ndata 1\nx\n");
    }
    let path = repo.path().join("stream");
    std::fs::write(&path, stream).unwrap();
    let imported = git(repo.path())
        .args(["fast-import", "--quiet"])
        .stdin(std::fs::File::open(path).unwrap())
        .status();
    assert!(imported.unwrap().success());
    let list = repo.git("rev-list --reverse made");
    repo.git("update-ref -d refs/heads/made");
    list.lines().map(|hex| ObjectId::from_hex(hex.as_bytes()).unwrap()).collect()
}

/// Threads of two stores (as two processes) and git move one ref, each from what it has read:
/// of all who start from one value, one wins.
#[test]
fn every_compare_and_swap_has_one_winner() {
    let repo = Repo::new(HashKind::Sha1);
    let ids = commits(&repo, 40);
    let name = b"refs/heads/race";
    let next = AtomicUsize::new(1);
    let won: Mutex<Vec<(ObjectId, ObjectId)>> = Mutex::default();
    let stores = [(); 2].map(|()| RefStore::open(&repo.git_dir(), None, repo.kind));
    let first = RefUpdate { name, old: None, new: Some(ids[0]) };
    assert!(stores[0].update(&[first], &quick())[0].is_ok());
    std::thread::scope(|scope| {
        for store in stores.iter().chain(&stores) {
            scope.spawn(|| {
                while let Some(&new) = ids.get(next.fetch_add(1, Ordering::SeqCst)) {
                    loop {
                        let old = store.snapshot().unwrap().get(name).unwrap();
                        let update = RefUpdate { name, old: Some(old), new: Some(new) };
                        match store.update(&[update], &quick()).remove(0) {
                            Ok(()) => break won.lock().unwrap().push((old, new)),
                            Err(error) => assert!(error.is_lost_race(), "{}", error.detail()),
                        }
                    }
                }
            });
        }
        scope.spawn(|| {
            while let Some(new) = ids.get(next.fetch_add(1, Ordering::SeqCst)) {
                loop {
                    let old = repo.id("refs/heads/race");
                    let words = format!("update-ref refs/heads/race {new} {old}");
                    let moved = git(repo.path()).args(words.split(' ')).output().unwrap();
                    if moved.status.success() {
                        break won.lock().unwrap().push((old, *new));
                    }
                }
            }
        });
    });
    let won = won.into_inner().unwrap();
    assert_eq!(won.len(), ids.len() - 1);
    let starts: HashSet<ObjectId> = won.iter().map(|&(old, _)| old).collect();
    assert_eq!(starts.len(), won.len(), "two won from the same value");
    let last = won.iter().find(|(_, new)| !starts.contains(new)).unwrap().1;
    assert_eq!(repo.id("refs/heads/race"), last);
}

/// `git pack-refs` moves refs from loose to packed under our eyes: none is ever missing, none
/// goes back to what it was, and what is deleted stays deleted.
#[test]
fn packing_beside_us_loses_nothing() {
    let repo = Repo::new(HashKind::Sha1);
    let ids = commits(&repo, 200);
    let store = RefStore::open(&repo.git_dir(), None, repo.kind);
    let names: Vec<String> = (0..20).map(|n| format!("refs/heads/stays/{n}")).collect();
    let all: Vec<RefUpdate<'_>> = names
        .iter()
        .map(|name| RefUpdate { name: name.as_bytes(), old: None, new: Some(ids[0]) })
        .collect();
    assert!(store.update(&all, &quick()).iter().all(Result::is_ok));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..40 {
                // an own packing may meet ours and give up; the next does not
                let _ = git(repo.path()).args(["pack-refs", "--all"]).output().unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            for new in ids.iter().skip(1).cycle() {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                let moved = RefUpdate { name: b"refs/heads/stays/0", old: None, new: Some(*new) };
                let results = store.update(&[moved], &quick());
                assert!(results[0].is_ok(), "{results:?}");
                assert_eq!(store.snapshot().unwrap().get(moved.name), Some(*new));
                let name = b"refs/heads/stays-not/a";
                let made =
                    RefUpdate { name, old: Some(ObjectId::null(repo.kind)), new: Some(*new) };
                let results = store.update(&[made], &quick());
                assert!(results[0].is_ok(), "{results:?}");
                let gone = RefUpdate { name, old: Some(*new), new: None };
                let results = store.update(&[gone], &quick());
                assert!(results[0].is_ok(), "{results:?}");
                assert_eq!(store.snapshot().unwrap().get(name), None);
            }
        });
        // a reader that knows what was before, and one that comes anew each time
        for anew in [false, true] {
            let (names, done, repo, store) = (&names, &done, &repo, &store);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let snapshot = if anew {
                        RefStore::open(&repo.git_dir(), None, repo.kind).snapshot().unwrap()
                    } else {
                        store.snapshot().unwrap()
                    };
                    for name in names {
                        assert!(snapshot.get(name.as_bytes()).is_some(), "{name} is missing");
                    }
                }
            });
        }
    });
}

/// Folders come and go with the refs in them, whoever else makes or removes them.
#[test]
fn folders_may_go_while_a_ref_comes() {
    let repo = Repo::new(HashKind::Sha1);
    let id = repo.id("HEAD");
    let store = RefStore::open(&repo.git_dir(), None, repo.kind);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let name = format!("refs/heads/a/b/c/{thread}");
                for _ in 0..50 {
                    for new in [Some(id), None] {
                        let update = RefUpdate { name: name.as_bytes(), old: None, new };
                        let results = store.update(&[update], &quick());
                        assert!(results[0].is_ok(), "{results:?}");
                        let now = store.snapshot().unwrap().get(name.as_bytes());
                        assert_eq!(now, new);
                    }
                }
            });
        }
    });
    assert!(!repo.git_dir().join("refs/heads/a").exists());
}

/// Who asks while another looks at the disk gets what that one finds only if it began later.
#[test]
fn a_snapshot_is_never_older_than_the_question() {
    let repo = Repo::new(HashKind::Sha1);
    let ids = commits(&repo, 100);
    let refs = Arc::new(FileRefs::new(&repo.git_dir(), None, repo.kind));
    let name = b"refs/heads/now";
    let written = AtomicUsize::new(0);
    let write = |at: usize| {
        let update = RefUpdate { name, old: None, new: Some(ids[at]) };
        assert!(refs.update(&[update], &quick())[0].is_ok());
        written.store(at, Ordering::SeqCst);
    };
    write(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let at_least = written.load(Ordering::SeqCst);
                    let found = refs.snapshot().unwrap().get(name).unwrap();
                    let at = ids.iter().position(|id| *id == found).unwrap();
                    assert!(at >= at_least, "{at} is older than {at_least}");
                    if at_least + 1 == ids.len() {
                        break;
                    }
                }
            });
        }
        (1..ids.len()).for_each(write);
    });
}

/// A transaction in several stores at once: all of one's refs or none.
#[test]
fn atomic_transactions_do_not_mix() {
    let repo = Repo::new(HashKind::Sha1);
    let ids = commits(&repo, 60);
    let names: Vec<String> = (0..5).map(|n| format!("refs/heads/together/{n}")).collect();
    let update = |store: &RefStore, old: ObjectId, new: ObjectId| {
        let updates: Vec<RefUpdate<'_>> = names
            .iter()
            .map(|name| RefUpdate { name: name.as_bytes(), old: Some(old), new: Some(new) })
            .collect();
        let results = store.update(&updates, &UpdateOptions { atomic: true, ..quick() });
        let moved = results.iter().filter(|result| result.is_ok()).count();
        assert!(moved == 0 || moved == names.len(), "{results:?}");
        moved > 0
    };
    let store = RefStore::open(&repo.git_dir(), None, repo.kind);
    assert!(update(&store, ObjectId::null(repo.kind), ids[0]));
    let next = AtomicUsize::new(1);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let store = RefStore::open(&repo.git_dir(), None, repo.kind);
                while let Some(&new) = ids.get(next.fetch_add(1, Ordering::SeqCst)) {
                    // the first is moved last to be read first: start from what it holds
                    let old = store.snapshot().unwrap().get(names[0].as_bytes()).unwrap();
                    update(&store, old, new);
                }
            });
        }
    });
    let format = "--format=%(objectname)";
    let values = run_args(repo.path(), &["for-each-ref", format, "refs/heads/together"]);
    let values: HashSet<&str> = values.lines().collect();
    assert_eq!(values.len(), 1);
}

/// A ref that is being deleted holds its last value or none, never again one that it had when it
/// was packed.
#[test]
fn a_deleted_ref_does_not_go_back_in_time() {
    let repo = Repo::new(HashKind::Sha1);
    let ids = commits(&repo, 2);
    let store = RefStore::open(&repo.git_dir(), None, repo.kind);
    let name = b"refs/heads/goes";
    // odd while the packed value is the past
    let phase = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..25 {
                for new in [Some(ids[0]), Some(ids[1]), None] {
                    // waiting for the disk gives the reader time to look in between
                    let update = RefUpdate { name, old: None, new };
                    let results = store.update(&[update], &UpdateOptions::default());
                    assert!(results[0].is_ok(), "{results:?}");
                    if new == Some(ids[0]) {
                        repo.git("pack-refs --all");
                    } else {
                        phase.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
            phase.store(usize::MAX - 1, Ordering::SeqCst);
        });
        scope.spawn(|| {
            loop {
                let before = phase.load(Ordering::SeqCst);
                let value = store.snapshot().unwrap().get(name);
                let after = phase.load(Ordering::SeqCst);
                if before == usize::MAX - 1 {
                    break;
                }
                assert!(before != after || before.is_multiple_of(2) || value != Some(ids[0]));
            }
        });
    });
}
