//! Snapshots while git changes the repository beside them.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::sharing::Sharing;

/// Reads everything through one snapshot, which has to have it all.
fn read_all(snapshot: &Snapshot, objects: &[(ObjectId, ObjectKind, Vec<u8>)]) {
    let mut reader = snapshot.reader();
    for (id, kind, content) in objects {
        let number = snapshot.lookup(id).unwrap().unwrap_or_else(|| panic!("{id} is gone"));
        assert_eq!(reader.header(number).unwrap().0, *kind);
        assert_eq!(reader.read(number).unwrap(), (*kind, &content[..]));
    }
}

#[test]
fn repack_and_gc_beside_readers_take_nothing_away() {
    let repo = TestRepo::with_history(HashKind::Sha1, 12);
    let objects = repo.all_objects();
    let store = repo.store();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for nth in 0..2 {
            let (objects, store, done) = (&objects, &store, &done);
            scope.spawn(move || {
                let long_lived = store.snapshot().unwrap();
                while !done.load(Ordering::Relaxed) {
                    read_all(&store.snapshot().unwrap(), objects);
                    if nth == 1 {
                        read_all(&long_lived, objects);
                    }
                    // git needs the processor too
                    std::thread::sleep(std::time::Duration::from_millis(3));
                }
                read_all(&long_lived, objects);
            });
        }
        for round in 0..4 {
            repo.git(&["repack", "-adq", &format!("--window={}", round + 1)]);
            repo.git(&["multi-pack-index", "write"]);
            repo.git(&["-c", "gc.auto=0", "gc", "-q", "--prune=now"]);
            if round % 2 == 0 {
                unpack(&repo);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Makes everything loose again, and removes the packs.
fn unpack(repo: &TestRepo) {
    let packs = formats::pack_files(repo, "pack");
    let mut contents = Vec::new();
    for pack in &packs {
        contents.push(fs::read(pack).unwrap());
    }
    // unpack-objects leaves out what is there already, hence another repository in between
    let other = TestRepo::new(repo.hash);
    for content in contents {
        other.git_with(&["unpack-objects", "-q"], &content);
    }
    for folder in fs::read_dir(other.objects_dir()).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if name.len() != 2 {
            continue;
        }
        let target = repo.objects_dir().join(name);
        fs::create_dir_all(&target).unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let temporary = target.join("tmp_obj_test");
            fs::copy(&file, &temporary).unwrap();
            fs::rename(&temporary, target.join(file.file_name().unwrap())).unwrap();
        }
    }
    for pack in packs {
        for extension in ["idx", "pack", "rev", "bitmap"] {
            let _ = fs::remove_file(pack.with_extension(extension));
        }
    }
}

#[test]
fn one_value_while_nothing_changes() {
    let repo = TestRepo::with_history(HashKind::Sha1, 5);
    repo.git(&["repack", "-adq"]);
    let first = repo.snapshot();
    assert!(Arc::ptr_eq(&first, &repo.snapshot()));
    repo.add_history(5, 2);
    // loose objects are looked up as they are, in the same value
    assert!(Arc::ptr_eq(&first, &repo.snapshot()));
    assert!(first.lookup(&repo.id("main")).unwrap().is_some());
    repo.git(&["repack", "-dq"]);
    assert!(!Arc::ptr_eq(&first, &repo.snapshot()));
}

#[test]
fn numbers_hold_while_objects_move() {
    let repo = TestRepo::with_history(HashKind::Sha1, 5);
    repo.git(&["repack", "-adq"]);
    let snapshot = repo.snapshot();
    repo.add_history(5, 1);
    let loose = repo.id("main");
    let number = snapshot.lookup(&loose).unwrap().unwrap();
    let (kind, content) = snapshot.reader().read(number).map(|(k, c)| (k, c.to_vec())).unwrap();
    let first_pack = repo.id("main~1");
    let packed = snapshot.lookup(&first_pack).unwrap().unwrap();
    // into a pack, the loose file and the old pack gone
    repo.git(&["repack", "-adq"]);
    assert_eq!(snapshot.lookup(&loose).unwrap(), Some(number));
    assert_eq!(snapshot.reader().read(number).unwrap(), (kind, &content[..]));
    assert_eq!(snapshot.reader().header(number).unwrap(), (kind, content.len() as u64));
    assert!(streamed(snapshot.reader().as_mut(), number) == content);
    assert_eq!(snapshot.lookup(&first_pack).unwrap(), Some(packed));
    // what comes later comes after
    let bound = snapshot.number_bound();
    repo.add_history(6, 2);
    repo.git(&["repack", "-dq"]);
    let late = snapshot.lookup(&repo.id("main")).unwrap().unwrap();
    assert!(late >= bound && late < snapshot.number_bound());
    assert_eq!(snapshot.id(late), repo.id("main"));
    let at = snapshot.packed_at(late).unwrap();
    assert_eq!(snapshot.number_at_offset(at.pack, at.offset), Some(late));
    read_all(&snapshot, &repo.all_objects());
}

#[test]
fn a_pruned_object_is_not_believed_in_by_the_next_request() {
    let repo = TestRepo::with_history(HashKind::Sha1, 3);
    let id = repo.git_with(&["hash-object", "-w", "--stdin"], b"soon pruned");
    let id = ObjectId::from_hex(id.trim_ascii_end()).unwrap();
    let snapshot = repo.snapshot();
    let number = snapshot.lookup(&id).unwrap().unwrap();
    repo.git(&["prune", "--expire=now"]);
    assert!(matches!(snapshot.reader().read(number), Err(SourceError::Missing(_))));
    assert!(Arc::ptr_eq(&snapshot, &repo.snapshot()));
    assert_eq!(snapshot.lookup(&id).unwrap(), None);
    // and back again
    repo.git_with(&["hash-object", "-w", "--stdin"], b"soon pruned");
    assert_eq!(repo.snapshot().lookup(&id).unwrap(), Some(number));
}

#[test]
fn what_waits_is_seen_in_front_of_what_is_there() {
    let hash = HashKind::Sha1;
    let (repo, other) = (TestRepo::with_history(hash, 12), TestRepo::new(hash));
    repo.git(&["repack", "-adq", "--write-bitmap-index"]);
    other.add_history(0, 15);
    let new = other.all_objects();
    let base = repo.snapshot();
    other.git(&["repack", "-adq"]);
    let front = repo.objects_dir().join("incoming-x");
    fs::create_dir_all(front.join("pack")).unwrap();
    let pack = other.snapshot().packs()[0].path().to_owned();
    for suffix in ["pack", "idx"] {
        let from = pack.with_extension(suffix);
        fs::copy(&from, front.join("pack").join(from.file_name().unwrap())).unwrap();
    }
    let waiting = base.with_front(&front).unwrap();
    for (id, ..) in repo.all_objects() {
        assert_eq!(waiting.lookup(&id).unwrap(), base.lookup(&id).unwrap());
    }
    read_all(&waiting, &repo.all_objects());
    read_all(&waiting, &new);
    let fresh = new.iter().filter(|(id, ..)| base.lookup(id).unwrap().is_none()).count();
    assert!(fresh > 3);
    assert_eq!(waiting.reachability().is_some(), base.reachability().is_some());
    // what a hook writes, and what others bring meanwhile
    let id = waiting.write_loose(ObjectKind::Blob, b"hook", Sharing::Umask).unwrap();
    assert!(front.join(&id.to_string()[..2]).exists());
    assert!(waiting.lookup(&id).unwrap().is_some() && base.lookup(&id).unwrap().is_none());
    repo.add_history(70, 1);
    repo.git(&["repack", "-dq"]);
    assert!(waiting.lookup(&repo.id("main^{tree}")).unwrap().is_some());
    // one that names others is looked at as a whole
    fs::create_dir(front.join("info")).unwrap();
    let third = TestRepo::with_history(hash, 30);
    let line = format!("{}\n", third.objects_dir().display());
    fs::write(front.join("info/alternates"), line).unwrap();
    let waiting = base.with_front(&front).unwrap();
    read_all(&waiting, &new);
    read_all(&waiting, &third.all_objects());
}
