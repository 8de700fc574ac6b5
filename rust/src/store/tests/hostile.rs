//! Damaged files: each byte changed, each length cut. The answer is right, or it is an error.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::pack::Pack;

type Objects = [(ObjectId, ObjectKind, Vec<u8>)];

/// What came of reading everything.
#[derive(Default, Debug)]
struct Outcome {
    right: usize,
    errors: usize,
    absent: usize,
    wrong: Vec<ObjectId>,
}

/// Opens the repository afresh and reads all objects in every way.
fn read_all(repo: &TestRepo, objects: &Objects) -> Outcome {
    let mut outcome = Outcome::default();
    let store = Store::new(&repo.objects_dir(), repo.hash, &[]);
    let snapshot = store.snapshot().unwrap();
    let mut reader = snapshot.disk_reader();
    for (id, kind, content) in objects {
        let number = match snapshot.lookup(id) {
            Ok(Some(number)) => number,
            Ok(None) => {
                outcome.absent += 1;
                continue;
            }
            Err(_) => {
                outcome.errors += 1;
                continue;
            }
        };
        if let Some(at) = snapshot.packed_at(number) {
            let pack = snapshot.pack(at.pack).unwrap();
            let _ = (pack.entry_end(at.offset), pack.position_at_offset(at.offset));
            let _ = snapshot.number_at_offset(at.pack, at.offset);
        }
        let _ = reader.header(number);
        let _ = reader.stream(number, &mut |_| true);
        let mut given = Vec::new();
        let into = reader.read_into(number, &mut given);
        let read = reader.read(number);
        assert_eq!(into.is_ok(), read.is_ok(), "{id}");
        if let (Ok(into), Ok(read)) = (&into, &read) {
            assert_eq!((*into, &given[..]), *read);
        }
        match read {
            Ok(found) if found == (*kind, &content[..]) => outcome.right += 1,
            Ok(_) => outcome.wrong.push(*id),
            Err(_) => outcome.errors += 1,
        }
    }
    outcome
}

/// Writes another content under the same name, as a new file.
fn replace(path: &Path, content: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}

/// The lengths and places to try: all near the ends, some in between.
fn places(len: usize) -> impl Iterator<Item = usize> {
    let step = len / 60 + 1;
    (0..len).filter(move |&at| at < 24 || at + 24 > len || at % step == 0)
}

fn small_repo() -> TestRepo {
    let repo = TestRepo::with_history(HashKind::Sha1, 8);
    repo.git(&["-c", "pack.writeReverseIndex=true", "repack", "-adfq"]);
    repo
}

fn file(repo: &TestRepo, extension: &str) -> PathBuf {
    formats::pack_files(repo, extension).remove(0)
}

#[test]
fn damaged_indexes() {
    for version in ["1", "2", "2,0x40"] {
        let repo = small_repo();
        let (index, pack) = (file(&repo, "idx"), file(&repo, "pack"));
        fs::remove_file(&index).unwrap();
        let version = format!("--index-version={version}");
        repo.git(&["index-pack", &version, pack.to_str().unwrap()]);
        let (good, objects) = (fs::read(&index).unwrap(), repo.all_objects());
        for at in places(good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            replace(&index, &bad);
            let outcome = read_all(&repo, &objects);
            assert!(outcome.right == 0 && outcome.wrong.is_empty(), "{at}: {outcome:?}");
            replace(&index, &good[..at]);
            assert_eq!(read_all(&repo, &objects).right, 0);
        }
    }
}

/// Beyond the size up to which checksums are verified, an index is believed; it may then lead
/// astray but not out of bounds.
#[test]
fn damaged_indexes_without_checksums_lead_nowhere() {
    let repo = small_repo();
    let index = file(&repo, "idx");
    let good = fs::read(&index).unwrap();
    for at in places(good.len()) {
        let mut bad = good[..good.len() - 20].to_vec();
        if at >= bad.len() {
            continue;
        }
        bad[at] ^= 0x80 >> (at % 8);
        let mut hasher = crate::hash::Hasher::new(HashKind::Sha1);
        hasher.update(&bad);
        bad.extend(hasher.finish().as_bytes());
        replace(&index, &bad);
        read_all(&repo, &[]);
        let Ok(pack) = Pack::open(&index, HashKind::Sha1) else { continue };
        for position in 0..pack.object_count() {
            let offset = pack.offset_at(position);
            let _ = (pack.header_at(offset), pack.entry_end(offset));
            let _ = (pack.position(&pack.id_at(position)), pack.position_at_offset(offset));
        }
        let store = Store::new(&repo.objects_dir(), repo.hash, &[]);
        let snapshot = store.snapshot().unwrap();
        let mut reader = snapshot.disk_reader();
        for number in 0..snapshot.number_bound() {
            let _ = (reader.header(number), reader.read(number).is_ok());
        }
    }
}

#[test]
fn damaged_packs() {
    let repo = small_repo();
    let path = file(&repo, "pack");
    let (good, objects) = (fs::read(&path).unwrap(), repo.all_objects());
    // entry headers have no checksum but that in the index, which copying verifies: there a
    // change can make one kind of another, or lead to another base of the same size
    let headers: Vec<std::ops::Range<usize>> = {
        let pack = Pack::open(&file(&repo, "idx"), HashKind::Sha1).unwrap();
        (0..pack.object_count())
            .map(|position| {
                let offset = pack.offset_at(position);
                offset as usize..offset as usize + pack.header_at(offset).unwrap().len
            })
            .collect()
    };
    let (mut seen, mut harmless) = (0, 0);
    for at in places(good.len()) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        replace(&path, &bad);
        let outcome = read_all(&repo, &objects);
        let in_header = headers.iter().any(|header| header.contains(&at));
        assert!(outcome.wrong.is_empty() || in_header, "{at}: {outcome:?}");
        assert_eq!(outcome.absent, 0, "{at}");
        // the bits that fill the last byte of a stream mean nothing
        harmless += usize::from(outcome.right == objects.len());
        seen += 1;
        replace(&path, &good[..at]);
        let outcome = read_all(&repo, &objects);
        assert_eq!(outcome.errors, objects.len(), "cut at {at}");
    }
    assert!(harmless * 10 < seen, "{harmless} of {seen}");
    fs::remove_file(&path).unwrap();
    let outcome = read_all(&repo, &objects);
    assert_eq!(outcome.errors, objects.len(), "the file that is missing is named");
}

