//! Files that git wrote, and the same files damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Bits, Reachability};
use crate::hash::{HashKind, Hasher, ObjectId};
use crate::object::ObjectKind;
use crate::pack::Pack;
use crate::source::{ObjectSource as _, SourceError};
use crate::store::testing::TestRepo;

const EXTENSIONS: [&str; 10] = [
    "-c",
    "pack.writeBitmapLookupTable=true",
    "-c",
    "bitmapPseudoMerge.all.pattern=refs/",
    "-c",
    "bitmapPseudoMerge.all.threshold=now",
    "-c",
    "bitmapPseudoMerge.all.stableThreshold=never",
    "-c",
    "bitmapPseudoMerge.all.maxMerges=3",
];

/// A repository of one pack with a bitmap that has all extensions.
fn bitmapped(hash: HashKind, commits: u32) -> (TestRepo, Arc<Pack>, PathBuf) {
    let repo = TestRepo::with_history(hash, commits);
    // tips that no bitmap is made for
    for nth in (120..commits).step_by(7) {
        let tip = format!("main~{nth}");
        let line = repo.git(&["commit-tree", "-m", "side", "-p", &tip, &format!("{tip}^{{tree}}")]);
        repo.git(&["update-ref", &format!("refs/heads/side{nth}"), &line]);
    }
    let mut args = EXTENSIONS.to_vec();
    args.extend(["repack", "-adbq"]);
    repo.git(&args);
    let pack = Arc::clone(&repo.snapshot().packs()[0]);
    let path = pack.path().with_extension("bitmap");
    (repo, pack, path)
}

fn ids(repo: &TestRepo, args: &[&str]) -> Vec<ObjectId> {
    let out = repo.git(args);
    out.lines().map(|line| ObjectId::from_hex(line.as_bytes()).unwrap()).collect()
}

#[test]
fn git_and_we_read_the_same() {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let (repo, pack, path) = bitmapped(hash, 170);
        let reach = Reachability::of_pack(&path, &pack).unwrap();
        assert!(reach.has_merges());
        assert_eq!((reach.count(), reach.leading_pack()), (pack.object_count(), reach.count()));
        for (id, kind, _) in repo.all_objects() {
            let number = pack.position(&id).unwrap();
            let bit = reach.bit(number).unwrap();
            assert_eq!((reach.kind(bit), reach.numbers()[bit as usize]), (kind, number));
            assert!(reach.of_kind(kind).contains(bit));
        }
        let listed = ids(&repo, &["rev-list", "--all"]);
        let with: Vec<_> =
            listed.iter().filter(|id| reach.has_commit(pack.position(id).unwrap())).collect();
        assert!(with.len() > 50 && with.len() < listed.len(), "{} of {}", with.len(), listed.len());
        for id in with {
            let objects = ["rev-list", "--objects", "--no-object-names", &id.to_hex()];
            let mut wanted: Vec<u32> = ids(&repo, &objects)
                .iter()
                .map(|id| reach.bit(pack.position(id).unwrap()).unwrap())
                .collect();
            wanted.sort_unstable();
            // decoded, and remembered
            for _ in 0..2 {
                let bits = reach.commit(pack.position(id).unwrap()).unwrap();
                assert!(bits.ones().eq(wanted.iter().copied()), "{id}");
            }
        }
        let path_of = |id: &ObjectId| reach.name_hash(pack.position(id).unwrap());
        assert_eq!(path_of(&repo.id("main:dir1")), crate::graph::name_hash(b"dir1"));
        assert_eq!(path_of(&repo.id("main:top")), crate::graph::name_hash(b"top"));
        assert_eq!(reach.take_problem(), None);
    }
}

#[test]
fn pseudo_merges_tell_of_all_their_commits() {
    let (repo, pack, path) = bitmapped(HashKind::Sha1, 170);
    let reach = Reachability::of_pack(&path, &pack).unwrap();
    let mut tips = Bits::new(reach.count());
    for id in ids(&repo, &["rev-list", "--no-walk", "--all"]) {
        tips.insert(reach.bit(pack.position(&id).unwrap()).unwrap());
    }
    let mut bits = Bits::new(reach.count());
    reach.add_merges(&Bits::new(reach.count()), &mut bits);
    assert!(bits.is_empty(), "what nobody asked for");
    reach.add_merges(&tips, &mut bits);
    assert!(!bits.is_empty());
    let everything = ids(&repo, &["rev-list", "--objects", "--no-object-names", "--all"]);
    let mut all = Bits::new(reach.count());
    for id in everything {
        all.insert(reach.bit(pack.position(&id).unwrap()).unwrap());
    }
    assert!(bits.is_subset(&all));
}

fn replace(path: &Path, data: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, data).unwrap();
}

