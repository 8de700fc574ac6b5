use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use super::testing::Tables;
use crate::hash::HashKind;
use crate::refs::{Head, RefStore};

const KINDS: [HashKind; 2] = [HashKind::Sha1, HashKind::Sha256];

#[test]
fn everything_that_git_writes_is_read() {
    for kind in KINDS {
        let tables = Tables::new(kind);
        let unborn = Head::Symbolic { target: b"refs/heads/main".to_vec(), id: None };
        assert_eq!(tables.store.snapshot().unwrap().head(), &unborn);
        tables.check();
        let (one, two, tag) = (tables.commits[0], tables.commits[1], tables.tag);
        tables.update(&format!(
            "create refs/heads/main {one}\ncreate refs/tags/v1 {tag}\ncreate refs/heads/b {two}\n"
        ));
        tables.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/b"]);
        tables.git(&["symbolic-ref", "refs/heads/dangling", "refs/heads/nothing"]);
        tables.git(&["update-ref", "ORIG_HEAD", &one.to_hex()]);
        tables.check();
        let snapshot = tables.store.snapshot().unwrap();
        assert_eq!(snapshot.get(b"HEAD"), Some(one));
        assert_eq!(snapshot.symbolic(b"HEAD"), Some(&b"refs/heads/main"[..]));
        assert_eq!(snapshot.symbolic(b"refs/heads/alias"), Some(&b"refs/heads/b"[..]));
        assert!(snapshot.warnings().is_empty(), "{:?}", snapshot.warnings());
        tables.git(&["update-ref", "--no-deref", "HEAD", &two.to_hex()]);
        assert_eq!(tables.store.snapshot().unwrap().head(), &Head::Detached(two));
        tables.git(&["update-ref", "-d", "refs/heads/b"]);
        tables.git(&["update-ref", "-d", "refs/tags/v1"]);
        tables.check();
        tables.git(&["pack-refs", "--all"]);
        assert_eq!(tables.list().len(), 1);
        tables.check();
    }
}

/// Blocks, padding, an index of several levels, object blocks; and small tables over large ones.
#[test]
fn tables_of_many_blocks() {
    for (kind, size) in KINDS.into_iter().zip(["4096", "512"]) {
        let tables = Tables::new(kind);
        tables.git(&["config", "reftable.blockSize", size]);
        tables.git(&["config", "core.logAllRefUpdates", "always"]);
        tables.many("heads/topic", 0..3000);
        tables.check();
        tables.git(&["config", "reftable.restartInterval", "3"]);
        let mut lines = String::new();
        for n in (0..3000).step_by(250) {
            writeln!(lines, "delete refs/heads/topic/{n:05}").unwrap();
            writeln!(lines, "update refs/heads/topic/{:05} {}", n + 1, tables.commits[1]).unwrap();
            writeln!(lines, "create refs/tags/t/{n:05} {}", tables.tag).unwrap();
        }
        tables.update(&lines);
        tables.check();
        assert_eq!(tables.list().len(), 2);
        assert_eq!(tables.store.snapshot().unwrap().len(), 3000);
        let fresh = RefStore::open_tables(tables.path(), None, kind).snapshot().unwrap();
        assert_eq!(fresh.items(b"refs/heads/topic/00").count(), 996);
    }
}

/// A change is seen however soon it comes, and no change gives the same value.
#[test]
fn snapshots_are_current_and_shared() {
    let tables = Tables::new(HashKind::Sha1);
    let (one, two) = (tables.commits[0], tables.commits[1]);
    tables.update(&format!("create refs/heads/main {one}\n"));
    for n in 0..10 {
        let id = if n % 2 == 0 { two } else { one };
        tables.git(&["update-ref", "refs/heads/main", &id.to_hex()]);
        let snapshot = tables.store.snapshot().unwrap();
        assert_eq!(snapshot.get(b"HEAD"), Some(id));
        assert!(Arc::ptr_eq(&snapshot.core, &tables.store.snapshot().unwrap().core));
    }
}