#[test]
fn damaged_reverse_indexes_are_left_out() {
    let repo = small_repo();
    let path = file(&repo, "rev");
    let good = fs::read(&path).unwrap();
    let index = file(&repo, "idx");
    let right = Pack::open(&index, HashKind::Sha1).unwrap();
    let right = right.positions_by_offset().unwrap();
    let mut told = 0;
    for at in places(good.len()) {
        for cut in [false, true] {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            if cut {
                bad.truncate(at);
            }
            replace(&path, &bad);
            let pack = Pack::open(&index, HashKind::Sha1).unwrap();
            assert_eq!(pack.positions_by_offset().unwrap(), right);
            told += u32::from(pack.take_rev_problem().is_some());
        }
    }
    assert!(told > 50);
}

#[test]
fn damaged_multi_pack_indexes() {
    let repo = formats::repo_of_packs(HashKind::Sha1);
    repo.git(&["multi-pack-index", "write"]);
    let path = repo.objects_dir().join("pack/multi-pack-index");
    let (good, objects) = (fs::read(&path).unwrap(), repo.all_objects());
    for at in places(good.len()) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        replace(&path, &bad);
        assert_eq!(read_all(&repo, &objects).right, objects.len(), "{at}");
        replace(&path, &good[..at]);
        assert_eq!(read_all(&repo, &objects).right, objects.len(), "cut at {at}");
        // with a checksum that fits: anything but a crash
        bad.truncate(good.len() - 20);
        let mut hasher = crate::hash::Hasher::new(HashKind::Sha1);
        hasher.update(&bad);
        bad.extend(hasher.finish().as_bytes());
        replace(&path, &bad);
        read_all(&repo, &objects);
    }
}

#[test]
fn damaged_loose_objects() {
    let repo = TestRepo::new(HashKind::Sha1);
    let content = b"the content of a blob, some of it repeated, some of it repeated".to_vec();
    let id = repo.store().write_loose(ObjectKind::Blob, &content).unwrap();
    let path = alternates::loose_path(&repo.objects_dir(), &id);
    let good = fs::read(&path).unwrap();
    let objects = [(id, ObjectKind::Blob, content)];
    assert_eq!(read_all(&repo, &objects).right, 1);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            replace(&path, &bad);
            let outcome = read_all(&repo, &objects);
            // a few bits of the header of a stream mean nothing
            assert!(outcome.wrong.is_empty() && outcome.absent == 0, "{at}: {outcome:?}");
        }
        replace(&path, &good[..at]);
        assert_eq!(read_all(&repo, &objects).errors, 1, "cut at {at}");
    }
    replace(&path, &[&good[..], b"x"].concat());
    assert_eq!(read_all(&repo, &objects).errors, 1);
    let error = {
        let snapshot = repo.snapshot();
        let number = snapshot.lookup(&id).unwrap().unwrap();
        snapshot.reader().read(number).unwrap_err().to_string()
    };
    assert!(error.contains(&path.display().to_string()), "{error}");
}

#[test]
fn a_pack_that_is_mended_in_place_is_seen() {
    let repo = small_repo();
    let pack = file(&repo, "pack");
    let whole = fs::read(&pack).unwrap();
    let id = repo.id("HEAD");
    // written into the file that is there: the folder does not change
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, &whole[..whole.len() / 2]).unwrap();
    let store = Store::new(&repo.objects_dir(), repo.hash, &[]);
    assert!(store.snapshot().unwrap().lookup(&id).is_err());
    fs::write(&pack, &whole).unwrap();
    assert!(store.snapshot().unwrap().lookup(&id).unwrap().is_some());
}

#[test]
fn files_that_shrink_while_they_are_mapped_harm_nobody_else() {
    let repo = small_repo();
    let objects = repo.all_objects();
    for extension in ["pack", "idx"] {
        let path = file(&repo, extension);
        let whole = fs::read(&path).unwrap();
        let store = Store::new(&repo.objects_dir(), repo.hash, &[]);
        let snapshot = store.snapshot().unwrap();
        assert!(snapshot.lookup(&objects[0].0).unwrap().is_some());
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, b"").unwrap();
        let mut reader = snapshot.disk_reader();
        for (id, kind, content) in &objects {
            let read = match snapshot.lookup(id) {
                Ok(Some(number)) => reader.read(number),
                _ => continue,
            };
            assert!(read.is_err() || read.unwrap() == (*kind, &content[..]));
        }
        assert!(snapshot.take_warnings()[0].contains("it or its index shrank"));
        let lost = store.snapshot().unwrap().lookup(&objects[0].0);
        assert!(!matches!(lost, Ok(Some(_))));
        fs::write(&path, &whole).unwrap();
        let mended = store.snapshot().unwrap();
        let (id, kind, content) = &objects[0];
        let number = mended.lookup(id).unwrap().unwrap();
        assert_eq!(mended.disk_reader().read(number).unwrap(), (*kind, &content[..]));
    }
}
