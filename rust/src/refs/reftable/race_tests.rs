//! Others at work beside us: real git, which merges tables as it writes.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::testing::Tables;
use crate::hash::{HashKind, ObjectId};
use crate::refs::testing::git_at;
use crate::refs::{RefStore, RefUpdate, UpdateOptions};

/// Whoever merges tables removes what a reader has just found in the list.
#[test]
fn tables_may_go_while_they_are_read() {
    let tables = Tables::new(HashKind::Sha1);
    tables.many("heads", 0..50);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let fresh = RefStore::open_tables(tables.path(), None, tables.kind);
                    assert!(fresh.snapshot().unwrap().len() >= 50);
                }
            });
        }
        for n in 50..130 {
            tables.update(&format!("create refs/heads/{n:05} {}\n", tables.commits[0]));
        }
        done.store(true, Ordering::SeqCst);
    });
    tables.check();
}

/// Threads of two stores (as two processes) and git move one ref, each from what it has read:
/// of all who start from one value, one wins.
#[test]
fn every_compare_and_swap_has_one_winner() {
    let tables = Tables::new(HashKind::Sha1);
    let name = "refs/heads/race";
    let tree = tables.git_in(&["mktree"], "");
    let commit = |n: usize| tables.git(&["commit-tree", &tree, "-m", &n.to_string()]);
    let ids: Vec<ObjectId> =
        (0..40).map(|n| ObjectId::from_hex(commit(n).as_bytes()).unwrap()).collect();
    tables.update(&format!("create {name} {}\n", ids[0]));
    let quick = UpdateOptions { fsync: false, ..UpdateOptions::default() };
    let next = AtomicUsize::new(1);
    let won: Mutex<Vec<(ObjectId, ObjectId)>> = Mutex::default();
    let stores = [(); 2].map(|()| RefStore::open_tables(tables.path(), None, tables.kind));
    std::thread::scope(|scope| {
        for store in stores.iter().chain(&stores) {
            scope.spawn(|| {
                while let Some(&new) = ids.get(next.fetch_add(1, Ordering::SeqCst)) {
                    loop {
                        let old = store.snapshot().unwrap().get(name.as_bytes()).unwrap();
                        let name = name.as_bytes();
                        let update = RefUpdate { name, old: Some(old), new: Some(new) };
                        match store.update(&[update], &quick).remove(0) {
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
                    let old = tables.git(&["rev-parse", name]);
                    let moved = git_at(&tables.git, tables.path())
                        .args(["update-ref", name, &new.to_hex(), &old])
                        .output();
                    if moved.unwrap().status.success() {
                        let old = ObjectId::from_hex(old.as_bytes()).unwrap();
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
    assert_eq!(tables.git(&["rev-parse", name]), last.to_hex());
    tables.check();
}

/// Git merges all tables while we write: nothing is lost.
#[test]
fn git_may_merge_tables_while_we_write() {
    let tables = Tables::new(HashKind::Sha1);
    let done = AtomicBool::new(false);
    let quick = UpdateOptions { fsync: false, ..UpdateOptions::default() };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                // one that finds a table locked gives up
                let packed = git_at(&tables.git, tables.path()).args(["pack-refs"]).output();
                packed.unwrap();
            }
        });
        for n in 0..120 {
            let name = format!("refs/heads/{n}");
            let new = Some(tables.commits[n % 3]);
            let update = RefUpdate { name: name.as_bytes(), old: None, new };
            let moved = tables.store.update(&[update], &quick).remove(0);
            assert!(moved.is_ok(), "{moved:?}");
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(tables.store.snapshot().unwrap().len(), 120);
    tables.check();
}