/// What stays the same of a large table is not read again.
#[test]
fn a_small_change_leaves_the_packed_table() {
    let tables = Tables::new(HashKind::Sha1);
    tables.many("heads/topic", 0..2000);
    let before = tables.store.snapshot().unwrap();
    tables.update(&format!("create refs/heads/main {}\n", tables.commits[2]));
    tables.update("delete refs/heads/topic/00007\n");
    let after = tables.store.snapshot().unwrap();
    assert!(Arc::ptr_eq(&before.core.packed, &after.core.packed));
    assert_eq!((before.len(), after.len()), (2000, 2000));
    assert_eq!(before.get(b"HEAD"), None, "what was given stays as it was");
    tables.check();
}

#[test]
fn linked_worktrees_have_a_head_of_their_own() {
    let tables = Tables::new(HashKind::Sha1);
    tables.update(&format!("create refs/heads/main {}\n", tables.commits[0]));
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("linked");
    tables.worktree(&folder);
    let linked_dir = tables.path().join("worktrees/linked");
    let git = |args: &[&str]| {
        let status = crate::refs::testing::git_at(&tables.git, &folder).args(args).status();
        assert!(status.unwrap().success(), "git {args:?}");
    };
    git(&["update-ref", "refs/worktree/mine", &tables.commits[2].to_hex()]);
    git(&["update-ref", "refs/heads/shared", &tables.commits[2].to_hex()]);
    tables.git(&["update-ref", "refs/worktree/main", &tables.commits[2].to_hex()]);
    let linked = RefStore::open_tables(&linked_dir, Some(tables.path()), tables.kind);
    let linked = linked.snapshot().unwrap();
    let names: Vec<_> = linked.items(b"").map(|(name, _)| name.to_vec()).collect();
    assert_eq!(names, [&b"refs/heads/main"[..], b"refs/heads/shared", b"refs/worktree/mine"]);
    assert_eq!(linked.head(), &Head::Detached(tables.commits[1]));
    assert_eq!(tables.store.snapshot().unwrap().get(b"HEAD"), Some(tables.commits[0]));
    tables.check();
}

#[test]
fn damage_is_told_by_file_and_place() {
    let tables = Tables::new(HashKind::Sha1);
    tables.many("heads", 0..200);
    let list = tables.path().join("reftable/tables.list");
    let name = tables.list().remove(0);
    let path = tables.path().join("reftable").join(&name);
    let whole = fs::read(&path).unwrap();
    let read = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        match RefStore::open_tables(tables.path(), None, HashKind::Sha1).snapshot() {
            Ok(_) => panic!("{} bytes were read", content.len()),
            Err(error) => error.to_string(),
        }
    };
    let changed = |at: usize, byte: u8| {
        let mut content = whole.clone();
        content[at] = byte;
        content
    };
    assert!(read(&changed(0, b'X')).ends_with(": byte 0: is no reftable"));
    assert!(read(&changed(4, 7)).contains("unknown version"));
    assert!(read(&changed(24, b'q')).ends_with(": byte 24: block of refs expected"));
    assert!(read(&changed(26, 0)).contains("ef: byte "));
    assert!(read(&changed(28, 9)).ends_with("key shares more than there is"));
    assert!(read(&changed(whole.len() - 1, whole[whole.len() - 1] ^ 1)).contains("checksum"));
    assert!(read(&whole[..40]).contains("ends too early"));
    assert!(read(&[]).contains("ends too early"));
    fs::remove_file(&path).unwrap();
    let error = tables.store.snapshot().unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("is not there"), "{error}");
    fs::write(&list, "good.ref\n../bad\n").unwrap();
    let error = tables.store.snapshot().unwrap_err().to_string();
    assert!(error.contains("tables.list:2: "), "{error}");
}