fn open(path: &Path, pack: &Arc<Pack>) -> Result<Reachability, String> {
    match Reachability::of_pack(path, pack) {
        Ok(reach) => Ok(reach),
        Err(SourceError::Corrupt { file, what }) if file == path.to_str().unwrap() => Err(what),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_damaged_file_is_not_believed() {
    let (_repo, pack, path) = bitmapped(HashKind::Sha1, 130);
    let sound = std::fs::read(&path).unwrap();
    for at in (0..sound.len()).step_by(sound.len() / 150) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << (at % 8);
        replace(&path, &damaged);
        assert!(open(&path, &pack).is_err(), "byte {at}");
        replace(&path, &sound[..at]);
        assert!(open(&path, &pack).is_err(), "cut at {at}");
    }
    replace(&path, &sound);
    assert!(open(&path, &pack).is_ok());
}

/// What a file claims is survived even when its checksum is right.
#[test]
fn lies_are_survived() {
    let (repo, pack, path) = bitmapped(HashKind::Sha1, 130);
    let sound = std::fs::read(&path).unwrap();
    let commits = ids(&repo, &["rev-list", "--all"]);
    let (body, _) = sound.split_at(sound.len() - 20);
    let step = body.len() / 300;
    let mut opened = 0;
    for at in (32..80).chain((80..body.len()).step_by(step)) {
        for value in [0, 0xff, body[at] ^ 1 << (at % 8)] {
            let mut lying = body.to_vec();
            lying[at] = value;
            let mut hasher = Hasher::new(HashKind::Sha1);
            hasher.update(&lying);
            lying.extend(hasher.finish().as_bytes());
            replace(&path, &lying);
            let Ok(reach) = open(&path, &pack) else { continue };
            opened += 1;
            let mut bits = Bits::new(reach.count());
            for id in commits.iter().step_by(9) {
                if let Some(found) = reach.commit(pack.position(id).unwrap()) {
                    assert_eq!(found.len(), reach.count());
                    assert!(found.ones().all(|bit| bit < reach.count()));
                    bits.or(&found);
                }
            }
            let tips = reach.of_kind(ObjectKind::Commit).clone();
            reach.add_merges(&tips, &mut bits);
            assert!(bits.ones().all(|bit| bit < reach.count()));
        }
    }
    assert!(opened > 100, "only {opened} got that far");
}

#[test]
fn what_is_wrong_is_told_with_the_name_of_the_file() {
    let (repo, pack, path) = bitmapped(HashKind::Sha1, 130);
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    damaged[sound.len() / 2] ^= 1;
    let mut foreign = sound.clone();
    foreign[15] ^= 1;
    for (data, what) in
        [(&damaged[..], "checksum"), (&foreign, "belongs to another"), (&sound[..9], "too short")]
    {
        replace(&path, data);
        let snapshot = repo.snapshot();
        assert!(snapshot.reachability().is_none());
        let warnings = snapshot.take_warnings();
        let told = |line: &String| line.contains(path.to_str().unwrap()) && line.contains(what);
        assert!(warnings.len() == 1 && warnings.iter().all(told), "{warnings:?}");
        // and all else is as before
        assert_eq!(snapshot.packs()[0].object_count(), pack.object_count());
    }
    replace(&path, &sound);
    assert!(repo.snapshot().reachability().is_some());
}

#[test]
fn a_multi_pack_index_is_read_in_its_own_order() {
    let repo = TestRepo::with_history(HashKind::Sha1, 40);
    repo.git(&["-c", "repack.writeBitmaps=false", "repack", "-adq"]);
    repo.add_history(40, 40);
    repo.git(&["repack", "-dq"]);
    repo.add_history(80, 40);
    repo.git(&["repack", "-dq"]);
    repo.git(&["multi-pack-index", "write", "--bitmap"]);
    let snapshot = repo.snapshot();
    let reach = snapshot.reachability().unwrap();
    assert_eq!(snapshot.packs().len(), 3);
    let leading = reach.leading_pack() as usize;
    assert!(leading > 0 && leading < reach.count() as usize);
    let places: Vec<_> =
        reach.numbers().iter().map(|&number| snapshot.packed_at(number).unwrap()).collect();
    assert!(places[..leading].is_sorted_by_key(|place| place.offset));
    assert!(places[leading..].iter().all(|place| place.pack != places[0].pack));
    let kinds = repo.all_objects();
    for (id, kind, _) in &kinds {
        let number = snapshot.lookup(id).unwrap().unwrap();
        assert_eq!(reach.kind(reach.bit(number).unwrap()), *kind);
    }
    let tip = snapshot.lookup(&repo.id("main")).unwrap().unwrap();
    let tags = kinds.iter().filter(|(_, kind, _)| *kind == ObjectKind::Tag).count();
    assert_eq!(reach.commit(tip).unwrap().count() as usize, kinds.len() - tags);
}
