//! Each way in which git stores objects.

use std::fs;
use std::path::PathBuf;

use super::*;

/// The files of a kind in the pack folder.
pub(super) fn pack_files(repo: &TestRepo, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(repo.objects_dir().join("pack"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// Three packs, none of which holds all.
pub(super) fn repo_of_packs(hash: HashKind) -> TestRepo {
    let repo = TestRepo::new(hash);
    for nth in 0..3 {
        repo.add_history(nth * 12, 12);
        repo.git(&["repack", "-dq"]);
    }
    repo
}

#[test]
fn loose_packed_and_mixed() {
    for hash in KINDS {
        let repo = TestRepo::with_history(hash, 12);
        same_as_git(&repo, &repo.snapshot());
        repo.git(&["repack", "-adq"]);
        same_as_git(&repo, &repo.snapshot());
        repo.add_history(12, 6);
        same_as_git(&repo, &repo.snapshot());
        repo.git(&["repack", "-dq"]);
        repo.add_history(18, 3);
        same_as_git(&repo, &repo.snapshot());
    }
}

#[test]
fn the_empty_tree_needs_no_file() {
    for hash in KINDS {
        let repo = TestRepo::new(hash);
        let id =
            ObjectId::from_hex(repo.git(&["hash-object", "-t", "tree", "/dev/null"]).as_bytes());
        let id = id.unwrap();
        let snapshot = repo.snapshot();
        let number = snapshot.lookup(&id).unwrap().unwrap();
        assert_eq!(snapshot.bulk_lookup().unwrap().find(&id).unwrap(), Some(number));
        let mut reader = snapshot.reader();
        assert_eq!(reader.header(number).unwrap(), (ObjectKind::Tree, 0));
        assert_eq!(reader.read(number).unwrap(), (ObjectKind::Tree, &b""[..]));
        reader.stream(number, &mut |piece| piece.is_empty()).unwrap();
        assert!(fs::read_dir(repo.objects_dir().join("4b")).is_err());
    }
}

#[test]
fn what_is_only_in_a_cruft_pack_is_written_anew() {
    let repo = TestRepo::new(HashKind::Sha1);
    let id = repo.git_with(&["hash-object", "-w", "--stdin"], b"content");
    let id = String::from_utf8(id).unwrap().trim_end().to_owned();
    repo.git(&["repack", "--cruft", "-adq"]);
    assert_eq!(pack_files(&repo, "mtimes").len(), 1);
    let file = repo.objects_dir().join(&id[..2]).join(&id[2..]);
    assert!(!file.exists());
    repo.store().write_loose(ObjectKind::Blob, b"content").unwrap();
    assert!(file.exists(), "a gc would not see that it is wanted again");
}

#[test]
fn index_versions_and_64_bit_offsets() {
    for (hash, version) in
        [(HashKind::Sha1, "1"), (HashKind::Sha1, "2,0x40"), (HashKind::Sha256, "2,0x40")]
    {
        let repo = TestRepo::with_history(hash, 25);
        repo.git(&["repack", "-adq"]);
        let pack = pack_files(&repo, "pack").remove(0);
        for old in ["idx", "rev"] {
            let _ = fs::remove_file(pack.with_extension(old));
        }
        let version = format!("--index-version={version}");
        repo.git(&["index-pack", &version, "--no-rev-index", pack.to_str().unwrap()]);
        let snapshot = repo.snapshot();
        assert_eq!(snapshot.packs()[0].crc32_at(0).is_some(), version.contains('2'));
        same_as_git(&repo, &snapshot);
    }
}

#[test]
fn ref_deltas() {
    let repo = TestRepo::with_history(HashKind::Sha1, 30);
    repo.git(&["-c", "repack.useDeltaBaseOffset=false", "repack", "-adfq"]);
    same_as_git(&repo, &repo.snapshot());
}

#[test]
fn entries_in_the_order_of_the_pack() {
    for rev in ["true", "false"] {
        let repo = TestRepo::with_history(HashKind::Sha1, 40);
        repo.git(&["-c", &format!("pack.writeReverseIndex={rev}"), "repack", "-adq"]);
        assert_eq!(pack_files(&repo, "rev").len(), usize::from(rev == "true"));
        let snapshot = repo.snapshot();
        let pack = &snapshot.packs()[0];
        let index = pack.index().path().to_str().unwrap();
        let out = repo.git_with(&["show-index"], &fs::read(index).unwrap());
        let text = String::from_utf8(out).unwrap();
        let mut lines: Vec<(u64, &str, u32)> = text
            .lines()
            .map(|line| {
                let words: Vec<_> = line.split(' ').collect();
                let crc = words[2].trim_matches(['(', ')']);
                (words[0].parse().unwrap(), words[1], u32::from_str_radix(crc, 16).unwrap())
            })
            .collect();
        lines.sort_unstable();
        for (rank, (offset, id, crc)) in lines.iter().enumerate() {
            let position = pack.positions_by_offset().unwrap()[rank];
            assert_eq!(pack.id_at(position).to_hex(), *id);
            assert_eq!(pack.offset_at(position), *offset);
            assert_eq!(pack.crc32_at(position), Some(*crc));
            assert_eq!(pack.position_at_offset(*offset), Some(position));
            let end = lines.get(rank + 1).map_or(pack.end_of_entries(), |next| next.0);
            assert_eq!(pack.entry_end(*offset).unwrap(), end);
            let bytes = &pack.data()[*offset as usize..end as usize];
            assert_eq!(crc32fast::hash(bytes), *crc);
            assert_eq!(pack.position_at_offset(offset + 1), None);
        }
        assert_eq!(pack.take_rev_problem(), None);
    }
}

#[test]
fn a_multi_pack_index() {
    for hash in KINDS {
        let repo = repo_of_packs(hash);
        repo.git(&["multi-pack-index", "write", "--bitmap"]);
        same_as_git(&repo, &repo.snapshot());
        // beside it: a later pack, one that holds everything again, and loose objects
        repo.add_history(36, 5);
        repo.git(&["repack", "-dq"]);
        repo.add_history(41, 3);
        same_as_git(&repo, &repo.snapshot());
        repo.git_with(&["pack-objects", "--all", "-q", "objects/pack/pack"], b"");
        let snapshot = repo.snapshot();
        same_as_git(&repo, &snapshot);
        let last = snapshot.packs().len() as u32 - 1;
        for (place, pack) in (0..=last).map(|place| (place, snapshot.pack(place).unwrap())) {
            for position in 0..pack.object_count() {
                let number = snapshot.lookup(&pack.id_at(position)).unwrap();
                assert_eq!(snapshot.number_at_offset(place, pack.offset_at(position)), number);
            }
        }
    }
}

#[test]
fn many_packs() {
    let repo = TestRepo::new(HashKind::Sha1);
    for nth in 0..8 {
        repo.add_history(nth * 3, 3);
        repo.git(&["repack", "-dq"]);
    }
    // one that holds what others hold
    let recent = format!("{}\n{}\n", repo.id("main"), repo.id("main^{tree}"));
    repo.git_with(&["pack-objects", "-q", "objects/pack/pack"], recent.as_bytes());
    let snapshot = repo.snapshot();
    assert_eq!(snapshot.packs().len(), 9);
    // before and after it has built an index over them
    for _ in 0..4 {
        same_as_git(&repo, &snapshot);
    }
}

#[test]
fn a_multi_pack_index_that_cannot_be_used_is_left_out() {
    let repo = repo_of_packs(HashKind::Sha1);
    repo.git(&["multi-pack-index", "write"]);
    let midx = repo.objects_dir().join("pack/multi-pack-index");
    let mut content = fs::read(&midx).unwrap();
    content[40] ^= 1;
    fs::remove_file(&midx).unwrap();
    fs::write(&midx, content).unwrap();
    let snapshot = Snapshot::take(Arc::clone(&repo.store().shared)).unwrap();
    let warnings = snapshot.take_warnings();
    assert!(warnings[0].contains("multi-pack-index ignored"), "{warnings:?}");
    fs::remove_file(&midx).unwrap();
    same_as_git(&repo, &snapshot);
    // one of a pack that is gone
    repo.git(&["multi-pack-index", "write"]);
    let midx_content = fs::read(&midx).unwrap();
    repo.git(&["repack", "-adq"]);
    fs::write(&midx, midx_content).unwrap();
    let snapshot = repo.snapshot();
    let warnings = snapshot.take_warnings();
    assert!(warnings[0].contains("which is not there"), "{warnings:?}");
    same_as_git(&repo, &snapshot);
}

#[test]
fn alternates() {
    let base = TestRepo::with_history(HashKind::Sha1, 20);
    base.git(&["repack", "-adq"]);
    base.add_history(20, 3);
    let fork = TestRepo::new(HashKind::Sha1);
    let list = fork.objects_dir().join("info/alternates");
    fs::write(&list, format!("# borrowed\n{}\n", base.objects_dir().display())).unwrap();
    fork.git(&["update-ref", "refs/heads/main", &base.id("main").to_hex()]);
    fork.add_history(30, 4);
    let snapshot = fork.snapshot();
    same_as_git(&fork, &snapshot);
    let own = fork.id("main");
    assert!(fork.objects_dir() == snapshot.folders()[0] && snapshot.folders().len() == 2);
    // as a quarantine borrows from its repository
    let quarantine = TestRepo::new(HashKind::Sha1);
    let extra = [fork.objects_dir()];
    let store = Store::open(&quarantine.objects_dir(), HashKind::Sha1, &extra).unwrap();
    assert!(store.snapshot().unwrap().lookup(&own).unwrap().is_some());
    // both use one mapping of the borrowed pack
    assert!(Arc::ptr_eq(&base.snapshot().packs()[0], &snapshot.packs()[0]));
    fs::write(&list, "").unwrap();
    assert!(fork.snapshot().lookup(&base.id("main")).unwrap().is_none());
}

#[test]
fn a_large_blob_comes_in_pieces() {
    let repo = TestRepo::new(HashKind::Sha1);
    let mut content = vec![7; 3 << 20];
    content.extend((0..3u32 << 18).flat_map(|word| word.wrapping_mul(0x9e37_79b1).to_le_bytes()));
    let hash_object = ["hash-object", "-w", "--stdin"];
    let id = repo.git_with(&hash_object, &content);
    let id = ObjectId::from_hex(id.trim_ascii_end()).unwrap();
    for _ in 0..2 {
        let snapshot = repo.snapshot();
        let number = snapshot.lookup(&id).unwrap().unwrap();
        let mut reader = snapshot.reader();
        assert!(streamed(reader.as_mut(), number) == content);
        let mut pieces = 0;
        let stopped = reader.stream(number, &mut |_| {
            pieces += 1;
            pieces < 3
        });
        assert!(matches!(stopped, Err(SourceError::Cancelled)) && pieces == 3);
        assert!(reader.read(number).unwrap().1 == content);
        repo.git_with(&["pack-objects", "-q", "objects/pack/pack"], id.to_hex().as_bytes());
        repo.git(&["prune-packed"]);
    }
}

#[test]
fn the_experimental_loose_format() {
    let repo = TestRepo::new(HashKind::Sha1);
    let content = b"as git 1.5 could write it\n".repeat(30);
    let id = crate::object::object_id(HashKind::Sha1, ObjectKind::Blob, &content);
    let mut file = Vec::new();
    let kind = crate::pack::entry::EntryKind::Whole(ObjectKind::Blob);
    crate::pack::entry::EntryHeader::write(&kind, content.len() as u64, &mut file);
    crate::zlib::Deflater::new(6).deflate_all(&content, &mut file);
    let path = alternates::loose_path(&repo.objects_dir(), &id);
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
    let snapshot = repo.snapshot();
    let number = snapshot.lookup(&id).unwrap().unwrap();
    let mut reader = snapshot.reader();
    assert_eq!(reader.header(number).unwrap(), (ObjectKind::Blob, content.len() as u64));
    assert_eq!(reader.read(number).unwrap(), (ObjectKind::Blob, &content[..]));
}

#[test]
fn a_write_is_what_git_would_write() {
    for hash in KINDS {
        let repo = TestRepo::with_history(hash, 3);
        let store = repo.store();
        let tip = repo.id("main");
        let id = store.write_loose(ObjectKind::Blob, b"written here\n").unwrap();
        assert_eq!(repo.git_with(&["cat-file", "-p", &id.to_hex()], b""), b"written here\n");
        assert_eq!(store.write_loose(ObjectKind::Blob, b"written here\n").unwrap(), id);
        let commit = repo.git_with(&["cat-file", "commit", &tip.to_hex()], b"");
        assert_eq!(store.write_loose(ObjectKind::Commit, &commit).unwrap(), tip);
        repo.git(&["fsck", "--strict"]);
        let count = repo.git(&["count-objects", "-v"]);
        assert!(count.contains("garbage: 0"), "{count}");
    }
}
