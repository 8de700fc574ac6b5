//! Others at work beside us: real git, which merges tables as it writes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::testing::Tables;
use crate::hash::HashKind;
use crate::refs::RefStore;

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
